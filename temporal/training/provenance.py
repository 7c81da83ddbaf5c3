"""How a run was made: what run.json records of versions, device, features, split and labels."""

import os
import shlex
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from ...cache.runs import recorded_path
from ...cache.version import __version__
from ...evaluate.dataset import LABELS_FILE, LabelSet, Splits
from .task import Experiment, Task

DECIDED = "decided_ms"  # in run.json: the stretches of training matches that are labelled in part


def timestamp() -> str:
    """Now, as local time with its offset from UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


def command_line() -> str:
    """This process's command as one would type it."""
    return shlex.join(["ballspot", *sys.argv[1:]])


def run_record(experiment: Experiment, *, command: str) -> dict[str, Any]:
    """What run.json says of how the run was made, ``command`` being what was typed."""
    source, splits = experiment.source, experiment.splits
    features = {
        "set": source.name,
        "fingerprint": source.fingerprint,
        "files": source.files([*splits.part("train"), *splits.part("valid")]),
    }
    record = task_record(experiment, command=command, features=features)
    if experiment.start is not None:
        record["init"] = {"path": recorded_path(experiment.start.path.parent), "sha256": experiment.start.digest}
    return record


def task_record(task: Task, *, command: str, features: dict[str, Any]) -> dict[str, Any]:
    """What run.json says of a training, ``features`` being what it says of where they came from."""
    splits = task.splits
    return {
        **_versions(command),
        "device": str(task.device),
        "n_threads": torch.get_num_threads(),
        "seed": task.seed,
        "shuffle_labels": task.shuffle_labels,
        "started": timestamp(),
        "features": features,
        "data": recorded_path(task.data.data_root),
        "splits": {**as_lists(splits), "source": splits.source, **_dealt(splits)},
        **({DECIDED: {name: list(stretches) for name, stretches in task.decided.items()}} if task.decided else {}),
        **_labels(task.label_set),
    }


def adopted_record(label_set: LabelSet, *, command: str, features: dict[str, Any]) -> dict[str, Any]:
    """What run.json says of a model that was trained elsewhere: no match is known to be its training's."""
    return {
        **_versions(command),
        "seed": 0,
        "started": timestamp(),
        "features": features,
        "splits": {"train": [], "valid": [], "test": [], "source": "none: trained elsewhere"},
        **_labels(label_set),
    }


def _versions(command: str) -> dict[str, Any]:
    return {
        "command_line": command,
        "version": __version__,
        "git_commit": git_commit(),
        "torch": torch.__version__,
        "timm": version("timm"),
    }


def _labels(label_set: LabelSet) -> dict[str, Any]:
    return {
        "label_set": label_set.name,
        "labels": list(label_set.labels),
        "headline_excludes": list(label_set.headline_excludes),
        **({} if label_set.file == LABELS_FILE else {"labels_file": label_set.file}),
    }


def _dealt(splits: Splits) -> dict[str, int]:
    """Of how many folds a split is one, and how many training matches were drawn, where it is so."""
    numbers = {"n_folds": splits.n_folds, "train_matches": splits.drawn}
    return {name: number for name, number in numbers.items() if number}


def as_lists(splits: Splits) -> dict[str, list[str]]:
    """The matches of every part, whole, as JSON holds them."""
    return {part: list(names) for part, names in splits.by_match.items()}


def git_commit() -> str | None:
    """The commit of the working copy that this package is the root of; None outside one, as in site-packages."""
    root = Path(__file__).resolve().parents[2]
    try:
        done = subprocess.run(
            ["git", "rev-parse", "--show-toplevel", "HEAD"],
            cwd=Path(__file__).parent,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return None
    top, _, commit = done.stdout.rstrip("\n").rpartition("\n")
    return commit if done.returncode == 0 and Path(top) == root else None
