"""The time stamps of a video's packets in order of showing, and which frame a stamp means."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from av.packet import Packet


@dataclass
class Stamps:
    """What the packets of a video say of their pictures, collected in the order of the file.

    ``shown`` and ``decoded`` are the times of showing and of decoding of each packet with a picture, None where there
    is none, ``is_key`` whether decoding can begin there, ``n_incomplete`` how many lack something. ``last_decoded`` is
    the last time of decoding of any packet, and ``has_refresh`` says that pictures come about little by little.
    """

    shown: list[int | None] = field(default_factory=list)
    decoded: list[int | None] = field(default_factory=list)
    is_key: list[bool] = field(default_factory=list)
    n_incomplete: int = 0
    last_decoded: int = 0
    has_refresh: bool = False
    cut_stamp: int | None = None

    def add(self, packet: Packet, *, is_key: bool) -> None:
        """Takes the next packet."""
        self.shown.append(packet.pts)
        self.decoded.append(packet.dts)
        self.is_key.append(is_key)
        self.n_incomplete += packet.is_corrupt
        self.cut_stamp = packet.pts if packet.is_corrupt else None

    def leave_out_cut(self) -> None:
        """Leaves out the last packet where the file ends within it, so that nothing of its picture can be trusted."""
        if self.cut_stamp is not None and len(self.shown) > 1:
            for kept in (self.shown, self.decoded, self.is_key):
                kept.pop()
        else:
            self.cut_stamp = None

    def in_order(self) -> tuple[np.ndarray, np.ndarray, bool] | None:
        """The sorted stamps int64 (n,), the places of key frames among them, and whether frames lead a key frame.

        A key frame that shares its stamp with another frame is not among them: a stamp does not tell where decoding
        began there. None where not every packet has a time of showing.
        """
        known = [stamp for stamp in self.shown if stamp is not None]
        if len(known) < len(self.shown):
            return None
        stamps = np.array(known, dtype=np.int64)
        key_stamps = np.maximum.accumulate(np.where(self.is_key, stamps, stamps.min()))
        order = np.argsort(stamps, kind="stable")
        pts = stamps[order]
        keys = np.flatnonzero(np.array(self.is_key)[order] & ~_are_shared(pts))
        return pts, keys, bool(np.any(stamps < key_stamps))

    def in_decoding_order(self) -> np.ndarray | None:
        """The times of decoding, int64 (n,), sorted; None where one is missing."""
        known = [stamp for stamp in self.decoded if stamp is not None]
        return np.sort(np.array(known, dtype=np.int64)) if len(known) == len(self.decoded) else None


class FramePlaces:
    """The place of each frame among the sorted stamps of a video; of frames that share a stamp, in turn."""

    def __init__(self, pts: np.ndarray) -> None:
        self._pts = pts
        self._shared = set(pts[_are_shared(pts)].tolist())
        self._seen: Counter[int] = Counter()

    def of(self, stamp: int | None) -> int | None:
        """The place of the next frame of this stamp; None for one that no packet announced."""
        if stamp is None:
            return None
        place = int(np.searchsorted(self._pts, stamp))
        if stamp in self._shared:
            place += self._seen[stamp]
            self._seen[stamp] += 1
        return place if place < len(self._pts) and self._pts[place] == stamp else None


def _are_shared(pts: np.ndarray) -> np.ndarray:
    """Which of the sorted stamps are those of several frames, bool (n,)."""
    is_next = np.diff(pts, append=pts[-1:] + 1) == 0
    return is_next | np.concatenate([[False], is_next[:-1]])
