"""A data root made of loose videos and label files: a folder a match, a split, a label set. Nothing is moved."""

import os
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import tomli_w

from ...cache.disk import make_folder, plain_name, read_content, reason_of, write_texts
from ...cache.errors import BallspotError
from ...evaluate.dataset import (
    ALONE_OF_HALF_2,
    BUILT_IN,
    PREFERRED_VIDEOS,
    SPLITS_FILE,
    VIDEO_SUFFIXES,
    LabelSet,
    halves_of,
)
from ...evaluate.editing import journal_of
from ...evaluate.formats import FORMATS, Format, Source, VideoSpots

LABEL_SUFFIXES = (".json", ".xml", ".csv")
AS_LABELS = "labels-ball"
NO_LABELS = ("spots",)  # predictions
LABELS_TOML = "labels.toml"


@dataclass(frozen=True)
class Found:
    """One match to be: its name, its videos, and its labels with the file that they are from."""

    name: str
    videos: tuple[Path, ...]
    labels: VideoSpots | None = None
    source: Path | None = None
    is_own_format: bool = False


@dataclass(frozen=True)
class InitPlan:
    """What a folder of loose files becomes; ``notes`` says what is left out and what a format could not tell."""

    matches: tuple[Found, ...]
    label_set: LabelSet
    parts: Mapping[str, tuple[str, ...]]
    notes: tuple[str, ...] = ()
    writes_set: bool = False


@dataclass
class _Labels:
    """The label files of a folder: what each holds, and what was said of those that are none."""

    of_file: dict[Path, tuple[Format, list[VideoSpots]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def plan_root(
    folder: Path,
    *,
    out: Path,
    shares: Sequence[float],
    label_set: LabelSet | None = None,
    fps: float | None = None,
    seed: int = 0,
) -> InitPlan:
    """What the videos and label files below ``folder`` become; nothing is written.

    A match is named by the path of its video without the ending, or by the folder of a video that is called as
    SoccerNet's are (224p.mp4, 1_224p.mkv). Labels are of any format of `ballspot data convert`, told by their content;
    a file of one match belongs to the video of its name, or to the only video of its folder, a file of many to the
    videos that it names. ``label_set`` None takes the built-in set that has all classes, or makes one.
    Raises BallspotError for no video, two videos or two label files of one match, and labels that the set has not.
    """
    if not folder.is_dir():
        raise BallspotError(f"{folder}: is not a folder; give the one that holds the videos")
    files = list(_files(folder, out))
    matches = _matches(folder, [one for one in files if one.suffix.lower() in VIDEO_SUFFIXES])
    if not matches:
        raise BallspotError(f"{folder}: holds no video ({', '.join(sorted(VIDEO_SUFFIXES))}); check the path")
    labels = _Labels()
    for file in files:
        if file.suffix.lower() in LABEL_SUFFIXES:
            _read(file, labels, fps)
    matches = _with_labels(folder, matches, labels)
    counts = Counter(spot.label for one in matches if one.labels for spot in one.labels.spots)
    chosen, writes_set = _label_set(counts, label_set, folder)
    labelled = [one.name for one in matches if one.labels is not None]
    unlabelled = len(matches) - len(labelled)
    if unlabelled:
        labels.notes.append(f"{unlabelled} of {len(matches)} matches have no labels; they are in no part of the split")
    return InitPlan(tuple(matches), chosen, split_by_shares(labelled, shares, seed), tuple(labels.notes), writes_set)


def make_root(plan: InitPlan, out: Path, *, how: str = "link") -> None:
    """Writes the data root of a plan, whole or not at all; ``how`` videos come there: link, hardlink or copy.

    Label files are always copies, so that correcting them leaves the sources alone. Raises BallspotError where ``out``
    is there already or cannot be written.
    """
    if out.exists() or out.is_symlink():
        raise BallspotError(f"{out}: already exists; choose another --out")
    make_folder(out.parent)
    built = Path(tempfile.mkdtemp(prefix=f".{out.name[:60]}.", suffix=".tmp", dir=out.parent))
    try:
        for one in plan.matches:
            place = make_folder(built / one.name)
            for video in one.videos:
                _bring(video, place / _name_of(video, one), how)
            if one.labels is None or one.source is None:
                continue
            target = place / plan.label_set.file
            if one.is_own_format:
                target.write_bytes(read_content(one.source))
                if journal_of(one.source).is_file():  # its undo and its rejections
                    journal_of(target).write_bytes(read_content(journal_of(one.source)))
            else:
                write = FORMATS[AS_LABELS].write
                assert write is not None  # noqa: S101  labels-ball is written
                write_texts({target: write([one.labels], 25.0)})
        texts = {built / SPLITS_FILE: tomli_w.dumps({part: list(names) for part, names in plan.parts.items()})}
        if plan.writes_set:
            texts[built / LABELS_TOML] = tomli_w.dumps(
                {key: value for key, value in plan.label_set.as_record().items() if value}
            )
        write_texts(texts)
        built.chmod(0o755)
        built.rename(out)
    except OSError as error:
        raise BallspotError(
            f"{out}: cannot be made ({reason_of(error)}); free space, or choose another place"
        ) from error
    finally:
        shutil.rmtree(built, ignore_errors=True)


def split_by_shares(names: Sequence[str], shares: Sequence[float], seed: int = 0) -> dict[str, tuple[str, ...]]:
    """The names of train, valid and test, drawn by ``seed`` in these shares.

    Each part of a share above 0 gets a match as long as there are enough: the first goes to train, the second to
    valid, the third to test. Raises BallspotError for shares that are none.
    """
    total = sum(shares)
    if len(shares) != 3 or min(shares) < 0 or not 0 < total < float("inf"):
        raise BallspotError(f"shares {', '.join(map(str, shares))}: give three from 0, such as 70,15,15")
    drawn = sorted(names)
    random.Random(seed).shuffle(drawn)
    wanted = [len(drawn) * share / total for share in shares]
    counts = [0, 0, 0]
    for _ in drawn:
        empty = [part for part in range(3) if shares[part] > 0 and counts[part] == 0]
        part = empty[0] if empty else max(range(3), key=lambda one: wanted[one] - counts[one])
        counts[part] += 1
    parts = {}
    for part, count in zip(("train", "valid", "test"), counts, strict=True):
        parts[part], drawn = tuple(sorted(drawn[:count])), drawn[count:]
    return parts


def _files(folder: Path, out: Path) -> Iterator[Path]:
    """The files below a folder, in order, without hidden ones and what lies in ``out``."""
    for above, folders, names in os.walk(folder):
        folders[:] = sorted(
            one for one in folders if not one.startswith(".") and Path(above, one).resolve() != out.resolve()
        )
        yield from (Path(above, name) for name in sorted(names) if not name.startswith("."))


def _matches(folder: Path, videos: Sequence[Path]) -> list[Found]:
    by_folder: dict[Path, list[Path]] = {}
    for video in videos:
        by_folder.setdefault(video.parent, []).append(video)
    found: dict[str, Found] = {}
    for place, own in by_folder.items():
        preferred = [one for one in own if one.name in PREFERRED_VIDEOS]
        halves = {} if preferred else halves_of(own)
        if (preferred or halves) and place != folder:
            groups = {place: tuple(preferred[:1] or halves.values())}
        else:
            groups = {one.with_suffix(""): (one,) for one in own}
            if len(groups) < len(own):
                names = [one.name for one in own if sum(two.stem == one.stem for two in own) > 1]
                raise BallspotError(f"{place}: {' and '.join(names)} are videos of one name; rename one")
        for at, group in groups.items():
            name = plain_name(at.relative_to(folder).as_posix())
            if name in found:
                raise BallspotError(f"{group[0]} and {found[name].videos[0]}: both are match {name!r}; rename one")
            found[name] = Found(name, group)
    return [found[name] for name in sorted(found)]


def _read(file: Path, labels: _Labels, fps: float | None) -> None:
    """What a file holds, by the first format that takes it; a note where none does."""
    content = read_content(file)
    troubles = []
    for kind in FORMATS.values():
        if (file.suffix.lower() == ".xml") != (kind.name == "sportscode"):
            continue
        if (file.suffix.lower() == ".csv") != (kind.name == "csv"):
            continue
        try:
            videos = kind.read(content, Source(str(file), file.stem, fps))
        except BallspotError as error:
            troubles.append(str(error))
            continue
        if kind.name in NO_LABELS:
            labels.notes.append(f"{file}: holds predictions, not labels; left out")
        else:
            labels.of_file[file] = (kind, videos)
            labels.notes += [f"{file}: not read: {note}" for video in videos for note in video.notes]
            labels.notes += [f"{file}: {remark}" for video in videos for remark in video.remarks]
        return
    reason = troubles[0].removeprefix(f"{file}: ") if troubles else "of no known format"
    labels.notes.append(f"{file}: no label file ({reason}); left out")


def _with_labels(folder: Path, matches: Sequence[Found], labels: _Labels) -> list[Found]:
    found = {one.name: one for one in matches}
    for file, (kind, videos) in labels.of_file.items():
        is_single = kind.pattern is not None
        for video in videos:
            name = _match_of_file(folder, file, matches) if is_single else _match_of_name(video.name, matches)
            if name is None:
                labels.notes.append(f"{file}: its labels of {video.name!r} are of no video here; left out")
                continue
            there = found[name]
            if there.source is not None:
                raise BallspotError(f"{file} and {there.source}: both hold labels of match {name!r}; move one away")
            own = kind.name in ("labels-ball", "labels-v2")
            found[name] = replace(there, labels=replace(video, name=name), source=file, is_own_format=own)
            if not own:
                losses = FORMATS[AS_LABELS].losses([video], 25.0)
                kept = {key: n for key, n in losses.items() if n and key not in ("frame rates", "video lengths")}
                labels.notes += [f"{file}: labels cannot hold: {key} ({n})" for key, n in sorted(kept.items())]
    return list(found.values())


def _match_of_file(folder: Path, file: Path, matches: Sequence[Found]) -> str | None:
    """The match of a file of one match: the video of its name beside it, else the only match of its folder."""
    name = plain_name(file.with_suffix("").relative_to(folder).as_posix())
    beside = [one.name for one in matches if any(video.parent == file.parent for video in one.videos)]
    return name if name in beside else beside[0] if len(beside) == 1 else None


def _match_of_name(name: str, matches: Sequence[Found]) -> str | None:
    """The match that a file of many names: by the whole name, or by its last part where one match has that."""
    name = plain_name(name)
    whole = [one.name for one in matches if one.name == name]
    last = [one.name for one in matches if one.name.rpartition("/")[2] == name.rpartition("/")[2]]
    return whole[0] if whole else last[0] if len(last) == 1 else None


def _label_set(counts: Mapping[str, int], given: LabelSet | None, folder: Path) -> tuple[LabelSet, bool]:
    """The label set, and whether it is to be written beside the split."""
    if given is not None:
        for label in counts:
            if label not in given:
                raise BallspotError(f"{folder}: {given.unknown(label)}; give --labels or --classes that has it")
        return given, given.name not in BUILT_IN
    for one in BUILT_IN.values():
        if all(label in one for label in counts):
            return one, False
    return LabelSet(folder.resolve().name, tuple(sorted(counts, key=lambda label: (-counts[label], label)))), True


def _name_of(video: Path, match: Found) -> str:
    """What a video is called in its match folder: as before, but for an only one that would be taken for half 2."""
    is_of_half = len(match.videos) > 1 or any(Path(size).stem in video.stem for size in PREFERRED_VIDEOS)
    return f"video-{video.name}" if ALONE_OF_HALF_2.match(video.name) and not is_of_half else video.name


def _bring(video: Path, target: Path, how: str) -> None:
    if how == "copy":
        shutil.copyfile(video, target)
    elif how == "hardlink":
        os.link(video, target)
    else:
        target.symlink_to(video.resolve())
