"""Stage one: the videos of matches become the stores of a feature set, each written whole, resumed if cut short."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ...cache.code import keep_code
from ...cache.disk import find_temporary, make_folder
from ...cache.errors import BallspotError
from ...cache.stores import (
    FeatureSpec,
    FeatureStore,
    Journal,
    JournalRows,
    find_parts,
    find_stores,
    part_path,
    read_header,
    remove_parts,
    store_path,
    write_store,
)
from ...cache.terminal import ProgressLine, note
from ...cache.times import is_same_rate
from ...evaluate.dataset import Match
from ..video import image_files, video_bytes
from .job import ExtractionJob
from .plans import MatchPlan, Unplanned, no_video, planned
from .segments import Crew, OnRows, Outcome, SegmentRunner, SegmentTask

FINISH_PATIENCE_S = 60.0


@dataclass(frozen=True)
class Extracted:
    """One match's store after an extraction; `n_new_rows` of its rows were made now, in `seconds` of workers."""

    match: str
    path: Path
    n_rows: int
    n_new_rows: int
    seconds: float


class ExtractionError(BallspotError):
    """Some matches could not be extracted; `results` has the others."""

    def __init__(self, message: str, results: list[Extracted]) -> None:
        super().__init__(message)
        self.results = results


def extract_matches(
    matches: Sequence[Match],
    set_path: Path,
    job: ExtractionJob,
    *,
    crew: Crew | None = None,
    takes_any_rate: bool = False,
) -> list[Extracted]:
    """The stores of all `matches` in `set_path`: complete ones are kept, unfinished ones resumed, the rest made.

    A match that fails does not keep the others from being finished; then ExtractionError names each that failed: no
    readable video, a store of another video, a frame that cannot be decoded, a disk that takes no more. Raises
    BallspotError at once for a set that was made with other settings. Without a `crew` all is done in this process.
    With `takes_any_rate` a complete store is kept also where it is of another frame rate than the job's.
    """
    make_folder(set_path)
    require_same_settings(set_path, job.spec)
    keep_code([job.backbone.spec.name], set_path)
    wanted: list[tuple[Match, Path]] = []
    done: dict[str, Extracted] = {}
    failed: dict[str, str] = {}
    for match in matches:
        path = store_path(set_path, match.name)
        try:
            found = finished_store(match, path, None if takes_any_rate else job.settings.fps)
            if found is not None:
                done[match.name] = found
            else:
                wanted.append((match, path))
        except BallspotError as error:
            failed[match.name] = str(error)
            note(f"{match.name}: {error}")
    if done:
        note(f"{set_path}: {len(done)} of {len(matches)} matches were complete")
    if wanted:
        title = wanted[0][0].name if len(wanted) == 1 else f"{len(wanted)} matches"
        begun = sum(bool(find_parts(path)) for _, path in wanted)
        if begun:
            which = "" if len(wanted) == 1 else f"{begun} of them "
            note(f"{title}: {which}begun before; the rows that are there are kept")
        note(f"{title}: reading every packet for the frames' times, then the first frames; Ctrl-C loses nothing")
        with ProgressLine(title, 0, unit="frames") as progress, closing(planned(wanted, job)) as plans:
            _run(plans, crew or one_by_one(job), progress, done, failed, len(wanted))
            progress.stays = progress.total > 0
    results = [done[match.name] for match in matches if match.name in done]
    if failed:
        rest = f"{len(failed)} of {len(matches)} matches failed, the others are complete: " if len(matches) > 1 else ""
        raise ExtractionError(rest + summed_up(failed), results)
    return results


def summed_up(failed: Mapping[str, str]) -> str:
    """What failed of which matches, a reason that several share told once."""
    names_of: dict[str, list[str]] = {}
    for name, text in failed.items():
        names_of.setdefault(text, []).append(name)
    return "; ".join(
        f"match{'es' if len(names) > 1 else ''} {', '.join(map(repr, names))}: {text}"
        for text, names in names_of.items()
    )


def one_by_one(job: ExtractionJob) -> Crew:
    """A crew of this process alone."""

    def run(
        tasks: Iterable[SegmentTask], is_dropped: Callable[[SegmentTask], bool], on_rows: OnRows
    ) -> Iterator[Outcome]:
        with SegmentRunner(job) as runner:
            for task in tasks:
                if not is_dropped(task):
                    yield runner.run(task, on_rows=on_rows)

    return run


def videos_of(matches: Sequence[Match]) -> list[Match]:
    """The matches, those without a video with their folder of JPG files in its place: `frames/`, or their own."""
    found = []
    for match in matches:
        folders = [match.folder / "frames", match.folder] if match.video is None else []
        pictures = [folder for folder in folders if folder.is_dir() and image_files(folder)]
        found.append(replace(match, video=pictures[0]) if pictures else match)
    return found


def require_same_settings(set_path: Path, spec: FeatureSpec) -> None:
    """Raises BallspotError, naming what differs, when a store or part file in the set was made with other settings."""
    for path in find_stores(set_path).values():
        with FeatureStore.open(path) as store:
            _require_same(set_path, store.spec, spec)
    for path in sorted(set_path.rglob("*.h5*.part")):
        header = read_header(path)
        if header is not None:
            _require_same(set_path, header.spec, spec)


def finished_store(match: Match, path: Path, fps: Fraction | None) -> Extracted | None:
    """The match's complete store, None when there is none; part files that it has outlived are removed.

    Raises BallspotError when it is of another video, or not of the frame rate that is asked for.
    """
    if match.video is None:
        raise no_video(match)
    if not path.exists():
        return None
    with FeatureStore.open(path) as store:
        n_bytes = video_bytes(match.video)
        if store.match != match.name or store.header.video_bytes != n_bytes:
            raise BallspotError(
                f"{path}: was made from {store.match!r}, {store.header.video_name} ({store.header.video_bytes} bytes), "
                f"not from {match.video} ({n_bytes} bytes); extract it with another --set"
            )
        if fps is not None and not is_same_rate(store.fps, fps):
            raise BallspotError(
                f"{path}: its rows are of {float(store.fps):.5g} frames a second, not of --fps {float(fps):.5g}; "
                "extract it with another --set"
            )
        remove_parts(path)
        return Extracted(match=match.name, path=path, n_rows=store.n_rows, n_new_rows=0, seconds=0.0)


class _Rows:
    """How many rows there will be: matches that are not planned yet are taken to be as long as those that are."""

    def __init__(self, progress: ProgressLine, n_matches: int) -> None:
        self.progress, self.n_matches = progress, n_matches
        self.planned: list[int] = []

    def expect(self, n_rows: int) -> None:
        """Counts a match that was planned, of 0 rows one that cannot be extracted."""
        self.n_matches -= 1
        self.planned += [n_rows] if n_rows else []
        total = sum(self.planned) + self.n_matches * sum(self.planned) // max(len(self.planned), 1)
        self.progress.expect(max(total - self.progress.done, 0))


def _run(
    plans: Iterator[MatchPlan | Unplanned],
    crew: Crew,
    progress: ProgressLine,
    done: dict[str, Extracted],
    failed: dict[str, str],
    n_wanted: int,
) -> None:
    """Runs the segments of all plans, as they are made, and writes the store of each match whose segments are all
    there.
    """

    def on_rows(n_rows: int, is_new: bool) -> None:
        if is_new:
            progress.advance(n_rows)
        else:  # rows that were there before count as done, but not for the speed
            progress.done += n_rows
            progress.first += n_rows

    at_work: dict[str, MatchPlan] = {}
    left: dict[str, int] = {}
    made: dict[str, tuple[int, float]] = {}
    undecodable: dict[str, Path] = {}
    left_to_plan = _Rows(progress, n_wanted)

    def tasks() -> Iterator[SegmentTask]:
        for plan in plans:
            for line in plan.remarks:
                note(f"{plan.name}: {line}")
            if isinstance(plan, Unplanned):
                failed[plan.name] = plan.problem
                left_to_plan.expect(0)
                continue
            at_work[plan.name], left[plan.name], made[plan.name] = plan, len(plan.segments), (0, 0.0)
            left_to_plan.expect(plan.header.n_rows)
            yield from plan.tasks()

    for outcome in crew(tasks(), lambda task: task.header.match in failed, on_rows):
        name = outcome.task.header.match
        if outcome.error:
            failed.setdefault(name, outcome.error)
            if outcome.is_undecodable:
                undecodable[name] = outcome.task.store
            continue
        left[name] -= 1
        made[name] = (made[name][0] + outcome.n_new_rows, made[name][1] + outcome.seconds)
        if left[name] == 0:
            plan = at_work.pop(name)  # with its time stamps, which are many
            try:
                finish_match(plan)
                done[name] = Extracted(name, plan.store, plan.header.n_rows, *made[name])
            except BallspotError as error:
                failed[name] = str(error)
    for store in undecodable.values():
        remove_parts(store)  # rows beside a damaged place may be wrong already


def finish_match(plan: MatchPlan) -> None:
    """Writes the store from its part files and removes them; a store that another process has written is kept."""
    parts = tuple(part_path(plan.store, segment) for segment in plan.segments)
    header = read_header(parts[0]) or plan.header
    with Journal.open(parts[0], header, segment=plan.segments[0], patience_s=FINISH_PATIENCE_S) as guard:
        if not plan.store.exists():
            for stale in find_temporary(plan.store):
                stale.unlink(missing_ok=True)  # of a process that was killed while it wrote
            frame_index = np.arange(plan.header.n_rows, dtype=np.int64) * plan.header.spec.stride
            times = plan.probe.frame_times_us(frame_index) if not plan.probe.axis.is_regular else None
            write_store(plan.store, header=guard.header, blocks=JournalRows(parts), frame_time_us=times)
        remove_parts(plan.store)


def _require_same(set_path: Path, there: FeatureSpec, here: FeatureSpec) -> None:
    for name in there.differing(here):
        said, wanted = (_short(spec.as_json().get(name, getattr(spec, name, None))) for spec in (there, here))
        raise BallspotError(
            f"{set_path}: holds features of other settings ({name} is {said} there and {wanted} here); choose another "
            "--set or --out"
        )


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 24 else f"{text[:12]}..."
