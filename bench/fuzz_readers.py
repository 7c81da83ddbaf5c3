"""Feeds damaged files to every reader of spots for some time; anything but a one-line BallspotError is a finding.

    python bench/fuzz_readers.py [--seconds 600] [--seed 0] [--keep FOLDER]

Valid files of each format are damaged in their bytes (cut, flipped, repeated, spliced) and in their values (any value
replaced by one of another kind). A finding prints the reader, the seed of its case and the traceback, and exits 1;
`--keep` writes the damaged file there.
"""

import argparse
import copy
import json
import random
import shutil
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

from ballspot.cache.errors import BallspotError
from ballspot.evaluate.evaluation import evaluate_predictions
from ballspot.evaluate.formats.family import FORMATS, read_videos, write_videos
from ballspot.evaluate.formats.videos import Format, VideoSpots
from ballspot.evaluate.labels import Spot, read_labels
from ballspot.evaluate.labelsets import BALL_12, load_label_set
from ballspot.evaluate.matches import find_matches
from ballspot.evaluate.predictions import open_predictions
from ballspot.evaluate.splits import load_splits
from ballspot.evaluate.spots import read_spots

ODD_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 3, 10**13, -(10**30), 1e308, -0.0, 0.5, "", " ", "0", "-5", "1e5", "1.5", "nan", "inf",
    "١٢", "1 - ", "3 - 00:00", "2 - 99:99", "left", "not shown", "PASS", "pass", "\ud800", "\x00", "a" * 5000, "../x",
    [], {}, [[]], [None], {"label": 1}, {"predictions": []}, [1, "2", {}],
)  # fmt: skip


def samples() -> dict[str, bytes]:
    """One valid file of each format, and label set and zip files."""
    spots = tuple(
        Spot(label, 1000 * place + 20, 1 + place % 2, ("left", "right", None)[place % 3], place % 4 > 0, place / 10)
        for place, label in enumerate(BALL_12.labels[:9])
    )
    videos = [VideoSpots("league/season/match", spots, 25.0, 3000)]
    files = {name: one.write(videos, 25.0).encode() for name, one in FORMATS.items()}
    files["label set"] = b'name = "two"\nlabels = ["PASS", "GOAL"]\nheadline_excludes = ["GOAL"]\n'
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/results_spotting.json", files["spots"])
    files["splits"] = b'train = ["m"]\nvalid = []\ntest = []\n'
    files["zip"] = packed.getvalue()
    return files


def damage_bytes(draw: random.Random, content: bytes, others: list[bytes]) -> bytes:
    data = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 5))):
        at, length = draw.randrange(len(data) + 1), draw.randrange(1, 40)
        kind = draw.randrange(6)
        if kind == 0:
            data = data[:at]
        elif kind == 1 and data:
            data[at % len(data)] = draw.randrange(256)
        elif kind == 2:
            data[at : at + length] = b""
        elif kind == 3:
            data[at:at] = data[at : at + length] * draw.choice((1, 3, 200))
        elif kind == 4:
            other = draw.choice(others)
            data[at:at] = other[draw.randrange(len(other)) :][: length * 4]
        else:
            data[at:at] = draw.choice(
                (b"[" * 3000, b"9" * 5000, b"\xff\xfe", b"\x00", b"NaN", b"-", b'"', b",", b"\r", b"\n")
            )
    return bytes(data)


def damage_value(draw: random.Random, document: Any) -> Any:
    """The document with one to three of its values, at any depth, replaced, removed or repeated."""
    document = copy.deepcopy(document)
    for _ in range(draw.choice((1, 1, 2, 3))):
        places = list(_places(document))
        if not places:
            return draw.choice(ODD_VALUES)
        holder, key = draw.choice(places)
        kind = draw.randrange(5)
        if kind == 0:
            del holder[key]
        elif kind == 1 and isinstance(holder, list):
            holder.insert(0, copy.deepcopy(holder[key]))
        else:
            holder[key] = copy.deepcopy(draw.choice(ODD_VALUES))
    return document


def _places(value: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        found += [(value, key), *_places(value[key])]
    return found


def convert(path: Path, kind: Format, out: Path) -> None:
    """Reads a file and writes what it held in every format; what was written must be read again."""
    videos = read_videos(path, kind)
    for name, other in FORMATS.items():
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


def readers(folder: Path) -> dict[str, tuple[str, Path, Callable[[Path], object]]]:
    """Each reader: the sample it takes, where the damaged file goes, and the call."""
    data, spots = folder / "data", folder / "spots"
    labels_path, spots_path = data / "m" / "Labels-ball.json", spots / "m" / "results_spotting.json"
    valid = samples()
    for path, content in ((labels_path, valid["labels-ball"]), (spots_path, valid["spots"])):
        path.parent.mkdir(parents=True)
        path.write_bytes(content)

    def evaluate(path: Path, root: Path) -> object:
        return evaluate_predictions(path, data_root=root, label_set=BALL_12, n_resamples=2, with_diagnosis=True)

    matches = find_matches(data)
    other_data, other_spots = folder / "other-data", folder / "other-spots"
    table: dict[str, tuple[str, Path, Callable[[Path], object]]] = {
        f"format {name}": (
            name,
            folder / "formats" / name / (one.pattern or "file").replace("*", "m"),
            lambda path, one=one: convert(path, one, folder / "converted"),
        )
        for name, one in FORMATS.items()
    }
    return {
        **table,
        "labels": ("labels-ball", folder / "labels.json", lambda path: read_labels(path, BALL_12)),
        "spots": ("spots", folder / "spots.json", read_spots),
        "zip": ("zip", folder / "spots.zip", lambda path: open_predictions(path).read("m")),
        "label set": ("label set", folder / "labels.toml", lambda path: load_label_set(str(path))),
        "splits": ("splits", folder / "splits.toml", lambda path: load_splits(data, matches, splits_file=path)),
        "evaluate, spots": ("spots", other_spots / "m" / spots_path.name, lambda _: evaluate(other_spots, data)),
        "evaluate, labels": ("labels-ball", other_data / "m" / labels_path.name, lambda _: evaluate(spots, other_data)),
    }


def fuzz(seconds: float, seed: int, folder: Path, keep: Path | None = None) -> tuple[Counter[str], list[str]]:
    """Runs until the time is over: how often each reader refused or read, and the findings."""
    valid = samples()
    everything = list(valid.values())
    table = readers(folder)
    counts: Counter[str] = Counter()
    findings: list[str] = []
    end = time.monotonic() + seconds
    case = 0
    while time.monotonic() < end and len(findings) < 20:
        case += 1
        draw = random.Random(f"{seed}/{case}")
        name = draw.choice(list(table))
        sample, path, read = table[name]
        content = valid[sample]
        if content[:1] in b"[{" and draw.random() < 0.6:
            content = json.dumps(damage_value(draw, json.loads(content))).encode()
        else:
            content = damage_bytes(draw, content, everything)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        try:
            read(path)
            counts[f"{name}: read"] += 1
        except BallspotError as error:
            counts[f"{name}: refused"] += 1
            if "\n" in str(error) or not str(error):
                findings.append(f"{name}, case {seed}/{case}: not one line: {error!r}")
        except Exception:  # noqa: BLE001  any other exception is what this looks for
            findings.append(f"{name}, case {seed}/{case}:\n{traceback.format_exc()}")
            if keep is not None:
                keep.mkdir(parents=True, exist_ok=True)
                (keep / f"{seed}-{case}-{path.name}").write_bytes(content)
    return counts, findings


def main() -> None:
    parser = argparse.ArgumentParser(description="Feed damaged files to every reader of spots.")
    parser.add_argument("--seconds", type=float, default=600.0, help="how long")
    parser.add_argument("--seed", type=int, default=0, help="of the damage")
    parser.add_argument("--keep", type=Path, help="folder for the files that gave findings")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        counts, findings = fuzz(options.seconds, options.seed, Path(folder), options.keep)
    for name, n in sorted(counts.items()):
        print(f"{name:32} {n:8}")
    print(f"{sum(counts.values())} files, {len(findings)} findings")
    for finding in findings:
        print(finding)
    raise SystemExit(bool(findings))


if __name__ == "__main__":
    main()
