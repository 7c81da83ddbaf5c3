"""The options that the commands of this folder share."""

from collections.abc import Callable
from pathlib import Path

import click

from ...cache.terminal import FiniteRange
from ..dataset import find_matches, load_splits
from ..exports import THRESHOLD
from ..uncertainty import BLOCK_S, N_RESAMPLES

SECONDS = FiniteRange(0, 3600)


def selection_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that choose among predictions: --threshold, --classes, --team and --match."""
    options = (
        click.option(
            "--threshold",
            type=FiniteRange(),
            default=THRESHOLD,
            show_default=True,
            help="Lowest confidence that is taken; `evaluate --diagnose` shows each class's best.",
        ),
        click.option("--classes", metavar="A,B", help="Only these classes, with commas.  [default: all]"),
        click.option("--team", help="Only spots of this team, such as left or right.  [default: all, and without one]"),
        click.option("--match", "named", multiple=True, help="Only this match, by name or last folder; repeatable."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def part_of(data: Path | None, split: str, splits_file: Path | None) -> list[str] | None:
    """The names of the matches in a part of a data root; None without one, where every prediction is meant."""
    chosen = split != "all" or splits_file is not None
    if data is None:
        if chosen:
            raise click.UsageError("--split and --splits need --data")
        return None
    found = find_matches(data, one_video=False)
    return list(load_splits(data, found, splits_file=splits_file).part(split)) if chosen else [m.name for m in found]


min_count_option = click.option(
    "--min-count",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="Truths that a class needs for the mean over frequent classes.",
)


resamples_option = click.option(
    "--resamples",
    type=click.IntRange(min=0, max=100_000),
    default=N_RESAMPLES,
    show_default=True,
    help="Draws of blocks (and of seeds) for the intervals; 0 leaves them out.",
)


block_option = click.option(
    "--block", type=float, default=BLOCK_S, show_default=True, metavar="SECONDS", help="Length of a resampled block."
)
