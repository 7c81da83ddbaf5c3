"""What decides a fine-tuning beside the configuration of its head: every key of docs/reference/finetuning.md."""

from collections.abc import Sequence
from os import environ
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from ...cache.disk import first_problem
from ...cache.errors import BallspotError
from ...cache.workers import n_usable_cpus
from ..config import Chance, Config, Count, CountOrNone, Rate, Section, config_value, load_config

PARTS = ("stem", "s1", "s2", "s3", "s4")
MOST_DECODERS = 32


class FinetuneSection(Section):
    """How the backbone is trained, and what is changed in its pictures; 0 is off."""

    freeze: tuple[str, ...] = ()
    norms: Literal["train", "frozen"] = "train"
    backbone_rate: Rate = 1.0
    layer_decay: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    accumulate: Count = 1
    checkpointing: bool = False
    copies: Count = 1
    decode_workers: CountOrNone | Literal["auto"] = "auto"
    flip: Chance = 0.5
    colour: Chance = 0.2
    blur: Chance = 0.1
    crop: Chance = 0.0

    @model_validator(mode="after")
    def _known_parts(self) -> Self:
        unknown = [name for name in self.freeze if name not in PARTS]
        if unknown:
            raise ValueError(f"freeze {unknown[0]!r} is not a part of the backbone; give some of {', '.join(PARTS)}")
        return self

    def n_decoders(self, *, on_gpu: bool) -> int:
        """How many processes decode for this one: by default its share of the machine's cores, one kept for itself.

        On a CPU, where training takes the cores, a third of that share: as much as training can take in.
        """
        if self.decode_workers != "auto":
            return self.decode_workers
        n_cores = n_usable_cpus() // int(environ.get("LOCAL_WORLD_SIZE", "1"))
        return max(min(n_cores - 1, MOST_DECODERS) if on_gpu else n_cores // 3, 1)


def read_settings(preset: str, settings: Sequence[str]) -> tuple[Config, FinetuneSection]:
    """The head's configuration and the fine-tuning's from a preset and `key=value` texts.

    Raises BallspotError for unknown keys and bad values, and for what cannot be done on pictures.
    """
    own, rest = {}, []
    for text in settings:
        key, equals, value = text.partition("=")
        name = key.strip().removeprefix("finetune.")
        if equals and name in FinetuneSection.model_fields:
            own[name] = config_value(value.strip())
        else:
            rest.append(text)
    if isinstance(own.get("freeze"), str):
        own["freeze"] = tuple(filter(None, own["freeze"].split(",")))
    try:
        section = FinetuneSection.model_validate(own)
    except ValidationError as error:
        place, message = first_problem(error)
        raise BallspotError(
            f"finetune.{place or 'freeze'}: {message}; docs/reference/finetuning.md has every key"
        ) from error
    config = load_config(preset, rest)
    for name, value, wanted in (
        ("clips.scaling", config.clips.scaling, "none"),
        ("clips.views", config.clips.views, ("original",)),
        ("augmentation.index_jitter", config.augmentation.index_jitter, 0.0),
        ("augmentation.frame_switch", config.augmentation.frame_switch, 0.0),
        ("augmentation.temporal_drop", config.augmentation.temporal_drop, 0.0),
        ("head.cells", config.head.cells, 1),
        ("training.sam_rho", config.training.sam_rho, 0.0),
        ("training.compile", config.training.compile, False),
    ):
        if value != wanted:
            raise BallspotError(f"{name} = {value!r}: fine-tuning knows {wanted!r} only; set it so")
    if config.training.sampling == "hard-negatives":
        raise BallspotError("training.sampling = 'hard-negatives' is for cached features; give near-actions or another")
    if config.training.batch_clips % section.copies:
        raise BallspotError(
            f"training.batch_clips {config.training.batch_clips} is not a multiple of finetune.copies {section.copies}"
        )
    return config, section
