"""What a head reads: one feature set, or several side by side, a frame's features one after another."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...cache.disk import fingerprint
from ...cache.errors import BallspotError
from ...cache.runs import recorded_path
from ...cache.stores import FeatureSet, FeatureStore, open_feature_set


@dataclass(frozen=True)
class StoreGroup:
    """The stores of one match in every set of a source, open; they describe the same frames."""

    stores: tuple[FeatureStore, ...]

    @property
    def first(self) -> FeatureStore:
        """The store of the first set: what all of them agree on is read from it."""
        return self.stores[0]

    @property
    def dims(self) -> tuple[int, ...]:
        """Features a frame, set by set."""
        return tuple(store.dim for store in self.stores)

    def read(self, start: int, stop: int, *, view: str) -> np.ndarray:
        """Rows of all sets side by side, (n, sum of dims): float32 where one is float32 or int8, else float16."""
        return np.concatenate([store.read(start, stop, view=view) for store in self.stores], axis=1)


@dataclass(frozen=True)
class FeatureSource:
    """Feature sets whose rows are read side by side; ``sets`` holds at least one, and their order matters."""

    sets: tuple[FeatureSet, ...]

    @property
    def name(self) -> str:
        """The sets' names, joined by a plus sign."""
        return "+".join(feature_set.name for feature_set in self.sets)

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
            group = StoreGroup(tuple(stack.enter_context(feature_set.open(match)) for feature_set in self.sets))
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
