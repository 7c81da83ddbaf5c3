"""What it costs to train several seeds of a head at once, against one by one.

    python bench/stacked.py --runs 8
    python bench/stacked.py --runs 1 8 32 --device cuda

The named baseline is the step that `ballspot train` makes, one run after another. Beside it stands the step of all
runs stacked, as `ballspot sweep --stack` makes it. The two take turns, round by round, in one process; medians.
Features are random, of the width and density of events of SN-BAS, and lie on the device. On a GPU more rows tell what
a step is made of: the average of weights one tensor at a time (as it was), and the step recorded as a CUDA graph,
without the draw of clips.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median

import torch
from train import DIM, N_LABELS, material_of

from ballspot.temporal.config.load import load_config
from ballspot.temporal.config.sections import Config
from ballspot.temporal.heads.head import build_head
from ballspot.temporal.stacked import Stack, train_stacked_epoch
from ballspot.temporal.stacked.epoch import Runs
from ballspot.temporal.training import batch_loss
from ballspot.temporal.training.epoch import TrainingMaterial, epoch_clips, train_epoch, training_batches
from ballspot.temporal.training.optimizer import Learner, WeightAverage, computing, make_optimizer

N_FRAMES = 20_000


@dataclass(frozen=True)
class Bench:
    """A head's training on a device: its configuration, with epochs of ``n_steps``, and its material."""

    config: Config
    material: TrainingMaterial
    device: torch.device
    n_steps: int

    @classmethod
    def of(cls, preset: str, device: str, *, n_steps: int, settings: Sequence[str] = ()) -> "Bench":
        """The bench of a preset, on random features that lie on the device."""
        config, there = load_config(preset, settings), torch.device(device)
        frames = config.training.batch_clips * n_steps * config.clips.clip_frames
        config = config.model_copy(update={"training": config.training.model_copy(update={"epoch_frames": frames})})
        material = material_of(N_FRAMES, config)
        features = replace(material.features, rows=material.features.rows.to(there), device=there)
        tensors = ("key", "label_index", "team", "counts", "priority")
        events = replace(material.events, **{name: getattr(material.events, name).to(there) for name in tensors})
        material = replace(material, features=features, events=events, weights=material.weights.to(there))
        return cls(config, material, there, n_steps)

    def learner(self) -> Learner:
        """A fresh head with its optimizer and, where the preset has one, its average."""
        config = self.config
        head = build_head(config.head, dims=(DIM,), n_labels=N_LABELS, clip_frames=config.clips.clip_frames)
        learner = Learner(head.to(self.device), None)  # pyright: ignore  which the next line makes of its parameters
        learner.optimizer = make_optimizer(learner.model, config)
        if config.training.ema_decay:
            learner.average = WeightAverage(learner.model, config.training.ema_decay)
        return learner

    def seconds(self, epoch: Callable[[], object]) -> float:
        """Seconds a step of what trains an epoch."""
        self.wait()
        started = time.perf_counter()
        epoch()
        self.wait()
        return (time.perf_counter() - started) / self.n_steps

    def wait(self) -> None:
        """Until the device has done what it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def eager(bench: Bench, n_runs: int) -> Callable[[], object]:
    """An epoch of so many runs, one after another."""
    learners = [bench.learner() for _ in range(n_runs)]

    def epoch() -> None:
        for seed, learner in enumerate(learners):
            train_epoch(learner, bench.material, bench.config, epoch=1, seed=seed)

    return epoch


def stacked(bench: Bench, n_runs: int) -> Callable[[], object]:
    """An epoch of so many runs at once."""
    stack = Stack([bench.learner() for _ in range(n_runs)], [bench.config.training] * n_runs)
    runs = Runs(bench.material, (bench.config,) * n_runs, tuple(range(n_runs)))
    return lambda: train_stacked_epoch(stack, runs, epoch=1)


def slow_average(bench: Bench) -> Callable[[], object]:
    """An epoch of one run whose average is taken one tensor at a time."""
    learner = bench.learner()

    class Slow(WeightAverage):
        def take(self, state, *, n_steps_done: int) -> None:
            for name, value in state.items():
                self.weights[name].lerp_(value, 1.0 - self.decay)

    if learner.average is not None:
        learner.average = Slow(learner.model, bench.config.training.ema_decay)
    return lambda: train_epoch(learner, bench.material, bench.config, epoch=1, seed=0)


def graph(bench: Bench) -> Callable[[], object]:
    """An epoch's steps on one batch, forward to optimizer recorded as a CUDA graph: a GPU only."""
    config, learner = bench.config, bench.learner()
    head, section = learner.model.train(), config.training
    optimizer = torch.optim.AdamW(head.parameters(), lr=section.learning_rate, fused=True, capturable=True)
    drawn = epoch_clips(bench.material, config, section.batch_clips, generator=torch.Generator().manual_seed(0))
    batch = next(iter(training_batches(bench.material, drawn, config)))

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with computing(section, bench.device):
            output = head(batch.frames)
        batch_loss(output, batch.wanted, batch.share, bench.material.weights, config).total.backward()
        optimizer.step()

    warm = torch.cuda.Stream(bench.device)
    warm.wait_stream(torch.cuda.current_stream(bench.device))
    with torch.cuda.stream(warm):
        for _ in range(3):
            step()
    torch.cuda.current_stream(bench.device).wait_stream(warm)
    recorded = torch.cuda.CUDAGraph()
    with torch.cuda.graph(recorded):
        step()
    return lambda: [recorded.replay() for _ in range(bench.n_steps)]


def measured(bench: Bench, ways: dict[str, Callable[[], object]], *, rounds: int) -> dict[str, float]:
    """Median seconds a step of each way; they take turns, after one round to warm up."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, epoch in ways.items():
            taken = bench.seconds(epoch)
            if number:
                found[name].append(taken)
    return {name: median(values) for name, values in found.items()}


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", nargs="+", type=int, default=[8])
    parser.add_argument("--presets", nargs="+", default=["best", "original-fixed"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--set", dest="settings", action="append", default=[])
    parser.add_argument("--steps", type=int, default=8, help="of an epoch")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print("| preset | runs | one by one, ms a step of all | at once, ms | one by one / at once | at once / one run |")
    print("|---|---|---|---|---|---|")
    for preset in arguments.presets:
        bench = Bench.of(preset, arguments.device, n_steps=arguments.steps, settings=arguments.settings)
        for n_runs in arguments.runs:
            ways = {"alone": eager(bench, n_runs), "stacked": stacked(bench, n_runs), "one": eager(bench, 1)}
            alone, together, one = measured(bench, ways, rounds=arguments.rounds).values()
            print(
                f"| {preset} | {n_runs} | {1e3 * alone:.1f} | {1e3 * together:.1f} | {alone / together:.2f} | "
                f"{together / one:.2f} |",
                flush=True,
            )
        if arguments.device.startswith("cuda"):
            ways = {"as it is": eager(bench, 1), "slow average": slow_average(bench), "graph": graph(bench)}
            for name, seconds in measured(bench, ways, rounds=arguments.rounds).items():
                print(f"| {preset} | 1: {name} | {1e3 * seconds:.1f} | | | |", flush=True)


if __name__ == "__main__":
    main()
