"""The command `ballspot data convert`."""

from collections import Counter
from pathlib import Path

import click

from ...cache.terminal import FOLDER, FiniteRange, note
from ..formats import DEFAULT_FPS, FORMATS, read_videos, write_videos


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
