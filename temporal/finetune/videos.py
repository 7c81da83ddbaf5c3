"""The videos of a fine-tuning, each read once, by one of its processes."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from ...cache.errors import BallspotError
from ...cache.terminal import ProgressLine
from ...extract.video import VideoProbe, probe_video, video_digest
from ..training import SPLIT, Task
from .processes import Group

MOST_READERS = 4


@dataclass(frozen=True)
class Videos:
    """The probe and the digest of every video that is trained or validated on, by match."""

    probes: dict[str, VideoProbe]
    digests: dict[str, str]


def read_videos(task: Task, group: Group) -> Videos:
    """Reads each video once, every process its part, and tells the others.

    Raises BallspotError for a match without a video and for one that cannot be read.
    """
    names = list(dict.fromkeys(name for split in ("train", SPLIT) for name in task.splits.part(split)))
    videos = [(name, _video(task, name)) for name in names]
    found: dict[str, tuple[VideoProbe, str]] = {}
    for part in group.gathered(_read(videos[group.rank :: group.n_processes], is_shown=group.is_first)):
        found |= part
    return Videos({name: found[name][0] for name in names}, {name: found[name][1] for name in names})


def _video(task: Task, name: str) -> Path:
    match = task.matches[name]
    if match.video is None:
        raise BallspotError(
            f"{match.folder}: match {name!r} has no video; put one there, or name other matches with --splits"
        )
    return match.video


def _read(videos: Iterable[tuple[str, Path]], *, is_shown: bool) -> dict[str, tuple[VideoProbe, str]]:
    """Probes and digests; by threads, since both wait for the disk, and most of their work is in native code."""
    own = list(videos)
    found: dict[str, tuple[VideoProbe, str]] = {}
    progress = ProgressLine("reading videos", len(own), unit="videos", stays=False)
    with ThreadPoolExecutor(MOST_READERS) as pool, progress if is_shown else nullcontext():
        for (name, _), read in zip(own, pool.map(_probe_and_digest, [path for _, path in own]), strict=True):
            found[name] = read
            if is_shown:
                progress.advance()
    return found


def _probe_and_digest(path: Path) -> tuple[VideoProbe, str]:
    return probe_video(path), video_digest(path)
