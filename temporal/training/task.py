"""What a training is for: matches, their split and labels, the configuration, the seed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

import torch

from ...cache.disk import fingerprint
from ...cache.errors import BallspotError
from ...evaluate.dataset import (
    LABELS_FILE,
    SCORES_FILE,
    LabelSet,
    Match,
    Splits,
    Spot,
    find_matches,
    load_label_set,
    load_splits,
    read_labels,
)
from ..config import ClipGrid, Config, as_table, prediction_views
from ..features import FeatureLayout, FeatureSource, read_layout
from ..heads import HeadDescription

SPLIT = "valid"
Report = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Task:
    """All that decides a training but where its features come from, and the device it runs on.

    ``mistakes`` is a folder of scores of the training matches by heads that were not trained on them; hard negatives
    are drawn from it.
    """

    config: Config
    matches: Mapping[str, Match]
    splits: Splits
    label_set: LabelSet
    seed: int
    shuffle_labels: bool
    device: torch.device
    mistakes: Path | None = None

    @classmethod
    def of_data(
        cls, data_root: Path, *, splits_file: Path | None, leave_out: str | None, labels: str, **settings: Any
    ) -> Self:
        """The task on the matches of a data root with a label set of that name; ``settings`` are the other fields.

        Raises BallspotError for what is wrong with the data root, its split, or the label set.
        """
        matches = find_matches(data_root)
        return cls(
            matches={match.name: match for match in matches},
            splits=load_splits(data_root, matches, splits_file=splits_file, leave_out=leave_out),
            label_set=load_label_set(labels),
            **settings,
        )

    def spots(self, split: str) -> dict[str, tuple[Spot, ...]]:
        """The labels of every match of a split, in the order of its file. Raises BallspotError where there are none."""
        spots = {}
        for name in self.splits.part(split):
            path = self.matches[name].labels_path
            if path is None:
                raise BallspotError(
                    f"{self.matches[name].folder}: match {name!r} of split {split} has no {LABELS_FILE}; add it, or "
                    "name other matches with --splits"
                )
            spots[name] = read_labels(path, self.label_set, in_file_order=True)
        return spots

    def mistake_files(self) -> dict[str, Path]:
        """The score file of every training match in ``mistakes``, none without hard negatives. Else BallspotError."""
        if self.config.training.sampling != "hard-negatives":
            if self.mistakes is not None:
                raise BallspotError(
                    f"--mistakes {self.mistakes} is for hard negatives; give --set sampling=hard-negatives with it"
                )
            return {}
        if self.mistakes is None:
            raise BallspotError(
                "sampling hard-negatives needs scores of the training matches by heads that did not train on them; "
                "give their folder with --mistakes (docs/configuration.md says how to make it)"
            )
        files = {name: self.mistakes / name / SCORES_FILE for name in self.splits.train}
        for name, path in files.items():
            if not path.is_file():
                raise BallspotError(f"{path}: no scores of training match {name!r}; predict it with another run's head")
        return files


@dataclass(frozen=True, kw_only=True)
class Experiment(Task):
    """All that decides a run's result, and the device it runs on: a task on the stored features of ``source``."""

    source: FeatureSource

    def check(self, layout: FeatureLayout | None = None) -> FeatureLayout:
        """Raises BallspotError for all that is wrong with settings and stores and can be seen before work begins.

        Returns the layout of the training matches. Given again, for other settings of the same matches and views, it
        spares opening all their stores.
        """
        config = self.config
        if layout is None:
            layout = read_layout(self.source, self.splits.part("train"), config.clips.views)
            read_layout(self.source, self.splits.part(SPLIT), prediction_views(config))
        ClipGrid.of(config, layout.frame_spacing)
        with torch.random.fork_rng(devices=[]), torch.device("meta"):  # a head without its numbers
            HeadDescription(config, self.label_set, layout.dims, self.source.fingerprint).build()
        return layout

    def key(self) -> str:
        """The digest of config, seed, features, split and labels: equal keys give equal runs on one machine's CPU."""
        labels = {split: {name: repr(spots) for name, spots in self.spots(split).items()} for split in ("train", SPLIT)}
        mistakes = {name: sha256(path.read_bytes()).hexdigest() for name, path in self.mistake_files().items()}
        return fingerprint(
            {
                "config": as_table(self.config),
                "seed": self.seed,
                "features": self.source.fingerprint,
                "label_set": self.label_set.as_record(),
                "splits": self.splits.by_part,
                "labels": labels,
                "shuffle_labels": self.shuffle_labels,
                "mistakes": mistakes,
            }
        )
