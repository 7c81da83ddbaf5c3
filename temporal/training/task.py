"""What a training is for: matches, their split and labels, the configuration, the seed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import torch

from ...cache.disk import fingerprint
from ...cache.errors import BallspotError
from ...evaluate.dataset import SCORES_FILE, DataSelection, LabelSet, Match, Splits, Spot
from ..clips import Stretch
from ..config import ClipGrid, Config, deciding_table, prediction_views
from ..features import FeatureLayout, FeatureSource, read_layout
from ..heads import HeadDescription, WarmStart, sketch_device
from ..own import try_losses

SPLIT, HELD_OUT = "valid", "test"
Report = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Task:
    """All that decides a training but where its features come from, and the device it runs on.

    ``mistakes`` is a folder of scores of the training matches by heads that were not trained on them; hard negatives
    are drawn from it. ``decided`` names the training matches that are labelled in part, with the stretches (ms) in
    which they are; what lies elsewhere in them is left out.
    """

    config: Config
    data: DataSelection
    seed: int
    shuffle_labels: bool
    device: torch.device
    mistakes: Path | None = None
    decided: Mapping[str, tuple[Stretch, ...]] = field(default_factory=dict)

    @property
    def matches(self) -> Mapping[str, Match]:
        """All matches of the data root by their names."""
        return self.data.matches

    @property
    def splits(self) -> Splits:
        """The matches to train on, to validate on and to leave alone."""
        return self.data.splits

    @property
    def label_set(self) -> LabelSet:
        """The classes of the labels."""
        return self.data.label_set

    def spots(self, split: str) -> dict[str, tuple[Spot, ...]]:
        """The labels of every match of a split, in the order of its file. Raises BallspotError where there are none."""
        return self.data.spots_of_split(split)

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
                "give their folder with --mistakes (docs/reference/configuration.md says how to make it)"
            )
        files = {name: self.mistakes / name / SCORES_FILE for name in self.splits.part("train")}
        for name, path in files.items():
            if not path.is_file():
                raise BallspotError(f"{path}: no scores of training match {name!r}; predict it with another run's head")
        return files


@dataclass(frozen=True, kw_only=True)
class Experiment(Task):
    """All that decides a run's result, and the device it runs on: a task on the stored features of ``source``.

    ``start`` is the head that the run begins with, None for one that is drawn by the seed.
    """

    source: FeatureSource
    start: WarmStart | None = None

    @cached_property
    def rows(self) -> FeatureSource:
        """The source, read at one frame rate: that of most of the training and validation matches."""
        return self.source.at_rate(self.source.usual_rate(self._names))

    @property
    def _names(self) -> tuple[str, ...]:
        return (*self.splits.part("train"), *self.splits.part(SPLIT))

    def check(self, layout: FeatureLayout | None = None) -> FeatureLayout:
        """Raises BallspotError for all that is wrong with settings and stores and can be seen before work begins.

        Returns the layout of the training matches. Given again, for other settings of the same matches and views, it
        spares opening all their stores.
        """
        config = self.config
        if layout is None:
            layout = read_layout(self.rows, self.splits.part("train"), config.clips.views)
            read_layout(self.rows, self.splits.part(SPLIT), prediction_views(config))
            if self.splits.n_folds:  # which is predicted at the end of training
                read_layout(self.source, self.splits.part(HELD_OUT), prediction_views(config))
        for cells in layout.cells:
            if config.head.cells not in (1, cells):
                raise BallspotError(
                    f"head.cells = {config.head.cells}: the rows of {self.source.name} are of {cells} cell"
                    f"{'s' if cells > 1 else ''}; set cells={cells}" + ("" if cells > 1 else ", or extract with --grid")
                )
        ClipGrid.of(config, layout.frame_spacing)
        try_losses(config, n_classes=len(self.label_set) * (2 if config.head.teams == "labels" else 1))
        with torch.random.fork_rng(devices=[]), torch.device(sketch_device(config.head)):
            description = HeadDescription(config, self.label_set, layout.dims, self.source.fingerprint)
            head = description.build()
        if self.start is not None:
            with torch.random.fork_rng(devices=[]):
                self.start.apply(
                    head if sketch_device(config.head) == "cpu" else head.to_empty(device="cpu"), description
                )
        return layout

    def key(self) -> str:
        """The digest of config, seed, features, split and labels: equal keys give equal runs on one machine's CPU."""
        labels = {split: {name: repr(spots) for name, spots in self.spots(split).items()} for split in ("train", SPLIT)}
        mistakes = {name: sha256(path.read_bytes()).hexdigest() for name, path in self.mistake_files().items()}
        return fingerprint(
            {
                "config": deciding_table(self.config),
                "seed": self.seed,
                "features": self.source.fingerprint,
                "label_set": self.label_set.as_record(),
                "splits": self.splits.by_part,
                "labels": labels,
                "shuffle_labels": self.shuffle_labels,
                "mistakes": mistakes,
                **({} if self.start is None else {"init": self.start.digest}),
                **({"decided": dict(self.decided)} if self.decided else {}),
            }
        )
