"""The same segments on other machines: Ray (extra `ray`) and SLURM (extra `slurm`); all by paths on shared disk."""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path

import torch

from ..cache.clusters import Ended, place_of, ray_tasks, slurm_tasks
from .extraction import Crew
from .segments import OnRows, Outcome, Recipe, SegmentRunner, SegmentTask


def cluster_crew(on: str, recipe: Recipe, *, n_workers: int, folder: Path) -> Crew:
    """The crew that `--on` asks for: `ray`, `ray:ADDRESS`, `slurm`, or `slurm:local` (submitit without SLURM).

    Everything a job gets and gives is a path: videos, weights and `folder`, where SLURM's logs go, must be reachable
    alike from everywhere. Raises BallspotError for another word, and when the extra is not installed.
    """
    place, on_gpu = place_of(on), recipe.device.startswith("cuda")

    def run(
        tasks: Sequence[SegmentTask], is_dropped: Callable[[SegmentTask], bool], on_rows: OnRows
    ) -> Iterator[Outcome]:
        wanted = (task for task in tasks if not is_dropped(task))
        fill = partial(fill_segment, recipe)
        if place.kind == "ray":
            every = ray_tasks(fill, wanted, n_workers=n_workers, address=place.address, on_gpu=on_gpu)
        else:
            cluster = place.address or "slurm"
            name = "ballspot-extract"
            every = slurm_tasks(
                fill, wanted, n_workers=n_workers, folder=folder, name=name, cluster=cluster, on_gpu=on_gpu
            )
        for ended in every:
            outcome = _outcome(ended)
            on_rows(outcome.n_new_rows, True)
            yield outcome

    return run


def fill_segment(recipe: Recipe, task: SegmentTask) -> Outcome:
    """Fills one segment wherever this runs; given again, it goes on where it was, or finds the segment full."""
    torch.set_num_threads(1)
    return runner_for(recipe).run(task)


@lru_cache(maxsize=1)
def runner_for(recipe: Recipe) -> SegmentRunner:
    """This process's runner: a Ray worker loads the backbone once for all its segments."""
    return SegmentRunner(recipe.job())


def _outcome(ended: Ended[SegmentTask]) -> Outcome:
    return Outcome(ended.task, error=ended.error) if ended.error is not None else ended.result
