"""The public Python interface, `import ballspot`: features, labels, scores and heads, as arrays and plain values.

Names that `ballspot` exports keep their meaning within a major version; modules below `ballspot.` may move.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from ..cache.disk import plain_name
from ..cache.errors import BallspotError
from ..cache.stores import DTYPES, ORIGINAL, FeatureSet, open_feature_set
from ..cache.terminal import parse_fps
from ..cache.times import TimeAxis
from ..evaluate.dataset import DataSelection, LabelSet, Spot, SpotFile, columns_of, load_label_set
from ..evaluate.formats import DEFAULT_FPS, FORMATS, VideoSpots, read_videos, write_videos
from ..evaluate.results import Evaluation, compare_runs, evaluate_pairing, evaluate_predictions
from ..evaluate.scoring import Pairing, Protocol
from ..evaluate.uncertainty import Bootstrap

if TYPE_CHECKING:
    from torch import Tensor

    from .bundle import Bundle
    from .prediction import Ensemble

Events = Mapping[str, Sequence[Spot]]  # the spots of each match by its name


@dataclass(frozen=True)
class Features(Mapping[str, np.ndarray]):
    """A feature set as a mapping from the names of its matches to their rows, read when they are asked for.

    ``features["league/match-01"]`` is (n, d), float16, or float32 where the set is stored as that or as int8.
    """

    path: Path
    sets: FeatureSet = field(repr=False)

    def __getitem__(self, match: str) -> np.ndarray:
        with self.sets.open(match) as store:
            return store.read()

    def __contains__(self, match: object) -> bool:
        return match in self.sets.stores

    def get(self, match: str, default: Any = None) -> Any:
        """The rows of a match, ``default`` where the set has none of it."""
        if match not in self:
            return default
        return self[match]

    def __iter__(self) -> Iterator[str]:
        return iter(self.sets.stores)

    def __len__(self) -> int:
        return len(self.sets.stores)

    def tensor(self, match: str) -> "Tensor":
        """The rows of a match as a torch tensor (n, d) on the CPU, of the same number type; it shares no memory."""
        import torch

        return torch.from_numpy(np.array(self[match]))

    def times(self, match: str) -> np.ndarray:
        """When the frame of each row of a match is shown, seconds from the start of its video, float64 (n,)."""
        with self.sets.open(match) as store:
            return store.axis.frame_times_us(store.frame_index) / 1e6

    def fps(self, match: str) -> float:
        """Rows a second of a match."""
        with self.sets.open(match) as store:
            spacing = int(store.frame_index[1] - store.frame_index[0]) if store.n_rows > 1 else 1
            return float(store.fps) / spacing


def open_features(path: str | Path) -> Features:
    """The feature set in a folder. Raises BallspotError where there is none, or a store of it is damaged."""
    return Features(Path(path), open_feature_set(Path(path)))


def write_features(
    path: str | Path, arrays: Mapping[str, np.ndarray], *, fps: float, dtype: str = "float16"
) -> Features:
    """Writes the rows (n, d) of each match as a feature set in the new folder ``path``, as `ballspot cache import`.

    Row i is shown i / ``fps`` seconds after the start; ``dtype`` is float16, float32 or int8. Raises BallspotError for
    a folder that is there already, for no match, and for rows that are no finite numbers of that type; nothing is
    written then.
    """
    from ..extract.rows import ArrayFile, Reading, import_arrays

    if dtype not in DTYPES:
        raise BallspotError(f"dtype {dtype!r}: known are {', '.join(DTYPES)}")
    if not arrays:
        raise BallspotError(f"{path}: no match to write; give the rows of at least one")
    place, reading = Path(path), Reading(parse_fps(str(fps), option="fps"), dtype=dtype)
    if place.exists():
        raise BallspotError(f"{place}: already exists; choose another place")
    for name, rows in arrays.items():
        _require_rows(name, rows, "float16" if dtype == "float16" else "float32")
    with TemporaryDirectory() as folder:
        files = []
        for number, (name, rows) in enumerate(arrays.items()):
            file = Path(folder) / f"{number}.npy"
            np.save(file, rows, allow_pickle=False)
            files.append(ArrayFile(file, plain_name(name), place.resolve().name))
        for _ in import_arrays(files, place, reading, kind=place.resolve().name):
            pass
    return open_features(place)


def read_events(path: str | Path, format: str, *, fps: float | None = None) -> dict[str, tuple[Spot, ...]]:
    """The labels or predictions of each match in a file or folder of any format of `ballspot data convert`.

    ``fps`` is for files of frames that do not say their rate. Raises BallspotError naming the entry that is malformed.
    """
    return {video.name: video.spots for video in read_videos(Path(path), _format(format), fps=fps)}


def write_events(path: str | Path, format: str, events: Events, *, fps: float = DEFAULT_FPS) -> list[Path]:
    """Writes the spots of each match in a format of `ballspot data convert`; the files that were written.

    A file that is there is never overwritten: BallspotError.
    """
    videos = [VideoSpots(name, tuple(spots)) for name, spots in events.items()]
    return write_videos(Path(path), _format(format), videos, fps=fps)


def evaluate_spots(
    predictions: str | Path | Events,
    truth: str | Path | Events,
    *,
    labels: str = "ball-12",
    metric: str = "at1",
    fps: float = 25.0,
    resamples: int = 0,
) -> Evaluation:
    """Predictions scored as SoccerNet does: ``.result.mean_ap`` and ``.result.ap`` (K,), in 0..1, and `as_record`.

    ``predictions`` is a folder or zip of results_spotting.json, or the spots of each match (with a confidence each);
    ``truth`` a data root, or the labels of each match. ``labels`` is a built-in label set or a TOML file, ``metric``
    at1 to at5, tight or loose, ``resamples`` the draws of a bootstrap for intervals. Raises BallspotError for matches
    without predictions and for labels that the label set has not.
    """
    label_set, protocol, bootstrap = load_label_set(labels), Protocol(metric, fps), Bootstrap(resamples)
    if isinstance(truth, Mapping) != isinstance(predictions, Mapping):
        raise BallspotError("evaluate_spots: give files for both predictions and truth, or spots for both")
    if isinstance(truth, Mapping) and isinstance(predictions, Mapping):
        pairing = _paired(predictions, truth, label_set)
        return evaluate_pairing(pairing, protocol=protocol, bootstrap=bootstrap)
    data = DataSelection(Path(str(truth)), label_set)
    return evaluate_predictions(Path(str(predictions)), data, protocol=protocol, bootstrap=bootstrap)


def spots_of_scores(scores: np.ndarray, labels: Sequence[str], *, fps: float = DEFAULT_FPS) -> tuple[Spot, ...]:
    """The spots that the scores (n, K) of a match stand for: the peaks of each class, soft suppression around each.

    Row i is a frame of a video of ``fps`` frames a second, column k the class ``labels[k]``; scores are in 0..1. The
    windows are those that heads are predicted with, 0.96 s either side. Spots lie at mid-frame, in order of time.
    Raises BallspotError for scores of another shape.
    """
    from .config import PredictionSection
    from .decoding import SavedScores, as_configured, decoded_spots

    if scores.ndim != 2 or scores.shape[1] != len(labels) or not np.isfinite(scores).all():
        raise BallspotError(f"scores {scores.shape} for {len(labels)} labels; give finite ones, one column per label")
    names, rate = tuple(labels), parse_fps(str(fps), option="fps")
    saved = SavedScores(scores.astype(np.float32), np.arange(len(scores)), names, rate, len(scores), "")
    return decoded_spots(saved, as_configured(PredictionSection(), names, rate=DEFAULT_FPS))


@dataclass(frozen=True)
class Run:
    """A trained run, several seeds of one, or a bundle, ready to score rows and videos."""

    path: Path
    bundle: "Bundle" = field(repr=False)
    ensemble: "Ensemble" = field(repr=False)

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, in the order of the columns of scores."""
        return self.ensemble.labels

    @property
    def fps(self) -> float:
        """The frames a second that the head was trained at; 25 where a run of 0.1.0 does not say it."""
        return float(self.ensemble.rate or DEFAULT_FPS)

    def score(self, rows: np.ndarray) -> np.ndarray:
        """The scores (n, K) of the rows (n, d) of one match, which are every frame at `fps`, in 0..1, float32.

        d is the width of the features that the head was trained on; of a set that was extracted with a stride, rows
        are as far apart as there. Raises BallspotError for rows of another width, and for a head that scores mirrored
        rows too, which only stores and videos have.
        """
        return self._scored(rows)[0]

    def spots(self, rows: np.ndarray) -> tuple[Spot, ...]:
        """The spots that the scores of the rows of one match stand for, in milliseconds from its first row."""
        return self._scored(rows)[1]

    def predict(self, video: str | Path) -> tuple[Spot, ...]:
        """The spots of a video, as `ballspot predict RUN VIDEO` finds them.

        A process of its own decodes: a script calls this under ``if __name__ == "__main__":``.
        """
        from ..evaluate.dataset import SPOTS_FILE, read_spots
        from ..extract.rows import RowMaker
        from .adopted import AdoptedScorer
        from .bundle import bundle_of, is_bundle
        from .on_video import RowScorer, given_videos, predict_videos

        videos = given_videos([Path(video)])
        if len(videos) != 1:
            raise BallspotError(f"{video}: holds {len(videos)} videos; give one of them")
        with ExitStack() as stack:
            folder = stack.enter_context(TemporaryDirectory())
            bundle = self.bundle  # of a run without its backbone, which scoring rows does not need
            if not is_bundle(self.path):
                bundle = bundle_of([self.path], with_backbone=True)
            if bundle.procedure is not None:
                scorer = AdoptedScorer.of(bundle, device=self.ensemble.device, weights=None)
            else:
                maker = RowMaker(bundle.features, self.ensemble.views, device=self.ensemble.device)
                scorer = RowScorer(self.ensemble, stack.enter_context(maker), Path(folder))
            (done,) = predict_videos(self.ensemble, scorer, videos, out=Path(folder))
            return read_spots(Path(folder) / done.name / SPOTS_FILE)

    def _scored(self, rows: np.ndarray) -> tuple[np.ndarray, tuple[Spot, ...]]:
        from .decoding import SavedScores
        from .prediction import MatchStream

        if self.bundle.procedure is not None:
            raise BallspotError(
                f"{self.path}: is an adopted model, which sees whole clips of pictures; predict a video"
            )
        width = sum(self.ensemble.checkpoints[0].description.dims)
        if rows.ndim != 2 or rows.shape[1] != width:
            raise BallspotError(f"{self.path}: reads rows of {width} numbers, not {rows.shape}")
        if self.ensemble.views != (ORIGINAL,):
            raise BallspotError(f"{self.path}: scores mirrored rows too (flip_average); predict from stores or a video")
        spacing = self.bundle.features[0].spec.stride
        stream = MatchStream(self.ensemble, frame_spacing=spacing)
        stream.fit({ORIGINAL: rows})
        scored = stream.scores([{ORIGINAL: rows}])
        axis = TimeAxis(self.ensemble.rate or Fraction(25), len(rows) * spacing)
        saved = SavedScores(
            scored.scores, scored.frame_index, self.labels, axis.fps, axis.n_frames, "", scored.right_share
        )
        return scored.scores, self.ensemble.spots(saved)


def load_run(path: str | Path, *, device: str = "cpu") -> Run:
    """The run, the folder of several seeds, or the bundle at ``path``. Raises BallspotError where there is none."""
    import torch

    from .bundle import bundle_of, is_bundle, load_bundle
    from .prediction import Ensemble

    place = Path(path)
    bundle = load_bundle(place) if is_bundle(place) else bundle_of([place], with_backbone=False, remedy=None)
    return Run(place, bundle, Ensemble(bundle.heads, torch.device(device), bundle.postprocessing))


def train(
    features: str | Path,
    data: str | Path,
    run: str | Path,
    *,
    preset: str = "best",
    settings: Mapping[str, Any] | None = None,
    labels: str = "ball-12",
    seed: int = 0,
    device: str = "cpu",
) -> dict[str, Any]:
    """Trains a head as `ballspot train` does and returns what its metrics.json holds; a finished run is left as it is.

    ``preset`` is a built-in one or a TOML file, such as the config.toml of a run; ``settings`` are configuration keys
    and their values, laid over it: ``{"n_epochs": 10, "head.kind": "gru"}``. Raises BallspotError for unknown keys,
    matches without features, and a folder that holds another run.
    """
    import torch

    from .config import load_config
    from .features import open_source
    from .training import Experiment, train_seeds

    source = open_source(Path(features))
    selection = DataSelection(Path(data), load_label_set(labels), one_video=True, stored=source.recordings)
    experiment = Experiment(
        config=load_config(preset, [f"{key}={_as_toml(value)}" for key, value in (settings or {}).items()]),
        data=selection.opened(),
        source=source,
        seed=seed,
        shuffle_labels=False,
        device=torch.device(device),
    )
    ((_, metrics),) = train_seeds(experiment, [Path(run)], track=False)
    return metrics


def compare(
    runs: Sequence[str | Path], *, split: str | None = None, data: str | Path | None = None, labels: str = "ball-12"
) -> list[dict[str, Any]]:
    """Runs, sweeps and predictions side by side, a dictionary a setting, as `ballspot compare --format csv` has them.

    AP is in 0..1, with its interval, the difference to the first setting and what the settings differ in. ``split`` is
    "valid" or "test", None for valid; predictions that no run stands beside need ``data`` and ``labels``, and None is
    then every match with labels.
    """
    from ..evaluate.reporting import settings_rows

    paths = [Path(run) for run in runs]
    selection = None if data is None else DataSelection(Path(data), load_label_set(labels))
    headers, rows = settings_rows(compare_runs(paths, split=split, data=selection))
    return [dict(zip(headers, row, strict=True)) for row in rows]


def _paired(predictions: Events, truth: Events, label_set: LabelSet) -> Pairing:
    missing = [name for name in truth if name not in predictions]
    if missing:
        raise BallspotError(
            f"evaluate_spots: no predictions for match {missing[0]!r}; give an empty list where there are none"
        )
    for name, spots in truth.items():
        for spot in spots:
            if spot.label not in label_set:
                raise BallspotError(f"evaluate_spots: match {name!r}: {label_set.unknown(spot.label)}")
    for name in truth:
        for spot in predictions[name]:
            if spot.confidence is None or not math.isfinite(spot.confidence):
                said = "no confidence" if spot.confidence is None else f"confidence {spot.confidence}"
                raise BallspotError(
                    f"evaluate_spots: match {name!r}: a prediction has {said}; give a finite one to each"
                )
    names = tuple(truth)
    files = tuple(SpotFile(columns_of(predictions[name])) for name in names)
    return Pairing(label_set, names, tuple(tuple(truth[name]) for name in names), files, (None,) * len(names))


def _require_rows(name: str, rows: np.ndarray, dtype: str) -> None:
    parts = Path(name).parts
    if not parts or Path(name).is_absolute() or ".." in parts:
        raise BallspotError(f"match name {name!r} leads out of the feature set; rename it")
    with np.errstate(over="ignore"):
        is_fit = rows.ndim == 2 and rows.size and rows.dtype.kind in "fiu" and np.isfinite(rows.astype(dtype)).all()
    if not is_fit:
        raise BallspotError(
            f"match {name!r}: rows {rows.shape} of {rows.dtype} are not finite {dtype} numbers (n, d); correct them"
        )


def _format(name: str) -> Any:
    if name not in FORMATS:
        raise BallspotError(f"format {name!r}: known are {', '.join(FORMATS)}")
    return FORMATS[name]


def _as_toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(list(value)) if isinstance(value, (list, tuple)) else str(value)
