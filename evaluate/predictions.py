"""Where predictions are read from: a folder or a zip file with `<match>/results_spotting.json` for every match."""

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from ..cache.errors import BallspotError
from .labels import Spot
from .spots import SPOTS_FILE, read_spots, spots_in_bytes

SCORES_FILE = "scores.npz"


@dataclass(frozen=True)
class Predictions:
    """Predictions of many matches; ``entries`` are the files in the zip, None for a folder."""

    path: Path
    entries: frozenset[str] | None

    def spots(self, match: str) -> tuple[Spot, ...]:
        """The spots of one match in the order they are written.

        Raises BallspotError naming the match when it has no file, and saying where one lies too deep or too high.
        """
        name = f"{match}/{SPOTS_FILE}"
        if self.entries is None:
            if not (self.path / name).is_file():
                raise BallspotError(self._missing(match))
            return read_spots(self.path / name)
        if name not in self.entries:
            raise BallspotError(self._missing(match))
        place = f"{self.path}: {name}"
        try:
            with zipfile.ZipFile(self.path) as archive:
                content = archive.read(name)
        except (OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
            # RuntimeError is a password, NotImplementedError a compression that zipfile does not know.
            raise BallspotError(f"{place} cannot be unpacked ({error}); unpack the zip and give the folder") from error
        return spots_in_bytes(content, place)

    def video_length(self, match: str, *, fps: float) -> float | None:
        """The seconds of a match's video, from ``scores.npz`` beside its spots; None where that does not tell it.

        The file's ``n_video_frames`` counts at its ``fps``, else at ``fps``.
        """
        path = self.path / match / SCORES_FILE
        if self.entries is not None or not path.is_file():
            return None
        try:
            with np.load(path, allow_pickle=False) as arrays:
                if "n_video_frames" not in arrays:
                    return None
                rate = float(arrays["fps"]) if "fps" in arrays else fps
                return float(arrays["n_video_frames"]) / rate
        except (OSError, ValueError, TypeError, EOFError, ZeroDivisionError, zipfile.BadZipFile, zlib.error) as error:
            raise BallspotError(f"{path}: cannot be read ({error}); predict again, or remove it") from error

    def _missing(self, match: str) -> str:
        wanted = f"{self.path}: no predictions for match {match!r} (no {match}/{SPOTS_FILE})"
        last = PurePosixPath(match).name
        for name in sorted(self._spot_files()):
            folders = PurePosixPath(name).parent
            if last in folders.parts or str(folders) == ".":
                return f"{wanted}, but there is {name}; the folders below both roots must be the same"
        return f"{wanted}; predict that match too, or name the part that was predicted with --split"

    def _spot_files(self) -> list[str]:
        if self.entries is not None:
            return [name for name in self.entries if PurePosixPath(name).name == SPOTS_FILE]
        return [path.relative_to(self.path).as_posix() for path in self.path.rglob(SPOTS_FILE)]


def open_predictions(path: Path) -> Predictions:
    """The predictions in a folder or zip file. Raises BallspotError when it is neither, and for a run folder."""
    if path.is_dir():
        if (path / "run.json").is_file():
            raise BallspotError(f"{path}: is a run, not predictions; give its folder predictions/test (or valid)")
        return Predictions(path, None)
    if not path.is_file():
        raise BallspotError(f"{path}: no such folder or zip file; give what `ballspot predict` wrote")
    try:
        with zipfile.ZipFile(path) as archive:
            return Predictions(path, frozenset(archive.namelist()))
    except (OSError, zipfile.BadZipFile) as error:
        raise BallspotError(f"{path}: is no folder and no readable zip file ({error}); give either") from error
