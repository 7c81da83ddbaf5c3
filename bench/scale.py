"""Stage two at the size of SN-BAS: memory, seconds an epoch, and whole-match prediction against a loop over clips.

    python bench/scale.py

A synthetic cache of seven matches, 1,022,160 x 368 float16, labels drawn with the class counts of the real set, held in
memory as training holds it. Epochs are estimated from `--clips` clips and said for the original's 10,000. The loop is
what peers do: windows of 50 frames that overlap by 90 %, one at a time, summed in Python.
"""

import argparse
import resource
import time
from statistics import median

import numpy as np
import torch

from ballspot.evaluate.dataset.labels import LabelArrays
from ballspot.temporal.clips.events import event_table
from ballspot.temporal.config.grid import ClipGrid
from ballspot.temporal.config.load import load_config
from ballspot.temporal.features.resident import ResidentFeatures, from_arrays
from ballspot.temporal.heads.head import SpottingHead, build_head
from ballspot.temporal.prediction.offsets import place_scores
from ballspot.temporal.prediction.stream import score_match
from ballspot.temporal.training.epoch import train_epoch, training_material
from ballspot.temporal.training.optimizer import Learner, make_optimizer

DIM, N_LABELS = 368, 12
MATCHES = (146_479, 144_752, 142_498, 142_886, 146_892, 152_740, 145_913)
COUNTS = np.array([4703, 4067, 685, 778, 590, 320, 392, 190, 220, 73, 26, 14])
EPOCH_CLIPS = 10_000


def whole_cache() -> tuple[ResidentFeatures, list[LabelArrays]]:
    """Features and labels of seven matches."""
    random = np.random.default_rng(0)
    block = random.standard_normal((16384, DIM), dtype=np.float32).astype(np.float16)
    arrays, labels = {}, []
    for index, n_frames in enumerate(MATCHES):
        arrays[str(index)] = np.resize(block, (n_frames, DIM))
        n_events = round(COUNTS.sum() * n_frames / sum(MATCHES))
        frames = np.sort(random.choice(n_frames, n_events, replace=False))
        classes = random.choice(N_LABELS, n_events, p=COUNTS / COUNTS.sum())
        nobody = np.full(n_events, -1, dtype=np.int8)
        labels.append(LabelArrays(frames, classes, nobody, np.ones(n_events, dtype=bool), 0, 0))
    return from_arrays(arrays, dtype=torch.float16), labels


@torch.inference_mode()
def clip_loop(head: SpottingHead, rows: torch.Tensor, *, temporal_stride: int) -> np.ndarray:
    """Scores (n, K) of every second frame, window by window as peers score them."""
    frames = rows[::2].float()
    total, support = np.zeros((len(frames), N_LABELS)), np.zeros(len(frames))
    for start in range(0, len(frames) - 50, 5):
        output = head(frames[start : start + 50][None])
        scores = output.class_logits.softmax(-1)[..., 1:]
        placed = place_scores(scores, output.offsets, ClipGrid(50, temporal_stride=temporal_stride), merge="sum")
        total[start : start + 50] += placed[0].numpy()
        support[start : start + 50] += 1
    return total / np.maximum(support, 1)[:, None]


def main() -> None:
    """Prints memory and two Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clips", type=int, default=640, help="clips that an epoch is estimated from")
    parser.add_argument("--heads", nargs="+", default=["tcn", "transformer", "gru", "unet"])
    parser.add_argument("--strides", nargs="+", type=int, default=[1, 2, 4])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--loop-frames", type=int, default=20_000, help="frames that the loop is estimated from")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    features, labels = whole_cache()
    events = event_table(labels, n_labels=N_LABELS)
    gigabytes = features.rows.numel() * features.rows.element_size() / 1e9
    print(f"{len(features.rows):,} rows of {DIM}: {gigabytes:.2f} GB resident; {len(events.key):,} events")
    print("\n| head | " + " | ".join(f"s an epoch, stride {stride}" for stride in arguments.strides) + " |")
    print("|---" * (len(arguments.strides) + 1) + "|")
    for kind in arguments.heads:
        cells = []
        for stride in arguments.strides:
            settings = [f"kind={kind}", f"temporal_stride={stride}", f"batch_clips={arguments.batch}"]
            config = load_config("original", [*settings, f"epoch_frames={50 * arguments.clips}"])
            head = build_head(config.head, dims=(DIM,), n_labels=N_LABELS, clip_frames=50)
            learner, material = Learner(head, make_optimizer(head, config)), training_material(features, events, config)
            times = []
            for epoch in range(1, 4):
                started = time.perf_counter()
                train_epoch(learner, material, config, epoch=epoch, seed=0)
                times.append(time.perf_counter() - started)
            cells.append(f"{median(times[1:]) * EPOCH_CLIPS / arguments.clips:.0f}")
        print(f"| {kind} | " + " | ".join(cells) + " |", flush=True)
    print("\n| head | match in a loop of clips, s | batched, 50 % overlap, s | times faster | both phases, s |")
    print("|---|---|---|---|---|")
    one = features.only(0)
    for kind in arguments.heads:
        config = load_config("original", [f"kind={kind}", "coverage=every-frame", "window_batch_clips=64"])
        head = build_head(config.head, dims=(DIM,), n_labels=N_LABELS, clip_frames=50).eval()
        started = time.perf_counter()
        clip_loop(head, one.rows[: arguments.loop_frames], temporal_stride=2)
        loop_s = (time.perf_counter() - started) * MATCHES[0] / arguments.loop_frames
        seconds = []
        for phases in ("one", "all"):
            section = config.prediction.model_copy(update={"phases": phases})
            phased = config.model_copy(update={"prediction": section})
            started = time.perf_counter()
            score_match(head, one, 0, phased)
            seconds.append(time.perf_counter() - started)
        print(
            f"| {kind} | {loop_s:.1f} | {seconds[0]:.1f} | {loop_s / seconds[0]:.1f} | {seconds[1]:.1f} |", flush=True
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"\npeak memory of the process: {peak:.2f} GB (Linux counts in kilobytes)")


if __name__ == "__main__":
    main()
