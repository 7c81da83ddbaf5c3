"""What the fuzzers read: labels, predictions and their formats, label sets and splits."""

import shutil
import zipfile
from io import BytesIO
from pathlib import Path

from fuzz_damage import Target, json_values, toml_values
from fuzz_packings import zip_bytes

from ballspot.cache.errors import BallspotError
from ballspot.evaluate.dataset.data_selection import DataSelection
from ballspot.evaluate.dataset.labels import Spot, read_labels
from ballspot.evaluate.dataset.labelsets import BALL_12, load_label_set
from ballspot.evaluate.dataset.matches import find_matches
from ballspot.evaluate.dataset.predictions import open_predictions
from ballspot.evaluate.dataset.splits import load_splits
from ballspot.evaluate.dataset.spots import read_spots
from ballspot.evaluate.formats.family import FORMATS, read_videos, write_videos
from ballspot.evaluate.formats.videos import Format, VideoSpots
from ballspot.evaluate.results.evaluation import evaluate_predictions
from ballspot.evaluate.uncertainty.bootstrap import Bootstrap


def spots_samples() -> dict[str, bytes]:
    """One valid file of each format, and a label set, a splits and a zip file."""
    spots = tuple(
        Spot(label, 1000 * place + 20, 1 + place % 2, ("left", "right", None)[place % 3], place % 4 > 0, place / 10)
        for place, label in enumerate(BALL_12.labels[:9])
    )
    videos = [VideoSpots("league/season/match", spots, 25.0, 3000)]
    files = {name: one.write(videos, 25.0).encode() for name, one in FORMATS.items() if one.write is not None}
    files["player-centric"] = b'{"keys": ["g_H1"], "events": {"g_H1": [[64, 0, 3, 1, 1, 0], [65, 1, 80, 8, 0.5]]}}'
    files["label set"] = b'name = "two"\nlabels = ["PASS", "GOAL"]\nheadline_excludes = ["GOAL"]\n'
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/results_spotting.json", files["spots"])
    files["splits"] = b'train = ["m"]\nvalid = []\ntest = []\n'
    files["zip"] = packed.getvalue()
    return files


def spots_targets(folder: Path) -> dict[str, Target]:
    """The readers of spots; ``folder`` is theirs."""
    data, spots = folder / "data", folder / "spots"
    labels_path, spots_path = data / "m" / "Labels-ball.json", spots / "m" / "results_spotting.json"
    valid = spots_samples()
    for path, content in ((labels_path, valid["labels-ball"]), (spots_path, valid["spots"])):
        path.parent.mkdir(parents=True)
        path.write_bytes(content)

    def evaluate(path: Path, root: Path) -> object:
        return evaluate_predictions(path, DataSelection(root, BALL_12), bootstrap=Bootstrap(2), with_diagnosis=True)

    matches = find_matches(data)
    other_data, other_spots = folder / "other-data", folder / "other-spots"
    table = {
        f"format {name}": Target(
            (valid[name],),
            folder / "formats" / name / (one.pattern or "file").replace("*", "m"),
            lambda path, one=one: _convert(path, one, folder / "converted"),
            None if name in ("csv", "sportscode") else json_values,
        )
        for name, one in FORMATS.items()
    }
    rest = {
        "labels": ("labels-ball", folder / "labels.json", lambda path: read_labels(path, BALL_12)),
        "spots": ("spots", folder / "spots.json", read_spots),
        "zip": ("zip", folder / "spots.zip", lambda path: open_predictions(path).read("m")),
        "label set": ("label set", folder / "labels.toml", lambda path: load_label_set(str(path))),
        "splits": ("splits", folder / "splits.toml", lambda path: load_splits(data, matches, splits_file=path)),
        "evaluate, spots": ("spots", other_spots / "m" / spots_path.name, lambda _: evaluate(other_spots, data)),
        "evaluate, labels": ("labels-ball", other_data / "m" / labels_path.name, lambda _: evaluate(spots, other_data)),
    }
    packings = {"zip": zip_bytes, "label set": toml_values, "splits": toml_values}
    for name, (sample, place, read) in rest.items():
        table[name] = Target((valid[sample],), place, read, packings.get(sample, json_values))
    return table


def _convert(path: Path, kind: Format, out: Path) -> None:
    """Reads a file and writes what it held in every format; what was written must be read again."""
    videos = read_videos(path, kind)
    for name, other in FORMATS.items():
        if other.write is None:
            continue
        other.losses(videos, 25.0)
        target = out / name
        try:
            write_videos(target, other, videos, fps=25.0)
        except BallspotError:
            continue  # a name that cannot be a folder
        try:
            if other.pattern is None or videos:
                read_videos(target, other)
        except BallspotError as error:
            raise ValueError(f"{name} was written and cannot be read") from error
        finally:
            shutil.rmtree(target, ignore_errors=True)
            target.unlink(missing_ok=True)
