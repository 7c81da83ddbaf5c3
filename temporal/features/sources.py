"""What a head reads: one feature set, or several side by side, a frame's features one after another."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import numpy as np

from ...cache.disk import fingerprint
from ...cache.errors import BallspotError
from ...cache.runs import recorded_path
from ...cache.stores import FeatureSet, FeatureStore, open_feature_set
from ...cache.times import TimeAxis, is_same_rate, n_frames_at, nearest_frames


@dataclass(frozen=True)
class StoreGroup:
    """The stores of one match in every set of a source, open; they describe the same frames.

    Where the source has a ``rate`` that is not the stores' own, the rows of the group are those that lie nearest to the
    frames of that rate: `axis`, `frame_spacing` and `n_rows` are then of a video that has it.
    """

    stores: tuple[FeatureStore, ...]
    rate: Fraction | None = None

    @property
    def first(self) -> FeatureStore:
        """The store of the first set: what all of them agree on is read from it."""
        return self.stores[0]

    @property
    def dims(self) -> tuple[int, ...]:
        """Features a frame, set by set."""
        return tuple(store.dim for store in self.stores)

    @cached_property
    def own_axis(self) -> TimeAxis:
        """The time axis of the stores' frames."""
        return self.first.axis

    @property
    def is_resampled(self) -> bool:
        """Whether rows are chosen by time."""
        return self.rate is not None and not is_same_rate(self.first.fps, self.rate)

    @property
    def axis(self) -> TimeAxis:
        """The time axis of the frames that rows are counted by."""
        if self.rate is None or not self.is_resampled:
            return self.own_axis
        return TimeAxis(self.rate, n_frames_at(self.own_axis, self.rate))

    @property
    def frame_spacing(self) -> int:
        """Frames from one row to the next. Raises BallspotError for rows that are not evenly spaced from frame 0."""
        spacing = _spacing(self.first)
        if self.rate is None or not self.is_resampled:
            return spacing
        return max(round(self.rate * spacing / self.first.fps), 1) if spacing > 1 else 1

    @property
    def n_rows(self) -> int:
        """How many rows there are to read."""
        return self.first.n_rows if self._chosen is None else len(self._chosen)

    def read(self, start: int, stop: int, *, view: str) -> np.ndarray:
        """Rows of all sets side by side, (n, sum of dims): float32 where one is float32 or int8, else float16."""
        if self._chosen is None:
            return np.concatenate([store.read(start, stop, view=view) for store in self.stores], axis=1)
        rows = self._chosen[start:stop]
        first, last = (int(rows[0]), int(rows[-1]) + 1) if len(rows) else (0, 0)
        read = np.concatenate([store.read(first, last, view=view) for store in self.stores], axis=1)
        return read[rows - first]

    @cached_property
    def _chosen(self) -> np.ndarray | None:
        """The stored row of each row, None where that is the same one."""
        if self.rate is None or not self.is_resampled:
            return None
        spacing = _spacing(self.first)
        times_us = self.own_axis.times_us
        of_rows = TimeAxis(
            self.first.fps / spacing, self.first.n_rows, None if times_us is None else times_us[self.first.frame_index]
        )
        n_rows = -(-self.axis.n_frames // self.frame_spacing)
        chosen = nearest_frames(of_rows, self.rate / self.frame_spacing)[:n_rows]
        return np.pad(chosen, (0, n_rows - len(chosen)), mode="edge")  # times that round may leave the last one out


@dataclass(frozen=True)
class FeatureSource:
    """Feature sets whose rows are read side by side; ``sets`` holds at least one, and their order matters.

    With a ``rate``, frames a second, matches of another one are read as if they had it, by time.
    """

    sets: tuple[FeatureSet, ...]
    rate: Fraction | None = None

    def at_rate(self, rate: Fraction | None) -> "FeatureSource":
        """The same sets, read at that rate; None: each match at its own."""
        return replace(self, rate=rate)

    def usual_rate(self, names: Sequence[str]) -> Fraction:
        """The frame rate that most of the matches ``names`` have; of several the one that comes first."""
        rates = []
        for name in names:
            with self.open(name) as group:
                rates.append(group.first.fps)
        return Counter(rates).most_common(1)[0][0]

    def resampled(self, names: Sequence[str]) -> list[str]:
        """A line for each of the matches ``names`` that has another rate than is read."""
        lines = []
        for name in names:
            with self.open(name) as group:
                if self.rate is not None and group.is_resampled:
                    rates = f"{float(group.first.fps):.5g} frames a second are read at {float(self.rate):.5g}, by time"
                    lines.append(f"{name}: {rates}")
        return lines

    @property
    def name(self) -> str:
        """The sets' names, joined by a plus sign."""
        return "+".join(feature_set.name for feature_set in self.sets)

    @property
    def recordings(self) -> frozenset[str]:
        """The names that the first set has stores of."""
        return frozenset(self.sets[0].stores)

    @property
    def path(self) -> Path:
        """The folder of the first set, for messages."""
        return self.sets[0].path

    @property
    def fingerprint(self) -> str:
        """The set's own fingerprint, or one digest of several in their order."""
        prints = [feature_set.fingerprint for feature_set in self.sets]
        return prints[0] if len(prints) == 1 else fingerprint({"sets": prints})

    @contextmanager
    def open(self, match: str) -> Iterator[StoreGroup]:
        """The match's stores, open. BallspotError when a set has none, or they are of different frames."""
        with ExitStack() as stack:
            stores = tuple(stack.enter_context(feature_set.open(match)) for feature_set in self.sets)
            group = StoreGroup(stores, self.rate)
            for store in group.stores[1:]:
                if not np.array_equal(store.frame_index, group.first.frame_index) or store.fps != group.first.fps:
                    raise BallspotError(
                        f"{store.path}: its {store.n_rows} rows at {store.fps} frames a second are not the "
                        f"{group.first.n_rows} of {group.first.path}; extract both sets with one --stride"
                    )
            yield group

    def files(self, names: Sequence[str]) -> dict[str, str]:
        """The store files of the matches ``names`` by absolute paths, several of a match joined by a plus sign."""
        return {
            name: "+".join(recorded_path(feature_set.stores[name]) for feature_set in self.sets)
            for name in names
            if all(name in feature_set.stores for feature_set in self.sets)
        }


def open_source(first: Path, more: Sequence[Path] = ()) -> FeatureSource:
    """The feature sets in the folders ``first`` and ``more`` side by side. Errors as `open_feature_set`."""
    return FeatureSource(tuple(open_feature_set(path) for path in (first, *more)))


def _spacing(store: FeatureStore) -> int:
    index = store.frame_index
    spacing = int(index[1] - index[0]) if len(index) > 1 else 1
    if not len(index) or not np.array_equal(index, np.arange(len(index)) * spacing):
        raise BallspotError(
            f"{store.path}: its rows are not evenly spaced frames from frame 0; extract the match again without gaps"
        )
    return spacing
