"""How much faster a training step is on cached features than with the backbone in the loop, and what batches bring.

    python bench/train.py

The named baselines beside ours in one run: a step of 4 clips x 50 frames of 224x398, end to end (backbone forward and
backward), frozen (backbone forward only), and cached (gather, targets, head, AdamW as `ballspot train` does it). Each
has a process of its own, as it would have in use; they take turns, round by round, so that a machine whose speed drifts
is alike for all; medians over the rounds. Then an epoch's worth of clips at batch 4 against larger batches, samples a
second.
"""

import argparse
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from itertools import count, islice
from statistics import median
from typing import Any

import numpy as np
import timm
import torch

from ballspot.evaluate.dataset.labels import LabelArrays
from ballspot.temporal.clips.events import event_table
from ballspot.temporal.config.load import load_config
from ballspot.temporal.config.sections import Config
from ballspot.temporal.features.resident import from_arrays
from ballspot.temporal.heads.head import build_head
from ballspot.temporal.training.epoch import TrainingMaterial, train_epoch, training_material
from ballspot.temporal.training.losses import class_loss, offset_loss
from ballspot.temporal.training.optimizer import Learner, make_optimizer

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


def cached_epochs(kind: str, *, batch_clips: int, n_steps: int, preset: str = "original") -> Iterator[float]:
    """Seconds of a training step on cached features, over and over: each the mean of an epoch of ``n_steps``."""
    config = load_config(preset, [f"kind={kind}", f"batch_clips={batch_clips}"])
    frames = batch_clips * n_steps * config.clips.clip_frames
    config = config.model_copy(update={"training": config.training.model_copy(update={"epoch_frames": frames})})
    material = material_of(150_000, config)
    head = build_head(config.head, dims=(DIM,), n_labels=N_LABELS, clip_frames=config.clips.clip_frames)
    learner = Learner(head, make_optimizer(head, config))
    for epoch in count():
        started = time.perf_counter()
        train_epoch(learner, material, config, epoch=1 + epoch % config.training.n_epochs, seed=0)
        yield (time.perf_counter() - started) / n_steps


def cached_s(kind: str, *, batch_clips: int, n_steps: int, rounds: int) -> float:
    """Median seconds of a training step on cached features; the first epoch warms up."""
    return median(islice(cached_epochs(kind, batch_clips=batch_clips, n_steps=n_steps), 1, 1 + rounds))


def steps_in_the_loop(kind: str, *, frozen: bool) -> Iterator[float]:
    """Seconds of a step of 4 clips x 50 frames with regnety_002 in the loop, trained or frozen, over and over."""
    config = load_config("original", [f"kind={kind}"])
    backbone = timm.create_model("regnety_002", num_classes=0).train(not frozen).requires_grad_(not frozen)
    head = build_head(config.head, dims=(DIM,), n_labels=N_LABELS, clip_frames=50)
    parameters = [*head.parameters(), *(() if frozen else backbone.parameters())]
    optimizer = torch.optim.AdamW(parameters, lr=1e-4)
    clips = torch.randn(4, 50, 3, 224, 398)
    classes, offsets = torch.zeros(4, 25, dtype=torch.int64), torch.zeros(4, 25)
    weights = torch.ones(1 + N_LABELS)
    while True:
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
        yield time.perf_counter() - started


WAYS = {
    "end to end": partial(steps_in_the_loop, frozen=False),
    "frozen": partial(steps_in_the_loop, frozen=True),
    "cached": partial(cached_epochs, batch_clips=4, n_steps=20),
}


def serve(way: str, kind: str, n_threads: int, pipe: Any) -> None:
    """One way in a process of its own: seconds of a step for every question, until none comes."""
    torch.set_num_threads(n_threads)
    torch.manual_seed(0)
    steps = WAYS[way](kind)
    next(steps)  # warms up
    with suppress(EOFError):
        while True:
            pipe.send(None)
            pipe.recv()
            pipe.send(next(steps))


def against_the_loop(kind: str, *, n_threads: int, rounds: int) -> dict[str, float]:
    """Median seconds of a step of every way; they take turns ``rounds`` times."""
    context = multiprocessing.get_context("spawn")
    pipes: dict[str, Any] = {}
    processes = []
    for way in WAYS:
        pipes[way], theirs = context.Pipe()
        processes.append(context.Process(target=serve, args=(way, kind, n_threads, theirs)))
        processes[-1].start()
        theirs.close()
        pipes[way].recv()  # ready, before the next one warms up
    times: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way, pipe in pipes.items():
            pipe.send(None)
            times[way].append(pipe.recv())
            pipe.recv()
    for pipe, process in zip(pipes.values(), processes, strict=True):
        pipe.close()
        process.join()
    return {way: median(one) for way, one in times.items()}


def main() -> None:
    """Prints two Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
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
            whole, frozen, cached = against_the_loop(
                kind, n_threads=arguments.threads, rounds=arguments.rounds
            ).values()
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
