"""A tiny season: matches of some seconds with labels, and stores whose features show the events plainly."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from ballspot.cache.stores.layout import Block, StoreHeader
from ballspot.cache.stores.spec import FeatureSpec
from ballspot.cache.stores.store import write_store

from .harness import ballspot

LABELS = ("PASS", "DRIVE", "SHOT")
N_FRAMES, DIM = 240, 8
SETTINGS = ("kind=gru", "width=8", "clip_frames=20", "n_epochs=2", "warmup_epochs=0", "epoch_frames=400")
SMALL = ("--preset", "fast", "--device", "cpu", *(word for setting in SETTINGS for word in ("--set", setting)))


@dataclass(frozen=True)
class Season:
    """A folder with the data root, a feature set, and where a run and predictions go."""

    root: Path

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def features(self) -> Path:
        return self.root / "features" / "set"

    @property
    def run(self) -> Path:
        return self.root / "run"

    def train(self, run: Path | None = None, *more: object) -> list[object]:
        """The words of `train` on this season."""
        return ["train", self.features, "--data", self.data, "--run", run or self.run, *SMALL, *more]

    def predict(self, *more: object, run: Path | None = None) -> list[object]:
        """The words of `predict` on this season's test matches."""
        return ["predict", run or self.run, self.features, "--data", self.data, "--split", "test", *more]


def write_labels(data: Path, name: str, events: Sequence[tuple[int, str]]) -> None:
    """Labels-ball.json of one match; ``events`` are frame indices at 25 frames a second and classes."""
    annotations = [
        {
            "gameTime": f"1 - {frame // 1500:02d}:{frame // 25 % 60:02d}",
            "label": label,
            "position": str(frame * 40),
            "team": "left",
            "visibility": "visible",
        }
        for frame, label in events
    ]
    folder = data / name
    folder.mkdir(parents=True, exist_ok=True)
    document = {"UrlLocal": name, "annotations": annotations}
    (folder / "Labels-ball.json").write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")


def write_features(features: Path, name: str, rows: np.ndarray, **changes: object) -> Path:
    """One match's store of these rows (n, D), every frame a row at 25 frames a second."""
    said = {"match": name, "fps": Fraction(25), "n_video_frames": len(rows), "n_rows": len(rows), "dim": rows.shape[1]}
    header = StoreHeader(**{**said, "spec": FeatureSpec.read({"made": "a"}), **changes})  # pyright: ignore[reportArgumentType]
    path = features / f"{name}.h5"
    stride = header.spec.stride
    block = Block(np.arange(len(rows)) * stride, {"original": rows.astype(header.row_dtype)})
    write_store(path, header=header, blocks=[block])
    return path


def draw_events(
    n_frames: int, rng: np.random.Generator, labels: Sequence[str] = LABELS, *, every: int = 30
) -> list[tuple[int, str]]:
    """Events some ``every`` frames apart, of any class."""
    frames = np.cumsum(rng.integers(every // 2, 2 * every, size=2 * n_frames // every + 1))
    return [(int(frame), labels[int(rng.integers(len(labels)))]) for frame in frames[frames < n_frames]]


def shown(
    events: Sequence[tuple[int, str]],
    n_frames: int,
    rng: np.random.Generator,
    labels: Sequence[str] = LABELS,
    dim: int = DIM,
) -> np.ndarray:
    """Rows (n, dim) in which an event lights up the feature of its class for the frames around it."""
    rows = rng.normal(0, 0.3, size=(n_frames, dim))
    for frame, label in events:
        near = np.arange(max(frame - 4, 0), min(frame + 5, n_frames))
        rows[near, labels.index(label) % dim] += 2.0
    return rows


def write_season(
    root: Path, lengths: Sequence[int] = (N_FRAMES,) * 4, *, names: Sequence[str] = (), labels: Sequence[str] = LABELS
) -> Season:
    """Matches of these lengths: the last tests, the one before validates, the others train."""
    season = Season(root)
    names = names or [f"league/match-{number}" for number in range(1, len(lengths) + 1)]
    for number, (name, n_frames) in enumerate(zip(names, lengths, strict=True)):
        rng = np.random.default_rng(number)
        events = draw_events(n_frames, rng, labels)
        write_labels(season.data, name, events)
        write_features(season.features, name, shown(events, n_frames, rng, labels))
    write_splits(season.data, names)
    return season


def write_predicted(root: Path) -> Path:
    """A copy of a season of which a run was trained and predicted; it is to be restored at ``root``, where it was."""
    season = write_season(root)
    for words in (season.train(), season.predict()):
        done = ballspot(*words)
        assert done.code == 0, done.stderr + done.trace
    return Path(shutil.copytree(root, root.with_name("base")))


def write_splits(data: Path, names: Sequence[str]) -> None:
    """splits.toml: the last match tests, the one before validates, the others train."""
    parts = {"train": names[:-2], "valid": names[-2:-1], "test": names[-1:]}
    lines = [f"{part} = {json.dumps(list(members), ensure_ascii=False)}" for part, members in parts.items()]
    (data / "splits.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
