"""Whether stores are sound: everything that can be told from the files alone."""

from pathlib import Path

import numpy as np

from .console import ProgressLine
from .errors import BallspotError
from .sets import find_sets, find_stores
from .store import FeatureStore

READ_ROWS = 4096


def verify(path: Path) -> dict[Path, list[str]]:
    """Per store file at or below `path`, what is wrong with it: an empty list when nothing is."""
    files = [path] if path.is_file() else list(find_stores(path).values())
    if not files:
        what = "no store (*.h5) in it" if path.is_dir() else "no such file or folder"
        raise BallspotError(f"{path}: {what}; give a store, a feature set or the folder of sets")
    problems: dict[Path, list[str]] = {}
    with ProgressLine("verify", len(files), unit="stores") as progress:
        for file in files:
            problems[file] = _problems(file)
            progress.advance()
    if path.is_dir():
        for place in find_sets(path):
            made_with = {file: _fingerprint(file) for file in problems if file.is_relative_to(place)}
            known = {text for text in made_with.values() if text}
            if len(known) > 1:
                for file in made_with:
                    problems[file].append(f"set {place.name} mixes {len(known)} extraction settings")
    return problems


def _problems(file: Path) -> list[str]:
    found = []
    try:
        with FeatureStore.open(file) as store:
            index = store.frame_index
            if np.any(np.diff(index) <= 0) or (len(index) and not 0 <= index[0] <= index[-1] < store.n_video_frames):
                found.append("frame indices do not increase, or lie outside the video")
            expected = np.arange(0, store.n_video_frames, int(store.extraction.get("stride", 1)))
            if not np.array_equal(index, expected):
                found.append(f"{store.n_rows} rows, but {len(expected)} frames were to be stored")
            for view in store.views:
                for start in range(0, store.n_rows, READ_ROWS):
                    rows = store.read(start, start + READ_ROWS, view=view)
                    if not np.isfinite(rows).all():
                        row = start + int(np.flatnonzero(~np.isfinite(rows).all(axis=1))[0])
                        found.append(f"view {view!r}: row {row} is not finite")
                        break
    except BallspotError as error:
        found.append(str(error))
    return found


def _fingerprint(file: Path) -> str | None:
    try:
        with FeatureStore.open(file) as store:
            return store.fingerprint
    except BallspotError:
        return None
