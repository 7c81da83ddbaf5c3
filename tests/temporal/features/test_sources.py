"""Stores of one frame rate read as if they had another one: rows are chosen by their times."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from ballspot.cache.errors import BallspotError
from ballspot.cache.stores.layout import Block, StoreHeader
from ballspot.cache.stores.spec import FeatureSpec
from ballspot.cache.stores.store import write_store
from ballspot.temporal.config.grid import ClipGrid
from ballspot.temporal.config.load import load_config
from ballspot.temporal.features.resident import load_features, read_layout
from ballspot.temporal.features.sources import open_source


def numbered(
    folder: Path, match: str, n_rows: int, *, fps: Fraction, spacing: int = 1, times_us: np.ndarray | None = None
) -> None:
    """A store whose rows hold their own frame's number."""
    index = np.arange(n_rows) * spacing
    header = StoreHeader(
        match=match, fps=fps, n_video_frames=n_rows * spacing, n_rows=n_rows, dim=1, spec=FeatureSpec.read({"a": 1})
    )
    block = Block(index, {"original": index[:, None].astype(np.float16)})
    write_store(folder / f"{match}.h5", header=header, blocks=[block], frame_time_us=times_us)


def frames_read(folder: Path, rate: int | Fraction, *names: str) -> list[int]:
    features = load_features(open_source(folder).at_rate(Fraction(rate)), names, device="cpu")
    return features.rows[:, 0].int().tolist()


def test_every_second_of_50_is_read_at_25(tmp_path: Path) -> None:
    numbered(tmp_path, "a", 101, fps=Fraction(50))
    assert frames_read(tmp_path, 25, "a") == list(range(0, 101, 2))
    layout = read_layout(open_source(tmp_path).at_rate(Fraction(25)), ["a"])
    (match,) = layout.matches
    assert (match.n_rows, match.n_video_frames, match.fps, layout.frame_spacing) == (51, 51, 25, 1)


@pytest.mark.parametrize(
    ("fps", "spacing", "rate", "frames", "frame_spacing"),
    [
        (30, 1, 25, [0, 1, 2, 4, 5, 6, 7, 8, 10], 1),
        (60, 1, 25, [0, 2, 5, 7, 10, 12, 14, 17, 19], 1),
        (50, 2, 25, [0, 2, 4, 6, 8, 10, 12, 14, 16], 1),
        (50, 4, 25, [0, 4, 8, 12, 16, 20, 24, 28, 32], 2),  # 12.5 rows a second lie two frames apart at 25
        (24, 1, 25, [0, 1, 2, 3, 4, 5, 6, 7, 8], 1),
        (Fraction(30000, 1001), 1, 30, [0, 1, 2, 3, 4, 5, 6, 7, 8], 1),  # the same rate: as it is
        (100, 4, 25, [0, 4, 8, 12, 16, 20, 24, 28, 32], 1),
    ],
)
def test_rows_are_those_nearest_in_time(
    tmp_path: Path, fps: Fraction, spacing: int, rate: int, frames: list[int], frame_spacing: int
) -> None:
    numbered(tmp_path, "a", 200, fps=Fraction(fps), spacing=spacing)
    assert frames_read(tmp_path, rate, "a")[:9] == frames
    assert read_layout(open_source(tmp_path).at_rate(Fraction(rate)), ["a"]).frame_spacing == frame_spacing


def test_too_few_rows_for_the_clips_are_refused_with_the_remedy(tmp_path: Path) -> None:
    numbered(tmp_path, "a", 50, fps=Fraction(50), spacing=4)
    layout = read_layout(open_source(tmp_path).at_rate(Fraction(25)), ["a"])
    with pytest.raises(BallspotError, match=r"clip_stride 1 is not a multiple of the 2 frames .*extract every frame"):
        ClipGrid.of(load_config("best", ["clip_stride=1"]), layout.frame_spacing)


def test_rows_of_a_variable_rate_are_chosen_by_their_own_times(tmp_path: Path) -> None:
    times_us = np.array([0, 10, 40, 50, 90, 120, 160, 161, 200]) * 1000
    numbered(tmp_path, "a", 9, fps=Fraction(50), times_us=times_us)
    assert frames_read(tmp_path, 25, "a") == [0, 2, 4, 5, 6, 8]
    (match,) = read_layout(open_source(tmp_path).at_rate(Fraction(25)), ["a"]).matches
    assert match.times_us is None and match.n_video_frames == 6


def test_parts_of_a_match_are_the_parts_of_the_whole(tmp_path: Path) -> None:
    numbered(tmp_path, "a", 90, fps=Fraction(30))
    with open_source(tmp_path).at_rate(Fraction(25)).open("a") as group:
        whole = group.read(0, group.n_rows, view="original")
        parts = [group.read(start, min(start + 7, 75), view="original") for start in range(0, 75, 7)]
        assert np.array_equal(np.concatenate(parts), whole) and len(whole) == group.n_rows == 75
        assert group.read(75, 80, view="original").shape == (0, 1)


def test_the_usual_rate_is_that_of_most_matches(tmp_path: Path) -> None:
    for name, fps in (("a", 50), ("b", 25), ("c", 25)):
        numbered(tmp_path, name, 100, fps=Fraction(fps))
    source = open_source(tmp_path)
    assert source.usual_rate(["a", "b", "c"]) == 25
    assert source.usual_rate(["a", "b"]) == 50  # of equally many the first
    assert source.at_rate(Fraction(25)).resampled(["a", "b"]) == [
        "a: 50 frames a second are read at 25, by time",
    ]
    assert read_layout(source.at_rate(Fraction(25)), ["a", "b", "c"]).n_rows == 50 + 100 + 100
