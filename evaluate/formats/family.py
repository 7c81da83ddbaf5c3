"""Every format by its name, and reading and writing whole folders of them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ...cache.disk import is_begun, plain_name, read_content, write_texts
from ...cache.errors import BallspotError
from ..dataset import brief
from .e2espot import e2e_spot_losses, read_e2e_spot, write_e2e_spot
from .osl import osl_losses, read_osl, write_osl
from .players import read_players
from .soccernet import label_losses, read_label_file, read_spot_file, spot_losses, write_label_file, write_spot_file
from .soccertrack import read_soccertrack, soccertrack_losses, write_soccertrack
from .sportscode import read_sportscode, sportscode_losses, write_sportscode
from .table import csv_losses, read_csv, write_csv
from .videos import AFTER_S, BEFORE_S, Format, Source, VideoSpots, join_halves, split_halves

MAX_NAME_BYTES = 200  # of 255 that file systems take: some go to the name of the file
MAX_MATCH_BYTES = 2000  # of 4096 that a whole path may have
ANY_MATCH = "*"  # in a pattern: the last folder of the match's name

FORMATS: dict[str, Format] = {
    one.name: one
    for one in (
        Format("labels-ball", "Labels-ball.json", read_label_file, write_label_file, label_losses),
        Format("labels-v2", "Labels-v2.json", read_label_file, write_label_file, label_losses),
        Format("spots", "results_spotting.json", read_spot_file, write_spot_file, spot_losses),
        Format("soccertrack-v2", "*_12_class_events.json", read_soccertrack, write_soccertrack, soccertrack_losses),
        Format("osl", None, read_osl, write_osl, osl_losses),
        Format("e2e-spot", None, read_e2e_spot, write_e2e_spot, e2e_spot_losses),
        Format("csv", None, read_csv, write_csv, csv_losses),
        Format("sportscode", "*.xml", read_sportscode, write_sportscode, sportscode_losses, is_file_per_match=True),
        Format("player-centric", None, read_players),
    )
}


def read_videos(
    path: Path, kind: Format, *, fps: float | None = None, before_s: float = BEFORE_S, after_s: float = AFTER_S
) -> list[VideoSpots]:
    """The matches in file or folder ``path``, sorted by name for a folder; names are paths below it.

    What the files do not tell is taken from the rest, as `Source` says. Raises BallspotError naming the file and entry
    that is malformed, and when there is nothing of that format.
    """

    def read(file: Path, match: str) -> list[VideoSpots]:
        return kind.read(read_content(file), Source(str(file), match, fps, before_s, after_s))

    if path.is_dir():
        if kind.pattern is None:
            raise BallspotError(f"{path}: is a folder, but {kind.name} is one file; give the file")
        files = sorted(path.rglob(kind.pattern))
        if not files:
            raise BallspotError(f"{path}: no {kind.pattern} below this folder; check --from and the path")
        videos = []
        for file in files:
            within = file.with_suffix("") if kind.is_file_per_match else file.parent
            name = within.relative_to(path).as_posix()
            videos += read(file, path.resolve().name if name == "." else name)
        videos = _told_apart(videos, files, path) if kind.is_file_per_match else videos
        twice = next((name for name, n in Counter(video.name for video in videos).items() if n > 1), None)
        if twice is not None:
            raise BallspotError(f"{path}: several {kind.pattern} in {twice}; keep one")
        return videos
    if not path.exists():
        raise BallspotError(f"{path}: no such file or folder; check the path")
    return read(path, path.stem if kind.is_file_per_match else path.resolve().parent.name)


def write_videos(path: Path, kind: Format, videos: Sequence[VideoSpots], *, fps: float) -> list[Path]:
    """Writes the matches to folder ``path``, or to file ``path`` where one file holds all; the paths written.

    Every file is whole or absent; none that is there is overwritten: BallspotError before anything is written, but
    for some of the very same files, which a kill has left. Nor is anything written for two names of one folder.
    """
    if kind.write is None:
        raise BallspotError(f"{path}: {kind.name} is a format that is read only; choose another --to")
    if kind.pattern is None:
        texts = {path: kind.write(videos, fps)}
    else:
        texts = {}
        named: dict[str, str] = {}
        for video in split_halves(videos) if kind.is_file_per_match else videos:
            folder = path / video.name
            parts = Path(video.name).parts
            if Path(video.name).is_absolute() or ".." in parts:
                raise BallspotError(f"match name {brief(video.name)} leads out of {path}; rename it")
            too_long = any(len(part.encode()) > MAX_NAME_BYTES for part in parts)
            if "\0" in video.name or too_long or len(video.name.encode()) > MAX_MATCH_BYTES:
                raise BallspotError(f"match name {brief(video.name)} cannot be a folder; rename it")
            other = named.setdefault(plain_name(Path(video.name).as_posix()), video.name)
            if other != video.name:  # "a" and "a/", or two forms of one accent
                raise BallspotError(
                    f"match names {brief(other)} and {brief(video.name)} are the same folder; write them alike"
                )
            name = kind.pattern.replace(ANY_MATCH, folder.name)
            texts[folder.parent / name if kind.is_file_per_match else folder / name] = kind.write([video], fps)
    there = next((file for file in texts if file.exists()), None)
    if there is not None and not is_begun(texts):
        raise BallspotError(f"{there}: already exists; choose another place")
    write_texts(texts)
    return list(texts)


def _told_apart(videos: Sequence[VideoSpots], files: Sequence[Path], folder: Path) -> list[VideoSpots]:
    """The videos of one file each, halves joined; those that share a name go by their files' places in ``folder``."""
    n_named = Counter(video.name for video in videos)
    own = (file.relative_to(folder).with_suffix("").as_posix() for file in files)
    named = [replace(one, name=place) if n_named[one.name] > 1 else one for one, place in zip(videos, own, strict=True)]
    return join_halves(named)
