"""The commands `ballspot evaluate` and `ballspot compare`."""

import json
from pathlib import Path

import click

from ..cache.console import note, print_table
from .comparison import compare_runs
from .evaluation import OFFICIAL_FPS, evaluate_predictions
from .labelsets import load_label_set
from .matches import find_matches
from .metrics import METRICS
from .splits import load_splits
from .tables import TextTable, differences_table, evaluation_table, remarks, scores_table

FOLDER = click.Path(path_type=Path)


@click.command()
@click.argument("predictions", type=FOLDER)
@click.option("--data", type=FOLDER, required=True, help="Data root that holds the labels, in match folders.")
@click.option(
    "--split",
    type=click.Choice(["all", "train", "valid", "test"]),
    default="all",
    show_default=True,
    help="Matches to score; all means every match with labels, or every match of --splits.",
)
@click.option("--splits", "splits_file", type=FOLDER, help="TOML file with the lists train, valid and test.")
@click.option("--leave-out", metavar="MATCH", help="Leave-one-match-out: this match is the test split.")
@click.option("--labels", default="ball-12", show_default=True, help="Label set: a built-in name or a TOML file.")
@click.option(
    "--metric",
    type=click.Choice(list(METRICS)),
    default="at1",
    show_default=True,
    help="SoccerNet's tolerances: at1 to at5 seconds, tight is 1 to 5 and loose 5 to 60 seconds, averaged.",
)
@click.option("--tolerance", type=float, metavar="SECONDS", help="Any other full width in seconds.")
@click.option("--fps", type=float, default=OFFICIAL_FPS, show_default=True, help="Frames per second to score at.")
@click.option(
    "--min-count",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="Truths that a class needs for the mean over frequent classes.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the table; AP in 0..1.")
def evaluate(
    predictions: Path,
    data: Path,
    split: str,
    splits_file: Path | None,
    leave_out: str | None,
    labels: str,
    metric: str,
    tolerance: float | None,
    fps: float,
    min_count: int,
    as_json: bool,
) -> None:
    """Score predictions as SoccerNet does.

    PREDICTIONS is a folder or zip file with <match>/results_spotting.json for every match that is scored. Prints the
    average precision per class with its number of truths, the means, and beside each the number of the original
    protocol (every second frame, late labels in the last frame, visibility ignored).

    \b
    ballspot evaluate runs/first/predictions/test --data DATA --split test
    """
    context = click.get_current_context()
    if tolerance is not None and context.get_parameter_source("metric") is not click.core.ParameterSource.DEFAULT:
        raise click.UsageError("--metric and --tolerance exclude each other")
    names = None
    if split != "all" or splits_file is not None or leave_out is not None:
        splits = load_splits(data, find_matches(data), splits_file=splits_file, leave_out=leave_out)
        names = splits.part(split)
    evaluation = evaluate_predictions(
        predictions,
        data_root=data,
        label_set=load_label_set(labels),
        matches=names,
        fps=fps,
        metric=metric,
        tolerance_s=tolerance,
    )
    if as_json:
        record = {"split": split, **evaluation.as_record(min_count=min_count)}
        click.echo(json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False))
    else:
        _show(evaluation_table(evaluation, min_count=min_count))
    for remark in remarks(evaluation):
        note(f"note: {remark}")


@click.command()
@click.argument("runs", type=FOLDER, nargs=-1, required=True, metavar="RUN RUN ...")
@click.option(
    "--split",
    type=click.Choice(["valid", "test"]),
    default="valid",
    show_default=True,
    help="valid: as each run recorded it; test: score each run's predictions/test now.",
)
@click.option("--data", type=FOLDER, help="Data root for --split test  [default: the one each run was trained on]")
@click.option(
    "--min-count",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="Truths that a class needs for the mean over frequent classes.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="A table in percent, or one JSON object with AP in 0..1.",
)
def compare(runs: tuple[Path, ...], split: str, data: Path | None, min_count: int, form: str) -> None:
    """Put runs side by side, with what differs in their configs.

    \b
    ballspot compare runs/transformer runs/tcn --split test
    """
    comparison = compare_runs(runs, split=split, data_root=data, min_count=min_count)
    if form == "json":
        click.echo(json.dumps(comparison.as_record(), indent=1, ensure_ascii=False, allow_nan=False))
    else:
        _show(scores_table(comparison))
        click.echo()
        _show(differences_table(comparison))
    for warning in comparison.warnings:
        note(f"note: {warning}")


def _show(table: TextTable) -> None:
    """Prints the title on a line of its own, which a narrow table would wrap, then the rows if there are any."""
    click.echo(table.title)
    if table.rows:
        print_table(table.headers, table.rows)
