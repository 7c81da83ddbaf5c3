"""A submission: the zip file that SoccerNet's evaluation takes, `<match>/results_spotting.json` from the top level."""

import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ...cache.disk import whole_file
from ...cache.errors import BallspotError
from ..dataset import SPOTS_FILE, LabelSet, open_predictions
from .soccernet import write_spot_file
from .videos import VideoSpots

ENTRY_TIME = (1980, 1, 1, 0, 0, 0)  # the same predictions give the same bytes


@dataclass(frozen=True)
class Submission:
    """What was packed, and what its maker should know."""

    n_matches: int
    n_spots: int
    notes: tuple[str, ...]


def pack_submission(path: Path, out: Path, *, label_set: LabelSet, matches: Iterable[str] | None = None) -> Submission:
    """Packs the predictions in folder or zip ``path`` into the zip file ``out``, whole or not at all.

    ``matches`` names the matches to pack, None all that there are. Times, classes and the order of spots stay, so the
    score does. Raises BallspotError for a match without predictions, a malformed entry (naming it), a label that is
    not in ``label_set``, and when ``out`` is there already.
    """
    if out.exists():
        raise BallspotError(f"{out}: already exists; choose another --out")
    predictions = open_predictions(path)
    names = predictions.matches() if matches is None else list(matches)
    predictions = predictions.among(names)
    if not names:
        raise BallspotError(f"{path}: no <match>/{SPOTS_FILE} below it; give what `ballspot predict` wrote")
    videos = []
    n_outside = n_filled = n_moved = 0
    for name in names:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or name == ".":
            raise BallspotError(f"{path}: match name {name!r} is not a path below a league; give the folder above it")
        file = predictions.read(name)
        for number, spot in enumerate(file.spots, start=1):
            if spot.label not in label_set:
                raise BallspotError(
                    f"{path}: {name}/{SPOTS_FILE}: prediction {number}: {label_set.unknown(spot.label)}"
                )
        n_outside += sum(not 0 <= (spot.confidence or 0.0) <= 1 for spot in file.spots)
        n_filled += file.n_without_half
        n_moved += file.found_at is not None
        videos.append(VideoSpots(name, file.spots))
    with whole_file(out) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for video in videos:
            entry = zipfile.ZipInfo(f"{video.name}/{SPOTS_FILE}", ENTRY_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, write_spot_file([video], 25.0))
    said = (
        (n_outside, "confidences are outside 0..1, packed as they are: `ballspot evaluate` tells what that costs"),
        (n_filled, "missing halves are filled in"),
        (n_moved, "prediction files lay in other folders and are packed where the official code looks"),
    )
    notes = tuple(f"{n} {text}" for n, text in said if n)
    return Submission(len(videos), sum(len(video.spots) for video in videos), notes)
