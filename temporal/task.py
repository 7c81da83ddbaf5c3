"""What a training is for: matches, their split and labels, the configuration, the seed."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from ..cache.errors import BallspotError
from ..evaluate.labels import Spot, read_labels
from ..evaluate.labelsets import LabelSet
from ..evaluate.matches import LABELS_FILE, Match
from ..evaluate.predictions import SCORES_FILE
from ..evaluate.splits import Splits
from .config import Config


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
