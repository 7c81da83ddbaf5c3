"""From labels through stores to predictions, of a video whose frames are not shown at a constant rate."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from ballspot.cache.errors import BallspotError
from ballspot.cache.stores import Block, FeatureSpec, FeatureStore, StoreHeader, write_store
from ballspot.cache.times.axis import TimeAxis
from ballspot.evaluate.dataset.labels import Spot, label_arrays
from ballspot.evaluate.dataset.labelsets import BALL_12
from ballspot.evaluate.viewer.curves import read_curves
from ballspot.temporal.decoding.peaks import spots_of
from ballspot.temporal.decoding.scores import SavedScores, read_scores, write_scores
from ballspot.temporal.decoding.suppression import Peaks

N = 300
TIMES_US = np.array([40_000 * (k + 300 * (k >= 100)) for k in range(N)])  # after frame 99 comes one at 16 s


def store_of(path: Path, *, stride: int = 1, times_us: np.ndarray | None = TIMES_US) -> Path:
    index = np.arange(0, N, stride)
    header = StoreHeader("m", Fraction(25), N, len(index), 4, FeatureSpec.read({"dtype": "float16", "stride": stride}))
    block = Block(index, {"original": np.ones((len(index), 4), np.float16)})
    write_store(path, header=header, blocks=[block], frame_time_us=None if times_us is None else times_us[index])
    return path


@pytest.mark.parametrize("stride", [1, 2])
def test_labels_and_predictions_go_by_the_times_in_the_store(tmp_path: Path, stride: int) -> None:
    with FeatureStore.open(store_of(tmp_path / "m.h5", stride=stride)) as store:
        axis = store.axis
    spots = [Spot("PASS", 2000), Spot("SHOT", 9000), Spot("PASS", 18_000), Spot("PASS", 24_001)]
    arrays = label_arrays(spots, BALL_12, axis=axis)
    assert arrays.frame_index.tolist() == [50, 99, 150]
    assert arrays.n_outside == 1
    rows = np.array([50, 150]) // stride
    peaks = Peaks(rows, np.array([0, 0]), np.array([0.9, 0.8]))
    made = spots_of(peaks, np.arange(0, N, stride), axis=axis, labels=("PASS",))
    assert [spot.position_ms for spot in made] == [2020, 18_020]


def test_a_store_without_times_is_at_a_constant_rate(tmp_path: Path) -> None:
    with FeatureStore.open(store_of(tmp_path / "m.h5", times_us=None)) as store:
        assert store.axis == TimeAxis(Fraction(25), N)


def test_times_that_are_not_those_of_rows_are_refused(tmp_path: Path) -> None:
    path = store_of(tmp_path / "m.h5", times_us=TIMES_US[::-1])
    with FeatureStore.open(path) as store, pytest.raises(BallspotError, match="are not the times of its rows"):
        _ = store.axis


def test_scores_keep_the_times_and_the_viewer_draws_them_there(tmp_path: Path) -> None:
    scores = np.zeros((N, 1), np.float32)
    scores[150] = 0.75
    saved = SavedScores(scores, np.arange(N), ("PASS",), Fraction(25), N, "m", times_us=TIMES_US)
    write_scores(tmp_path / "scores.npz", saved)
    again = read_scores(tmp_path / "scores.npz")
    assert again.axis == saved.axis and again.axis.frame_of(18_000) == 150
    curves = read_curves(tmp_path / "scores.npz")
    assert (curves.first_frame, curves.step, curves.fps) == (0, 1, 25.0)
    assert np.flatnonzero(curves.scores[:, 0]).tolist() == [18 * 25]  # at 18 s
    plain = SavedScores(scores, np.arange(N), ("PASS",), Fraction(25), N, "m")
    write_scores(tmp_path / "plain.npz", plain)
    assert "video_time_us" not in np.load(tmp_path / "plain.npz").files
    assert np.flatnonzero(read_curves(tmp_path / "plain.npz").scores[:, 0]).tolist() == [150]
