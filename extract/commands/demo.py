"""The command `demo`."""

from pathlib import Path

import click

from ...cache.terminal import FOLDER, command, device_option


@command("demo")
@click.option(
    "--out",
    type=FOLDER,
    default=Path("demo-output"),
    show_default=True,
    help="Folder for matches, features, runs and pictures.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of everything that is random."
)
@device_option()
def demo(out: Path, seed: int, device: str) -> None:
    """See what a head learns, in a few minutes.

    Extracts four short matches from their videos, trains a head and a control with shuffled labels on a feature set
    that comes with the repository, and ends with a picture of spots, a report and the line that opens the viewer.
    Every step is a ballspot command and is shown as you would type it. If you give the command again, finished work
    is kept.

    \b
    ballspot demo
    ballspot demo --out demo-1 --seed 1
    """
    from ..demo import Demo

    click.echo(Demo(out, device, seed).run())
