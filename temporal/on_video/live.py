"""Spots of a video that has not ended, each told once what is still to come can hardly change it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from ...cache.errors import BallspotError
from ...cache.stores import ORIGINAL
from ...cache.times import TimeAxis
from ...evaluate.dataset import Spot
from ...extract.rows import RowMaker
from ...extract.video import LiveFrames
from ..config import PredictionSection
from ..decoding import decode_as_configured, spots_of
from ..prediction import Ensemble, MatchScores, MatchStream, joined

HOLD_WINDOWS = 2  # a peak counts when nothing within so many suppression windows after it is still to come


@dataclass(frozen=True)
class LiveSpot:
    """A spot as it is told: ``latency_s`` seconds of video had come after its moment."""

    spot: Spot
    latency_s: float


class SpotStream:
    """Peaks of scores that still come: a peak is told once two suppression windows of final scores lie behind it.

    Suppression is done over what is kept: the rows since two windows before the last ones told.
    """

    def __init__(self, section: PredictionSection, labels: tuple[str, ...], *, fps: Fraction, row_frames: int) -> None:
        self.section, self.labels, self.fps, self.row_frames = section, labels, fps, row_frames
        self.hold_rows = HOLD_WINDOWS * section.nms_window
        self._rows: list[MatchScores] = []
        self._told_before = 0  # the frame from which on spots were not told yet

    def push(self, scores: MatchScores, *, is_end: bool = False) -> list[Spot]:
        """Takes the next final scores and gives the spots that are settled by them, in order of time."""
        self._rows = [joined([*self._rows, scores])]
        rows = self._rows[0]
        if not len(rows.frame_index):
            return []
        last = int(rows.frame_index[-1]) + self.row_frames
        settled = last if is_end else last - self.hold_rows * self.row_frames
        if settled <= self._told_before:
            return []
        peaks = decode_as_configured(rows.scores, self.section)
        spots = spots_of(
            peaks, rows.frame_index, axis=TimeAxis(self.fps, 0), labels=self.labels, right_share=rows.right_share
        )
        frames = rows.frame_index[peaks.row]
        told = [
            spot for spot, frame in zip(spots, frames.tolist(), strict=True) if self._told_before <= frame < settled
        ]
        self._told_before = settled
        past = int(np.searchsorted(rows.frame_index, settled - 2 * self.hold_rows * self.row_frames))
        self._rows = [rows.part(past)]
        return told


def live_spots(
    ensemble: Ensemble, maker: RowMaker, frames: LiveFrames, *, warm_up_s: float, tell: Callable[[str], None]
) -> Iterator[LiveSpot]:
    """The spots of a stream, each once it is settled, and those of its last seconds when it ends.

    Heads whose features are scaled by the whole match use the frames so far instead, and begin after ``warm_up_s``.
    Raises BallspotError for a backbone that needs frames to come (temporal shift) together with other feature sets.
    """
    config = ensemble.config
    stream = MatchStream(ensemble, frame_spacing=maker.stride)
    row_frames = maker.stride if config.prediction.phases == "all" else config.clips.clip_stride
    spots = SpotStream(config.prediction, ensemble.labels, fps=frames.fps, row_frames=row_frames)
    warm_rows = round(warm_up_s * float(frames.fps) / maker.stride) if ensemble.needs_whole_match else 0
    look_ahead = stream.look_ahead_rows * maker.stride + spots.hold_rows * row_frames + maker.look_ahead_frames
    tell(
        f"{frames.source}: {frames.width}x{frames.height} at {float(frames.fps):g} frames/s; a spot is printed "
        f"when about {float(look_ahead / frames.fps):.1f} s of video have come after it"
        + (f", the first after {warm_up_s:g} s" if warm_rows else "")
    )
    waiting: list[dict[str, np.ndarray]] = []
    n_rows = 0
    broken: BallspotError | None = None
    for rows in _until_broken(maker.live_rows(frames)):
        if isinstance(rows, BallspotError):
            broken = rows
            break
        n_rows += len(rows[ORIGINAL])
        stream.fit(rows)
        waiting.append(rows)
        if n_rows < warm_rows:
            continue
        for piece in waiting:
            yield from _told(spots.push(stream.push(piece)), n_rows * maker.stride, frames.fps)
        waiting = []
    for piece in waiting:
        yield from _told(spots.push(stream.push(piece)), n_rows * maker.stride, frames.fps)
    yield from _told(spots.push(stream.finish(), is_end=True), n_rows * maker.stride, frames.fps)
    if broken is not None:  # what came before it was told
        raise broken


def _until_broken(rows: Iterator[dict[str, np.ndarray]]) -> Iterator["dict[str, np.ndarray] | BallspotError"]:
    """The rows, and the error that ended them, if one did."""
    try:
        yield from rows
    except BallspotError as error:
        yield error


def _told(spots: Sequence[Spot], n_frames: int, fps: Fraction) -> Iterator[LiveSpot]:
    for spot in spots:
        yield LiveSpot(spot, float(n_frames / fps) - spot.position_ms / 1000)
