"""Saved scores come back as they were; what they cannot be is told with the file, and nothing is decoded."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ballspot.cache.errors import BallspotError
from ballspot.evaluate.dataset import LabelSet
from ballspot.temporal.decoding.scores import SavedScores, open_scores, read_scores, write_scores

LABELS = LabelSet("two", ("A", "B"))
SAVED = SavedScores(
    np.full((3, 2), 0.5, np.float32), np.arange(0, 6, 2), ("A", "B"), Fraction(30000, 1001), 6, "m",
    times_us=np.arange(6, dtype=np.int64) * 40_000,
)  # fmt: skip


def test_scores_come_back_as_they_were_written(tmp_path: Path) -> None:
    share = np.full((3, 2), 0.25, np.float32)
    write_scores(tmp_path / "m" / "scores.npz", replace(SAVED, right_share=share))
    found = read_scores(tmp_path / "m" / "scores.npz")
    assert (found.fps, found.labels, found.match) == (SAVED.fps, SAVED.labels, "m")
    for name in ("scores", "frame_index", "times_us"):
        np.testing.assert_array_equal(getattr(found, name), getattr(SAVED, name))
    np.testing.assert_array_equal(found.right_share, share)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"video_time_us": lambda times: times.astype(np.float64)}, r"video_time_us float64 \(6,\) for 6 frames"),
        ({"video_time_us": lambda times: times[:-1]}, r"video_time_us int64 \(5,\) for 6 frames"),
        ({"video_time_us": lambda times: times[::-1]}, "video_time_us that do not increase"),
        ({"video_time_us": lambda times: times * 10**12}, "video_time_us that do not increase"),
        ({"frame_index": lambda index: index + 2}, "frame 6 of a video of 6"),
        ({"labels": lambda labels: labels[[0, 0]]}, "6 frames at 30000/1001 a second, labels A, A"),
        ({"fps_denominator": lambda value: value * 0}, r"Fraction\(30000, 0\)"),
        ({"scores": lambda scores: -scores}, "scores that are negative or not finite"),
        ({"scores": lambda scores: scores[:, :1]}, r"scores \(3, 1\) for 3 frames, labels \(2,\)"),
    ],
)
def test_what_scores_cannot_be_is_told_with_the_file(
    change: dict[str, Callable[[Any], Any]], said: str, tmp_path: Path
) -> None:
    path = tmp_path / "scores.npz"
    write_scores(path, SAVED)
    arrays = dict(np.load(path))
    np.savez(path, **arrays | {name: one(arrays[name]) for name, one in change.items()})
    with pytest.raises(BallspotError, match=rf"scores.npz: holds no scores \({said}\); give a scores.npz that"):
        read_scores(path)


@pytest.mark.parametrize("array", [np.array(["a", "b"]), np.zeros((3, 2), bool)])
def test_an_array_of_no_numbers_holds_no_scores(array: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    np.save(tmp_path / "m" / "scores.npy", array)
    with pytest.raises(BallspotError, match=r"scores.npy: holds no array of scores; save it with numpy"):
        open_scores(tmp_path, "m", LABELS, rows_a_second=Fraction(2))


def test_an_archive_that_holds_other_arrays_holds_no_scores(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    np.savez(tmp_path / "m" / "scores.npz", logits=np.zeros((3, 2)))
    with pytest.raises(BallspotError, match=r"scores.npz: holds no array of scores; save it with numpy"):
        open_scores(tmp_path, "m", LABELS, rows_a_second=Fraction(2))
