"""What commands of every folder share: the kinds of numbers that their options take."""

import math
from typing import Any

import click


class FiniteRange(click.FloatRange):
    """A range of numbers without ``nan``, which no bound refuses, and without ``inf``, which an open end lets pass."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number
