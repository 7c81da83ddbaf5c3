"""One run of a sweep as a job that any process can do: all it needs by paths, all it leaves on disk."""

import time
import traceback
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ...cache.disk import read_json, write_json
from ...cache.errors import BallspotError
from ...cache.runs import RunFolder
from ...evaluate.dataset import DataSelection
from ..config import Config, as_table
from ..features import open_source
from ..stacked import StackedRun
from ..training import Experiment, run_experiment, run_record, shared_features


@dataclass(frozen=True)
class Job:
    """What one run is made of; ``resident`` is the folder of the features that jobs of this machine share."""

    run: Path
    config: Config
    seed: int
    features: tuple[Path, ...]
    data: DataSelection
    device: str
    resident: Path
    command: str
    track: bool = False

    def experiment(self) -> Experiment:
        """The experiment of this job. Raises BallspotError for what is wrong with its data, features or settings."""
        return Experiment(
            config=self.config,
            data=self.data,
            source=open_source(self.features[0], self.features[1:]),
            seed=self.seed,
            shuffle_labels=False,
            device=torch.device(self.device),
        )

    def begin(self, held: ExitStack) -> StackedRun:
        """The run of this job in its folder, which nobody else has until ``held`` ends. BallspotError as `experiment`.

        Waits for another process that is at the same run already.
        """
        experiment, folder = self.experiment(), RunFolder(self.run)
        experiment.check()
        key = experiment.key()
        record = run_record(experiment, command=self.command)
        held.enter_context(folder.at_work(waits=True))
        folder.prepare(key=key, record=record, config=as_table(self.config))
        failure_path(self.run).unlink(missing_ok=True)
        return StackedRun(experiment, folder, key, self.track)


def failure_path(run: Path) -> Path:
    """Where it is written, beside the run's folder, why the run failed."""
    return run.with_name(f"{run.name}.failure.json")


def failure_of(run: Path) -> str | None:
    """Why the run failed when it was last tried, None when it did not."""
    path = failure_path(run)
    if not path.is_file():
        return None
    failure = read_json(path)
    return str(failure.get("error") if isinstance(failure, dict) else failure)


def do_job(job: Job, *, n_threads: int = 1) -> Mapping[str, Any] | None:
    """Trains the run, from where it stands, and returns its metrics; None when it failed, which `failure_of` explains.

    With the same number of threads a job gives the same bits wherever it is done. Another process that is at the
    same run already is waited for.
    """
    torch.set_num_threads(n_threads)
    started = time.monotonic()
    try:
        with ExitStack() as held:
            run = job.begin(held)
            if run.folder.is_done:
                return run.folder.metrics()
            loaded = shared_features(run.experiment, job.resident)
            return run_experiment(
                run.experiment, run.folder, key=run.key, report=lambda line: None, loaded=loaded, track=job.track
            )
    except Exception as error:  # noqa: BLE001 - a sweep goes on, and says at its end what went wrong
        record_error(job, error, after_s=time.monotonic() - started)
    return None


def record_error(job: Job, error: Exception, *, after_s: float) -> None:
    """Writes down an error of a job: its line where it is a user's to mend, else with where it came from."""
    if isinstance(error, BallspotError):
        record_failure(job, str(error), after_s=after_s)
        return
    line = traceback.format_exception_only(error)[-1].strip()
    trace = "".join(traceback.format_exception(error))
    record_failure(job, line, after_s=after_s, trace=trace)


def record_failure(job: Job, error: str, *, after_s: float, trace: str | None = None) -> None:
    """Writes down why a job failed; it is not tried again until that is asked for."""
    write_json(failure_path(job.run), {"error": error, "after_s": round(after_s, 3), "traceback": trace})
