"""A head that begins with what another one has learned: the trunk as it is, classes by their names."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor, nn

from ...cache.disk import path_hint
from ...cache.errors import BallspotError
from .checkpoints import Checkpoint, HeadDescription, read_checkpoint
from .head import WholeHead

OF_ANSWERS, OF_READING = "answers.", "from_answers."  # of a trunk whose stages answer, too
OF_OTHERS = ("offset_layer.", "team_layer.")  # a head may have them or not


@dataclass(frozen=True)
class WarmStart:
    """The best head of a run: ``path`` is its checkpoint, ``digest`` that of the file."""

    path: Path
    checkpoint: Checkpoint
    digest: str

    @classmethod
    def of_run(cls, run: Path) -> "WarmStart":
        """The best head of the run at ``run``. Raises BallspotError where there is none."""
        path = run / "best.safetensors"
        if not path.is_file():
            seeds = sorted(folder.name for folder in run.glob("seed-*") if folder.is_dir())
            hint = f"it has {', '.join(seeds)}: give one of them" if seeds else "give the folder of a trained run"
            what = f"no trained head in it ({path.name} is missing)" if run.exists() else "no such run"
            raise BallspotError(f"{run}: {what}{path_hint(run)}; {hint}")
        return cls(path, read_checkpoint(path), sha256(path.read_bytes()).hexdigest())

    @property
    def description(self) -> HeadDescription:
        """What the head is."""
        return self.checkpoint.description

    def apply(self, head: nn.Module, description: HeadDescription) -> tuple[str, ...]:
        """Gives ``head``, which ``description`` describes, what this one has learned; the labels that begin anew.

        Each class keeps its row of the class layer wherever it stands; one that is not among these begins as it was
        drawn. Raises BallspotError, naming the first tensor, where the trunks are not of one shape.
        """
        labels = [one.label_set.labels for one in (self.description, description)]
        if isinstance(head, WholeHead) and labels[0] != labels[1]:
            raise BallspotError(
                f"--init {self.path.parent}: its own head has class layers that only it knows, so classes cannot go by "
                "their names; give the label set that it was trained on"
            )
        given, wanted = self.checkpoint.average or self.checkpoint.head, head.state_dict()
        rows, new = _rows(self.description, description)
        state: dict[str, Tensor] = {}
        for name, value in wanted.items():
            there = given.get(name)
            axis = _class_axis(name)
            if axis is not None and there is not None and _beside(there, axis) == _beside(value, axis):
                state[name] = value.clone()
                for place, row in rows.items():
                    state[name].select(axis, place).copy_(there.select(axis, row))
            elif there is not None and there.shape == value.shape:
                state[name] = there
            elif name.startswith(OF_OTHERS):
                state[name] = value
            else:
                self._require_clips(name, there, value, description)
                shapes = [None if one is None else tuple(one.shape) for one in (there, value)]
                raise BallspotError(
                    f"--init {self.path.parent}: its head has {name} {shapes[0] or 'not'}, this one {shapes[1]}; leave "
                    "out --preset, --head and --set for what shapes it, and give features of the same width"
                )
        with torch.no_grad():
            head.load_state_dict(state)
        return new

    def _require_clips(self, name: str, there: Tensor | None, value: Tensor, description: HeadDescription) -> None:
        """Raises BallspotError where a tensor differs because it holds the positions of clips of another length."""
        old, new = (one.config.clips.clip_frames for one in (self.description, description))
        if there is not None and name.endswith("positions") and there.shape[1:] == value.shape[1:] and old != new:
            raise BallspotError(
                f"--init {self.path.parent}: its head has learned positions of clips of {old} frames, this one's have "
                f"{new}; give --set clip_frames={old}"
            )


def _class_axis(name: str) -> int | None:
    """Along which axis of a head's tensor the classes lie; None where they do not."""
    _, found, leaf = name.rpartition(OF_READING)
    if found:
        return 1 if leaf.endswith("weight") else None
    return 0 if name.startswith("class_layer.") or OF_ANSWERS in name else None


def _beside(tensor: Tensor, axis: int) -> list[int]:
    """The shape of a tensor but for one axis."""
    return [size for place, size in enumerate(tensor.shape) if place != axis]


def _rows(old: HeadDescription, new: HeadDescription) -> tuple[Mapping[int, int], tuple[str, ...]]:
    """The old row of each row of the class layer that has one, background first; and the labels that have none."""
    sided = [2 if one.config.head.teams == "labels" else 1 for one in (old, new)]
    rows, fresh = {0: 0}, []
    for index, label in enumerate(new.label_set.labels):
        place = old.label_set.place(label)
        if place is None:
            fresh.append(label)
            continue
        for side in range(sided[1]):
            of_side = side if sided[0] == 2 else 0
            rows[1 + side * len(new.label_set) + index] = 1 + of_side * len(old.label_set) + place
    return rows, tuple(fresh)
