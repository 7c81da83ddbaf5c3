"""The commands `ballspot evaluate`, `compare` and `data convert`."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from ..cache.console import note, print_table
from ..cache.shared_commands import FiniteRange
from .against import contest
from .class_tables import readings_table, teams_table
from .comparison import compare_runs
from .diagnosis_tables import diagnosis_tables
from .evaluation import OFFICIAL_FPS, evaluate_predictions
from .formats.family import FORMATS, read_videos, write_videos
from .formats.videos import DEFAULT_FPS
from .intervals import BLOCK_S, N_RESAMPLES
from .labelsets import load_label_set
from .matches import LABELS_FILE, find_matches
from .metrics import METRICS
from .settings_tables import comparison_tables, settings_rows
from .splits import load_splits
from .tables import TextTable, contest_table, evaluation_table, remarks
from .typesetting import as_csv, as_latex, as_markdown

FOLDER = click.Path(path_type=Path)
labels_option = click.option(
    "--labels", default="ball-12", show_default=True, help="Label set: a built-in name or a TOML file."
)
splits_option = click.option(
    "--splits", "splits_file", type=FOLDER, help="TOML file with the lists train, valid, test."
)
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


def split_option(help_text: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The option --split over all matches or a part of them, with what it is for."""
    parts = click.Choice(["all", "train", "valid", "test"])
    return click.option("--split", type=parts, default="all", show_default=True, help=help_text)


@click.command()
@click.argument("predictions", type=FOLDER)
@click.option("--data", type=FOLDER, required=True, help="Data root that holds the labels, in match folders.")
@split_option("Matches to score; all means every match with labels, or every match of --splits.")
@splits_option
@click.option("--leave-out", metavar="MATCH", help="Parts as `train --leave-out` makes them; this match tests.")
@labels_option
@click.option(
    "--metric",
    type=click.Choice(list(METRICS)),
    default="at1",
    show_default=True,
    help="SoccerNet's tolerances: at1 to at5 seconds, tight is 1 to 5 and loose 5 to 60 seconds, averaged.",
)
@click.option("--tolerance", type=float, metavar="SECONDS", help="Any other full width in seconds.")
@click.option("--fps", type=float, default=OFFICIAL_FPS, show_default=True, help="Frames per second to score at.")
@min_count_option
@click.option(
    "--labels-file",
    default=LABELS_FILE,
    show_default=True,
    metavar="NAME",
    help="Name of the label file in each match folder, such as Labels-v2.json.",
)
@click.option(
    "--diagnose", is_flag=True, help="Also mistakes by kind, best thresholds, timing, confusions, tolerances."
)
@click.option("--against", type=FOLDER, metavar="PREDICTIONS", help="Other predictions: the paired difference to them.")
@resamples_option
@block_option
@click.option("--plots", type=FOLDER, metavar="FOLDER", help="Draw the diagnosis there as PNG files (extra: plots).")
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
    labels_file: str,
    diagnose: bool,
    against: Path | None,
    resamples: int,
    block: float,
    plots: Path | None,
    as_json: bool,
) -> None:
    """Score predictions as SoccerNet does.

    PREDICTIONS is a folder or zip file with <match>/results_spotting.json for every match that is scored. Prints the
    average precision per class with its number of truths, the means, and beside each the number of the original
    protocol (every second frame, late labels in the last frame, visibility ignored). Intervals are of 95 %, from
    resampled blocks of the matches.

    \b
    ballspot evaluate runs/first/predictions/test --data DATA --split test
    ballspot evaluate theirs.zip --data DATA --diagnose --against runs/first/predictions/test
    """
    context = click.get_current_context()
    if tolerance is not None and context.get_parameter_source("metric") is not click.core.ParameterSource.DEFAULT:
        raise click.UsageError("--metric and --tolerance exclude each other")
    names = None
    if split != "all" or splits_file is not None or leave_out is not None:
        matches = find_matches(data, labels_file=labels_file, one_video=False)
        names = load_splits(data, matches, splits_file=splits_file, leave_out=leave_out).part(split)
    settings: dict[str, Any] = {
        "data_root": data,
        "label_set": load_label_set(labels),
        "matches": names,
        "fps": fps,
        "metric": metric,
        "tolerance_s": tolerance,
        "labels_file": labels_file,
        "n_resamples": resamples,
        "block_s": block,
    }
    evaluation = evaluate_predictions(predictions, with_diagnosis=diagnose or plots is not None, **settings)
    difference = None if against is None else contest(predictions, against, **settings)
    if as_json:
        record = {"split": split, **evaluation.as_record(min_count=min_count)}
        if difference is not None:
            record["against"] = difference.as_record()
        click.echo(json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False))
    else:
        teams = teams_table(evaluation)
        tables = [evaluation_table(evaluation, min_count=min_count), *([] if teams is None else [teams])]
        if difference is not None:
            tables.append(contest_table(difference, str(against)))
        if diagnose and evaluation.diagnosis is not None:
            tables += [readings_table(evaluation), *diagnosis_tables(evaluation.diagnosis)]
        _show_all(tables)
    if plots is not None:
        from .plots import draw_evaluation

        for path in draw_evaluation(evaluation, plots):
            note(f"drawn: {path}")
    for remark in remarks(evaluation):
        note(f"note: {remark}")


@click.command()
@click.argument("runs", type=FOLDER, nargs=-1, required=True, metavar="RUN|SWEEP ...")
@click.option(
    "--split",
    type=click.Choice(["valid", "test"]),
    default="valid",
    show_default=True,
    help="valid: as each run recorded it; test: score each run's predictions/test now.",
)
@click.option(
    "--baseline", type=FOLDER, help="A run, or the folder of its seeds.  [default: the sweep's, or the first]"
)
@click.option("--data", type=FOLDER, help="Data root of the labels.  [default: the one each run was trained on]")
@min_count_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "markdown", "latex", "csv", "json"]),
    default="table",
    show_default=True,
    help="Tables in percent, a line a setting in CSV, or one JSON object, both with AP in 0..1.",
)
@click.option("--report", type=FOLDER, metavar="FILE", help="Also write one self-contained page of HTML there.")
@click.option("--title", help="Heading of the report.  [default: the first folder's name]")
@resamples_option
@block_option
def compare(
    runs: tuple[Path, ...],
    split: str,
    baseline: Path | None,
    data: Path | None,
    min_count: int,
    form: str,
    report: Path | None,
    title: str | None,
    resamples: int,
    block: float,
) -> None:
    """Put runs side by side, with what differs in their configs.

    Runs alike but for the seed are one setting: its mean, an interval over blocks and seeds, and the paired
    difference to the baseline. A folder of seeds or of a sweep stands for its runs. Runs that leave out other matches
    each are the folds of one.

    \b
    ballspot compare runs/transformer runs/tcn --split test
    ballspot compare runs/experiment-2 --report experiment-2.html
    """
    comparison = compare_runs(
        runs,
        split=split,
        data_root=data,
        baseline=baseline,
        min_count=min_count,
        n_resamples=resamples,
        block_s=block,
    )
    if form == "json":
        click.echo(json.dumps(comparison.as_record(), indent=1, ensure_ascii=False, allow_nan=False))
    elif form == "csv":
        click.echo(as_csv(*settings_rows(comparison)))
    else:
        tables = comparison_tables(comparison)
        if form == "table":
            _show_all(tables)
        else:
            click.echo(as_markdown(tables) if form == "markdown" else as_latex(tables))
    if report is not None:
        from .report import write_report

        note(f"written: {write_report(comparison, report, title=title or runs[0].resolve().name)}")
    for warning in comparison.warnings:
        note(f"note: {warning}")


def _show_all(tables: Sequence[TextTable]) -> None:
    """Prints each title on a line of its own, which a narrow table would wrap, then the rows if there are any."""
    for place, table in enumerate(tables):
        if place:
            click.echo()
        click.echo(table.title)
        if table.rows:
            print_table(table.headers, table.rows)


@click.command()
@click.argument("source", type=FOLDER)
@click.argument("target", type=FOLDER)
@click.option("--from", "source_format", type=click.Choice(list(FORMATS)), required=True, help="Format of SOURCE.")
@click.option("--to", "target_format", type=click.Choice(list(FORMATS)), required=True, help="Format of TARGET.")
@click.option(
    "--fps",
    type=FiniteRange(0.1, 1000),
    default=DEFAULT_FPS,
    show_default=True,
    help="Frames per second of matches whose SOURCE does not tell.",
)
def data_convert(source: Path, target: Path, source_format: str, target_format: str, fps: float) -> None:
    """Turn labels or predictions of one format into another.

    SOURCE and TARGET are folders of match folders (labels-ball, labels-v2, spots, soccertrack-v2) or one file with all
    matches (osl, e2e-spot, csv). What TARGET cannot hold, and what was not read, is named and counted.

    \b
    ballspot data convert DATA labels.json --from labels-ball --to e2e-spot
    """
    videos = read_videos(source, FORMATS[source_format])
    written = write_videos(target, FORMATS[target_format], videos, fps=fps)
    n_spots = sum(len(video.spots) for video in videos)
    click.echo(f"{target}: {n_spots} spots of {len(videos)} matches in {len(written)} files, as {target_format}")
    for text, n in sorted((Counter(one for video in videos for one in video.notes)).items()):
        note(f"note: not read: {text}" + (f" (so in {n} matches)" if n > 1 else ""))
    for name, n in sorted(FORMATS[target_format].losses(videos, fps).items()):
        if n:
            note(f"note: {target_format} cannot hold: {name} ({n})")
