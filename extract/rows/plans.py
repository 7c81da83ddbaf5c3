"""What is to be done for each match of an extraction, found out ahead of the workers: probes, digests, segments."""

from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from ...cache.errors import BallspotError
from ...cache.stores import Segment, StoreHeader
from ...cache.workers import n_usable_cpus
from ...evaluate.dataset import Match, why_no_video
from ..video import VideoProbe, at_rate, probe_video, video_digest, want_of_shared_memory
from .job import ExtractionJob
from .segments import SegmentTask, cut_segments

MOST_PLANNERS = 4
AHEAD = 2  # plans of each planner that wait for workers; each holds the time stamps of a video


@dataclass(frozen=True)
class MatchPlan:
    """One match to extract: its video, what the store will say of itself, its segments and its decoder.

    `remarks` are what a user should know of the video.
    """

    name: str
    probe: VideoProbe
    header: StoreHeader
    store: Path
    segments: tuple[Segment, ...]
    decoder: str
    remarks: tuple[str, ...] = ()

    def tasks(self) -> list[SegmentTask]:
        """One task a segment."""
        return [SegmentTask(self.header, self.probe, self.store, segment, self.decoder) for segment in self.segments]


@dataclass(frozen=True)
class Unplanned:
    """A match whose video cannot be extracted, and why."""

    name: str
    problem: str

    @property
    def remarks(self) -> tuple[str, ...]:
        """The problem, which is told at once."""
        return (self.problem,)


def planned(wanted: Sequence[tuple[Match, Path]], job: ExtractionJob) -> Generator[MatchPlan | Unplanned, None, None]:
    """The plans of matches and the paths of their stores, in order, made by threads a few matches ahead.

    Reading the packets and the digest of a video takes seconds: the first video's frames are extracted meanwhile.
    """

    def plan(one: tuple[Match, Path]) -> MatchPlan | Unplanned:
        try:
            return plan_match(*one, job)
        except BallspotError as error:
            return Unplanned(one[0].name, str(error))

    n_planners = min(MOST_PLANNERS, n_usable_cpus(), len(wanted))
    pool = ThreadPoolExecutor(n_planners, thread_name_prefix="planner")
    try:
        left = iter(wanted)
        waiting: deque[Future[MatchPlan | Unplanned]] = deque()
        waiting.extend(pool.submit(plan, one) for one in islice(left, AHEAD * n_planners))
        is_told = False
        while waiting:
            ready = waiting.popleft().result()
            if isinstance(ready, MatchPlan) and not is_told and (line := _want_of_memory(ready, job)):
                ready, is_told = replace(ready, remarks=(*ready.remarks, line)), True
            waiting.extend(pool.submit(plan, one) for one in islice(left, 1))
            yield ready
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _want_of_memory(plan: MatchPlan, job: ExtractionJob) -> str:
    return want_of_shared_memory(plan.probe, job.settings.batch_rows, splits=job.device.type == "cuda")


def no_video(match: Match) -> BallspotError:
    """The error of a match without a video, which says what is only called like one."""
    why = why_no_video(match.folder)
    return BallspotError(f"{match.folder}: match {match.name!r} has no video{why}; put one there or leave it out")


def plan_match(match: Match, path: Path, job: ExtractionJob) -> MatchPlan:
    """What is to be done for a match without a store. Raises BallspotError when its video cannot be read."""
    settings = job.settings
    if match.video is None:
        raise no_video(match)
    probe = at_rate(probe_video(match.video, image_fps=settings.image_fps), settings.fps)
    remarks = list(probe.notes())
    if not probe.axis.is_regular:
        remarks.append("the store gets its frames' times (`frame_time_us`)")
    file = probe.whole or probe
    n_there = file.n_frames + file.n_undecodable + file.n_hidden + (file.cut_stamp is not None)
    n_missing = file.n_container_frames - n_there
    if n_missing > 0:
        remarks.append(f"{n_missing} frames that {probe.path.name} announces are not in it; was it cut short?")
    header = StoreHeader(
        match=match.name,
        fps=probe.fps,
        n_video_frames=probe.n_frames,
        n_rows=-(-probe.n_frames // settings.stride),
        dim=job.dim,
        spec=job.spec,
        views=settings.views,
        video_name=probe.path.name,
        video_bytes=probe.n_bytes,
        video_sha256=video_digest(probe.path),
        video_turn=probe.turn,
        picture_fps=str(file.fps) if probe.path.is_dir() and file is not probe else "",
        weights=job.backbone.spec.weights,
    )
    decoder = "jpg" if probe.path.is_dir() else settings.decoder
    segments = tuple(cut_segments(probe, stride=settings.stride, aligned_rows=job.aligned_rows))
    return MatchPlan(match.name, probe, header, path, segments, decoder, tuple(remarks))
