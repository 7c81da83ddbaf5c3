"""Which matches there are: the folders below a data root that hold a video or ball labels."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from ...cache.disk import nearest_name, path_hint, plain_name
from ...cache.errors import BallspotError
from .labelsets import LABELS_FILE

LABEL_FILES = (LABELS_FILE, "Labels-v2.json", "Labels.json")  # a folder with one of them is a match where no other is
SOCCERNET_FPS = {"Labels.json": 2.0, "Labels-v2.json": 2.0}  # what SoccerNet's package scores them at, if not told

PREFERRED_VIDEOS = ("224p.mp4", "720p.mp4")  # the smaller decodes 10 times faster

VIDEO_SUFFIXES = frozenset(
    {".3gp", ".asf", ".avi", ".divx", ".f4v", ".flv", ".m2t", ".m2ts", ".m2v", ".m4v", ".mkv", ".mov", ".mp4"}
    | {".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".qt", ".rmvb", ".tp", ".trp", ".ts", ".vob", ".webm", ".wmv"}
)

OF_HALF = {half: re.compile(rf"{half}(?!\d)") for half in (1, 2)}
ALONE_OF_HALF_2 = re.compile(r"2(?![^\W_])")  # the only video of a match folder: 2_224p.mkv, no 2nd leg.mp4


@dataclass(frozen=True)
class Match:
    """One match folder; ``name`` is its path below the data root with forward slashes, ``gfootball/2026/match-01``.

    The name has one form of Unicode (NFC), which splits, feature sets and predictions are looked up by; the folder may
    have another.
    ``video`` or ``labels_path`` is None where the folder has none; it may have neither where it has labels of another
    task, or several videos that were let pass (see `find_matches`).

    Where a match was filmed as two videos, each ``half`` is a recording of its own, ``<match>/1`` and ``<match>/2``,
    with the labels of that half; ``whole`` is the match that it is of.
    """

    name: str
    folder: Path
    video: Path | None
    labels_path: Path | None
    half: int | None = None

    @property
    def whole(self) -> str:
        """The name of the match that this is the whole or a half of."""
        return self.name if self.half is None else self.name.rpartition("/")[0]


def find_matches(data_root: Path, *, labels_file: str = LABELS_FILE, one_video: bool = True) -> tuple[Match, ...]:
    """All matches at any depth below ``data_root``, sorted by name; links are followed, hidden files ignored.

    The video is 224p.mp4, else 720p.mp4, else the only video of the folder; videos of two halves (SoccerNet-v2's
    1_224p.mkv and 2_224p.mkv) make two recordings of the match, one after the other. Raises BallspotError when the root
    is missing, is itself a match folder, or holds no match, and when a folder holds several videos of other names.
    Without ``one_video`` a match with several videos is whole and has none (scoring needs labels only).
    """
    if not data_root.is_dir():
        state = "is a file" if data_root.exists() else "does not exist"
        raise BallspotError(f"{data_root}: {state}{path_hint(data_root)}; give the folder that holds the match folders")
    matches: list[Match] = []
    of_other_tasks: list[Match] = []  # with labels of another name alone: taken where there are no matches but these
    for folder, files in _folders(data_root, frozenset()):
        labels = next((file for file in files if file.name == labels_file), None)
        videos = {file.name: file for file in files if file.suffix.lower() in VIDEO_SUFFIXES}
        if labels is None and not videos:
            if folder != data_root and any(file.name in LABEL_FILES for file in files):
                of_other_tasks.append(Match(_name(folder, data_root), folder, None, None))
            continue
        halves = {} if any(name in videos for name in PREFERRED_VIDEOS) else halves_of(videos.values())
        video = None if halves else _video(folder, videos, one_video=one_video)
        if folder == data_root:
            raise BallspotError(f"{data_root}: is itself a match folder; give the folder above it as the data root")
        name = _name(folder, data_root)
        if halves and one_video:
            matches += [Match(f"{name}/{half}", folder, path, labels, half) for half, path in halves.items()]
        else:
            matches.append(Match(name, folder, video, labels))
    matches = matches or of_other_tasks
    if not matches:
        raise BallspotError(
            f"{data_root}: no match below this folder{path_hint(data_root)}: none holds {labels_file} or a video; "
            "check the path, and the layout in README.md"
        )
    ordered = sorted(matches, key=lambda match: match.name)
    for one, other in pairwise(ordered):
        if one.name == other.name:
            raise BallspotError(
                f"{other.folder}: has the same name as another match folder but for the form of its accents (NFC or "
                "NFD); rename or remove one"
            )
    return tuple(ordered)


def why_no_video(folder: Path) -> str:
    """What a match folder without a video has that is only called like one, after a colon; "" where there is none."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.suffix.lower() not in VIDEO_SUFFIXES or path.is_file():
            continue
        if path.is_symlink() and not path.exists():
            return f": {path.name} is a link to {path.readlink()}, which is not there"
        return f": {path.name} is {'a folder' if path.is_dir() else 'no regular file'}"
    return ""


def halves_of(videos: Iterable[Path]) -> dict[int, Path]:
    """The video of each half, by the 1 and 2 that their names begin with, of several sizes the smaller one.

    None where some video is of neither half, or the names of the two halves differ in more than their number and
    the size of the pictures.
    """
    ordered = sorted(videos)
    by_half = {half: {path.name[1:]: path for path in ordered if OF_HALF[half].match(path.name)} for half in (1, 2)}
    sizes = [Path(name).stem for name in PREFERRED_VIDEOS]
    both = [rest for rest in by_half[1] if rest in by_half[2]]
    alone = [rest for own in by_half.values() for rest in own if rest not in both]
    is_other = len(ordered) > sum(map(len, by_half.values()))
    if not both or is_other or not all(any(size in rest for size in sizes) for rest in alone):
        return {}
    rest = next((rest for size in sizes for rest in both if size in rest), both[0])
    return {half: own[rest] for half, own in by_half.items()}


def halves_by_match(matches: Iterable[Match]) -> dict[str, tuple[str, ...]]:
    """The names of the recordings of each match that has two, by the name of the match."""
    found: dict[str, tuple[str, ...]] = {}
    for match in matches:
        if match.half is not None:
            found[match.whole] = (*found.get(match.whole, ()), match.name)
    return found


def rate_remark(labels_file: str, fps: float) -> str | None:
    """What to say where labels are scored at another frame rate than SoccerNet's own package does; None at its own."""
    usual = SOCCERNET_FPS.get(labels_file, fps)
    if fps == usual:
        return None
    return (
        f"SoccerNet's package scores {labels_file} at {usual:g} frames a second, this is at {fps:g}; --fps {usual:g} "
        "gives its number"
    )


def resolve_match(name: str, names: Sequence[str], *, which: str) -> str:
    """The one of ``names`` that is meant by ``name``, whole or the last folder of one match only.

    Raises BallspotError when several have that folder or none is like it, naming those or the nearest; ``which`` is
    what errors say of the match: "to leave out".
    """
    name = plain_name(name)
    found = [name] if name in names else [one for one in names if one.rpartition("/")[2] == name]
    if len(found) == 1:
        return found[0]
    if found:
        raise BallspotError(f"match {name!r} {which} could be {' or '.join(found)}; give its whole name")
    raise BallspotError(f"no match {name!r} {which}; {nearest_match(name, names)}")


def nearest_match(name: str, names: Sequence[str]) -> str:
    """What an error says instead of ``name``: ``did you mean ...?`` by whole name or last folder, else the first."""
    if not names:
        return "there is none"
    by_folder = {one.rpartition("/")[2]: one for one in names}
    near = nearest_name(name, names) or by_folder.get(nearest_name(name, by_folder) or "")
    return f"did you mean {near!r}?" if near else f"there are {len(names)}, the first is {names[0]!r}"


def _name(folder: Path, data_root: Path) -> str:
    name = plain_name(folder.relative_to(data_root).as_posix())
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise BallspotError(f"{str(folder)!a}: its name is not UTF-8; rename it") from error
    return name


def _video(folder: Path, videos: dict[str, Path], *, one_video: bool) -> Path | None:
    for name in PREFERRED_VIDEOS:
        if name in videos:
            return videos[name]
    if len(videos) > 1:
        if not one_video:
            return None
        raise BallspotError(
            f"{folder}: several videos ({', '.join(videos)}) and none is named {' or '.join(PREFERRED_VIDEOS)}; rename "
            "the one to use or keep one only"
        )
    return next(iter(videos.values()), None)


def _folders(folder: Path, above: frozenset[Path]) -> Iterator[tuple[Path, list[Path]]]:
    """Each folder from ``folder`` down with its files by name; ``above`` are its ancestors, to end loops of links."""
    real = folder.resolve()
    if real in above:
        return
    try:
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise BallspotError(f"{folder}: cannot be listed ({error.strerror}); check its rights") from error
    yield folder, [entry for entry in entries if entry.is_file()]
    for entry in entries:
        if entry.is_dir():
            yield from _folders(entry, above | {real})
