"""The commands of stage two: `train` and `predict`."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

import click

from ..cache.console import note
from ..cache.errors import BallspotError
from ..cache.runs import SEEDS_BELOW

if TYPE_CHECKING:
    import torch

    from ..cache.runs import RunFolder
    from ..evaluate.splits import Splits
    from .experiment import Experiment

HEADS = ("tcn", "transformer", "multires", "gru", "unet", "tdeed", "linear")
FOLDER = click.Path(path_type=Path)


@click.command(short_help="Train a head on a feature set.")
@click.argument("features", type=FOLDER)
@click.option("--features", "more", type=FOLDER, multiple=True, help="Another feature set to read beside FEATURES.")
@click.option("--data", "data_root", type=FOLDER, required=True, help="Data root: the match folders with their labels.")
@click.option("--run", "run_path", type=FOLDER, required=True, help="Folder of the run; an interrupted one is resumed.")
@click.option("--preset", default="best", show_default=True,
              help="best, fast, original, original-fixed, or a TOML file of your own.")  # fmt: skip
@click.option("--head", type=click.Choice(HEADS), help="Kind of head.  [default: the preset's]")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="One configuration key; may be repeated.")
@click.option("--seed", type=click.IntRange(0, SEEDS_BELOW - 1), default=0, show_default=True,
              help="All chance comes from it.")  # fmt: skip
@click.option("--seeds", "n_seeds", type=click.IntRange(min=1),
              help="So many runs, from --seed on, in RUN/seed-0, RUN/seed-1, ...  [default: one, in RUN]")  # fmt: skip
@click.option("--splits", "splits_file", type=FOLDER, help="TOML file with train, valid, test.  [default: the data's]")
@click.option("--leave-out", metavar="MATCH", help="Test on this match, validate on the next one, train on the rest.")
@click.option("--labels", default="ball-12", show_default=True, help="Label set: a built-in name or a TOML file.")
@click.option(
    "--device", default="auto", show_default=True, help="auto (a GPU if there is one), cpu, cuda, cuda:1, ..."
)
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
    from ..evaluate.labelsets import load_label_set
    from ..evaluate.matches import find_matches
    from ..evaluate.splits import load_splits
    from .configuration import load_config
    from .experiment import Experiment
    from .sources import open_source
    from .tracking import require_tracker

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


def train_seeds(
    experiment: "Experiment", paths: Sequence[Path], data_root: Path, *, track: bool
) -> list[dict[str, Any]]:
    """The metrics of one run a folder, seeds counting up from the experiment's; runs that are done are left alone.

    All folders are prepared before the first is trained, so that a folder that is taken is named at once.
    """
    from ..cache.runs import RunFolder
    from .configuration import as_table
    from .experiment import run_experiment
    from .material import load_both
    from .provenance import command_line, run_record

    experiment.check()
    runs = []
    for index, path in enumerate(paths):
        of_seed = replace(experiment, seed=experiment.seed + index)
        run, key = RunFolder(path), of_seed.key()
        record = run_record(of_seed, data_root, command=command_line())
        with run.at_work(waits=False):  # two at once would each take the folder for a run of its own
            run.prepare(key=key, record=record, config=as_table(experiment.config))
        runs.append((of_seed, run, key))
    loaded, every = None, []
    for of_seed, run, key in runs:
        with run.at_work(waits=False):
            if run.is_done:
                note(f"{run.path}: this very run is done already; nothing to do")
                metrics = run.metrics()
            else:
                loaded = loaded or load_both(experiment, spill=run.path)
                metrics = run_experiment(of_seed, run, key=key, report=note, loaded=loaded, track=track)
        click.echo(f"{run.path}: {shown_metrics(run, metrics)}")
        every.append(metrics)
    return every


def shown_metrics(run: "RunFolder", metrics: Mapping[str, Any], *, more: str = "") -> str:
    """What a run came to, in a line. Raises BallspotError for metrics that were damaged since they were written."""
    try:
        return (
            f"valid mAP@1 {100 * metrics['mean_ap']:.2f} (epoch {metrics['best_epoch']} of {metrics['n_epochs']}, "
            f"{metrics['n_parameters']:,} parameters, {metrics['train_s']:.0f} s{more})"
        )
    except (KeyError, TypeError, ValueError) as error:
        raise run.garbled(error) from error


@click.command(short_help="Find the spots of a split with a trained run.")
@click.argument("run_path", metavar="RUN|BUNDLE", type=FOLDER)
@click.argument("features", type=FOLDER)
@click.option("--features", "more", type=FOLDER, multiple=True, help="The further sets that the run was trained on.")
@click.option("--data", "data_root", type=FOLDER, required=True, help="Data root: the match folders.")
@click.option("--split", default="test", show_default=True, type=click.Choice(("train", "valid", "test", "all")),
              help="Which matches; all are those of the three parts.")  # fmt: skip
@click.option("--with", "others", metavar="RUN", type=FOLDER, multiple=True,
              help="Another run of the same features; scores are averaged. May be repeated.")  # fmt: skip
@click.option("--tuned", metavar="FILE", type=FOLDER, help="Post-processing from `ballspot tune`.")
@click.option("--out", type=FOLDER, help="Folder for the predictions.  [default: RUN/predictions/SPLIT]")
@click.option("--splits", "splits_file", type=FOLDER, help="TOML file with train, valid, test.  [default: the run's]")
@click.option("--leave-out", metavar="MATCH", help="Parts as `train --leave-out` makes them.  [default: the run's]")
@click.option("--checkpoint", default="best", show_default=True, type=click.Choice(("best", "last")),
              help="The head of the best validation mAP, or of the last epoch.")  # fmt: skip
@click.option(
    "--device", default="auto", show_default=True, help="auto (a GPU if there is one), cpu, cuda, cuda:1, ..."
)
def predict(
    run_path: Path,
    features: Path,
    more: tuple[Path, ...],
    data_root: Path,
    split: str,
    others: tuple[Path, ...],
    tuned: Path | None,
    out: Path | None,
    splits_file: Path | None,
    leave_out: str | None,
    checkpoint: str,
    device: str,
) -> None:
    """Find the spots of a split with a trained run.

    Writes OUT/MATCH/results_spotting.json in SoccerNet's format and OUT/MATCH/scores.npz with the scores of every
    frame. FEATURES must be extracted as those that the run was trained on. A RUN of several seeds (`train --seeds`)
    gives the mean of their scores. A BUNDLE (`export --format bundle`) stands for its run, and brings its tuned
    post-processing.

    \b
    ballspot predict runs/tcn features/SET --data DATA --split test
    """
    from ..cache.files import locked_folder
    from .postprocessing import read_postprocessing
    from .predicting import claim_folder, predict_matches, prediction_record, require_fingerprint
    from .sources import open_source
    from .trained import read_trained

    trained = [read_trained(path, checkpoint=checkpoint) for path in (run_path, *others)]
    kept = [one for each in trained for one in each.checkpoints]
    source = open_source(features, more)
    decodings = trained[0].tuned if tuned is None else read_postprocessing(tuned)
    for one in kept:
        require_fingerprint(one, source)
    names = split_names(trained[0].splits, data_root, split, splits_file=splits_file, leave_out=leave_out)
    for name in names:
        with source.open(name):  # complains before the work begins
            pass
    if out is None and run_path.is_file():
        raise BallspotError(f"{run_path}: a bundle keeps no predictions; give --out FOLDER")
    out = out or run_path / "predictions" / split
    keys = [key for each in trained for key in each.run_keys]
    claim_folder(out, prediction_record(kept, run_keys=keys, checkpoint_name=checkpoint, names=names, tuned=decodings))
    with locked_folder(out, shared=True):  # a train command that clears up leaves its files alone
        for done in predict_matches(kept, source, names, out=out, device=pick_device(device), tuned=decodings):
            click.echo(f"{done.name}: {done.n_frames} frames scored, {done.n_spots} spots")


def split_names(
    of_run: "Splits", data_root: Path, split: str, *, splits_file: Path | None, leave_out: str | None
) -> tuple[str, ...]:
    """The matches to predict: of the run's own split where the data root has them, else of the data's, which is said.

    Raises BallspotError where the data's split then names matches that the run was trained or validated on as others.
    """
    from ..evaluate.matches import find_matches
    from ..evaluate.splits import load_splits

    matches = find_matches(data_root)
    if splits_file is None and leave_out is None:
        names = of_run.part(split)
        missing = sorted(set(names) - {match.name for match in matches})
        if not missing:
            return names
        splits = load_splits(data_root, matches, splits_file=None, leave_out=None)
        known = {name for part in ("train", "valid") if part != split for name in of_run.by_part[part]}
        seen = sorted(known & set(splits.part(split))) if split != "all" else []
        if seen:
            raise BallspotError(
                f"{data_root}: has no {missing[0]!r} of the run's {split} part, and {seen[0]!r} in its own {split} part"
                " is one that the run was trained or validated on; say which matches with --splits"
            )
        note(f"{data_root}: has no {missing[0]!r} of the run's {split} part; its own split is used ({splits.source})")
        return splits.part(split)
    return load_splits(data_root, matches, splits_file=splits_file, leave_out=leave_out).part(split)


def pick_device(name: str) -> "torch.device":
    """The torch device of that name; "auto" is the first GPU if there is one. BallspotError when it cannot be used."""
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise BallspotError(f"device {name!r} cannot be used here ({reason}); give auto or cpu") from error
    return device
