"""The command `learn`."""

from pathlib import Path

import click

from ...cache.runs import following_run
from ...cache.terminal import (
    FOLDER,
    command,
    data_option,
    device_option,
    labels_file_option,
    set_option,
    threads_option,
)
from ...extract.device import pick_device, use_threads


@command()
@click.argument("run", type=FOLDER)
@data_option("Data root with the labels that were corrected.")
@click.option("--run", "out", type=FOLDER, help="Folder of the new run.  [default: RUN-learned-1, -2, ... beside RUN]")
@click.option(
    "--features",
    type=FOLDER,
    multiple=True,
    help="Feature sets of RUN, which must have the corrected matches, too.  [default: where they were]",
)
@click.option("--labels", help="Label set: a built-in name or a TOML file; it may add classes.  [default: RUN's]")
@labels_file_option
@click.option("--epochs", "n_epochs", type=click.IntRange(1, 1000), default=3, show_default=True,
              help="Passes over the training matches.")  # fmt: skip
@set_option
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of everything that is random.")
@click.option("--also", multiple=True, metavar="MATCH", help="Also predict this match; repeatable.")
@device_option()
@threads_option
def learn(
    run: Path,
    data_root: Path,
    out: Path | None,
    features: tuple[Path, ...],
    labels: str | None,
    labels_file: str | None,
    n_epochs: int,
    settings: tuple[str, ...],
    seed: int,
    also: tuple[str, ...],
    device: str,
    n_threads: int | None,
) -> None:
    """Learn from corrected labels, in seconds.

    Trains a new run from stored features. It begins with the head of RUN and trains on RUN's matches and on those
    whose labels were corrected with `ballspot view --edit`. Prints what changed in the corrected matches, and mAP@1
    of the validation matches before and after. RUN stays as it is, and the new run holds the predictions of both
    heads.

    If the labels of a match began empty, only what was decided is learned: the surroundings of each label and each
    rejection, and what was watched.

    \b
    ballspot learn runs/best --data DATA
    ballspot view runs/best-learned-1/before runs/best-learned-1/predictions/all --data DATA --edit
    """
    from ...evaluate.dataset import load_label_set
    from ..learning import LearnPlan
    from ..learning import learn as learn_from

    use_threads(n_threads)
    plan = LearnPlan(
        run=run,
        data_root=data_root,
        out=out or following_run(run),
        features=features,
        label_set=None if labels is None else load_label_set(labels),
        labels_file=labels_file,
        settings=settings,
        n_epochs=n_epochs,
        seed=seed,
        also=also,
    )
    learned = learn_from(plan, pick_device(device))
    for line in learned.lines():
        click.echo(line)
    new = Path(learned.run)
    here = Path.cwd()
    click.echo(f"{new.relative_to(here) if new.is_relative_to(here) else new}: the new run")
