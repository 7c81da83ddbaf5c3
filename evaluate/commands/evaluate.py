"""The command `ballspot evaluate`."""

import json
from pathlib import Path

import click

from ...cache.terminal import (
    FOLDER,
    command,
    data_option,
    labels_file_option,
    labels_of_run_option,
    leave_out_option,
    note,
    split_of_option,
    splits_option,
)
from ..dataset import (
    DataSelection,
    data_root_of,
    given_predictions,
    label_set_for,
    matches_of,
    rate_remark,
    split_remark,
)
from ..reporting import (
    contest_table,
    diagnosis_tables,
    evaluation_table,
    f1_table,
    readings_table,
    remarks,
    teams_table,
)
from ..results import contest, evaluate_predictions
from ..scoring import METRIC, METRICS, OFFICIAL_FPS, Protocol
from ..uncertainty import Bootstrap
from .options import block_option, form_of_plots, min_count_option, plot_format_option, resamples_option, show_tables


@command()
@click.argument("predictions", metavar="PREDICTIONS|RUN", type=FOLDER)
@data_option("Data root with the labels.  [default: the one that a RUN was trained on]", required=False)
@split_of_option("Matches to score; all means every match with labels, or every match of --splits.")
@splits_option()
@leave_out_option()
@labels_of_run_option
@click.option(
    "--metric",
    type=click.Choice(list(METRICS)),
    default=METRIC,
    show_default=True,
    help="SoccerNet's tolerances: at1 to at5 are 1 to 5 seconds; tight averages 1 to 5 seconds, and loose 5 to 60.",
)
@click.option("--tolerance", type=float, metavar="SECONDS", help="Any other tolerance, as a full width in seconds.")
@click.option("--fps", type=float, default=OFFICIAL_FPS, show_default=True, help="Frames per second to score at.")
@min_count_option
@labels_file_option
@click.option(
    "--diagnose",
    is_flag=True,
    help="Also show mistakes by kind, best thresholds, timing, confusions and the AP at other tolerances.",
)
@click.option(
    "--against",
    type=FOLDER,
    metavar="PREDICTIONS|RUN",
    help="Other predictions; the paired difference to them is shown.",
)
@resamples_option
@block_option
@click.option("--plots", type=FOLDER, metavar="FOLDER", help="Folder for pictures of the diagnosis (extra plots).")
@plot_format_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the table, with AP in 0..1.")
def evaluate(
    predictions: Path,
    data_root: Path | None,
    split: str | None,
    splits_file: Path | None,
    leave_out: str | None,
    labels: str | None,
    metric: str,
    tolerance: float | None,
    fps: float,
    min_count: int,
    labels_file: str | None,
    diagnose: bool,
    against: Path | None,
    resamples: int,
    block: float,
    plots: Path | None,
    plot_format: str | None,
    as_json: bool,
) -> None:
    """Score predictions as SoccerNet does.

    PREDICTIONS is a folder or zip file with <match>/results_spotting.json for every match that is scored. For a RUN,
    its own predictions of --split are scored.

    Prints the average precision and the number of truths of each class, and the means. Beside each stands the number
    of the original protocol (every second frame, late labels in the last frame, visibility ignored). The 95 %
    intervals come from drawing blocks of the matches again.

    \b
    ballspot evaluate runs/first
    ballspot evaluate theirs.zip --data DATA --diagnose --against runs/first
    """
    context = click.get_current_context()
    if tolerance is not None and context.get_parameter_source("metric") is not click.core.ParameterSource.DEFAULT:
        raise click.UsageError("--metric and --tolerance exclude each other")
    drawn_as = form_of_plots(plots, plot_format)
    given = given_predictions([predictions] if against is None else [predictions, against], split)
    data_root = data_root_of(given, data_root)
    selection = DataSelection(data_root, label_set_for(given, labels), splits_file, leave_out, labels_file)
    of_run = split_remark(given, split)
    split, names = matches_of(given, selection, split)
    protocol, bootstrap = Protocol(metric, fps, tolerance), Bootstrap(resamples, block)
    evaluation = evaluate_predictions(
        given[0].path,
        selection,
        names,
        protocol=protocol,
        bootstrap=bootstrap,
        with_diagnosis=diagnose or plots is not None,
    )
    difference = None
    if against is not None:
        difference = contest(given[0].path, given[1].path, selection, names, protocol=protocol, bootstrap=bootstrap)
    if as_json:
        record = {"split": split, **evaluation.as_record(min_count=min_count)}
        if difference is not None:
            record["against"] = difference.as_record()
        click.echo(json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False))
    else:
        more = filter(None, (teams_table(evaluation), f1_table(evaluation)))
        tables = [evaluation_table(evaluation, min_count=min_count), *more]
        if difference is not None:
            tables.append(contest_table(difference, str(against)))
        if diagnose and evaluation.diagnosis is not None:
            tables += [readings_table(evaluation), *diagnosis_tables(evaluation.diagnosis)]
        show_tables(tables)
    if plots is not None:
        from ..reporting import draw_evaluation

        for path in draw_evaluation(evaluation, plots, drawn_as):
            note(f"drawn: {path}")
    at_rate = rate_remark(selection.labels_name, fps)
    for remark in [*filter(None, (of_run, at_rate)), *remarks(evaluation)]:
        note(f"note: {remark}")
