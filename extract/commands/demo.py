"""The command `demo`."""

from pathlib import Path

import click

from ...cache.terminal import FOLDER, command, data_option, device_option


@command("demo")
@data_option("Data root with splits.toml.  [default: the seven shipped matches]", required=False)
@click.option(
    "--out",
    type=FOLDER,
    default=Path("demo-output"),
    show_default=True,
    help="Folder for feature sets, runs and predictions.",
)
@device_option()
def demo(data_root: Path | None, out: Path, device: str) -> None:
    """Run the whole pipeline on seven short matches.

    Two feature sets, a TCN and a Transformer head on each, and a control that is trained on shuffled labels. Every
    step is a ballspot command, shown as one would type it. Given again, finished work is taken up.

    \b
    ballspot demo --out demo-output
    """
    from ..demo import Demo, demo_matches

    click.echo(Demo(data=data_root or demo_matches(), out=out, device=device).run())
