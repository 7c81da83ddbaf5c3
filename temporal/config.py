"""All that decides a training run, in frozen sections; the defaults are the preset `best`.

Every key is described in docs/configuration.md. Leaf names are unique across the sections, so that a key can be named
by its leaf alone. A section holds plain values only: models and functions receive those, never a config.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Count = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0.0)]
Share = Annotated[float, Field(ge=0.0, lt=1.0)]
HeadKind = Literal["tcn", "transformer", "multires"]


class Section(BaseModel):
    """One table of the configuration: immutable, unknown keys refused, values converted only where nothing is lost."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ClipSection(Section):
    """How clips are cut from the stored features."""

    clip_frames: Count = 50
    clip_stride: Count = 2
    pad_frames: Annotated[int, Field(ge=0)] = 5
    scaling: Literal["none", "train", "match"] = "match"
    resident_dtype: Literal["float16", "float32"] = "float16"

    @model_validator(mode="after")
    def _padding_leaves_frames(self) -> Self:
        if self.pad_frames >= self.clip_frames:
            raise ValueError(f"pad_frames {self.pad_frames} must be smaller than clip_frames {self.clip_frames}")
        return self


class HeadSection(Section):
    """The temporal model between features, class logits and offsets."""

    kind: HeadKind = "transformer"
    temporal_stride: Count = 2
    offsets: bool = True
    width: Annotated[int, Field(ge=0)] = 256
    class_dropout: Share = 0.5
    kernel_size: Count = 5
    dilations: tuple[Count, ...] = (1, 2, 4)
    n_layers: Count = 4
    n_attention_heads: Count = 8
    feedforward_factor: Count = 2
    dropout: Share = 0.1
    norm: Literal["pre", "post"] = "pre"
    branch_factors: tuple[Count, ...] = (1, 2, 4)
    branch_alignment: Literal["frames", "repeat"] = "frames"

    @model_validator(mode="after")
    def _lists_are_filled(self) -> Self:
        if self.kernel_size % 2 == 0:
            raise ValueError(f"kernel_size {self.kernel_size} must be odd: the window is centred")
        if not self.dilations:
            raise ValueError("dilations must name at least one convolution")
        if not self.branch_factors or self.branch_factors[0] != 1:
            raise ValueError("branch_factors must begin with 1: the finest branch sets the tokens")
        return self


class TargetSection(Section):
    """What a token should answer."""

    label_assignment: Literal["strided", "nearest"] = "nearest"
    event_time: Literal["exact", "floor"] = "exact"
    offset_window: Count | Literal["none"] = 8


class LossSection(Section):
    """How answers are judged."""

    class_weights: Literal["median-root", "none"] = "median-root"
    background_constant: Annotated[float, Field(ge=0.0)] = 0.5
    action_constant: Annotated[float, Field(ge=0.0)] = 5.0
    focal_gamma: Annotated[float, Field(ge=0.0)] = 1.0
    offset_weight: Annotated[float, Field(ge=0.0)] = 0.1


class TrainingSection(Section):
    """How long, how fast and on how many clips at a time."""

    n_epochs: Count = 20
    epoch_frames: Count | Literal["auto"] = "auto"
    batch_clips: Count = 32
    learning_rate: Rate = 3e-4
    final_learning_rate: Annotated[float, Field(ge=0.0)] = 1e-5
    warmup_epochs: Annotated[float, Field(ge=0.0)] = 3.0
    warmup_start: Annotated[float, Field(gt=0.0, le=1.0)] = 0.01
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.01
    validation_every_epochs: Count = 1

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
    window_batch_clips: Count = 64
    phases: Literal["all", "one"] = "all"
    coverage: Literal["every-frame", "stop-early"] = "every-frame"
    merge: Literal["sum", "maximum"] = "maximum"
    suppression: Literal["soft", "hard", "lopsided"] = "soft"
    nms_window: Annotated[int, Field(ge=0)] = 24
    score_floor: Annotated[float, Field(ge=0.0)] = 0.005


class Config(Section):
    """One resolved configuration."""

    clips: ClipSection = ClipSection()
    head: HeadSection = HeadSection()
    targets: TargetSection = TargetSection()
    loss: LossSection = LossSection()
    training: TrainingSection = TrainingSection()
    prediction: PredictionSection = PredictionSection()
