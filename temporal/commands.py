"""The commands of stage two: `train` and `predict`."""

import os
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .. import __version__
from ..cache.console import note
from ..cache.errors import BallspotError

if TYPE_CHECKING:
    import torch

    from .experiment import Experiment

HEADS = ("tcn", "transformer", "multires")
FOLDER = click.Path(path_type=Path)


@click.command(short_help="Train a head on a feature set.")
@click.argument("features", type=FOLDER)
@click.option("--data", "data_root", type=FOLDER, required=True, help="Data root: the match folders with their labels.")
@click.option("--run", "run_path", type=FOLDER, required=True, help="Folder of the run; an interrupted one is resumed.")
@click.option("--preset", default="best", show_default=True, help="best, fast, original, or a TOML file of your own.")
@click.option("--head", type=click.Choice(HEADS), help="Kind of head.  [default: the preset's]")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="One configuration key; may be repeated.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="All chance comes from it.")
@click.option("--splits", "splits_file", type=FOLDER, help="TOML file with train, valid, test.  [default: the data's]")
@click.option("--leave-out", metavar="MATCH", help="Test on this match, validate on the next one, train on the rest.")
@click.option("--labels", default="ball-12", show_default=True, help="Label set: a built-in name or a TOML file.")
@click.option(
    "--device", default="auto", show_default=True, help="auto (a GPU if there is one), cpu, cuda, cuda:1, ..."
)
@click.option("--shuffle-labels", is_flag=True, help="Control: train on events at random times.")
def train(
    features: Path,
    data_root: Path,
    run_path: Path,
    preset: str,
    head: str | None,
    settings: tuple[str, ...],
    seed: int,
    splits_file: Path | None,
    leave_out: str | None,
    labels: str,
    device: str,
    shuffle_labels: bool,
) -> None:
    """Train a head on a feature set.

    FEATURES is a set that `ballspot extract` wrote. The run folder receives the configuration, a log line an epoch, the
    best and the last head, predictions and metrics of the validation matches. Given again, the command resumes a run
    that was interrupted, and leaves a finished one as it is. Every key is described in docs/configuration.md.

    \b
    ballspot train features/SET --data DATA --run runs/tcn --head tcn --set n_epochs=30
    """
    from ..cache.runs import RunFolder
    from ..cache.sets import open_feature_set
    from ..evaluate.labelsets import load_label_set
    from ..evaluate.matches import find_matches
    from ..evaluate.splits import load_splits
    from .configuration import as_table, load_config
    from .experiment import Experiment, run_experiment

    config = load_config(preset, [*settings, *([f"head.kind={head}"] if head else [])])
    label_set = load_label_set(labels)
    matches = find_matches(data_root)
    experiment = Experiment(
        config=config,
        feature_set=open_feature_set(features),
        matches={match.name: match for match in matches},
        splits=load_splits(data_root, matches, splits_file=splits_file, leave_out=leave_out),
        label_set=label_set,
        seed=seed,
        shuffle_labels=shuffle_labels,
        device=pick_device(device),
    )
    run, key = RunFolder(run_path), experiment.key()
    resumes = run.prepare(key=key, record=run_record(experiment, data_root), config=as_table(config))
    if resumes and run.is_done:
        note(f"{run.path}: this very run is done already; nothing to do")
        metrics = run.metrics()
    else:
        metrics = run_experiment(experiment, run, key=key, report=note)
    click.echo(
        f"{run.path}: valid mAP@1 {100 * metrics['mean_ap']:.2f} (epoch {metrics['best_epoch']} of "
        f"{metrics['n_epochs']}, {metrics['n_parameters']:,} parameters, {metrics['train_s']:.0f} s)"
    )


@click.command(short_help="Find the spots of a split with a trained run.")
@click.argument("run_path", metavar="RUN", type=FOLDER)
@click.argument("features", type=FOLDER)
@click.option("--data", "data_root", type=FOLDER, required=True, help="Data root: the match folders.")
@click.option("--split", default="test", show_default=True, type=click.Choice(("train", "valid", "test", "all")),
              help="Which matches; all are those of the three parts.")  # fmt: skip
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
    data_root: Path,
    split: str,
    out: Path | None,
    splits_file: Path | None,
    leave_out: str | None,
    checkpoint: str,
    device: str,
) -> None:
    """Find the spots of a split with a trained run.

    Writes OUT/MATCH/results_spotting.json in SoccerNet's format and OUT/MATCH/scores.npz with the scores of every
    frame. FEATURES must be extracted as those that the run was trained on.

    \b
    ballspot predict runs/tcn features/SET --data DATA --split test
    """
    from ..cache.runs import RunFolder
    from ..cache.sets import open_feature_set
    from .checkpoints import read_checkpoint
    from .predicting import claim_folder, predict_matches, prediction_record, require_fingerprint

    run = RunFolder(run_path)
    record = run.record()
    kept = read_checkpoint(run.path / f"{checkpoint}.safetensors")
    feature_set = open_feature_set(features)
    require_fingerprint(kept, feature_set)
    names = split_names(record, data_root, split, splits_file=splits_file, leave_out=leave_out)
    for name in names:
        feature_set.open(name).close()  # complains before the work begins
    out = out or run.path / "predictions" / split
    claim_folder(out, prediction_record(kept, run_key=record["key"], checkpoint_name=checkpoint, names=names))
    for done in predict_matches(kept, feature_set, names, out=out, device=pick_device(device)):
        click.echo(f"{done.name}: {done.n_frames} frames scored, {done.n_spots} spots")


def split_names(
    record: dict[str, Any], data_root: Path, split: str, *, splits_file: Path | None, leave_out: str | None
) -> tuple[str, ...]:
    """The matches to predict: of the run's own split where the data root has them, else of the data's."""
    from ..evaluate.matches import find_matches
    from ..evaluate.splits import Splits, load_splits

    matches = find_matches(data_root)
    if splits_file is None and leave_out is None:
        parts = record["splits"]
        of_run = Splits(*(tuple(parts[part]) for part in ("train", "valid", "test")), source=parts["source"])
        names = of_run.part(split)
        if set(names) <= {match.name for match in matches}:
            return names
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


def run_record(experiment: "Experiment", data_root: Path) -> dict[str, Any]:
    """What run.json says of how the run was made."""
    import torch

    from .experiment import timestamp

    feature_set, splits = experiment.feature_set, experiment.splits
    used = {name: str(path) for name, path in feature_set.stores.items() if name in splits.train + splits.valid}
    return {
        "command_line": shlex.join(["ballspot", *sys.argv[1:]]),
        "version": __version__,
        "git_commit": git_commit(),
        "torch": torch.__version__,
        "timm": version("timm"),
        "device": str(experiment.device),
        "n_threads": torch.get_num_threads(),
        "seed": experiment.seed,
        "shuffle_labels": experiment.shuffle_labels,
        "started": timestamp(),
        "features": {"set": feature_set.name, "fingerprint": feature_set.fingerprint, "files": used},
        "data": str(data_root),
        "splits": {
            "train": list(splits.train),
            "valid": list(splits.valid),
            "test": list(splits.test),
            "source": splits.source,
        },
        "label_set": experiment.label_set.name,
        "labels": list(experiment.label_set.labels),
    }


def git_commit() -> str | None:
    """The commit of the working copy that this package runs from; None outside one."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=Path(__file__).parent,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
