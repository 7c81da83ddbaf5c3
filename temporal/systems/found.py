"""What a checkpoint of another system holds, in ballspot's terms; each system's reader gives one."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from ..config import HeadSection, PredictionSection, Procedure


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
