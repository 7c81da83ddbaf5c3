"""The command `train`."""

from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev

import click

from ...cache.errors import BallspotError
from ...cache.runs import SEEDS_BELOW
from ...cache.terminal import (
    FOLDER,
    command,
    data_option,
    device_option,
    matches_options,
    set_option,
    threads_option,
    trust_option,
)
from ...extract.device import pick_device, use_threads


@command(short_help="Train a head on a feature set.")
@click.argument("features", type=FOLDER)
@click.option("--features", "more", type=FOLDER, multiple=True, help="Another feature set to read beside FEATURES.")
@data_option()
@click.option("--run", "run_path", type=FOLDER, required=True, help="Folder of the run; an interrupted one is resumed.")
@click.option(
    "--preset",
    help="best, fast, original, original-fixed, or a TOML file of your own.  [default: best; with --init that run's "
    "configuration]",
)
@click.option("--init", "start_path", metavar="RUN", type=FOLDER,
              help="Begin with the best head of this run; classes are matched by name.")  # fmt: skip
@click.option(
    "--head",
    metavar="KIND",
    help="tcn, transformer, multires, gru, unet, tdeed, sgp-mixer, linear, spot-gru, mstcn, asformer, adaspot, or a "
    "class of your own: FILE.py:CLASS or MODULE:CLASS.  [default: the preset's]",
)
@click.option(
    "--precision",
    type=click.Choice(("float32", "bfloat16")),
    help="Number type that the head computes in while it trains; the same as --set precision=...",
)
@set_option
@click.option("--seed", type=click.IntRange(0, SEEDS_BELOW - 1), default=0, show_default=True,
              help="Seed of everything that is random.")  # fmt: skip
@click.option("--seeds", "n_seeds", type=click.IntRange(min=1),
              help="Train this many runs, with seeds from --seed on, in RUN/seed-0, RUN/seed-1, ...  [default: one, in "
                  "RUN]")  # fmt: skip
@matches_options
@device_option()
@threads_option
@click.option("--track", is_flag=True, help="Write TensorBoard files into RUN/tensorboard (extra track).")
@click.option("--shuffle-labels", is_flag=True, help="A control: train on the same events at random times.")
@click.option(
    "--mistakes",
    type=FOLDER,
    help="Scores of the training matches by heads that were not trained on them, for hard negatives.",
)
@trust_option
def train(
    features: Path,
    more: tuple[Path, ...],
    data_root: Path,
    run_path: Path,
    preset: str | None,
    start_path: Path | None,
    head: str | None,
    precision: str | None,
    settings: tuple[str, ...],
    seed: int,
    n_seeds: int | None,
    splits_file: Path | None,
    leave_out: str | None,
    labels: str,
    device: str,
    n_threads: int | None,
    track: bool,
    shuffle_labels: bool,
    mistakes: Path | None,
) -> None:
    """Train a head on a feature set.

    FEATURES is a set that `ballspot extract` wrote. The run folder receives the configuration, one log line per
    epoch, the best and the last head, and predictions and metrics of the validation matches. If you give the command
    again, it resumes a run that was interrupted, and leaves a finished one as it is. docs/reference/configuration.md
    describes every key.

    \b
    ballspot train features/SET --data DATA --run runs/tcn --head tcn --set n_epochs=30
    """
    from ...evaluate.dataset import DataSelection, load_label_set
    from ..config import as_table, changed_config, load_config
    from ..features import open_source
    from ..heads import WarmStart
    from ..training import Experiment, require_tracker, shown_metrics, train_seeds

    use_threads(n_threads)
    if seed + (n_seeds or 1) > SEEDS_BELOW:
        raise BallspotError(f"--seeds {n_seeds}: from --seed {seed} on they pass 2**63 - 1; begin with a smaller one")
    if n_seeds is not None and (run_path / "run.json").is_file():
        raise BallspotError(f"{run_path}: is itself a run, no folder for the runs of seeds; choose another --run")
    if track:
        require_tracker()
    chosen = [*settings, *([f"head.kind={head}"] if head else [])]
    chosen += [] if precision is None else [f"training.precision={precision}"]
    start = None if start_path is None else WarmStart.of_run(start_path)
    if start is not None and preset is None:
        config = changed_config(as_table(start.description.config), chosen, source=f"{start_path} (--init)")
    else:
        config = load_config(preset or "best", chosen)
    label_set = load_label_set(labels)
    data = DataSelection(data_root, label_set, splits_file, leave_out, one_video=True).opened()
    source = open_source(features, more)
    data = replace(data, stored=source.recordings)
    experiment = Experiment(
        data=data.opened(),
        config=config,
        source=source,
        seed=seed,
        shuffle_labels=shuffle_labels,
        device=pick_device(device),
        mistakes=mistakes,
        start=start,
    )
    paths = [run_path] if n_seeds is None else [run_path / f"seed-{seed + index}" for index in range(n_seeds)]
    found = []
    for run, metrics in train_seeds(experiment, paths, track=track):
        click.echo(f"{run.path}: {shown_metrics(run, metrics)}")
        found.append(100 * metrics["mean_ap"])
    if n_seeds is not None:
        spread = f", standard deviation {stdev(found):.2f}" if n_seeds > 1 else ""
        click.echo(f"{run_path}: {n_seeds} seeds, valid mAP@1 mean {mean(found):.2f}{spread}")
