"""The command `adopt`."""

from pathlib import Path
from typing import Any

import click

from ...cache.errors import BallspotError
from ...cache.terminal import FOLDER, SIZE, command, note

PUBLISHED = "  [default: the system's published setting]"


@command("adopt", short_help="Make a run from another system's checkpoint.")
@click.argument("checkpoint", metavar="CHECKPOINT")
@click.option("--out", "run_path", type=FOLDER, required=True, help="Folder of the run.")
@click.option(
    "--labels", help="Label set, with its classes in the order of the training.  [default: the published classes]"
)
@click.option("--settings", "settings_file", type=FOLDER,
              help="The system's own settings in JSON.  [default: config.json beside CHECKPOINT]")  # fmt: skip
@click.option("--size", type=SIZE, help="Height and width that pictures are resized to." + PUBLISHED)
@click.option("--crop", help="Middle part of the picture that is seen, HxW or none." + PUBLISHED)
@click.option("--fps", help="Frames per second that videos are read at." + PUBLISHED)
@click.option("--stride", type=click.IntRange(1, 10_000), help="Frames from one row to the next." + PUBLISHED)
@click.option("--clip-rows", type=click.IntRange(2, 100_000), help="Rows per clip." + PUBLISHED)
@click.option("--overlap-rows", type=click.IntRange(0, 100_000), help="Rows that two clips share." + PUBLISHED)
@click.option("--first-row", type=click.IntRange(-100_000, 0), help="Row where the first clip begins." + PUBLISHED)
@click.option(
    "--padding",
    type=click.Choice(("mean", "black")),
    help="Picture that stands for frames outside the video." + PUBLISHED,
)
@click.option("--first-clip", type=click.Choice(("padded", "unpadded")),
              help="Whether the first clip's start is padded." + PUBLISHED)  # fmt: skip
@click.option("--low", type=SIZE, help="AdaSpot: height and width of its coarse picture." + PUBLISHED)
@click.option("--region", type=SIZE, help="AdaSpot: height and width of the box seen closely." + PUBLISHED)
@click.option(
    "--threshold",
    type=click.FloatRange(0.0, 1.0),
    help="AdaSpot: strength that a box must hold; larger boxes are tried until one does." + PUBLISHED,
)
@click.option("--conv-padding", type=click.Choice(("replicate", "reflect", "zeros")),
              help="AdaSpot: how its convolutions pad a picture." + PUBLISHED)  # fmt: skip
def adopt(checkpoint: str, run_path: Path, labels: str | None, settings_file: Path | None, **options: Any) -> None:
    """Make a run from another system's checkpoint.

    The run has the backbone, the head, and how the system goes over a video. CHECKPOINT is a file of E2E-Spot,
    opensportslib (OSL), T-DEED, SoccerNet's 2025 kit, AdaSpot or the course baseline, or one of our bundles.

    hub:OWNER/NAME is the checkpoint in a repository on the Hugging Face hub. If there are several, write
    hub:OWNER/NAME/FILE, and for a revision hub:OWNER/NAME@REVISION. Nothing in a checkpoint is run. Options say what
    the file cannot say, and the command prints what it chose.

    \b
    ballspot adopt checkpoint_best.pt --out runs/tdeed
    ballspot adopt hub:someone/e2e-spot --out runs/spot --crop none
    ballspot predict runs/tdeed my-match.mp4
    ballspot extract DATA --weights runs/tdeed
    """
    from ..adopted import (
        Adoption,
        checkpoint_path,
        is_own_bundle,
        labels_remark,
        run_of_bundle,
        settled_labels,
        settled_procedure,
    )
    from ..systems import recognise_whole
    from ..training import command_line

    path = checkpoint_path(checkpoint)
    if is_own_bundle(path):
        said = {**options, "labels": labels, "settings": settings_file}
        given = sorted(name for name, value in said.items() if value is not None)
        if given:
            raise BallspotError(f"--{given[0].replace('_', '-')}: a bundle already says this; leave it out")
        remarks = run_of_bundle(path, run_path, command=command_line())
        click.echo(f"{run_path}: a bundle of ballspot's")
        for line in remarks:
            note(line)
        return
    found = recognise_whole(path, settings_file)
    procedure = settled_procedure(found, {name: value for name, value in options.items() if value is not None})
    label_set = settled_labels(found, labels, source=checkpoint)
    adoption = Adoption(found, procedure, label_set, path)
    adoption.write(run_path, command=command_line())
    click.echo(f"{run_path}: {found.system}, {found.variant}, {found.n_labels} classes")
    for line in found.left_out:
        note(line)
    note(procedure.told())
    note(labels_remark(found, label_set))
