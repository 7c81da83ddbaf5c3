"""One engine a GPU and many decoders for each: which crew is taken, and that its stores are those of one worker."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch

from ballspot.cache.errors import BallspotError
from ballspot.cache.stores import RegionSpec
from ballspot.cache.workers import Executor
from ballspot.cache.workers.clusters import Ended, _cpus_beside_a_gpu
from ballspot.evaluate.dataset.matches import find_matches
from ballspot.extract.backbone.spec import BackboneSpec
from ballspot.extract.commands.extract import Asked, _crew
from ballspot.extract.rows import plans, segments
from ballspot.extract.rows.crew import crew_of_engines
from ballspot.extract.rows.decoders import n_decoders_for
from ballspot.extract.rows.extraction import ExtractionError, extract_matches
from ballspot.extract.rows.job import Recipe, Settings


@dataclass(frozen=True)
class Here(Executor):
    """Does tasks in this process; the one of that number is lost."""

    lost: int = -1
    shares: ClassVar[list[int]] = []

    def run(
        self, function: Callable[..., Any], tasks: Iterable[Any], *, on_told: Callable[[Any], None], on_poll: Any = None
    ) -> Iterator[Ended[Any]]:
        for number, task in enumerate(tasks):
            self.shares.append(len(task))
            if number == self.lost:
                yield Ended(task, error="its process ended by itself")
            else:
                yield Ended(task, function(task, "cpu", on_told))


def test_shares_of_segments_give_the_stores_of_one_worker(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "SEGMENT_ROWS", 60)  # 250 frames: four segments a match
    recipe = Recipe(BackboneSpec("resnet10t", "random", (32, 48)), "cpu", Settings())
    job, matches = recipe.job(), find_matches(drawn)
    extract_matches(matches, tmp_path / "alone", job)
    Here.shares.clear()
    extract_matches(
        matches, tmp_path / "shared", job, crew=crew_of_engines(Here(2), recipe, n_decoders=1, n_segments=5)
    )
    n_segments = sum(Here.shares)
    assert Here.shares == [5] * (n_segments // 5) + [n_segments % 5] * (n_segments % 5 > 0) and n_segments > 10
    alone, shared = ({p.name: p.read_bytes() for p in (tmp_path / s).rglob("*.h5")} for s in ("alone", "shared"))
    assert alone == shared and len(alone) == len(matches)

    with pytest.raises(ExtractionError, match="its process ended by itself") as failure:
        extract_matches(
            matches, tmp_path / "lost", job, crew=crew_of_engines(Here(2, lost=0), recipe, n_decoders=1, n_segments=4)
        )
    assert [result.match for result in failure.value.results] == [match.name for match in matches[1:]]


@pytest.mark.parametrize(
    ("n_gpus", "n_cpus", "workers", "n_rows", "engines", "decoders", "share"),
    [
        (8, 128, None, 10**7, 8, 15, 60),
        (2, 16, None, 10**7, 2, 7, 28),
        (8, 128, 32, 10**7, 8, 4, 16),  # --workers are decoders of all GPUs together
        (8, 128, None, 5000, 2, 16, 2),  # an engine takes some seconds to start: little video gets fewer
        (4, 2, None, 10**7, 4, 1, 4),
    ],
)
def test_every_gpu_has_one_engine_and_its_share_of_the_cores(
    n_gpus: int,
    n_cpus: int,
    workers: int | None,
    n_rows: int,
    engines: int,
    decoders: int,
    share: int,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    asked: dict[str, Any] = {}
    monkeypatch.setattr("ballspot.extract.rows.decoders.n_usable_cpus", lambda: n_cpus)
    monkeypatch.setattr(
        "ballspot.extract.rows.crew_of_engines", lambda executor, recipe, **how: asked.update(how) or executor
    )
    devices = [f"cuda:{index}" for index in range(n_gpus)]
    job: Any = SimpleNamespace(device=torch.device("cuda:0"))
    recipe = Recipe(BackboneSpec("resnet10t", "random", (32, 48)), "cuda:0")
    executor: Any = _crew(job, recipe, Asked(None, workers, None), devices, n_rows=n_rows, set_path=tmp_path)
    assert (executor.n_workers, list(executor.devices)) == (engines, devices)
    assert (asked["n_decoders"], asked["n_segments"]) == (decoders, share)


@pytest.mark.parametrize(
    ("workers", "cpus", "at_a_time", "n_cpus", "shares"),
    [(None, None, 16, 8, [28, 28, 3]), (3, None, 3, 8, [28, 28, 3]), (None, 4, 16, 4, [12] * 4 + [11])],
)
def test_a_task_of_a_cluster_is_a_gpu_with_its_cores(
    workers: int | None,
    cpus: int | None,
    at_a_time: int,
    n_cpus: int,
    shares: list[int],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    asked: list[Any] = []

    def run(executor: Executor, function: object, tasks: Iterable[Any], **how: object) -> Iterator[Any]:
        asked.append(executor)
        asked.extend(tasks)
        return iter(())

    monkeypatch.setattr(Executor, "run", run)
    job: Any = SimpleNamespace(device=torch.device("cpu"))  # a login node's
    recipe = Recipe(BackboneSpec("resnet10t", "random", (32, 48)), "cuda")
    crew: Any = _crew(job, recipe, Asked("slurm", workers, cpus), ["cuda"], n_rows=10**7, set_path=tmp_path)
    assert list(crew(iter(range(60)), lambda task: task == 3, lambda *rows: None)) == []
    executor, *found = asked
    assert (executor.n_workers, executor.n_threads, executor.devices) == (at_a_time, n_cpus, ["cuda"])
    assert executor.minutes == 40
    assert [len(share) for share in found] == shares and 3 not in found[0]


@pytest.mark.parametrize("devices", [["cuda:0"], ["cuda:0", "cuda:1"], ["cpu"]])
def test_processors_of_a_task_are_refused_where_there_is_no_cluster(devices: list[str], tmp_path: Path) -> None:
    job: Any = SimpleNamespace(device=torch.device(devices[0]))
    recipe = Recipe(BackboneSpec("resnet10t", "random", (32, 48)), devices[0])
    with pytest.raises(BallspotError, match="--cpus 4"):
        _crew(job, recipe, Asked(None, None, 4), devices, n_rows=10**7, set_path=tmp_path)


def test_boxes_on_a_gpu_have_an_engine_a_decoder_as_many_as_are_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("ballspot.extract.rows.crew_of", lambda executor, recipe: executor)
    region = RegionSpec(by="map", size=(32, 48), picture=(64, 96), count=1, fuse="concat")
    recipe = Recipe(BackboneSpec("resnet10t", "random", (32, 48)), "cuda:0", Settings(region=region))
    job: Any = SimpleNamespace(device=torch.device("cuda:0"))
    executor: Any = _crew(job, recipe, Asked(None, 6, None), ["cuda:0"], n_rows=10**7, set_path=tmp_path)
    assert (executor.n_workers, executor.devices) == (6, ["cuda:0"])


def test_ray_is_asked_for_no_more_cores_than_a_node_has_beside_a_gpu() -> None:
    def ray(*nodes: tuple[int, int]) -> Any:
        found = [{"Alive": True, "Resources": {"CPU": cpus, **({"GPU": gpus} if gpus else {})}} for cpus, gpus in nodes]
        return SimpleNamespace(nodes=lambda: found)

    assert _cpus_beside_a_gpu(ray((64, 0), (16, 4), (12, 2)), 8) == 6
    assert _cpus_beside_a_gpu(ray((64, 8)), 8) == 8
    assert _cpus_beside_a_gpu(ray((2, 4)), 8) == 1
    assert _cpus_beside_a_gpu(ray((64, 0)), 8) == 8  # nodes with a GPU may join yet
    assert n_decoders_for(torch.device("cuda:0"), n_cpus=16, n_gpus=8) == 1


def test_a_video_is_probed_once_however_many_read_it(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each worker once probed each video that it touched, which of a match takes a second."""
    monkeypatch.setattr(segments, "SEGMENT_ROWS", 60)
    probed: Counter[Path] = Counter()

    def counted(video: Path, **how: Any) -> Any:
        probed[video] += 1
        return probe(video, **how)

    probe = plans.probe_video
    for module in (plans, segments):
        monkeypatch.setattr(module, "probe_video", counted)
    recipe = Recipe(BackboneSpec("resnet10t", "random", (32, 48)), "cpu", Settings())
    matches = find_matches(drawn)
    Here.shares.clear()
    crew = crew_of_engines(Here(8), recipe, n_decoders=1, n_segments=2)
    extract_matches(matches, tmp_path / "set", recipe.job(), crew=crew)
    assert len(Here.shares) > len(matches)
    assert probed == {match.video: 1 for match in matches}


def test_the_first_match_is_extracted_while_the_next_ones_are_probed(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All videos were once probed and digested before the first frame."""
    matches = find_matches(drawn)
    is_begun = Event()

    def after_the_first(video: Path, **how: Any) -> Any:
        if video != matches[0].video and not is_begun.wait(60):
            raise BallspotError("the first match waits for the others")
        return probe(video, **how)

    probe = plans.probe_video
    monkeypatch.setattr(plans, "probe_video", after_the_first)
    recipe = Recipe(BackboneSpec("resnet10t", "random", (32, 48)), "cpu", Settings())

    @dataclass(frozen=True)
    class Telling(Here):
        def run(self, function: Callable[..., Any], tasks: Iterable[Any], **how: Any) -> Iterator[Ended[Any]]:
            for ended in super().run(function, tasks, **how):
                is_begun.set()
                yield ended

    crew = crew_of_engines(Telling(1), recipe, n_decoders=1, n_segments=1)
    done = extract_matches(matches, tmp_path / "set", recipe.job(), crew=crew)
    assert [one.match for one in done] == [match.name for match in matches]
