"""The videos that a user names: files, or folders of them, each with a name of its own."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...cache.disk import path_hint
from ...cache.errors import BallspotError
from ...evaluate.dataset import LABELS_FILE, PREFERRED_VIDEOS, VIDEO_SUFFIXES, halves_of


@dataclass(frozen=True)
class GivenVideo:
    """One video to predict; `name` is the folder that its spots get, `match` the match that it is half of, or None."""

    name: str
    path: Path
    match: str | None = None


def given_videos(paths: Sequence[Path]) -> tuple[GivenVideo, ...]:
    """The videos among files and folders, in order; those of a folder are sorted, hidden ones left out.

    A file is named by its stem, one of a folder by its place below that. In SoccerNet's layout (a folder that holds
    224p.mp4, 720p.mp4, or labels and one video) the match folder is the name, so that its labels fit, and so it is for
    a 224p.mp4 that is itself given. Its two halves (1_224p.mkv, 2_224p.mkv) are <match>/1 and <match>/2. Raises
    BallspotError for what is missing, a folder without a video, and two videos of one name.
    """
    found: dict[str, GivenVideo] = {}
    for path in paths:
        if path.is_dir():
            videos = list(_videos_below(path))
            if not videos:
                endings = ", ".join(sorted(VIDEO_SUFFIXES))
                raise BallspotError(f"{path}: no video in it ({endings}){path_hint(path)}; give another")
        elif path.exists():
            match_name = path.resolve().parent.name if path.name in PREFERRED_VIDEOS else ""
            videos = [GivenVideo(match_name or path.stem or path.name, path)]
        else:
            raise BallspotError(f"{path}: no such video{path_hint(path)}; check the path")
        for video in videos:
            _require_name(video)
            if video.name in found:
                other = found[video.name].path
                if other.resolve() == video.path.resolve():
                    continue
                raise BallspotError(
                    f"{video.path}: would be {video.name!r} as {other} is; give them one at a time, each its own --out"
                )
            found[video.name] = video
    return tuple(found.values())


def halves_of_videos(videos: Sequence[GivenVideo]) -> dict[str, list[str]]:
    """The names of the videos of each match that was filmed in halves, in their order."""
    found: dict[str, list[str]] = {}
    for video in videos:
        if video.match is not None:
            found.setdefault(video.match, []).append(video.name)
    return found


def _require_name(video: GivenVideo) -> None:
    """Raises BallspotError for a name that cannot be a folder's below another, or no text."""
    try:
        video.name.encode()
    except UnicodeEncodeError as error:
        raise BallspotError(f"{str(video.path)!a}: its name is not UTF-8; rename it") from error
    if any(part in ("", ".", "..") for part in video.name.split("/")):
        raise BallspotError(f"{video.path}: its name without the suffix is {video.name!r}; rename it")


def _videos_below(root: Path) -> Iterator[GivenVideo]:
    folders = [root, *sorted(path for path in root.rglob("*") if path.is_dir())]
    for folder in folders:
        relative = folder.relative_to(root)
        if any(part.startswith(".") for part in relative.parts):
            continue
        try:
            videos = sorted(
                path
                for path in folder.iterdir()
                if path.is_file() and path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith(".")
            )
        except OSError as error:
            raise BallspotError(f"{folder}: cannot be listed ({error.strerror}); check its rights") from error
        names = {video.name: video for video in videos}
        of_match = next((names[name] for name in PREFERRED_VIDEOS if name in names), None)
        if of_match is None and len(videos) == 1 and (folder / LABELS_FILE).is_file():
            of_match = videos[0]
        name = relative.as_posix() if folder != root else folder.resolve().name
        halves = {} if of_match is not None else halves_of(videos)
        if of_match is not None:
            yield GivenVideo(name, of_match)
        elif halves and all("_" in video.name for video in videos):
            yield from (GivenVideo(f"{name}/{half}", path, name) for half, path in halves.items())
        else:
            yield from (GivenVideo((relative / video.stem).as_posix(), video) for video in videos)
