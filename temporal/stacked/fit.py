"""Which runs can be trained at once: those of one shape whose head torch can compute several of at a time."""

from typing import Any

from ...cache.code import is_reference, shown
from ..config import Config, deciding_table

PACE = ("learning_rate", "final_learning_rate", "warmup_epochs", "warmup_start", "weight_decay")
# Settings in which the runs of a stack may differ: they change no shape and no draw, only how far a step goes, or when
# a run ends.
OWN_SETTINGS = (*PACE, "early_stop_epochs")
RECURRENT = ("gru", "spot-gru", "adaspot")


def shape_key(config: Config) -> dict[str, Any]:
    """What two configurations must share for their runs to be trained at once."""
    table = deciding_table(config)
    training = {name: value for name, value in table["training"].items() if name not in OWN_SETTINGS}
    return {**table, "training": training}


def why_alone(config: Config) -> str:
    """Why a run of this configuration is trained by itself, "" where it can be stacked."""
    if config.head.kind in RECURRENT:
        return f"head {config.head.kind} is recurrent, and torch computes one recurrent layer at a time"
    for name, value in (
        ("head", config.head.kind),
        ("class_loss", config.loss.class_loss),
        ("offset_loss", config.loss.offset_loss),
    ):
        if is_reference(value):
            return f"{name} {shown(value)} is own code, of which nobody knows what it does to several runs at once"
    return ""
