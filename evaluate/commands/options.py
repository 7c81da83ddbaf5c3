"""The options that the commands of this folder share."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ...cache.errors import BallspotError
from ...cache.terminal import FiniteRange, print_table
from ..dataset import DataSelection, Given, matches_of
from ..uncertainty import Bootstrap

if TYPE_CHECKING:
    from ..reporting import TextTable

SECONDS = FiniteRange(0, 3600)


def selection_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that choose among predictions: --threshold, --classes, --team and --match."""
    options = (
        click.option(
            "--threshold",
            type=FiniteRange(),
            help="Lowest confidence that counts.  [default: the run's own, chosen on its validation matches; if it has "
            "none 0.5, or less where almost nothing reaches 0.5]",
        ),
        click.option("--classes", metavar="A,B", help="Only these classes, separated by commas.  [default: all]"),
        click.option("--team", help="Only spots of this team, such as left or right.  [default: all spots]"),
        click.option("--match", "named", multiple=True, help="Only this match, by name or last folder; repeatable."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def part_of(given: Given, data: Path | None, split: str | None, splits_file: Path | None) -> list[str] | None:
    """The names of the matches in a part of a run or of a data root; None where every prediction is meant."""
    if data is None and ((given.run is None and split not in (None, "all")) or splits_file is not None):
        raise click.UsageError("--split and --splits need --data")
    selection = None if data is None else DataSelection(data, splits_file=splits_file)
    _, names = matches_of([given], selection, split)
    if names is None and selection is not None:
        names = tuple(selection.matches)
    return None if names is None else list(names)


min_count_option = click.option(
    "--min-count",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="Truths that a class needs to count in the mean over frequent classes.",
)

resamples_option = click.option(
    "--resamples",
    type=click.IntRange(min=0, max=100_000),
    default=Bootstrap.n_resamples,
    show_default=True,
    help="How often blocks (and seeds) are drawn for the intervals; 0 leaves the intervals out.",
)

block_option = click.option(
    "--block",
    type=float,
    default=Bootstrap.block_s,
    show_default=True,
    metavar="SECONDS",
    help="Length of the blocks that are drawn.",
)

plot_format_option = click.option(
    "--plot-format",
    type=click.Choice(["png", "pdf", "svg"]),
    help="Format of the pictures of --plots; PDF and SVG can be scaled.  [default: png]",
)


def form_of_plots(plots: Path | None, plot_format: str | None) -> str:
    """What pictures are written as. Raises BallspotError where a form is given and no folder for them, and where
    pictures are asked for and cannot be drawn, before anything is computed.
    """
    if plot_format is not None and plots is None:
        raise BallspotError(f"--plot-format {plot_format}: is for the pictures of --plots; give --plots FOLDER with it")
    if plots is not None:
        from ..reporting import require_matplotlib

        require_matplotlib()
    return plot_format or "png"


def show_tables(tables: Sequence["TextTable"]) -> None:
    """Prints each title on a line of its own, which a narrow table would wrap, then the rows if there are any."""
    for index, table in enumerate(tables):
        if index:
            click.echo()
        click.echo(table.title)
        if table.rows:
            print_table(table.headers, table.rows)
