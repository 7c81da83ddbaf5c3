"""The options that commands of several folders share, and the kinds of values that they take."""

import math
import os
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import click

from ..errors import BallspotError

FOLDER = click.Path(path_type=Path)


class SizeType(click.ParamType):
    """HEIGHTxWIDTH in pixels as (height, width)."""

    name = "HxW"

    def convert(
        self, value: str | tuple[int, int], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        found = re.fullmatch(r"(\d{1,5})[xX](\d{1,5})", value)
        if found is None or not all(32 <= int(part) <= 8192 for part in found.groups()):
            self.fail(f"{value!r} is not HEIGHTxWIDTH in pixels, 32 to 8192, e.g. 224x398", param, ctx)
        return int(found[1]), int(found[2])


SIZE = SizeType()


class FiniteRange(click.FloatRange):
    """A range of numbers without ``nan``, which no bound refuses, and without ``inf``, which an open end lets pass."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number

    def _describe_range(self) -> str:
        """What help says of the bounds; nothing where there are none, of which click would make ``x<=None``."""
        return "" if self.min is None and self.max is None else super()._describe_range()


class GridType(click.ParamType):
    """ROWSxCOLUMNS of cells as (rows, columns)."""

    name = "RxC"

    def convert(
        self, value: str | tuple[int, int], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        found = re.fullmatch(r"([1-9]\d?)[xX]([1-9]\d?)", value)
        if found is None:
            self.fail(f"{value!r} is not ROWSxCOLUMNS of cells, e.g. 2x4", param, ctx)
        return int(found[1]), int(found[2])


def parse_fps(text: str, *, option: str = "--fps") -> Fraction:
    """Frames a second as an exact fraction; 23.976, 29.97 and 59.94 mean the broadcast rates over 1001.

    Raises BallspotError unless it is a number above 0 and up to 240.
    """
    broadcast = {"23.976": 24000, "23.98": 24000, "29.97": 30000, "59.94": 60000}
    try:
        if len(text) > 40 or "e" in text.lower():  # a power of ten of any size
            raise ValueError(text)
        fps = Fraction(broadcast[text], 1001) if text in broadcast else Fraction(text)
    except (ValueError, ZeroDivisionError):
        fps = Fraction(0)
    if not 0 < fps <= 240:
        raise BallspotError(f"{option} {text}: must be a number above 0 and up to 240, e.g. 25, 29.97 or 30000/1001")
    return fps


Decorator = Callable[[Callable[..., None]], Callable[..., None]]

data_argument = click.argument("data_root", metavar="DATA", type=FOLDER)
labels_option = click.option(
    "--labels", default="ball-12", show_default=True, help="Label set: a built-in name or a TOML file."
)
labels_of_run_option = click.option(
    "--labels", help="Label set: a built-in name or a TOML file.  [default: that of a RUN, otherwise ball-12]"
)


def _file_name(_: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value is not None and (not value or "/" in value or os.sep in value or value in (".", "..")):
        raise click.BadParameter(f"{value!r} is not the name of a file in each match folder", param=param)
    return value


labels_file_option = click.option(
    "--labels-file",
    metavar="NAME",
    callback=_file_name,
    help="Name of the label file in each match folder.  [default: what --labels says, otherwise Labels-ball.json]",
)
dtype_option = click.option(
    "--dtype",
    type=click.Choice(["float16", "float32", "int8"]),
    default="float16",
    show_default=True,
    help="Number type of the stored features. float16 loses 0.02 % of a value; int8 loses about 1 % of a feature's "
    "spread and takes half the bytes.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
threads_option = click.option(
    "--threads",
    "n_threads",
    type=click.IntRange(min=1),
    help="Threads that compute on the CPU.  [default: one per core]",
)
set_option = click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Set one configuration key; repeatable."
)


def _trusting(context: click.Context, parameter: click.Parameter, is_given: bool) -> None:
    """Sets what says so to this process and those that it starts, until the command has ended."""
    from ..code import TRUST_VARIABLE  # here, so that help comes without what that room reads files with

    before = os.environ.get(TRUST_VARIABLE)
    if not is_given:
        return
    os.environ[TRUST_VARIABLE] = "1"

    def restore() -> None:
        if before is None:
            os.environ.pop(TRUST_VARIABLE, None)
        else:
            os.environ[TRUST_VARIABLE] = before

    context.call_on_close(restore)


trust_option = click.option(
    "--trust-code",
    is_flag=True,
    expose_value=False,
    callback=_trusting,
    help="Run Python code that comes with a run, feature set or bundle (docs/reference/own-code.md).",
)


def data_option(
    help_text: str = "Data root: the match folders with their labels.", *, required: bool = True
) -> Decorator:
    """The option --data, with what the command reads there."""
    return click.option("--data", "data_root", type=FOLDER, required=required, help=help_text)


def splits_option(default: str = "the data root's") -> Decorator:
    """The option --splits, with the split that is used without it."""
    return click.option(
        "--splits",
        "splits_file",
        type=FOLDER,
        help=f"TOML file with the lists train, valid, test.  [default: {default}]",
    )


def leave_out_option(default: str = "") -> Decorator:
    """The option --leave-out, with the split that is used without it, where it is not that of --splits."""
    return click.option(
        "--leave-out",
        metavar="MATCH",
        help="Test on this match, validate on the next one, train on the rest."
        + (f"  [default: {default}]" if default else ""),
    )


def split_of_option(help_text: str) -> Decorator:
    """The option --split of commands that take runs and predictions, with what it is for.

    It is None where it was not given: all of predictions, of a run its test predictions or else the valid ones.
    """
    parts = click.Choice(["all", "train", "valid", "test"])
    return click.option(
        "--split",
        type=parts,
        help=f"{help_text}  [default: all; for a RUN test if it has those predictions, otherwise valid]",
    )


def device_option(auto: str = "a GPU if there is one") -> Decorator:
    """The option --device, with what ``auto`` means."""
    return click.option(
        "--device", default="auto", show_default=True, help=f"auto ({auto}), cpu, cuda, cuda:1, mps, ..."
    )


def matches_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options --splits, --leave-out and --labels: how the matches of --data are divided, and their classes."""
    return splits_option()(leave_out_option()(labels_option(command)))
