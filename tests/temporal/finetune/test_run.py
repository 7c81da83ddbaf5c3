"""Fine-tuning end to end on drawn videos: the same numbers however it is cut into batches, processes and runs."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from ballspot.cache.errors import BallspotError
from ballspot.cache.runs.run import RunFolder
from ballspot.cli import main
from ballspot.evaluate.dataset.matches import find_matches
from ballspot.extract.backbone.load import load_model
from ballspot.extract.backbone.spec import BackboneSpec
from ballspot.extract.video.probe import probe_video
from ballspot.extract.video.sources import open_source
from ballspot.temporal.config.sections import HeadSection
from ballspot.temporal.finetune import video_clips
from ballspot.temporal.finetune.augmentation import change_batch, change_pictures, drawn_change
from ballspot.temporal.finetune.model import EndToEnd, make_optimizer
from ballspot.temporal.finetune.settings import FinetuneSection, read_settings
from ballspot.temporal.finetune.video_clips import ClipFormat, ClipReader, VideoClips, WantedClip
from ballspot.temporal.heads.head import build_head

from ...processes import run_apart, started

SIZE = (64, 96)
SMALL = (
    "kind=gru", "width=16", "clip_frames=8", "pad_frames=2", "n_epochs=2", "warmup_epochs=0", "epoch_frames=64",
    "batch_clips=4", "decode_workers=0", "gradient_clip=0", "class_dropout=0.0", "dropout=0.0",
)  # fmt: skip


def words_for(data: Path, run: Path, *settings: str, backbone: str = "regnety_002+gsf:s4") -> list[str]:
    words = ["finetune", data, "--out", run, "--backbone", backbone, "--weights", "random:3", "--size", "64x96"]
    words += ["--device", "cpu", *(word for one in (*SMALL, *settings) for word in ("--set", one))]
    return [str(word) for word in words]


def ballspot(words: list[str]):
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output + result.stderr
    return result


def weights(run: Path, name: str = "last.safetensors") -> dict[str, torch.Tensor]:
    return load_file(run / name)


def assert_close(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    of_all = max(float(value.abs().max()) for name, value in theirs.items() if name.endswith("exp_avg"))
    for name, value in ours.items():
        if name.endswith("exp_avg"):  # the gradients themselves: AdamW's steps do not know their scale
            largest = float(theirs[name].abs().max())
            rounding = 1e-5 * of_all  # terms as large as the largest gradients may cancel, on some CPUs to 2e-6 of 0.25
            torch.testing.assert_close(value, theirs[name], rtol=0.02, atol=0.02 * largest + rounding, msg=name)
        elif not name.startswith("optimizer."):
            # Where a gradient is rounding alone AdamW steps by its sign: one weight of 135,424 did on one CPU.
            apart = ~torch.isclose(value, theirs[name], rtol=2e-3, atol=2e-4)
            assert int(apart.sum()) <= len(apart.flatten()) / 10_000, name
            torch.testing.assert_close(value, theirs[name], rtol=2e-3, atol=2e-3, msg=name)


@pytest.fixture(scope="module")
def tuned(brief: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("tuned") / "run"
    ballspot(words_for(brief, run))
    return run


def test_a_run_is_left_with_all_that_the_other_commands_read(tuned):
    metrics = RunFolder(tuned).metrics()
    log = RunFolder(tuned).log()
    assert [line["epoch"] for line in log] == [1, 2]
    assert metrics["best_epoch"] in (1, 2) and metrics["mean_ap"] == log[metrics["best_epoch"] - 1]["valid_mean_ap"]
    assert all(np.isfinite(line["loss"]) for line in log)
    config = RunFolder(tuned).config()
    assert config["finetune"]["backbone"] == "regnety_002+gsf:s4" and config["clips"]["scaling"] == "none"
    model = end_to_end_of("regnety_002+gsf:s4")
    assert metrics["n_parameters"] == sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("backbone", ["regnety_002+gsf:s4", "regnety_002"])
def test_the_metrics_of_a_run_are_those_of_its_predictions(brief, tmp_path, tuned, backbone):
    run = tuned
    if backbone == "regnety_002":
        run = tmp_path / "run"
        ballspot(words_for(brief, run, "n_epochs=1", "copies=2", "class_loss=sigmoid", backbone=backbone))
    words = ["evaluate", run / "predictions" / "valid", "--data", brief, "--split", "valid", "--json"]
    found = json.loads(ballspot(list(map(str, words))).stdout)
    assert found["mean_ap"] == pytest.approx(RunFolder(run).metrics()["mean_ap"], abs=1e-9)


def test_tune_takes_a_fine_tuned_run(tuned, brief):
    ballspot(["tune", str(tuned), "--data", str(brief)])


@pytest.fixture(scope="module")
def extracted(tuned: Path, brief: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The features that the run's backbone gives."""
    out = tmp_path_factory.mktemp("extracted")
    words = ["extract", brief, "--out", out, "--weights", tuned, "--set", "tuned", "--workers", 1]
    ballspot(list(map(str, words)))
    return out / "tuned"


def test_the_last_checkpoint_is_no_head(tuned, brief, extracted):
    words = ["predict", tuned, extracted, "--data", brief, "--split", "valid", "--checkpoint", "last"]
    result = CliRunner().invoke(main, list(map(str, words)))
    assert result.exit_code == 1 and "give --checkpoint best" in result.stderr


def test_mirrored_views_are_extracted_where_prediction_wants_them(brief, tmp_path):
    run = tmp_path / "run"
    ballspot(words_for(brief, run, "n_epochs=1", "flip_average=true"))
    words = ["extract", brief, "--out", tmp_path, "--weights", run, "--set", "tuned", "--workers", 1]
    ballspot(list(map(str, words)))
    words = ["predict", run, tmp_path / "tuned", "--data", brief, "--split", "test", "--device", "cpu"]
    ballspot(list(map(str, words)))


def test_a_checkpoint_that_brings_its_shift_is_fine_tuned_with_it(brief, tmp_path, tuned):
    state = load_file(tuned / "backbone.safetensors")
    torch.save({f"_features.{name}": value for name, value in state.items()}, tmp_path / "c.pt")
    words = words_for(brief, tmp_path / "run", "n_epochs=1", backbone="regnety_002")
    words[words.index("random:3")] = str(tmp_path / "c.pt")
    ballspot(words)
    assert RunFolder(tmp_path / "run").config()["finetune"]["backbone"] == "regnety_002+gsf:s4"


def test_batch_norms_over_several_gpus_keep_their_activations():
    from timm.layers.norm_act import convert_sync_batchnorm

    model = end_to_end_of("regnety_002+gsf:s4").eval()
    pictures, inside = torch.randint(0, 256, (1, 8, *SIZE, 3)).float(), torch.ones(1, 8)
    with torch.inference_mode():
        before = model(pictures, inside).class_logits
        model.backbone = convert_sync_batchnorm(model.backbone)
        torch.testing.assert_close(model(pictures, inside).class_logits, before)
    assert not any(isinstance(module, (torch.nn.BatchNorm2d, torch.nn.BatchNorm3d)) for module in model.modules())


def test_extract_and_predict_give_what_training_saw(tuned, brief, extracted, tmp_path):
    """The cached pipeline and the model on video: the same spots from the same checkpoint."""
    ballspot(["predict", str(tuned), str(extracted), "--data", str(brief), "--split", "valid",
              "--out", str(tmp_path / "cached"), "--device", "cpu"])  # fmt: skip
    files = sorted((tuned / "predictions" / "valid").rglob("results_spotting.json"))
    assert files
    for path in files:
        cached = tmp_path / "cached" / path.relative_to(tuned / "predictions" / "valid")
        ours, theirs = (json.loads(one.read_text())["predictions"] for one in (cached, path))
        assert [(one["label"], one["position"]) for one in ours] == [(one["label"], one["position"]) for one in theirs]
        np.testing.assert_allclose(
            [float(one["confidence"]) for one in ours], [float(one["confidence"]) for one in theirs], atol=1e-3
        )


def test_the_same_seed_gives_the_same_bits_with_and_without_a_break(tuned, brief, tmp_path, monkeypatch):
    import ballspot.temporal.finetune.epoch as module

    train, run = module.Epochs.train, tmp_path / "run"

    def stop(self, epoch: int):
        if epoch == 2:
            raise BallspotError("the power went")
        return train(self, epoch)

    with monkeypatch.context() as patch:
        patch.setattr(module.Epochs, "train", stop)
        assert CliRunner().invoke(main, words_for(brief, run)).exit_code == 1
    assert not RunFolder(run).is_done
    assert "resuming after epoch 1 of 2" in ballspot(words_for(brief, run)).stderr
    for name in ("last.safetensors", "best.safetensors", "backbone.safetensors"):
        ours, theirs = weights(run, name), weights(tuned, name)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert "nothing to do" in ballspot(words_for(brief, run)).stderr
    other = CliRunner().invoke(main, [*words_for(brief, run), "--seed", "5"])
    assert other.exit_code == 1 and "holds another run (" in other.stderr and "choose another --out" in other.stderr


@dataclass(frozen=True)
class Steady:
    """What a run left: its last state, and its log."""

    state: dict[str, torch.Tensor]
    log: list[dict]


@pytest.fixture(scope="module")
def steady(brief: Path, tmp_path_factory: pytest.TempPathFactory) -> "Steady":
    """The last state of a run whose norms stay as they are, so that a batch's size decides nothing but the step."""
    run = tmp_path_factory.mktemp("steady") / "run"
    ballspot(words_for(brief, run, "norms=frozen", "n_epochs=1"))
    return Steady(weights(run), RunFolder(run).log())


@pytest.mark.parametrize("more", [("batch_clips=1", "accumulate=4"), ("checkpointing=true",)])
def test_smaller_batches_and_less_memory_change_no_number(brief, tmp_path, steady, more):
    ballspot(words_for(brief, tmp_path / "run", "norms=frozen", "n_epochs=1", *more))
    assert_close(weights(tmp_path / "run"), steady.state)
    for ours, theirs in zip(RunFolder(tmp_path / "run").log(), steady.log, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-3)


def test_two_processes_are_one_with_twice_the_batch(brief, tmp_path, steady):
    """Two forks with the environment that torchrun gives: they load nothing anew."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    words = words_for(brief, tmp_path / "two", "norms=frozen", "n_epochs=1", "batch_clips=2")
    both = [
        started(words, tmp_path / f"log-{rank}", environment=given | {"RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(2)
    ]
    for ended in [one.wait() for one in both]:
        assert ended.code == 0, ended.stderr[-2000:]
    assert_close(weights(tmp_path / "two"), steady.state)
    for ours, theirs in zip(RunFolder(tmp_path / "two").log(), steady.log, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-3)
        assert ours["class_loss"] == pytest.approx(theirs["class_loss"], rel=1e-3)
    assert json.loads((tmp_path / "two" / "run.json").read_text())["n_processes"] == 2


def test_frozen_parts_stay_as_they_are(brief, tmp_path):
    run = tmp_path / "run"
    ballspot([*words_for(brief, run, "n_epochs=1"), "--freeze", "stem,s1,s2"])
    before = load_model(BackboneSpec("regnety_002+gsf:s4", "random:3", SIZE)).model.state_dict()
    after = load_file(run / "backbone.safetensors")
    frozen = [name for name in before if name.split(".")[0] in ("stem", "s1", "s2")]
    assert frozen and all(torch.equal(before[name], after[name]) for name in frozen)
    moved = [name for name in before if name.split(".")[0] in ("s3", "s4") and name.endswith("conv.weight")]
    assert all(not torch.equal(before[name], after[name]) for name in moved)


def test_other_ways_of_training_work_too(brief, tmp_path):
    more = ("mixup_alpha=0.4", "teams=labels")  # copies of a clip and the loss of a sigmoid: with the metrics, above
    ballspot(words_for(brief, tmp_path / "run", "n_epochs=1", *more, backbone="regnety_002"))
    assert RunFolder(tmp_path / "run").is_done


def end_to_end(**settings) -> EndToEnd:
    return end_to_end_of("regnety_002+tsm", **settings)


def end_to_end_of(backbone: str, **settings) -> EndToEnd:
    section = HeadSection(kind="gru", width=16, offsets=True, temporal_stride=1)
    head = build_head(section, dims=(368,), n_labels=12, clip_frames=8)
    loaded = load_model(BackboneSpec(backbone, "random", SIZE))
    return EndToEnd(loaded, head, FinetuneSection(**settings))


def test_rates_fall_from_the_head_to_the_first_part():
    section = FinetuneSection(backbone_rate=0.5, layer_decay=0.5)
    optimizer = make_optimizer(end_to_end(), section, rate=0.01, weight_decay=0.0)
    factors = [group["factor"] for group in optimizer.param_groups]
    assert factors == [0.5, 0.25, 0.125, 0.0625, 0.03125, 1.0]  # s4, s3, s2, s1, stem, head


def test_norms_that_are_frozen_keep_their_statistics():
    model = end_to_end(norms="frozen").train()
    before = {name: value.clone() for name, value in model.backbone.named_buffers()}
    model(torch.randint(0, 256, (2, 8, *SIZE, 3)).float(), torch.ones(2, 8))
    assert all(torch.equal(before[name], value) for name, value in model.backbone.named_buffers())
    moving = end_to_end().train()
    before = {name: value.clone() for name, value in moving.backbone.named_buffers()}
    moving(torch.randint(0, 256, (2, 8, *SIZE, 3)).float(), torch.ones(2, 8))
    assert not torch.equal(
        before["stem.bn.running_mean"], dict(moving.backbone.named_buffers())["stem.bn.running_mean"]
    )


def read_ahead(video: Path, out: Path) -> None:
    """Clips of the video, plain and changed, read here and by two processes ahead, as arrays in a folder."""
    video_clips.PATIENCE_S = 1800.0  # of a machine that has other things to do
    probe = probe_video(video)
    spec = BackboneSpec("regnety_002", "random", (probe.height, probe.width))
    section = FinetuneSection(colour=0.4, blur=1.0)
    changes = [drawn_change(section, seed=seed, mirrored=seed > 1) for seed in (1, 2)]
    starts = (probe.n_frames - 5, -4, 37)
    for n_workers in (0, 2):
        for is_changed in (False, True):
            dataset = VideoClips((probe,), ClipFormat(6, 3, spec, is_changed))
            found = []
            with ClipReader(dataset, n_workers=n_workers) as reader:
                for _ in range(2):  # the second by the same processes, with the videos still open
                    found = list(reader.read([WantedClip(0, start, tuple(changes)) for start in starts]))
            pictures, inside = (
                np.stack([getattr(clip, name).numpy() for clip in found]) for name in ("pictures", "inside")
            )
            np.savez(out / f"{n_workers}-{is_changed}.npz", pictures=pictures, inside=inside)


def test_clips_are_the_frames_of_the_video_and_black_outside_it(video, tmp_path):
    """In a process of its own: in this one, with other decoders' libraries in it, a later test ended with a fault."""
    run_apart(partial(read_ahead, video, tmp_path))
    probe = probe_video(video)
    with open_source(probe, "pyav") as source:
        every = np.stack(list(source.frames(0, probe.n_frames)))
    section = FinetuneSection(colour=0.4, blur=1.0)
    changes = [drawn_change(section, seed=seed, mirrored=seed > 1) for seed in (1, 2)]
    for n_workers in (0, 2):
        plain, made = (np.load(tmp_path / f"{n_workers}-{is_changed}.npz") for is_changed in (False, True))
        starts = (probe.n_frames - 5, -4, 37)
        for start, pictures, inside, versions in zip(
            starts, plain["pictures"], plain["inside"], made["pictures"], strict=True
        ):
            frames = start + 3 * np.arange(6)
            expected = (frames >= 0) & (frames < probe.n_frames)
            assert inside.tolist() == expected.tolist() and pictures.dtype == np.uint8
            assert np.array_equal(pictures[inside], every[frames[inside]])
            assert not pictures[~inside].any()
            for version, change in zip(versions, changes, strict=True):
                assert np.array_equal(version, change_pictures(torch.from_numpy(pictures), change).numpy())


def test_changes_come_from_the_seed_alone_and_leave_pictures_when_off():
    pictures = torch.randint(0, 256, (3, *SIZE, 3), dtype=torch.uint8)

    def changed(section: FinetuneSection, seed: int, *, mirrored: bool = False) -> torch.Tensor:
        return change_pictures(pictures, drawn_change(section, seed=seed, mirrored=mirrored))

    off = FinetuneSection(flip=0, colour=0, blur=0, crop=0)
    assert torch.equal(changed(off, 1), pictures.float())
    assert torch.equal(changed(off, 1, mirrored=True), pictures.float().flip(2))
    on = FinetuneSection(colour=0.4, blur=1.0, crop=0.5)
    one, again, other = (changed(on, seed) for seed in (1, 1, 2))
    assert torch.equal(one, again) and not torch.equal(one, other)
    assert one.shape == pictures.shape and float(one.min()) >= 0 and float(one.max()) <= 255


@pytest.mark.parametrize("crop", [0.0, 0.5])
def test_a_batch_is_changed_as_its_clips_are_one_by_one(crop: float):
    section = FinetuneSection(colour=0.4, blur=0.5, crop=crop)
    pictures = torch.randint(0, 256, (6, 3, *SIZE, 3), dtype=torch.uint8)
    changes = [drawn_change(section, seed=seed, mirrored=seed % 2 == 0) for seed in range(6)]
    assert 0 < sum(change.blur_sd is not None for change in changes) < 6  # both kinds are tried
    kept = pictures.clone()
    whole = change_batch(pictures, changes)
    for place, change in enumerate(changes):
        torch.testing.assert_close(whole[place], change_pictures(pictures[place], change), rtol=0, atol=0.01)
    assert torch.equal(pictures, kept)
    off = FinetuneSection(flip=0, colour=0, blur=0, crop=0)
    plain = [drawn_change(off, seed=seed, mirrored=False) for seed in range(6)]
    assert torch.equal(change_batch(pictures, plain), pictures.float())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["freeze=s5"], "freeze 's5' is not a part of the backbone"),
        (["layer_decay=0"], "finetune.layer_decay"),
        (["copies=3"], "is not a multiple of finetune.copies 3"),
        (["cells=4"], "head.cells = 4: fine-tuning knows 1 only"),
        (["scaling=match"], "clips.scaling = 'match': fine-tuning knows 'none' only"),
        (["n_epoch=3"], "did you mean 'n_epochs'"),
    ],
)
def test_wrong_settings_are_named(settings, message):
    with pytest.raises(BallspotError, match=message):
        read_settings("finetune", settings)


def test_the_key_precision_asks_for_what_the_option_asks_for(brief, tmp_path, monkeypatch):
    def tell(asked: str, device: torch.device) -> None:
        raise BallspotError(f"asked for {asked}")

    monkeypatch.setattr("ballspot.temporal.finetune.chosen_precision", tell)
    for settings, wanted in ((["precision=bfloat16"], "bfloat16"), ([], "auto")):
        result = CliRunner().invoke(main, words_for(brief, tmp_path / "run", *settings))
        assert f"asked for {wanted}" in result.stderr


def test_a_match_without_video_is_named(brief, tmp_path):
    import shutil

    data = tmp_path / "data"
    shutil.copytree(brief, data)
    match = find_matches(data)[0]
    assert match.video is not None
    match.video.unlink()
    result = CliRunner().invoke(main, words_for(data, tmp_path / "run"))
    assert result.exit_code == 1 and "has no video; put one there" in result.stderr


ENDS_AT_ONCE = """
import multiprocessing, os, signal, sys
from pathlib import Path
from ballspot.extract.video import probe_video
from ballspot.extract.backbone import BackboneSpec
from ballspot.temporal.finetune.video_clips import ClipFormat, ClipReader, VideoClips, WantedClip

if __name__ == "__main__":
    probe = probe_video(Path(sys.argv[1]))
    spec = BackboneSpec("regnety_002", "random", (probe.height, probe.width))
    with ClipReader(VideoClips((probe,), ClipFormat(6, 3, spec, False)), n_workers=2) as reader:
        clips = reader.read([WantedClip(0, 0, ()) for _ in range(8)])
        next(clips)
        print(*(child.pid for child in multiprocessing.active_children()), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_fine_tuning_leaves_no_process_behind(video, tmp_path):
    """Its readers stayed: they watched the fork server, which they kept alive themselves."""
    script = tmp_path / "end.py"
    script.write_text(ENDS_AT_ONCE)
    said, wrong = tmp_path / "said", tmp_path / "wrong"  # pipes would stay open as long as a process that is left
    with said.open("w") as out, wrong.open("w") as errors:
        done = subprocess.run([sys.executable, str(script), str(video)], stdout=out, stderr=errors, check=False)
    assert done.returncode == -signal.SIGKILL, wrong.read_text()[-2000:]
    readers = [int(word) for word in said.read_text().split()]
    assert len(readers) == 2
    give_up = time.monotonic() + 120
    while left := [pid for pid in readers if Path(f"/proc/{pid}").exists()]:
        if time.monotonic() > give_up:
            for pid in left:
                os.kill(pid, signal.SIGKILL)
            raise AssertionError(f"processes {left} are still there")
        time.sleep(0.05)
