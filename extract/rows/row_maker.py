"""Rows of features made anew, of a video that no store is of: what a head reads, from any number of feature sets."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch

from ...cache.disk import Closable
from ...cache.errors import BallspotError
from ...cache.stores import Block, rows_of_chunks
from ..backbone import WindowEngine
from ..regions import RegionEngine
from ..video import LiveFrames, VideoProbe
from .decoders import Decoders
from .recipe import BundledFeatures
from .segments import SegmentRunner

PIECE_ROWS = 64
STREAM_WINDOW_ROWS = 32


class RowMaker(Closable):
    """Makes the rows of all sets of a head, side by side, of one video after another; a context manager."""

    def __init__(
        self,
        features: Sequence[BundledFeatures],
        views: Sequence[str],
        *,
        device: torch.device,
        weights: str | None = None,
        engine: str | None = None,
    ) -> None:
        """``views`` are those that are wanted: a set's views do not change one another.

        Raises BallspotError as `BundledFeatures.job` does, and for sets of different strides.
        """
        self.features, self.views = tuple(features), tuple(views)
        jobs = [one.job(device=device, weights=weights, engine=engine) for one in features]
        self._runners = [SegmentRunner(replace(job, settings=replace(job.settings, views=self.views))) for job in jobs]
        self._decoders = [Decoders(runner) for runner in self._runners]
        self.stride = jobs[0].settings.stride
        if any(job.settings.stride != self.stride for job in jobs):
            raise BallspotError("the head's feature sets have different strides; extract both with one --stride")

    def n_rows(self, probe: VideoProbe) -> int:
        """How many rows a video gives."""
        return -(-probe.n_frames // self.stride)

    def rows(self, probe: VideoProbe, decoder: str, *, match: str) -> Iterator[dict[str, np.ndarray]]:
        """The rows of a video in order, about 64 at a time: of every view (n, D), the sets one after another in D.

        Raises DecodingError for a frame that this decoder cannot give.
        """
        blocks = [rows_of_chunks(made.rows(probe, decoder, match=match), PIECE_ROWS) for made in self._decoders]
        for parts in zip(*blocks, strict=True):
            yield self.joined(parts)

    def live_rows(self, frames: LiveFrames) -> Iterator[dict[str, np.ndarray]]:
        """The rows of a stream, batch by batch, as its frames arrive. BallspotError for a shift beside other sets."""
        batch_rows, motion = self._runners[0].job.settings.batch_rows, self._runners[0].job.settings.motion
        batches = frames.batches(batch_rows=batch_rows, stride=self.stride, motion=motion)
        if len(self._runners) == 1:
            for part in self._runners[0].rows_of_stream(batches, match=frames.source):
                yield self.joined([part])
            return
        if any(runner.job.backbone.shifted for runner in self._runners):
            raise BallspotError("--live: a backbone with temporal shift beside other feature sets; give another run")
        if any(isinstance(runner.engine, RegionEngine) for runner in self._runners):
            raise BallspotError("--live: boxes of pictures (--region) beside other feature sets; give another run")
        if any(runner.job.settings.motion != motion for runner in self._runners):
            raise BallspotError("--live: feature sets with and without --motion, or of several; give another run")
        if any(runner.job.settings.batch_rows != batch_rows for runner in self._runners):
            raise BallspotError("--live: the feature sets came from different engines or batches; give --engine torch")
        for batch in batches:
            yield self.joined([next(one.rows_of_stream([batch], match=frames.source)) for one in self._runners])

    def shorten_windows(self) -> None:
        """Makes a temporal shift's windows short, for streams; features do not change where the margin is the reach."""
        for runner in self._runners:
            engine = runner.engine
            if isinstance(engine, WindowEngine) and engine.margin >= engine.shifted.reach:
                engine.shorten(STREAM_WINDOW_ROWS)

    @property
    def look_ahead_frames(self) -> int:
        """How many frames past a frame must have come, at most, until its row is made from a stream."""
        frames = []
        for runner in self._runners:
            engine = runner.engine
            wide = engine.look_ahead_rows if isinstance(engine, (WindowEngine, RegionEngine)) else 0
            frames.append((runner.job.settings.batch_rows + wide) * self.stride + runner.job.settings.motion)
        return max(frames)

    def joined(self, parts: Sequence[Block]) -> dict[str, np.ndarray]:
        """The sets' rows of the same frames side by side, each projected as its set is."""
        both = list(zip(self.features, parts, strict=True))
        return {
            view: np.concatenate([one.project(part.features[view]) for one, part in both], axis=1)
            for view in self.views
        }

    def close(self) -> None:
        """Ends the decoding processes."""
        for decoders in self._decoders:
            decoders.close()
