"""The command `ballspot init`."""

from collections import Counter
from pathlib import Path

import click

from ...cache.errors import BallspotError
from ...cache.terminal import FOLDER, FiniteRange, command, note


@command()
@click.argument("folder", type=FOLDER)
@click.option("--out", type=FOLDER, help="The data root to make.  [default: FOLDER-data]")
@click.option("--how", type=click.Choice(("link", "hardlink", "copy")), default="link", show_default=True,
              help="How videos get into the data root; nothing is ever moved.")  # fmt: skip
@click.option(
    "--shares", default="70,15,15", show_default=True, metavar="A,B,C", help="Shares of train, valid and test."
)
@click.option(
    "--labels",
    help="Label set: a built-in name or a TOML file.  [default: a built-in one that has all classes, otherwise a new "
    "one made from them]",
)
@click.option("--classes", metavar="A,B", help="Classes of a new label set, separated by commas.")
@click.option(
    "--fps",
    type=FiniteRange(0.1, 1000),
    help="Frames per second, for label files that count in frames and do not say it.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the random split.")
@click.option("--dry-run", is_flag=True, help="Say what would be made, but write nothing.")
def init(
    folder: Path,
    out: Path | None,
    how: str,
    shares: str,
    labels: str | None,
    classes: str | None,
    fps: float | None,
    seed: int,
    dry_run: bool,
) -> None:
    """Make a data root from loose videos and label files.

    Each video becomes a match folder. Label files of every format of `ballspot data convert` are found by their
    content, and each goes with the video that it names. Videos are linked, and label files are written as copies. The
    split is drawn among the matches that have labels. Then the new data root is checked as `ballspot data check`
    does.

    \b
    ballspot init my-videos
    ballspot init my-videos --out DATA --how copy --classes "CORNER,GOAL KICK"
    """
    from ...evaluate.dataset import LabelSet, find_matches, load_label_set
    from ..data_root import LABELS_TOML, lint_matches, make_root, plan_root

    if labels and classes:
        raise click.UsageError("--labels and --classes exclude each other")
    label_set = load_label_set(labels) if labels else None
    if classes is not None:
        names = tuple(dict.fromkeys(filter(None, (one.strip() for one in classes.split(",")))))
        if not names:
            raise BallspotError(f"--classes {classes!r}: names no class")
        label_set = LabelSet(folder.resolve().name, names)
    target = out or folder.resolve().with_name(f"{folder.resolve().name}-data")
    plan = plan_root(folder, out=target, shares=_shares(shares), label_set=label_set, fps=fps, seed=seed)
    for text, n in Counter(plan.notes).items():
        note(f"note: {text}" + (f" ({n} times)" if n > 1 else ""))
    for one in plan.matches:
        part = next((part for part, names in plan.parts.items() if one.name in names), "-")
        n_spots = "no labels" if one.labels is None else f"{len(one.labels.spots)} labels of {one.source}"
        click.echo(f"{part}  {one.name}: {', '.join(video.name for video in one.videos)}, {n_spots}")
    if dry_run:
        return
    make_root(plan, target, how=how)
    findings = list(lint_matches(find_matches(target, labels_file=plan.label_set.file), plan.label_set))
    for finding in findings:
        click.echo(finding.line())
    of_set = f" --labels {target / LABELS_TOML}" if plan.writes_set else f" --labels {plan.label_set.name}"
    click.echo(
        f"{target}: {len(plan.matches)} matches, {len(findings)} findings; commands take --data {target}{of_set}"
    )


def _shares(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise BallspotError(f"--shares {text}: give three numbers, such as 70,15,15") from error
