"""The command `ballspot compare`."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import click

from ...cache.errors import BallspotError
from ...cache.terminal import FOLDER, command, data_option, labels_of_run_option, note
from ..dataset import BALL_12, DataSelection, load_label_set
from ..reporting import as_csv, as_latex, as_markdown, comparison_tables, settings_rows
from ..results import compare_runs
from ..uncertainty import Bootstrap
from .options import block_option, form_of_plots, min_count_option, plot_format_option, resamples_option, show_tables

MOST_NAMED = 3  # settings in the title of a report


@command()
@click.argument("runs", type=FOLDER, nargs=-1, required=True, metavar="RUN|SWEEP|PREDICTIONS ...")
@click.option(
    "--split",
    type=click.Choice(["valid", "test", "all"]),
    help="valid takes what each run recorded. test scores each run's predictions/test now. all takes every match with "
    "labels and is for predictions without runs.  [default: valid; test for folds; all without runs]",
)
@click.option(
    "--baseline",
    type=FOLDER,
    help="What the others are compared with: a run, or the folder of its seeds.  [default: the sweep's baseline, "
    "otherwise the first]",
)
@data_option("Data root of the labels.  [default: the one each run was trained on]", required=False)
@labels_of_run_option
@min_count_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "markdown", "latex", "csv", "json"]),
    default="table",
    show_default=True,
    help="The tables are in percent. csv has one line per setting, json is one object; both have AP in 0..1.",
)
@click.option(
    "--report",
    type=FOLDER,
    metavar="FILE",
    help="Also write the comparison to this file, as one self-contained HTML page.",
)
@click.option("--title", help="Heading of the report.  [default: the folders' names]")
@click.option(
    "--only",
    multiple=True,
    metavar="SETTING",
    help="Show only this setting or run beside the baseline, by its name in the table; repeatable.  [default: all]",
)
@click.option(
    "--plots",
    type=FOLDER,
    metavar="FOLDER",
    help="Folder for pictures of settings, classes and learning curves (extra plots).",
)
@plot_format_option
@resamples_option
@block_option
def compare(
    runs: tuple[Path, ...],
    split: str | None,
    baseline: Path | None,
    data_root: Path | None,
    labels: str | None,
    min_count: int,
    form: str,
    report: Path | None,
    title: str | None,
    only: tuple[str, ...],
    plots: Path | None,
    plot_format: str | None,
    resamples: int,
    block: float,
) -> None:
    """Put runs side by side, with what differs in their configs.

    Runs that differ only in their seed are one setting. The table shows its mean, an interval over blocks and seeds,
    and the paired difference to the baseline. The folder of several seeds or of a sweep stands for its runs. Runs
    that leave out different matches are the folds of one run.

    Predictions of any system (a folder or a zip file) are scored beside runs, on the matches of the runs. Several
    seeds of such a system are one setting if they lie in THEIRS/seed-0, THEIRS/seed-1, ..., or in THEIRS/seed-0.zip,
    THEIRS/seed-1.zip, ...

    \b
    ballspot compare runs/transformer runs/tcn --split test
    ballspot compare runs/experiment-2 --report experiment-2.html
    ballspot compare runs/experiment-2 --only kind=tcn --format latex --plots figures --plot-format pdf
    """
    if report is not None and report.suffix.lower() not in ("", ".html", ".htm"):
        raise BallspotError(
            f"--report {report}: the report is a page of HTML; name it FILE.html, or give --plots FOLDER --plot-format "
            "pdf for figures"
        )
    drawn_as = form_of_plots(plots, plot_format)
    label_set = load_label_set(labels or BALL_12.name)
    comparison = compare_runs(
        runs,
        split=split,
        data=None if data_root is None else DataSelection(data_root, label_set),
        baseline=baseline,
        min_count=min_count,
        bootstrap=Bootstrap(resamples, block),
    )
    if labels is not None and comparison.label_set.labels != label_set.labels:
        raise BallspotError(f"--labels {labels}: the runs are of {comparison.label_set.name}; leave --labels out")
    comparison = comparison.only(only) if only else comparison
    if form == "json":
        click.echo(json.dumps(comparison.as_record(), indent=1, ensure_ascii=False, allow_nan=False))
    elif form == "csv":
        click.echo(as_csv(*settings_rows(comparison)))
    else:
        tables = comparison_tables(comparison)
        if form == "table":
            show_tables(tables)
        else:
            click.echo(as_markdown(tables) if form == "markdown" else as_latex(tables))
    if report is not None:
        from ..reporting import write_report

        note(f"written: {write_report(comparison, report, title=title or title_of(runs, comparison.names))}")
    if plots is not None:
        from ..reporting import draw_comparison

        for path in draw_comparison(comparison, plots, drawn_as):
            note(f"drawn: {path}")
    for warning in comparison.warnings:
        note(f"note: {warning}")


def title_of(runs: Sequence[Path], names: Sequence[str]) -> str:
    """What a report is called: the folder that was compared, or a few settings' names, or the folder that holds all."""
    if len(runs) == 1:
        return runs[0].resolve().name
    if len(names) <= MOST_NAMED:
        return ", ".join(names)
    try:
        return Path(os.path.commonpath([run.resolve().parent for run in runs])).name or "comparison"
    except ValueError:  # on several drives
        return "comparison"
