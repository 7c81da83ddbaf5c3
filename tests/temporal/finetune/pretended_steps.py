"""Steps of fine-tuning on a GPU that is pretended: run by `run_pretended` with a data root and a folder."""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from pretend import pretended_cuda

from ballspot.cache.workers import n_usable_cpus
from ballspot.evaluate.dataset import DataSelection, load_label_set
from ballspot.extract.backbone import BackboneSpec
from ballspot.extract.video import process
from ballspot.temporal.finetune import Finetuning, chosen_precision, joined_group, read_settings, read_videos
from ballspot.temporal.finetune.epoch import Epochs
from ballspot.temporal.finetune.run import _layout, _learner, _validated
from ballspot.temporal.finetune.trained import Trained
from ballspot.temporal.training import Task, training_side

COMMON = ("clip_frames=6", "pad_frames=1", "n_epochs=1", "warmup_epochs=0", "epoch_frames=48", "batch_clips=4",
          "width=16", "decode_workers=0", "n_layers=1", "n_attention_heads=2", "validation_every_epochs=1")  # fmt: skip
# No GRU, whose kernels on a GPU cannot be pretended.
CASES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "gsf": ("regnety_002+gsf:s4", "auto", ("kind=transformer", "blur=0.5", "ema_decay=0.9")),
    "copies, crops, mixing": ("resnet10t", "bfloat16", ("kind=tcn", "copies=2", "crop=0.3", "mixup_alpha=0.4")),
    "float32, two batches": ("regnety_002+tsm:s4", "float32", ("kind=transformer", "accumulate=2", "batch_clips=2")),
}


def tried(data: Path, backbone: str, precision: str, settings: tuple[str, ...], counts: Any) -> dict[str, Any]:
    """An epoch of two steps and, with a shift, its validation."""
    config, section = read_settings("finetune", [*COMMON, *settings])
    device = torch.device("cuda:0")
    selection = DataSelection(data, load_label_set("ball-12"), None, None, one_video=True).opened()
    task = Task(config=config, data=selection, seed=0, shuffle_labels=False, device=device)
    with joined_group(device) as group:
        finetuning = Finetuning(
            task=task,
            section=section,
            backbone=BackboneSpec(backbone, "random", (32, 32)),  # resized from 64x96
            videos=read_videos(task, group),
            precision=chosen_precision(precision, device),
        )
        learner, description = _learner(finetuning, group)
        probes, said = finetuning.probes("train"), list[str]()
        material = training_side(task, _layout(probes, dim=description.dims[0], device=device), said.append)
        epochs = Epochs(learner, material, tuple(probes.values()), finetuning, group, finetuning.precision)
        assert epochs.reader.clips.how.is_changed is False  # bytes go over, and are changed there
        drawn = epochs.draw(1)
        pictures = epochs.reader.read(epochs.wanted(drawn, 1))
        epochs.forward.train()
        epochs.step(drawn, 0, pictures, 1)
        counts.clear()
        losses = epochs.step(drawn, 1, pictures, 1)
        found = {"syncs": counts["syncs"], "uploads": counts["uploads"]}
        found["finite"] = bool(torch.isfinite(losses.cpu()).all())
        without = [name for name, one in learner.model.named_parameters() if one.requires_grad and one.grad is None]
        found |= {"without": without, "precision": finetuning.precision.name}
        found["device"] = str({one.grad.device for one in learner.model.parameters() if one.grad is not None})
        if "gsf" in backbone:
            trained = Trained.of(finetuning, description, learner.kept_weights)
            found["map"] = _validated(finetuning, trained, finetuning.probes("valid"), group).mean_ap
    return found


def main(data: Path) -> None:
    """Prints what came of every case, as JSON."""
    results = {}
    process.START = "fork"  # a new process would import this one's torch again, to decode
    torch.backends.cudnn.enabled = False  # its kernels cannot be pretended: torch then takes its own
    with pretended_cuda() as counts:
        for name, (backbone, precision, settings) in CASES.items():
            results[name] = tried(data, backbone, precision, settings, counts)
        _, section = read_settings("finetune", [])
        results["decoders"] = [section.n_decoders(on_gpu=True), n_usable_cpus()]
    print(json.dumps(results))  # noqa: T201  the test reads what is printed


if __name__ == "__main__":
    main(Path(sys.argv[1]))
