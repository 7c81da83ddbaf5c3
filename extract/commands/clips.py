"""The commands that show predictions on video: `clips` and `sheet`."""

from __future__ import annotations

from pathlib import Path

import click

from ...cache.errors import BallspotError
from ...cache.terminal import (
    FOLDER,
    FiniteRange,
    command,
    data_option,
    labels_of_run_option,
    note,
    split_of_option,
    splits_option,
)
from ...evaluate.commands.options import SECONDS, selection_options

CUTS = ("keyframe", "exact")


@command("clips")
@click.argument("predictions", metavar="PREDICTIONS|RUN", type=FOLDER)
@data_option(
    "Data root with the videos.  [default: the one a RUN was trained on, or the videos that were predicted]",
    required=False,
)
@click.option(
    "--out", type=FOLDER, required=True, help="Folder for the clips; clips of the same settings that it has are kept."
)
@click.option(
    "--cut",
    "how",
    type=click.Choice(CUTS),
    default="keyframe",
    show_default=True,
    help="keyframe copies the pictures from the last key frame at or before the start, which is fast and changes "
    "nothing; exact encodes them again (H.264) and begins at exactly that frame.",
)
@click.option(
    "--before", type=SECONDS, default=5.0, show_default=True, metavar="SECONDS", help="Seconds shown before a spot."
)
@click.option(
    "--after", type=SECONDS, default=3.0, show_default=True, metavar="SECONDS", help="Seconds shown after a spot."
)
@selection_options
@click.option(
    "--limit", type=click.IntRange(1), help="Only this many clips per class, the surest ones.  [default: all]"
)
@split_of_option("Matches to cut clips from; all means every match with predictions.")
@splits_option()
def clips(
    predictions: Path,
    data_root: Path | None,
    out: Path,
    how: str,
    before: float,
    after: float,
    threshold: float | None,
    classes: str | None,
    team: str | None,
    named: tuple[str, ...],
    limit: int | None,
    split: str | None,
    splits_file: Path | None,
) -> None:
    """Cut a short video around every predicted spot.

    OUT/clips.csv lists each clip with its spot, the start that was wanted, and the frame with which the clip begins.
    Existing clips are kept, so you can give the same command again after it was stopped.

    \b
    ballspot clips runs/first --classes GOAL,SHOT --limit 20 --out clips
    """
    from ...evaluate.dataset import decided_threshold, given_predictions, matches_of, split_remark, videos_selection
    from ...evaluate.exports import Selection, choose_spots, classes_of, threshold_remark
    from ..media import INDEX_FILE, ClipSettings, cut_clips, plan_clips

    given = given_predictions([predictions], split)
    data = videos_selection(given, data_root, splits_file=splits_file, one_video=True)
    _, names = matches_of(given, data, split)
    if names is not None:
        names = tuple(dict.fromkeys(data.matches[name].whole if name in data.matches else name for name in names))
    least = decided_threshold(given[0], threshold, matches=names)
    selection = Selection(least.value, classes_of(classes), team)
    chosen = choose_spots(given[0].opened().among(names or ()), selection, matches=names, named=named)
    settings = ClipSettings(how, before, after)
    plan = plan_clips(chosen, tuple(data.matches.values()), settings, limit=limit)
    remarks = (
        split_remark(given, split),
        None if threshold is not None else least.remark(),
        threshold_remark(chosen, least.value),
    )
    for line in [*filter(None, remarks), *plan.notes]:
        note(f"note: {line}")
    cutting = cut_clips(plan, out, settings)
    kept = f" ({cutting.n_kept} were there)" if cutting.n_kept else ""
    click.echo(f"{out / INDEX_FILE}: {cutting.n_clips} clips{kept} of {len(chosen.videos)} matches")
    if cutting.failures:
        n, of = len(cutting.failures), len(plan.clips)
        raise BallspotError(f"{n} of {of} clips could not be cut; the first: {cutting.failures[0]}")


@command("sheet")
@click.argument("predictions", metavar="PREDICTIONS|RUN", type=FOLDER)
@data_option("Data root with labels and videos.  [default: the one that a RUN was trained on]", required=False)
@click.option("--out", type=FOLDER, required=True, help="PNG file to write; an existing file is replaced.")
@click.option(
    "--false", "n_false", type=click.IntRange(0, 20), default=3, show_default=True, help="False predictions per class."
)
@click.option(
    "--missed", "n_missed", type=click.IntRange(0, 20), default=3, show_default=True, help="Missed truths per class."
)
@click.option(
    "--hits",
    "n_hits",
    type=click.IntRange(0, 20),
    default=0,
    show_default=True,
    help="Surest hits per class, drawn first.",
)
@click.option(
    "--width", type=click.IntRange(80, 1000), default=320, show_default=True, help="Width of each picture in pixels."
)
@click.option(
    "--threshold",
    type=FiniteRange(0, 1),
    help="Lowest confidence that counts.  [default: the run's own, chosen on its validation matches; if it has none, "
    "that of each class's best F1 on the matches drawn]",
)
@click.option(
    "--tolerance",
    type=float,
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="Tolerance of a hit, as a full width.",
)
@click.option(
    "--classes", metavar="A,B", help="Only these classes, separated by commas, in this order.  [default: all]"
)
@split_of_option("Matches to draw; all means every match with labels, or every match of --splits.")
@splits_option()
@labels_of_run_option
def sheet(
    predictions: Path,
    data_root: Path | None,
    out: Path,
    n_false: int,
    n_missed: int,
    n_hits: int,
    width: int,
    threshold: float | None,
    tolerance: float,
    classes: str | None,
    split: str | None,
    splits_file: Path | None,
    labels: str | None,
) -> None:
    """Draw the worst mistakes of every class on one picture.

    Each class has a row: its surest hits if --hits asks for them, its surest false predictions, then the truths that
    it misses most clearly. Each picture has its frame, time, confidence and kind of mistake, as `evaluate --diagnose`
    names them. The ball is only a few pixels wide, so it shows best with a --width equal to that of the video. Needs
    the extra plots.

    \b
    ballspot sheet runs/first --split test --out worst.png
    ballspot sheet runs/first --classes SHOT,GOAL --hits 4 --false 2 --missed 0 --width 398 --out shots.png
    """
    from ...evaluate.dataset import (
        DataSelection,
        data_root_of,
        find_matches,
        given_predictions,
        label_set_for,
        matches_of,
        recorded_threshold,
        split_remark,
    )
    from ...evaluate.diagnosis import HowMany, worst_mistakes
    from ...evaluate.exports import classes_of
    from ..media import draw_sheet

    if n_false + n_missed + n_hits == 0:
        raise click.UsageError("--false 0 and --missed 0 without --hits leave nothing to draw")
    given = given_predictions([predictions], split)
    data_root = data_root_of(given, data_root)
    selection = DataSelection(data_root, label_set_for(given, labels), splits_file)
    _, names = matches_of(given, selection, split)
    recorded = recorded_threshold(given[0]) if threshold is None else None
    worst = worst_mistakes(
        given[0].path,
        selection,
        names,
        classes=classes_of(classes, selection.label_set.labels),
        tolerance_s=tolerance,
        threshold=threshold if recorded is None else recorded.value,
        wanted=HowMany(n_false, n_missed, n_hits),
    )
    rows = [row for row in worst if row.false or row.missed or row.hits]
    if not rows:
        raise BallspotError(
            f"{predictions}: {'nothing' if n_hits else 'no mistake'} to draw; lower --threshold or name other --classes"
        )
    n_pictures = draw_sheet(rows, find_matches(data_root), out, width=width, columns=(n_hits, n_false, n_missed))
    for line in filter(None, (split_remark(given, split), recorded and recorded.remark())):
        note(f"note: {line}")
    click.echo(f"{out}: {n_pictures} pictures of {len(rows)} classes")
