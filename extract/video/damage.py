"""Which frames of a video are damaged: decoders conceal it, and what depends on a damaged frame is wrong as well."""

import math
from collections.abc import Callable

import numpy as np
from av.error import FFmpegError

from .packets import nothing, packets_from
from .probe import VideoProbe


def damaged_frames(probe: VideoProbe, start: int, stop: int, beat: Callable[[], None] = nothing) -> np.ndarray:
    """The frame indices, int64, sorted, that cannot be had exactly, of the groups of pictures from `start` to `stop`.

    Everything is decoded once, without converting a picture (about 0.3 ms a frame of 224 lines). A frame is damaged
    when the decoder refuses its packet, conceals an error in it, never gives it, or gives it after an error; and so is,
    up to the next key frame, all that is decoded after it and may be predicted from it. Without time stamps, nothing
    can be told: none. `beat` is called for every packet.
    """
    pts = probe.pts
    if pts is None:
        return np.empty(0, np.int64)
    key = int(probe.key_index[np.searchsorted(probe.key_index, start, side="right") - 1])
    keys = set(pts[probe.key_index].tolist())
    packets: list[tuple[int, bool]] = []  # time stamp, key frame or not, in the order of decoding
    given: set[int | None] = set()
    doubtful_below = -math.inf  # after an error, what still comes of before the next key frame may be misplaced
    past: int | None = None  # the stamp of the first key frame that is not asked for
    try:
        for packet in packets_from(probe, key, beat):
            is_last = past is not None and not (packet.pts is not None and packet.pts < past)
            is_key = packet.is_keyframe and packet.pts in keys
            if packet.size and packet.pts is not None and not is_last:
                if is_key and stop < probe.n_frames and packet.pts >= pts[stop]:
                    past = packet.pts
                    is_last = not probe.has_leading  # else frames that are asked for may follow
                if is_key and doubtful_below == math.inf:
                    doubtful_below = packet.pts
                if not is_last and not packet.is_discard:  # a decoder gives nothing for what an edit list hides
                    packets.append((packet.pts, is_key))
            try:
                frames = packet.stream.codec_context.decode(None) if is_last else packet.decode()
            except FFmpegError:
                doubtful_below = math.inf
                frames = []
            given |= {
                frame.pts
                for frame in frames
                if not frame.is_corrupt and frame.pts is not None and frame.pts >= doubtful_below
            }
            if is_last:
                break
    except (FFmpegError, OSError):
        pass  # what the container does not give either is missing below
    bad = _poisoned(packets, given)
    announced = pts[key:stop]
    missing = announced[~np.isin(announced, [stamp for stamp, _ in packets])]
    stamps = np.union1d(np.array(bad, dtype=np.int64), missing)
    return np.flatnonzero(np.isin(pts, stamps)).astype(np.int64)


def _poisoned(packets: list[tuple[int, bool]], given: set[int | None]) -> list[int]:
    """The stamps of packets without a good frame, and of those that may be predicted from them.

    Frames that are decoded after a key frame and shown before it may need the group before too; no others need them.
    """
    bad = []
    key_stamp: float = -math.inf
    is_poisoned = is_leading_poisoned = False
    for stamp, is_key in packets:
        is_missing = stamp not in given
        if is_key:
            key_stamp, is_leading_poisoned, is_poisoned = stamp, is_poisoned or is_missing, is_missing
        elif stamp < key_stamp:
            is_leading_poisoned = is_leading_poisoned or is_missing
        else:
            is_poisoned = is_poisoned or is_missing
        if is_poisoned if stamp >= key_stamp else is_leading_poisoned:
            bad.append(stamp)
    return bad
