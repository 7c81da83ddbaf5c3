"""What a checkpoint of another system holds, in ballspot's terms; each system's reader gives one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ...cache.errors import BallspotError
from ..config import HeadSection, PredictionSection, Procedure
from ..heads import build_head

WHOLE = "give a whole checkpoint"


@dataclass(frozen=True)
class Found:
    """A whole model of another system.

    system, variant: whose it is, and what it is made of, as a user is told it.
    backbone, backbone_state: the backbone's name here, e.g. regnety_002+gsm, and its tensors under timm's names.
    dim: features of a row.
    head, head_state: the kind of head with its sizes, and the tensors of the `SpottingHead` that it builds.
    n_labels: classes without background; ``labels`` names them where their number says which they are, else None.
    clip_rows: rows of a clip where the tensors fix it, else None.
    left_out: a line for each part of the file that has no say in what the model predicts.
    procedure, prediction: the published settings of the system, as far as the file says no others.
    network_state: tensors of a network that is more than one backbone, else empty.
    """

    system: str
    variant: str
    backbone: str
    backbone_state: Mapping[str, Tensor]
    dim: int
    head: HeadSection
    head_state: Mapping[str, Tensor]
    n_labels: int
    procedure: Procedure
    prediction: PredictionSection
    labels: tuple[str, ...] | None = None
    clip_rows: int | None = None
    left_out: tuple[str, ...] = ()
    network_state: Mapping[str, Tensor] = field(default_factory=dict)


def require_all(missing: Sequence[str], left_over: Sequence[str], what: str, *, source: str) -> None:
    """Raises BallspotError for tensors of ``what`` that a checkpoint lacks or that have no place there, naming one."""
    if missing:
        raise BallspotError(f"{source}: lacks {len(missing)} tensors of {what}, the first '{missing[0]}'; {WHOLE}")
    if left_over:
        first = left_over[0][:80]
        raise BallspotError(f"{source}: {len(left_over)} tensors have no place in {what}, the first {first!r}")


def head_shapes(section: HeadSection, *, dim: int, n_labels: int, clip_rows: int, source: str) -> dict[str, torch.Size]:
    """The shape of every tensor of the head that a section builds. BallspotError where none can be built."""
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            head = build_head(section, dims=(dim,), n_labels=n_labels, clip_frames=clip_rows)
    except ValueError as error:
        raise BallspotError(f"{source}: its head cannot be built ({error}); {WHOLE}") from error
    return {name: value.shape for name, value in head.state_dict().items()}
