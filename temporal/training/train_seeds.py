"""Several seeds of one experiment, trained one after the other."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...cache.terminal import note, say

if TYPE_CHECKING:
    from ...cache.runs import RunFolder
    from .task import Experiment


def train_seeds(
    experiment: "Experiment", paths: Sequence[Path], data_root: Path, *, track: bool
) -> list[dict[str, Any]]:
    """The metrics of one run a folder, seeds counting up from the experiment's; runs that are done are left alone.

    All folders are prepared before the first is trained, so that a folder that is taken is named at once.
    """
    from ...cache.runs import RunFolder
    from ..config import as_table
    from .material import load_both
    from .provenance import command_line, run_record
    from .run import run_experiment

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
        say(f"{run.path}: {shown_metrics(run, metrics)}")
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
