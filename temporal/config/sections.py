"""All that decides a training run, in frozen sections; the defaults are the preset `best`.

Every key is described in docs/reference/configuration.md. Leaf names are unique across the sections, so that a key can
be named by its leaf alone. A section holds plain values only: models and functions receive those, never a config.
"""

from typing import Annotated, Any, Literal, Self

import torch
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticKnownError

from ...cache.code import is_reference, parse_reference
from ...cache.stores import FLIPPED_VIEW, ORIGINAL

DTYPES = {"float16": torch.float16, "float32": torch.float32}
MOST = 10**9  # of any count: far beyond all that can be trained
Count = Annotated[int, Field(ge=1, le=MOST)]
CountOrNone = Annotated[int, Field(ge=0, le=MOST)]
Rate = Annotated[float, Field(gt=0.0)]
Share = Annotated[float, Field(ge=0.0, lt=1.0)]
Chance = Annotated[float, Field(ge=0.0, le=1.0)]
NotNegative = Annotated[float, Field(ge=0.0)]


def _known_or_own(*known: str) -> AfterValidator:
    """Text that is one of the names, or names own code (docs/reference/own-code.md)."""
    said = f"{', '.join(map(repr, known[:-1]))} or {known[-1]!r}"

    def check(value: str) -> str:
        if value not in known and not is_reference(value):
            raise PydanticKnownError("literal_error", {"expected": f"{said}, or own code as FILE.py:NAME"})
        return value

    return AfterValidator(check)


HeadKind = Annotated[
    str,
    _known_or_own(
        "tcn",
        "transformer",
        "multires",
        "gru",
        "unet",
        "tdeed",
        "sgp-mixer",
        "linear",
        "spot-gru",
        "mstcn",
        "asformer",
        "adaspot",
    ),
]
Teams = Literal["none", "head", "labels"]
ClassLoss = Annotated[str, _known_or_own("cross-entropy", "sigmoid")]
OffsetLoss = Annotated[str, _known_or_own("smooth-l1", "mse", "huber")]
Suppression = Literal["soft", "hard", "lopsided", "peaks", "peaks-ties"]


class Section(BaseModel):
    """One table of the configuration: immutable, unknown keys refused, values converted only where nothing is lost."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_for_switches(cls, value: Any, info: ValidationInfo) -> Any:
        is_switch = cls.model_fields[info.field_name or ""].annotation is bool
        if not is_switch and any(
            isinstance(one, bool) for one in (value if isinstance(value, (list, tuple)) else [value])
        ):
            raise ValueError("true and false are for switches, which this is not")
        return value


class ClipSection(Section):
    """How clips are cut from the stored features."""

    clip_frames: Count = 50
    clip_stride: Count = 2
    pad_frames: CountOrNone = 5
    scaling: Literal["none", "train", "match", "match-common"] = "match-common"
    views: tuple[str, ...] = ("original",)
    resident_dtype: Literal["float16", "float32"] = "float16"
    resident_limit_gb: Rate = 8.0

    @model_validator(mode="after")
    def _padding_leaves_frames(self) -> Self:
        if self.pad_frames >= self.clip_frames:
            raise ValueError(f"pad_frames {self.pad_frames} must be smaller than clip_frames {self.clip_frames}")
        if not self.views or self.views[0] != "original" or len(set(self.views)) < len(self.views):
            raise ValueError(f"views {list(self.views)} must begin with original and name each view once")
        return self


class HeadSection(Section):
    """The temporal model between features, class logits, offsets and teams."""

    kind: HeadKind = "unet"
    temporal_stride: Count = 2
    offsets: bool = True
    teams: Teams = "none"
    width: CountOrNone = 192
    fused_width: Count = 256
    cells: Count = 1
    class_dropout: Share = 0.5
    kernel_size: Count = 5
    dilations: tuple[Count, ...] = (1, 2, 4)
    n_layers: Count = 4
    n_attention_heads: Count = 8
    feedforward_factor: Count = 2
    dropout: Share = 0.1
    norm: Literal["pre", "post"] = "pre"
    positions: Literal["learned", "rotary"] = "learned"
    branch_factors: tuple[Count, ...] = (1, 2, 4)
    branch_alignment: Literal["frames", "repeat"] = "frames"
    gru_layers: Count = 1
    n_stages: Count = 3
    unet_levels: CountOrNone = 2
    unet_kernel: Count = 9
    unet_factor: Count | Annotated[float, Field(gt=0.0, le=MOST)] = 4

    @field_validator("unet_factor")
    @classmethod
    def _whole_where_it_can_be(cls, value: float) -> float:
        return int(value) if float(value).is_integer() else value

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        if self.kernel_size % 2 == 0:
            raise ValueError(f"kernel_size {self.kernel_size} must be odd: the window is centred")
        if self.unet_kernel % 2 == 0:
            raise ValueError(f"unet_kernel {self.unet_kernel} must be odd: the window is centred")
        if self.kind != "sgp-mixer" and not isinstance(self.unet_factor, int):
            raise ValueError(f"unet_factor {self.unet_factor:g} must be whole: only head sgp-mixer takes fractions")
        if not self.dilations:
            raise ValueError("dilations must name at least one convolution")
        if not self.branch_factors or self.branch_factors[0] != 1:
            raise ValueError("branch_factors must begin with 1: the finest branch sets the tokens")
        return self


class TargetSection(Section):
    """What a token should answer."""

    label_assignment: Literal["strided", "nearest"] = "nearest"
    event_time: Literal["exact", "floor"] = "exact"
    label_radius: CountOrNone = 1
    label_sd: NotNegative = 0.0
    offset_window: Count | Literal["none"] = 8
    offset_background: Literal["masked", "zero"] = "masked"


class LossSection(Section):
    """How answers are judged."""

    class_loss: ClassLoss = "cross-entropy"
    class_weights: Literal["median-root", "constant", "none"] = "median-root"
    background_constant: NotNegative = 0.5
    action_constant: NotNegative = 5.0
    focal_gamma: NotNegative = 1.0
    offset_loss: OffsetLoss = "smooth-l1"
    huber_delta: Rate = 0.5
    offset_weight: NotNegative = 0.1
    team_weight: NotNegative = 0.5


class AugmentationSection(Section):
    """What is changed in training clips, each with a chance or strength; 0 is off."""

    mixup_alpha: NotNegative = 0.2
    temporal_drop: Chance = 0.0
    frame_switch: Chance = 0.0
    index_jitter: Chance = 0.0


class TrainingSection(Section):
    """How long, how fast, and on which clips."""

    n_epochs: Count = 12
    epoch_frames: Count | Literal["auto"] = "auto"
    batch_clips: Count = 16
    sampling: Literal["uniform", "near-actions", "class-balanced", "hard-negatives"] = "uniform"
    sampling_share: Chance = 0.5
    near_frames: CountOrNone = 9
    learning_rate: Rate = 5e-4
    final_learning_rate: NotNegative = 1e-5
    warmup_epochs: NotNegative = 1.0
    warmup_start: Annotated[float, Field(gt=0.0, le=1.0)] = 0.01
    weight_decay: NotNegative = 0.01
    ema_decay: Share = 0.99
    sam_rho: NotNegative = 0.0
    gradient_clip: NotNegative = 0.0
    early_stop_epochs: CountOrNone = 0
    validation_every_epochs: Count = 1
    precision: Literal["float32", "bfloat16"] = "float32"
    amp: bool = False
    compile: bool = False

    @model_validator(mode="after")
    def _warmup_ends(self) -> Self:
        if self.warmup_epochs >= self.n_epochs:
            raise ValueError(
                f"warmup_epochs {self.warmup_epochs:g} must be smaller than n_epochs {self.n_epochs}; set both"
            )
        return self


class PredictionSection(Section):
    """How a whole match is scored, and how scores become spots."""

    window_overlap: Share = 0.5
    centre_share: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    window_batch_clips: Count = 64
    phases: Literal["all", "one"] = "all"
    coverage: Literal["every-frame", "stop-early"] = "every-frame"
    flip_average: bool = False
    merge: Literal["sum", "maximum"] = "maximum"
    team_scores: Literal["shared", "apart"] = "shared"
    suppression: Suppression = "soft"
    nms_window: CountOrNone = 24
    score_floor: NotNegative = 0.005

    @model_validator(mode="after")
    def _centres_meet(self) -> Self:
        if self.centre_share + self.window_overlap < 1.0:
            raise ValueError(
                f"centre_share {self.centre_share:g} leaves frames between windows that overlap by "
                f"{self.window_overlap:g}; the two must add up to 1 or more"
            )
        return self


class Config(Section):
    """One resolved configuration."""

    clips: ClipSection = ClipSection()
    head: HeadSection = HeadSection()
    targets: TargetSection = TargetSection()
    loss: LossSection = LossSection()
    augmentation: AugmentationSection = AugmentationSection()
    training: TrainingSection = TrainingSection()
    prediction: PredictionSection = PredictionSection()


def is_sigmoid(class_loss: str) -> bool:
    """Whether a class loss judges every class by itself: scores are then sigmoids, else a softmax with background."""
    return class_loss == "sigmoid" or (is_reference(class_loss) and bool(parse_reference(class_loss).mark))


def prediction_views(config: Config) -> tuple[str, ...]:
    """The views that prediction reads."""
    return (ORIGINAL, FLIPPED_VIEW) if config.prediction.flip_average else (ORIGINAL,)
