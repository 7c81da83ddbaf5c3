"""The command `demo`."""

from pathlib import Path

import click


@click.command("demo")
@click.option(
    "--data", type=click.Path(path_type=Path), help="Data root with splits.toml.  [default: the seven shipped matches]"
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("demo-output"),
    show_default=True,
    help="Folder for feature sets, runs and predictions.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
def demo(data: Path | None, out: Path, device: str) -> None:
    """Run the whole pipeline on seven short matches.

    Two feature sets, a TCN and a Transformer head on each, and a control that is trained on shuffled labels. Every
    step is a ballspot command, shown as one would type it. Given again, finished work is taken up.

    \b
    ballspot demo --out demo-output
    """
    from ..demo import Demo, demo_matches

    click.echo(Demo(data=data or demo_matches(), out=out, device=device).run())
