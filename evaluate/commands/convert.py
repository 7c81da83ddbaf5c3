"""The command `ballspot data convert`."""

from collections import Counter
from pathlib import Path

import click

from ...cache.terminal import FOLDER, FiniteRange, command, note
from ..formats import AFTER_S, BEFORE_S, DEFAULT_FPS, FORMATS, read_videos, write_videos

WRITTEN = [name for name, one in FORMATS.items() if one.write is not None]


@command()
@click.argument("source", type=FOLDER)
@click.argument("target", type=FOLDER)
@click.option("--from", "source_format", type=click.Choice(list(FORMATS)), required=True, help="Format of SOURCE.")
@click.option("--to", "target_format", type=click.Choice(WRITTEN), required=True, help="Format of TARGET.")
@click.option(
    "--fps",
    type=FiniteRange(0.1, 1000),
    show_default=f"{DEFAULT_FPS:g}, if SOURCE counts in times only",
    help="Frames per second, for matches whose SOURCE does not say it.",
)
@click.option(
    "--before",
    type=FiniteRange(0, 600),
    default=BEFORE_S,
    show_default=True,
    metavar="SECONDS",
    help="For --from sportscode: seconds from the start of an instance to its event.",
)
@click.option(
    "--after",
    type=FiniteRange(0, 600),
    default=AFTER_S,
    show_default=True,
    metavar="SECONDS",
    help="For --from sportscode: seconds from the event to the end of its instance.",
)
def data_convert(
    source: Path, target: Path, source_format: str, target_format: str, fps: float | None, before: float, after: float
) -> None:
    """Turn labels or predictions of one format into another.

    SOURCE and TARGET are folders of match folders (labels-ball, labels-v2, spots, soccertrack-v2), a folder with one
    file per video (sportscode), or one file with all matches (osl, e2e-spot, csv, and player-centric, which can only
    be read). The command names and counts what TARGET cannot hold and what was not read.

    \b
    ballspot data convert DATA labels.json --from labels-ball --to e2e-spot
    """
    videos = read_videos(source, FORMATS[source_format], fps=fps, before_s=before, after_s=after)
    rate = DEFAULT_FPS if fps is None else fps
    written = write_videos(target, FORMATS[target_format], videos, fps=rate)
    n_spots = sum(len(video.spots) for video in videos)
    click.echo(f"{target}: {n_spots} spots of {len(videos)} matches in {len(written)} files, as {target_format}")
    for text, n in sorted(Counter(one for video in videos for one in video.remarks).items()):
        note(f"note: {text}" + (f" (so in {n} matches)" if n > 1 else ""))
    for text, n in sorted(Counter(one for video in videos for one in video.notes).items()):
        note(f"note: not read: {text}" + (f" (so in {n} matches)" if n > 1 else ""))
    for name, n in sorted(FORMATS[target_format].losses(videos, rate).items()):
        if n:
            note(f"note: {target_format} cannot hold: {name} ({n})")
