"""How a run was made: what run.json records of versions, device, features, split and labels."""

import os
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from .. import __version__
from .experiment import Experiment
from .log import timestamp


def command_line() -> str:
    """This process's command as one would type it."""
    return shlex.join(["ballspot", *sys.argv[1:]])


def run_record(experiment: Experiment, data_root: Path, *, command: str) -> dict[str, Any]:
    """What run.json says of how the run was made, ``command`` being what was typed."""
    source, splits = experiment.source, experiment.splits
    return {
        "command_line": command,
        "version": __version__,
        "git_commit": git_commit(),
        "torch": torch.__version__,
        "timm": version("timm"),
        "device": str(experiment.device),
        "n_threads": torch.get_num_threads(),
        "seed": experiment.seed,
        "shuffle_labels": experiment.shuffle_labels,
        "started": timestamp(),
        "features": {
            "set": source.name,
            "fingerprint": source.fingerprint,
            "files": source.files(splits.train + splits.valid),
        },
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
