"""The part of `ballspot export` that takes predictions."""

from pathlib import Path
from typing import Any

import click

from ...cache.terminal import FOLDER, labels_option, note, split_option, splits_option
from ..dataset import load_label_set, open_predictions
from ..exports import EXPORTS, Selection, choose_spots, classes_of, write_exports
from ..formats import pack_submission
from .options import SECONDS, part_of, selection_options

ZIP = "soccernet-zip"


OF_A_SELECTION = ("threshold", "classes", "team", "named")


OF_TIME = ("before", "after")


@click.command()
@click.argument("predictions", type=FOLDER)
@click.option(
    "--format",
    "form",
    type=click.Choice([ZIP, *EXPORTS]),
    default=ZIP,
    show_default=True,
    help="What to make: the zip file that SoccerNet's evaluation takes, or a file a match: Sportscode XML, WebVTT or "
    "SRT subtitles, chapters for FFmpeg and mpv, chapter lines for YouTube, a CSV table.",
)
@click.option(
    "--out",
    type=FOLDER,
    required=True,
    help=f"File to write for {ZIP}, else a folder; neither may be there yet, but for an empty folder.",
)
@selection_options
@click.option(
    "--before",
    type=SECONDS,
    metavar="SECONDS",
    help="Shown ahead of a spot.  [default: 5; vtt and srt: 0]",
)
@click.option(
    "--after",
    type=SECONDS,
    metavar="SECONDS",
    help="Shown after a spot.  [default: 3; vtt and srt: 1.5]",
)
@click.option("--data", type=FOLDER, help="Data root: only its matches, and every one of them, under its names.")
@split_option("Part of --data to export.")
@splits_option
@labels_option
def export(
    predictions: Path,
    form: str,
    out: Path,
    threshold: float,
    classes: str | None,
    team: str | None,
    named: tuple[str, ...],
    before: float | None,
    after: float | None,
    data: Path | None,
    split: str,
    splits_file: Path | None,
    labels: str,
) -> None:
    """Make timelines, subtitles, chapters or a submission.

    A submission keeps every spot with its time, class and order, so the score stays the same; missing halves are filled
    in, and labels that the label set does not know are refused. All else takes the spots from --threshold up.

    \b
    ballspot export runs/first/predictions/test --format soccernet-zip --out submission.zip
    ballspot export runs/first/predictions/test --format sportscode --threshold 0.3 --out timelines
    """
    if form == ZIP:
        _refuse(OF_A_SELECTION + OF_TIME, f"--format {ZIP} hands in every spot as it is")
    elif EXPORTS[form].around_s is None:
        _refuse(OF_TIME, f"--format {form} holds points in time")
    names = part_of(data, split, splits_file)
    if form == ZIP:
        submission = pack_submission(predictions, out, label_set=load_label_set(labels), matches=names)
        click.echo(f"{out}: {submission.n_spots} predictions of {submission.n_matches} matches, as {form}")
        notes = submission.notes
    else:
        opened = open_predictions(predictions).among(names or ())
        chosen = choose_spots(opened, Selection(threshold, classes_of(classes), team), matches=names, named=named)
        written = write_exports(out, form, chosen, predictions=opened, before_s=before, after_s=after)
        click.echo(
            f"{out}: {written.n_spots} spots of {len(chosen.videos)} matches in {len(written.paths)} files, as {form}"
        )
        notes = written.notes
    for line in notes:
        note(f"note: {line}")


def _refuse(names: tuple[str, ...], reason: str) -> None:
    context = click.get_current_context()
    contexts = [one for one in (context, context.parent) if one is not None]  # the parent's where another invokes this
    given: list[Any] = [
        parameter
        for parameter in context.command.params
        if parameter.name in names
        and any(one.get_parameter_source(parameter.name) is click.core.ParameterSource.COMMANDLINE for one in contexts)
    ]
    if given:
        raise click.UsageError(f"{given[0].opts[0]} does not go with it: {reason}")
