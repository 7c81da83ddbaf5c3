"""Rows of several feature sets, made anew side by side: of a stream, and which sets do not go together."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from ballspot.cache.errors import BallspotError
from ballspot.cache.stores import RegionSpec
from ballspot.extract.backbone.spec import BackboneSpec
from ballspot.extract.rows.job import ExtractionJob, Recipe, Settings
from ballspot.extract.rows.row_maker import RowMaker
from ballspot.extract.video.process import Batch

CPU = torch.device("cpu")
SIZE = (32, 48)
N_FRAMES = 44
REGION = RegionSpec(by="map", size=(32, 32), picture=(64, 96), count=1, fuse="concat")


@dataclass(frozen=True)
class Made:
    """A feature set of a bundle, whose backbone has drawn weights."""

    settings: Settings = field(default_factory=partial(Settings, batch_rows=4))
    backbone: str = "resnet10t"
    weights: str = "random"

    def job(self, **how: Any) -> ExtractionJob:
        return Recipe(BackboneSpec(self.backbone, self.weights, SIZE), "cpu", self.settings).job()

    def project(self, rows: np.ndarray) -> np.ndarray:
        return rows


class Stream:
    """Drawn pictures in batches, as `LiveFrames` gives them; ``given`` counts those that were asked for."""

    source = "a stream"

    def __init__(self) -> None:
        self.given = 0

    def batches(self, *, batch_rows: int, stride: int, motion: int) -> Iterator[Batch]:
        pictures = np.random.default_rng(3).integers(0, 255, (N_FRAMES, *SIZE, 3), np.uint8)
        for start in range(0, N_FRAMES, batch_rows):
            self.given += batch_rows
            yield Batch(
                np.arange(start, start + batch_rows), pictures[start : start + batch_rows], np.empty(0, np.int64)
            )


def maker_of(*features: Made) -> RowMaker:
    return RowMaker(features, ["original"], device=CPU)  # pyright: ignore[reportArgumentType]  # what it asks of them


def live(maker: RowMaker) -> np.ndarray:
    return np.concatenate([rows["original"] for rows in maker.live_rows(Stream())])  # pyright: ignore[reportArgumentType]


def test_rows_of_two_sets_of_a_stream_stand_side_by_side() -> None:
    one, other = Made(), Made(weights="random:1")
    alone = [live(maker_of(made)) for made in (one, other)]
    assert not np.array_equal(*alone)
    np.testing.assert_array_equal(live(maker_of(one, other)), np.concatenate(alone, axis=1))


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (Made(backbone="regnety_002+tsm:s4"), "temporal shift beside other feature sets; give another run"),
        (
            Made(Settings(batch_rows=4, region=REGION)),
            r"\(--region\) beside other feature sets; give another run",
        ),
        (Made(Settings(batch_rows=4, motion=2)), "with and without --motion, or of several; give another run"),
        (Made(Settings(batch_rows=8)), "different engines or batches; give --engine torch"),
    ],
    ids=["shift", "region", "motion", "batches"],
)
def test_sets_that_cannot_share_a_stream_are_refused_before_a_row(other: Made, said: str) -> None:
    with pytest.raises(BallspotError, match=f"--live: .*{said}"):
        next(maker_of(Made(), other).live_rows(Stream()))  # pyright: ignore[reportArgumentType]


def test_sets_of_different_strides_are_refused() -> None:
    with pytest.raises(BallspotError, match="different strides; extract both with one --stride"):
        maker_of(Made(), Made(Settings(batch_rows=4, stride=2)))


def test_short_windows_tell_rows_of_a_stream_sooner_and_change_none() -> None:
    shifted = Made(backbone="regnety_002+tsm:s4")
    usual, short = maker_of(shifted), maker_of(shifted)
    short.shorten_windows()
    assert short.look_ahead_frames < usual.look_ahead_frames
    first = []
    for maker in (usual, short):
        stream = Stream()
        next(maker.live_rows(stream))  # pyright: ignore[reportArgumentType]
        first.append(stream.given)
    assert first[1] <= short.look_ahead_frames and first[1] < first[0]
    np.testing.assert_allclose(live(short).astype(np.float32), live(usual).astype(np.float32), rtol=2**-9, atol=1e-3)


def test_windows_of_a_margin_below_the_reach_stay_as_long_as_they_are() -> None:
    """Shorter ones would give other rows."""
    maker = maker_of(Made(Settings(batch_rows=4, margin=1), backbone="regnety_002+tsm:s4"))
    before = maker.look_ahead_frames
    maker.shorten_windows()
    assert maker.look_ahead_frames == before
