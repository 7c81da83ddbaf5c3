"""How much faster a training step is on cached features than with the backbone in the loop, and what batches bring.

    python bench/train.py

One process, the named baselines beside ours in one run: a step of 4 clips x 50 frames of 224x398, end to end (backbone
forward and backward), frozen (backbone forward only), and cached (gather, targets, head, AdamW as `ballspot train`
does it). Medians of several steps. Then an epoch's worth of clips at batch 4 against larger batches, samples a second.
"""

import argparse
import time
from statistics import median

import numpy as np
import timm
import torch

from ballspot.evaluate.labels import LabelArrays
from ballspot.temporal.config import Config
from ballspot.temporal.configuration import load_config
from ballspot.temporal.events import event_table
from ballspot.temporal.features import from_arrays
from ballspot.temporal.heads import build_head
from ballspot.temporal.losses import class_loss, offset_loss
from ballspot.temporal.optimisation import make_optimizer
from ballspot.temporal.training import TrainingMaterial, train_epoch, training_material

DIM, N_LABELS = 368, 12
COUNTS = np.array([4703, 4067, 685, 778, 590, 320, 392, 190, 220, 73, 26, 14])  # SN-BAS, by class


def material_of(n_frames: int, config: Config) -> TrainingMaterial:
    """Random features of one match and events as dense as in SN-BAS."""
    random = np.random.default_rng(0)
    features = from_arrays({"match": random.standard_normal((n_frames, DIM)).astype(np.float16)}, dtype=torch.float16)
    n_events = round(n_frames * COUNTS.sum() / 1_022_160)
    frames = np.sort(random.choice(n_frames, n_events, replace=False))
    classes = random.choice(N_LABELS, n_events, p=COUNTS / COUNTS.sum())
    nobody = np.full(n_events, -1, dtype=np.int8)
    labels = LabelArrays(frames, classes, nobody, np.ones(n_events, dtype=bool), 0, 0)
    return training_material(features, event_table([labels], n_labels=N_LABELS), config)


def cached_s(kind: str, *, batch_clips: int, n_steps: int, rounds: int, preset: str = "original") -> float:
    """Median seconds of a training step on cached features."""
    config = load_config(preset, [f"kind={kind}", f"batch_clips={batch_clips}"])
    frames = batch_clips * n_steps * config.clips.clip_frames
    config = config.model_copy(update={"training": config.training.model_copy(update={"epoch_frames": frames})})
    material = material_of(150_000, config)
    head = build_head(config.head, dims=(DIM,), n_labels=N_LABELS, clip_frames=config.clips.clip_frames)
    optimizer = make_optimizer(head, config)
    times = []
    for epoch in range(rounds + 1):  # the first warms up
        started = time.perf_counter()
        train_epoch(head, optimizer, material, config, epoch=1 + epoch % config.training.n_epochs, seed=0)
        times.append((time.perf_counter() - started) / n_steps)
    return median(times[1:])


def in_the_loop_s(kind: str, *, frozen: bool, steps: int) -> float:
    """Median seconds of a step of 4 clips x 50 frames with regnety_002 in the loop, trained or frozen."""
    config = load_config("original", [f"kind={kind}"])
    backbone = timm.create_model("regnety_002", num_classes=0).train(not frozen).requires_grad_(not frozen)
    head = build_head(config.head, dims=(DIM,), n_labels=N_LABELS, clip_frames=50)
    parameters = [*head.parameters(), *(() if frozen else backbone.parameters())]
    optimizer = torch.optim.AdamW(parameters, lr=1e-4)
    clips = torch.randn(4, 50, 3, 224, 398)
    classes, offsets = torch.zeros(4, 25, dtype=torch.int64), torch.zeros(4, 25)
    weights = torch.ones(1 + N_LABELS)
    times = []
    for _ in range(steps):
        started = time.perf_counter()
        with torch.set_grad_enabled(not frozen):
            features = backbone(clips.flatten(0, 1)).view(4, 50, DIM)
        output = head(features)
        loss = class_loss(output.class_logits, classes, weights=weights, focal_gamma=1.0)
        if output.offsets is not None:
            loss = loss + 0.1 * offset_loss(output.offsets, offsets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        times.append(time.perf_counter() - started)
    return median(times)


def main() -> None:
    """Prints two Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--loop-steps", type=int, default=3)
    parser.add_argument("--heads", nargs="+", default=["transformer", "tcn"])
    parser.add_argument("--batches", nargs="+", type=int, default=[4, 16, 32, 64, 128])
    parser.add_argument("--skip-loop", action="store_true", help="leave the backbone out, measure batches alone")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    if not arguments.skip_loop:
        print("| head | end to end, s a step | frozen, s | cached, ms | end to end / cached | frozen / cached |")
        print("|---|---|---|---|---|---|")
        for kind in arguments.heads:
            cached = cached_s(kind, batch_clips=4, n_steps=20, rounds=5)
            whole = in_the_loop_s(kind, frozen=False, steps=arguments.loop_steps)
            frozen = in_the_loop_s(kind, frozen=True, steps=arguments.loop_steps)
            print(
                f"| {kind} | {whole:.2f} | {frozen:.2f} | {1000 * cached:.1f} | {whole / cached:.0f} | "
                f"{frozen / cached:.0f} |",
                flush=True,
            )
    print(
        "\n| head | " + " | ".join(f"clips/s at batch {batch}" for batch in arguments.batches) + " | best / batch 4 |"
    )
    print("|---" * (len(arguments.batches) + 2) + "|")
    for kind in arguments.heads:
        rates = [
            batch / cached_s(kind, batch_clips=batch, n_steps=max(512 // batch, 4), rounds=3)
            for batch in arguments.batches
        ]
        print(
            f"| {kind} | " + " | ".join(f"{rate:.0f}" for rate in rates) + f" | {max(rates) / rates[0]:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
