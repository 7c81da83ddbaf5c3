"""Which video a folder of predictions is of: what `predict VIDEO` writes down, and where that video lies now."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from ...cache.disk import plain_name, read_json
from ...cache.errors import BallspotError
from ...cache.runs import find_recorded, recorded_path
from ...cache.terminal import note
from .data_selection import DataSelection
from .given import Given, data_root_of
from .labelsets import BALL_12, LabelSet
from .matches import PREFERRED_VIDEOS, Match, find_matches
from .predictions import Predictions
from .splits import Splits

VIDEO_FILE = "video.json"


def video_record(video: Path, n_bytes: int) -> dict[str, Any]:
    """What is written down of the video that a folder of predictions is of."""
    return {"video": video.name, "bytes": n_bytes, "path": recorded_path(video)}


def is_recorded(record: Any, video: Path, n_bytes: int) -> bool:
    """Whether a record is that of a video of this name and size, wherever it lay."""
    return isinstance(record, dict) and (record.get("video"), record.get("bytes")) == (video.name, n_bytes)


def recorded_matches(predictions: Predictions) -> dict[str, Match]:
    """The matches of ``predictions`` that a video record lies beside, each with its video; none of a zip file.

    The video is looked for where it was, then below the folders above the record; one of another size is not taken.
    Where it is gone, a note says so, and the match has no video.
    """
    found: dict[str, Match] = {}
    for name in predictions.matches() if predictions.entries is None else ():
        file = predictions.find(name)
        if file is None:
            continue
        folder = predictions.path / PurePosixPath(file).parent
        for half, place in ((None, folder), (1, folder / "1"), (2, folder / "2")):
            record = read_json(place / VIDEO_FILE) if (place / VIDEO_FILE).is_file() else None
            if isinstance(record, dict):
                own = plain_name(name if half is None else f"{name}/{half}")
                found[own] = Match(own, place, _video_of(place / VIDEO_FILE, record), None, half)
    return found


@dataclass(frozen=True)
class RecordedVideos(DataSelection):
    """Predicted videos in place of a data root: they have no labels and no splits."""

    recorded: Mapping[str, Match] = field(default_factory=dict)

    @cached_property
    def matches(self) -> Mapping[str, Match]:
        """The videos that were predicted, by the names of their folders."""
        return self.recorded

    def labels_at(self, match: Match) -> Path | None:
        """None: a folder of predictions is no place for labels."""
        return match.labels_path

    @cached_property
    def splits(self) -> Splits:
        """Raises BallspotError: loose videos are not divided."""
        raise BallspotError(f"{self.data_root}: has predictions of loose videos; --split and --splits need --data")


@dataclass(frozen=True)
class LooseVideos(RecordedVideos):
    """Videos that were named one by one; each has, or gets, its labels beside it."""

    @classmethod
    def of(cls, videos: Sequence[Path], label_set: LabelSet, labels_file: str | None) -> "LooseVideos":
        """The videos, by their names without the ending. BallspotError for two of one name, and a missing one."""
        recorded: dict[str, Match] = {}
        for video in videos:
            if not video.is_file():
                raise BallspotError(f"{video}: no such video; check the path")
            name = plain_name(video.stem)
            if name in recorded:
                raise BallspotError(f"{video}: there are two videos named {name}; give one of them")
            labels = labels_of_video(video, labels_file or label_set.file, is_named=labels_file is not None)
            recorded[name] = Match(name, video.parent, video, labels if labels.is_file() else None)
        return cls(videos[0].parent, label_set, None, None, labels_file, recorded=recorded)

    def labels_at(self, match: Match) -> Path | None:
        """Where the label file of a video is, or would be."""
        if match.video is None:
            return match.labels_path
        return labels_of_video(match.video, self.labels_name, is_named=self.labels_file is not None)


def labels_of_video(video: Path, labels_file: str, *, is_named: bool = False) -> Path:
    """Where the labels of a loose video lie: ``my-match.json`` for ``my-match.mp4``; those of a match folder in it.

    A match folder is told by its label file, or by a video of the name that SoccerNet's have. ``is_named`` takes
    ``labels_file`` whatever the video is called.
    """
    in_folder = video.with_name(labels_file)
    if is_named or video.name in PREFERRED_VIDEOS or in_folder.is_file():
        return in_folder
    return video.with_suffix(".json")


def videos_selection(
    given: Sequence[Given],
    data_root: Path | None,
    *,
    label_set: LabelSet = BALL_12,
    splits_file: Path | None = None,
    labels_file: str | None = None,
    one_video: bool = False,
) -> DataSelection:
    """The matches whose videos are shown: of ``data_root``, or else of what the predictions tell of themselves.

    Those of loose videos recorded which these are, which are taken also where ``data_root`` holds no match folders. A
    run knows its data root. Raises BallspotError where neither tells.
    """
    recorded: dict[str, Match] = {}
    if all(one.run is None for one in given) and (
        data_root is None or _is_loose(data_root, labels_file or label_set.file)
    ):
        for one in reversed(given):
            recorded |= recorded_matches(one.opened())
    if recorded:
        return RecordedVideos(given[0].path, label_set, splits_file, None, labels_file, one_video, recorded=recorded)
    return DataSelection(data_root_of(given, data_root), label_set, splits_file, None, labels_file, one_video)


def _is_loose(data_root: Path, labels_file: str) -> bool:
    """Whether this is a folder that is no data root, such as one of loose videos."""
    try:
        find_matches(data_root, labels_file=labels_file, one_video=False)
    except BallspotError:
        return data_root.is_dir()
    return False


def _video_of(path: Path, record: Mapping[str, Any]) -> Path | None:
    """The video that the record at ``path`` tells of; None, and a note, where it is not found."""

    def fits(place: Path) -> bool:
        return place.is_file() and place.stat().st_size == record.get("bytes")

    places = [one for one in (record.get("path"), record.get("video")) if isinstance(one, str) and one]
    for recorded in places:
        found = find_recorded(path, recorded, fits)
        if found is not None:
            return found
    where = places[0] if places else "of no name"
    note(f"note: {path}: its video {where} was not found; put it beside, or give `ballspot predict` the video again")
    return None
