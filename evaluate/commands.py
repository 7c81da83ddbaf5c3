"""The commands `ballspot evaluate` and `ballspot compare`."""

import json
from pathlib import Path
from typing import Any

import click

from ..cache.console import note, print_table
from ..cache.errors import BallspotError
from .comparison import Comparison, compare_runs
from .evaluation import GRID_STRIDE, OFFICIAL_FPS, Evaluation, evaluate_predictions
from .labelsets import LabelSet, load_label_set
from .matches import find_matches
from .metrics import METRICS, frequent_ap, headline_ap
from .splits import load_splits

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
@click.option(
    "--tolerance", type=float, metavar="SECONDS", help="Any other full width in seconds: a hit is half as far."
)
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
        click.echo(_json({"split": split, **evaluation.as_record(min_count=min_count)}))
    else:
        _print_evaluation(evaluation, min_count)
    _note_traps(evaluation)


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
        click.echo(_json(comparison.as_record()))
    else:
        _print_comparison(comparison)
    for warning in comparison.warnings:
        note(f"note: {warning}")


def _print_evaluation(evaluation: Evaluation, min_count: int) -> None:
    result, original, label_set = evaluation.result, evaluation.original, evaluation.label_set
    rows = [
        [label, str(result.n_truth[i]), _percent(result.ap[i]), _percent(original.ap[i])]
        + [str(result.n_not_shown[i]), _percent(result.ap_visible[i]), _percent(result.ap_not_shown[i])]
        for i, label in enumerate(label_set.labels)
    ]
    all_name, headline_name = _mean_names(label_set)
    n_truth = int(result.n_truth.sum())
    rows.append(
        [all_name, str(n_truth), _percent(result.mean_ap), _percent(original.mean_ap), str(result.n_not_shown.sum())]
        + [_percent(result.mean_ap_visible), _percent(result.mean_ap_not_shown)]
    )
    if headline_name is not None:
        headlines = [_percent(headline_ap(one.ap, label_set)) for one in (result, original)]
        rows.append([headline_name, "", *headlines, "", "", ""])
    frequents = [_percent(frequent_ap(one.ap, result.n_truth, min_count)) for one in (result, original)]
    n_frequent = int((result.n_truth >= min_count).sum())
    rows.append([f"mean of the {n_frequent} with {min_count} or more", "", *frequents, "", "", ""])
    widths = ", ".join(f"{tolerance_s / 2:g}" for tolerance_s in result.tolerances_s)
    title = (
        f"AP in %, {evaluation.metric}: hits within {widths} s either side, {evaluation.fps:g} frames per second; "
        f"{_counted(len(evaluation.matches), 'match', 'matches')}, {evaluation.n_predictions} predictions"
    )
    headers = ["class", "truths", "AP", f"original protocol, {evaluation.fps / GRID_STRIDE:g} fps"]
    print_table([*headers, "not shown", "AP visible", "AP not shown"], rows, title=title)


def _print_comparison(comparison: Comparison) -> None:
    runs, label_set = comparison.runs, comparison.label_set
    all_name, headline_name = _mean_names(label_set)
    rows = [[all_name, "", *(_percent(run.mean_ap) for run in runs)]]
    if headline_name is not None:
        rows.append([headline_name, "", *(_percent(run.headline_ap) for run in runs)])
    counts = {label: int(runs[0].per_class[label]["n_truth"]) for label in label_set.labels}
    n_frequent = sum(count >= comparison.min_count for count in counts.values())
    frequent_name = f"mean of the {n_frequent} with {comparison.min_count} or more"
    rows.append([frequent_name, "", *(_percent(run.frequent_ap) for run in runs)])
    if any(run.original_ap is not None for run in runs):
        rows.append([f"{all_name}, original protocol", "", *(_percent(run.original_ap) for run in runs)])
    for label, count in counts.items():
        rows.append([label, str(count), *(_percent(run.per_class[label]["ap"]) for run in runs)])
    names = [run.name for run in runs]
    title = (
        f"AP in %, {comparison.metric} at {comparison.fps:g} frames per second, {comparison.split}: "
        f"{_counted(len(comparison.matches), 'match', 'matches')}"
    )
    print_table(["", "truths", *names], rows, title=title)
    click.echo()
    differing = [[key, *(_shown(value) for value in values)] for key, values in comparison.differs.items()]
    if differing:
        print_table(["what differs", *names], differing)
    else:
        click.echo("nothing differs in how they were made")


def _note_traps(evaluation: Evaluation) -> None:
    """Says on standard error what the official code passes over in silence."""
    if evaluation.unknown_labels:
        named = ", ".join(f"{label!r} ({count})" for label, count in evaluation.unknown_labels.items())
        note(f"note: predictions left out, their labels are not in {evaluation.label_set.name}: {named}")
    if evaluation.n_scores_outside:
        note(
            f"note: {evaluation.n_scores_outside} predictions have a confidence outside 0..1: "
            "below 0 they never count, above 1 they share the top threshold"
        )
    labels = evaluation.label_set.labels
    absent = [label for label, count in zip(labels, evaluation.result.n_truth, strict=True) if not count]
    if absent:
        note(f"note: no truths of {', '.join(absent)}: each scores 0 and counts in the mean, as in SoccerNet's code")
    if len(evaluation.result.tolerances_s) > 1:
        note("note: the not-shown mean over several tolerances is multiplied by 17/13, as in SoccerNet's code")


def _mean_names(label_set: LabelSet) -> tuple[str, str | None]:
    """What the mean over all classes and the headline mean are called; None where they are the same mean."""
    n_headline = len(label_set.headline_labels)
    return f"mAP@{len(label_set)}", f"mAP@{n_headline}" if n_headline < len(label_set) else None


def _percent(ap: float | None) -> str:
    return "-" if ap is None else f"{100 * ap:.2f}"


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _json(record: dict[str, Any]) -> str:
    try:
        return json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise BallspotError(
            f"the result holds a number that JSON cannot ({error}); report the files it came from"
        ) from error
