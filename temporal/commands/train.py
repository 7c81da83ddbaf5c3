"""The command `train`."""

from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING

import click

from ...cache.errors import BallspotError
from ...cache.runs import SEEDS_BELOW
from ...cache.terminal import (
    FOLDER,
    data_option,
    device_option,
    labels_option,
    leave_out_option,
    set_option,
    splits_option,
)
from ...extract.device import pick_device

if TYPE_CHECKING:
    pass

HEADS = ("tcn", "transformer", "multires", "gru", "unet", "tdeed", "linear")


@click.command(short_help="Train a head on a feature set.")
@click.argument("features", type=FOLDER)
@click.option("--features", "more", type=FOLDER, multiple=True, help="Another feature set to read beside FEATURES.")
@data_option()
@click.option("--run", "run_path", type=FOLDER, required=True, help="Folder of the run; an interrupted one is resumed.")
@click.option("--preset", default="best", show_default=True,
              help="best, fast, original, original-fixed, or a TOML file of your own.")  # fmt: skip
@click.option("--head", type=click.Choice(HEADS), help="Kind of head.  [default: the preset's]")
@set_option
@click.option("--seed", type=click.IntRange(0, SEEDS_BELOW - 1), default=0, show_default=True,
              help="All chance comes from it.")  # fmt: skip
@click.option("--seeds", "n_seeds", type=click.IntRange(min=1),
              help="So many runs, from --seed on, in RUN/seed-0, RUN/seed-1, ...  [default: one, in RUN]")  # fmt: skip
@splits_option()
@leave_out_option()
@labels_option
@device_option()
@click.option("--track", is_flag=True, help="Write TensorBoard files into RUN/tensorboard (extra track).")
@click.option("--shuffle-labels", is_flag=True, help="Control: train on events at random times.")
@click.option("--mistakes", type=FOLDER,
              help="Scores of the training matches by heads not trained on them: hard negatives.")  # fmt: skip
def train(
    features: Path,
    more: tuple[Path, ...],
    data_root: Path,
    run_path: Path,
    preset: str,
    head: str | None,
    settings: tuple[str, ...],
    seed: int,
    n_seeds: int | None,
    splits_file: Path | None,
    leave_out: str | None,
    labels: str,
    device: str,
    track: bool,
    shuffle_labels: bool,
    mistakes: Path | None,
) -> None:
    """Train a head on a feature set.

    FEATURES is a set that `ballspot extract` wrote. The run folder receives the configuration, a log line an epoch, the
    best and the last head, predictions and metrics of the validation matches. Given again, the command resumes a run
    that was interrupted, and leaves a finished one as it is. Every key is described in docs/configuration.md.

    \b
    ballspot train features/SET --data DATA --run runs/tcn --head tcn --set n_epochs=30
    """
    from ...evaluate.dataset import find_matches, load_label_set, load_splits
    from ..config import load_config
    from ..features import open_source
    from ..training import Experiment, require_tracker, train_seeds

    if seed + (n_seeds or 1) > SEEDS_BELOW:
        raise BallspotError(f"--seeds {n_seeds}: from --seed {seed} on they pass 2**63 - 1; begin with a smaller one")
    if n_seeds is not None and (run_path / "run.json").is_file():
        raise BallspotError(f"{run_path}: is itself a run, no folder for the runs of seeds; choose another --run")
    if track:
        require_tracker()
    config = load_config(preset, [*settings, *([f"head.kind={head}"] if head else [])])
    label_set = load_label_set(labels)
    matches = find_matches(data_root)
    experiment = Experiment(
        config=config,
        source=open_source(features, more),
        matches={match.name: match for match in matches},
        splits=load_splits(data_root, matches, splits_file=splits_file, leave_out=leave_out),
        label_set=label_set,
        seed=seed,
        shuffle_labels=shuffle_labels,
        device=pick_device(device),
        mistakes=mistakes,
    )
    paths = [run_path] if n_seeds is None else [run_path / f"seed-{seed + index}" for index in range(n_seeds)]
    metrics = train_seeds(experiment, paths, data_root, track=track)
    if n_seeds is not None:
        values = [100 * one["mean_ap"] for one in metrics]
        spread = f", standard deviation {stdev(values):.2f}" if n_seeds > 1 else ""
        click.echo(f"{run_path}: {n_seeds} seeds, valid mAP@1 mean {mean(values):.2f}{spread}")
