"""Jobs of one shape done at once by one process: which ones, and how."""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack

import torch

from ...cache.code import is_memory
from ...cache.disk import fingerprint
from ...cache.errors import BallspotError
from ..stacked import StackedRun, run_stacked, shape_key, why_alone
from ..training import shared_features
from .job import Job, do_job, record_error

AUTO_STACK = 8  # runs that one GPU trains at once: a step of a head leaves most of it idle
Pack = tuple[Job, ...]


def packs(jobs: Iterable[Job], *, most: int, n_workers: int = 1) -> Iterator[Pack]:
    """The jobs in packs of at most ``most`` that can be trained at once, in their order; 1 leaves each by itself.

    No pack is so large that one of ``n_workers`` would go without. With ``most`` 1 the jobs are taken one by one, when
    each is asked for.
    """
    if most == 1:
        yield from ((job,) for job in jobs)
        return
    alike: dict[str, list[Job]] = {}
    for place, job in enumerate(jobs):
        name = f"alone {place}" if why_alone(job.config) else _kind(job)
        alike.setdefault(name, []).append(job)
    for group in alike.values():
        size = max(1, min(most, -(-len(group) // n_workers)))
        n_packs = -(-len(group) // size)
        for place in range(n_packs):  # as even as can be
            yield tuple(group[place * len(group) // n_packs : (place + 1) * len(group) // n_packs])


def left_alone(jobs: Sequence[Job]) -> list[str]:
    """A line for every reason why jobs are trained by themselves, for a sweep that stacks."""
    reasons = dict.fromkeys(why_alone(job.config) for job in jobs)
    return [f"--stack: {reason}; its runs are trained one by one" for reason in reasons if reason]


def stack_size(text: str, *, device: str) -> int:
    """How many runs are trained at once, of what `--stack` says: a number, or auto. Else BallspotError.

    auto: 8 on a GPU, 1 on the CPU, whose cores a single run fills.
    """
    if text == "auto":
        return AUTO_STACK if device.startswith("cuda") else 1
    if not text.isascii() or not text.isdigit() or not int(text):
        raise BallspotError(f"--stack {text}: give auto, or how many runs are trained at once, from 1 on")
    return int(text)


def do_pack(pack: Pack, *, n_threads: int = 1) -> None:
    """Trains the runs of a pack at once, each from where it stands; what fails is left to `failure_of`.

    Where the device has no memory for all of them they are trained one by one.
    """
    if len(pack) == 1:
        do_job(pack[0], n_threads=n_threads)
        return
    torch.set_num_threads(n_threads)
    started = time.monotonic()
    by_folder = {job.run: job for job in pack}

    def on_failure(run: StackedRun, error: Exception) -> None:
        record_error(by_folder[run.folder.path], error, after_s=time.monotonic() - started)

    try:
        with ExitStack() as held:
            runs = list(_begun(pack, held, started=started))
            if runs:
                loaded = shared_features(runs[0].experiment, pack[0].resident)
                run_stacked(runs, loaded, on_failure)
            return
    except Exception as error:  # noqa: BLE001 - a sweep goes on, and says at its end what went wrong
        if not is_memory(error):
            for job in pack:
                if not (job.run / "metrics.json").is_file():
                    record_error(job, error, after_s=time.monotonic() - started)
            return
    for job in pack:
        do_job(job, n_threads=n_threads)


def _begun(pack: Pack, held: ExitStack, *, started: float) -> Iterator[StackedRun]:
    """The runs of a pack that are not done yet, in an order that all processes share, so that none waits for another
    in turn.
    """
    for job in sorted(pack, key=lambda one: str(one.run)):
        try:
            run = job.begin(held)
        except Exception as error:  # noqa: BLE001 - as above
            record_error(job, error, after_s=time.monotonic() - started)
            continue
        if not run.folder.is_done:
            yield run


def _kind(job: Job) -> str:
    """What jobs that are trained at once have in common."""
    return fingerprint(
        {
            "config": shape_key(job.config),
            "features": [str(path) for path in job.features],
            "data": repr(job.data),
            "track": job.track,
        }
    )
