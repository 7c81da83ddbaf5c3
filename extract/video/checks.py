"""What every decoder is held to: undamaged frames, and time stamps that the packets promised."""

import numpy as np

from ..container import turned
from .damage import damaged_frames
from .probe import REPAIR, Beat, DecodingError, VideoProbe
from .pyav import PyavSource

PIECE_BYTES = 32 * 2**20
PIECE_FRAMES = 32


def _require_undamaged(probe: VideoProbe, start: int, stop: int, beat: Beat) -> None:
    bad = damaged_frames(probe, start, stop, beat)
    bad = bad[(bad >= start) & (bad < stop)]
    if len(bad):
        raise DecodingError(f"{probe.path}: frame {bad[0]} is damaged; {REPAIR}")


def _require_times(probe: VideoProbe, begins_s: np.ndarray, decoder: str, first: int = 0) -> None:
    if probe.pts is None:
        return
    times = (probe.pts[first : first + len(begins_s)] - probe.pts[0]) * float(probe.time_base)
    begins_s = begins_s - (begins_s[0] if first == 0 else 0)
    if np.abs(begins_s - times).max() * float(probe.fps) > 0.5:
        raise DecodingError(f"{probe.path}: {decoder} shows frames at other times than the packets say")


def _turn_left(probe: VideoProbe, picture: np.ndarray, decoder: str) -> str:
    """How the pictures of a decoder must still be turned, by its frame 0: some decoders turn them, some do not.

    Raises DecodingError where its frame 0 does not tell.
    """
    if not probe.turn:
        return ""
    with PyavSource(probe) as source:
        shown = next(source.frames(0, 1))
    is_turned, is_as_stored = (np.array_equal(one, shown) for one in (picture, turned(picture, probe.turn)))
    if is_turned == is_as_stored:
        raise DecodingError(f"{probe.path}: pictures are {probe.turn}, of which {decoder} shows others than players")
    return "" if is_turned else probe.turn


def _frame_bytes(probe: VideoProbe) -> int:
    return probe.width * probe.height * 3


def _piece_frames(probe: VideoProbe) -> int:
    return min(max(PIECE_BYTES // _frame_bytes(probe), 1), PIECE_FRAMES)
