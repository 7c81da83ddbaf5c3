"""Where predictions are read from: a folder or a zip file with `<match>/results_spotting.json` for every match."""

import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath

from ...cache.disk import existing_path, path_hint, plain_name, raise_if_system, read_arrays, read_json
from ...cache.errors import BallspotError
from .labels import MAX_POSITION_MS, Spot
from .spots import SPOTS_FILE, SpotFile, spots_in, spots_in_bytes

SCORES_FILE = "scores.npz"
MAX_ENTRY_BYTES = 2**28  # 268 MB is 1.5 million predictions of one match; a small zip can unpack to more than fits


@dataclass(frozen=True)
class Predictions:
    """Predictions of many matches; ``entries`` are the files in the zip, by their plain name, None for a folder.

    A plain name is one with slashes, in the form of Unicode that all match names have here. ``known`` names the
    matches there are, as far as that is known: a file of one of them is no other's.
    """

    path: Path
    entries: Mapping[str, str] | None
    known: frozenset[str] = frozenset()

    def among(self, matches: Iterable[str]) -> "Predictions":
        """The same predictions, where ``matches`` are all the matches there are."""
        return replace(self, known=frozenset(map(plain_name, matches)))

    def spots(self, match: str) -> tuple[Spot, ...]:
        """The spots of one match in the order they are written. Errors as `read`."""
        return self.read(match).spots

    def read(self, match: str) -> SpotFile:
        """The predictions of one match.

        A file that lies too deep or too high is used, and its place told, when no other could be meant; else raises
        BallspotError naming the match and where such files lie, as for a file that is malformed or cannot be unpacked.
        """
        name = self.find(match)
        if name is None:
            raise BallspotError(self._missing(match))
        found_at = None if plain_name(name) == f"{plain_name(match)}/{SPOTS_FILE}" else name
        if self.entries is None:
            path = self.path / name
            return replace(spots_in(read_json(path), str(path)), found_at=found_at)
        return replace(self._unpacked(name), found_at=found_at)

    def find(self, match: str) -> str | None:
        """The path of a match's file in the folder or zip, also too deep or too high; None where there is none.

        A file that lies elsewhere and could be that of two of the ``known`` matches is neither's.
        """
        match = plain_name(match)
        name = self._in_place(match)
        if name is not None:
            return name
        name = self._elsewhere(match)
        if name is None or self._takers[name] > (match in self.known):
            return None
        return self._spot_files[name]

    def scores_path(self, match: str) -> Path | None:
        """The ``scores.npz`` beside a match's file, wherever `find` finds that; None without one, and in a zip."""
        name = None if self.entries is not None else self.find(match)
        path = None if name is None else self.path / PurePosixPath(name).parent / SCORES_FILE
        return path if path is not None and path.is_file() else None

    def matches(self) -> list[str]:
        """The names of all matches that have predictions, sorted: their files' folders. A half is of its match."""
        names = [PurePosixPath(name).parent.as_posix() for name in self._spot_files]
        of_halves = {f"{name}/{half}" for name in names for half in (1, 2)}
        return [name for name in names if name not in of_halves]

    def _unpacked(self, name: str) -> SpotFile:
        place = f"{self.path}: {name}"
        try:
            with zipfile.ZipFile(self.path) as archive:
                entry = archive.getinfo(name)
                if entry.compress_size > self.path.stat().st_size:  # memory is taken for as much as it says
                    raise zipfile.BadZipFile(f"{entry.compress_size} bytes in a file of fewer")
                if entry.file_size > MAX_ENTRY_BYTES:
                    raise BallspotError(
                        f"{place}: unpacks to over {MAX_ENTRY_BYTES // 2**20} MB; unpack the zip and give the folder"
                    )
                content = archive.read(name)
        except (
            OSError,
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
            RuntimeError,
            NotImplementedError,
            ValueError,
        ) as error:
            raise_if_system(self.path, error)
            # RuntimeError is a password, NotImplementedError a compression that zipfile does not know.
            raise BallspotError(f"{place} cannot be unpacked ({error}); unpack the zip and give the folder") from error
        return spots_in_bytes(content, place)

    def video_length(self, match: str, *, fps: float) -> float | None:
        """The seconds of a match's video, from ``scores.npz`` beside its spots; None where that does not tell it.

        The file's ``n_video_frames`` counts at its ``fps``, else at ``fps``.
        """
        path = self.scores_path(match)
        if path is None:
            return None
        remedy = "predict again, or remove it"
        arrays = read_arrays(path, what="scores", remedy=remedy, names=("n_video_frames", "fps"))
        if "n_video_frames" not in arrays:
            return None
        try:
            seconds = float(arrays["n_video_frames"]) / (float(arrays["fps"]) if "fps" in arrays else fps)
        except (ValueError, TypeError, ArithmeticError) as error:
            raise BallspotError(f"{path}: does not tell the video's length ({error}); {remedy}") from error
        if not 0 <= seconds < MAX_POSITION_MS / 1000:
            raise BallspotError(f"{path}: a video of {seconds} seconds; {remedy}")
        return seconds

    def _in_place(self, match: str) -> str | None:
        """The path of the match's file where it belongs, None where there is none."""
        name = f"{match}/{SPOTS_FILE}"
        if self.entries is not None:
            return self.entries.get(name)
        path = existing_path(self.path, name)
        return path.relative_to(self.path).as_posix() if path.is_file() else None

    def _elsewhere(self, match: str) -> str | None:
        """The one file that can be the match's although its folders are not the match's: too many or too few."""
        wanted, files = PurePosixPath(match).parts, self._files_but_others(match)
        for reaches in (_ends_with, lambda longer, shorter: _ends_with(shorter, longer)):
            found = [name for name in files if reaches(PurePosixPath(name).parent.parts, wanted)]
            if len(found) == 1:
                return found[0]
            if found:
                return None
        return None

    def _missing(self, match: str) -> str:
        if not self._spot_files:
            hint = path_hint(self.path)
            return f"{self.path}: no {SPOTS_FILE} below it{hint}; give the folder that `ballspot predict` wrote"
        wanted = f"{self.path}: no predictions for match {match!r} (no {match}/{SPOTS_FILE})"
        last = PurePosixPath(match).name
        for name in self._files_but_others(match):
            folders = PurePosixPath(name).parent
            if last in folders.parts or str(folders) == ".":
                return f"{wanted}, but there is {name}; the folders below both roots must be the same"
        return f"{wanted}; predict that match too, or name the part that was predicted with --split"

    def _files_but_others(self, match: str) -> list[str]:
        """The prediction files that do not lie where those of another of the ``known`` matches belong."""
        others = (self.known - {match}) | {f"{match}/1", f"{match}/2"}  # a half is not the whole
        return [name for name in self._spot_files if PurePosixPath(name).parent.as_posix() not in others]

    @cached_property
    def _takers(self) -> Counter[str]:
        """How many of the ``known`` matches would take each file that lies elsewhere."""
        return Counter(filter(None, (self._elsewhere(one) for one in self.known if self._in_place(one) is None)))

    @cached_property
    def _spot_files(self) -> dict[str, str]:
        """The paths of the prediction files in the folder or zip by their plain names, sorted by these."""
        if self.entries is not None:
            found = {name: own for name, own in self.entries.items() if PurePosixPath(name).name == SPOTS_FILE}
        else:
            paths = (path.relative_to(self.path).as_posix() for path in sorted(self.path.rglob(SPOTS_FILE)))
            found = {plain_name(path): path for path in paths}
        return dict(sorted(found.items()))


def _ends_with(folders: tuple[str, ...], last: tuple[str, ...]) -> bool:
    return 0 < len(last) <= len(folders) and folders[-len(last) :] == last


def _with_slashes(name: str) -> str:
    """The plain name of an entry of a zip file: some programs on Windows write backslashes between its folders."""
    return plain_name(name.replace("\\", "/"))


def open_predictions(path: Path) -> Predictions:
    """The predictions in a folder or zip file. Raises BallspotError when it is neither, and for a run folder."""
    if path.is_dir():
        if (path / "run.json").is_file():
            raise BallspotError(f"{path}: is a run, not predictions; give its folder predictions/test (or valid)")
        return Predictions(path, None)
    if not path.is_file():
        raise BallspotError(f"{path}: no such folder or zip file{path_hint(path)}; give what `ballspot predict` wrote")
    try:
        with zipfile.ZipFile(path) as archive:
            return Predictions(path, {_with_slashes(name): name for name in reversed(archive.namelist())})
    except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError, RuntimeError) as error:
        # NotImplementedError is a zip version that zipfile does not know.
        raise_if_system(path, error)
        raise BallspotError(f"{path}: is neither a folder nor a readable zip file ({error}); give either") from error
