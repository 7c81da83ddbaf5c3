"""Every format by its name, and reading and writing whole folders of them."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ...cache.disk import is_begun, write_texts
from ...cache.errors import BallspotError
from ..dataset import brief
from .e2espot import e2e_spot_losses, read_e2e_spot, write_e2e_spot
from .osl import osl_losses, read_osl, write_osl
from .soccernet import label_losses, read_label_file, read_spot_file, spot_losses, write_label_file, write_spot_file
from .soccertrack import read_soccertrack, soccertrack_losses, write_soccertrack
from .table import csv_losses, read_csv, write_csv
from .videos import Format, VideoSpots

MAX_NAME_BYTES = 200  # of 255 that file systems take: some go to the name of the file


MAX_MATCH_BYTES = 2000  # of 4096 that a whole path may have


ANY_MATCH = "*"  # in a pattern: the last folder of the match's name


FORMATS: dict[str, Format] = {
    one.name: one
    for one in (
        Format("labels-ball", "Labels-ball.json", read_label_file, write_label_file, label_losses),
        Format("labels-v2", "Labels-v2.json", read_label_file, write_label_file, label_losses),
        Format("spots", "results_spotting.json", read_spot_file, write_spot_file, spot_losses),
        Format(
            "soccertrack-v2",
            "*_12_class_events.json",
            read_soccertrack,
            write_soccertrack,
            soccertrack_losses,
        ),
        Format("osl", None, read_osl, write_osl, osl_losses),
        Format("e2e-spot", None, read_e2e_spot, write_e2e_spot, e2e_spot_losses),
        Format("csv", None, read_csv, write_csv, csv_losses),
    )
}


def read_videos(path: Path, kind: Format) -> list[VideoSpots]:
    """The matches in file or folder ``path``, sorted by name for a folder; names are paths below it.

    Raises BallspotError naming the file and entry that is malformed, and when there is nothing of that format.
    """
    if path.is_dir():
        if kind.pattern is None:
            raise BallspotError(f"{path}: is a folder, but {kind.name} is one file; give the file")
        files = sorted(path.rglob(kind.pattern))
        if not files:
            raise BallspotError(f"{path}: no {kind.pattern} below this folder; check --from and the path")
        videos = []
        for file in files:
            name = file.parent.relative_to(path).as_posix()
            videos += kind.read(_text(file), str(file), path.resolve().name if name == "." else name)
        twice = next((name for name, n in Counter(video.name for video in videos).items() if n > 1), None)
        if twice is not None:
            raise BallspotError(f"{path}: several {kind.pattern} in {twice}; keep one")
        return videos
    if not path.exists():
        raise BallspotError(f"{path}: no such file or folder; check the path")
    return kind.read(_text(path), str(path), path.resolve().parent.name)


def write_videos(path: Path, kind: Format, videos: Sequence[VideoSpots], *, fps: float) -> list[Path]:
    """Writes the matches to folder ``path``, or to file ``path`` where one file holds all; the paths written.

    Every file is whole or absent; none that is there is overwritten: BallspotError before anything is written, but
    for some of the very same files, which a kill has left.
    """
    if kind.pattern is None:
        texts = {path: kind.write(videos, fps)}
    else:
        texts = {}
        for video in videos:
            folder = path / video.name
            parts = Path(video.name).parts
            if Path(video.name).is_absolute() or ".." in parts:
                raise BallspotError(f"match name {brief(video.name)} leads out of {path}; rename it")
            too_long = any(len(part.encode()) > MAX_NAME_BYTES for part in parts)
            if "\0" in video.name or too_long or len(video.name.encode()) > MAX_MATCH_BYTES:
                raise BallspotError(f"match name {brief(video.name)} cannot be a folder; rename it")
            texts[folder / kind.pattern.replace(ANY_MATCH, folder.name)] = kind.write([video], fps)
    there = next((file for file in texts if file.exists()), None)
    if there is not None and not is_begun(texts):
        raise BallspotError(f"{there}: is there already; choose another place or remove it")
    write_texts(texts)
    return list(texts)


def _text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            return stream.read()
    except OSError as error:
        raise BallspotError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    except UnicodeDecodeError as error:
        raise BallspotError(f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8") from error
