"""The commands on data roots: `data check`, `data stats`, `data synth`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from ...cache.errors import BallspotError
from ...cache.terminal import (
    FOLDER,
    SIZE,
    FiniteRange,
    command,
    data_argument,
    json_option,
    labels_option,
    matches_options,
    parse_fps,
)


@command("check")
@data_argument
@labels_option
@click.option("--decode", is_flag=True, help="Also decode every frame (about 1000 per second).")
@click.option("--no-video", is_flag=True, help="Check only the labels.")
@json_option
def data_check(data_root: Path, labels: str, decode: bool, no_video: bool, as_json: bool) -> None:
    """Lint the videos and labels of a data root.

    Prints each finding on one line, as LEVEL match: what (where). The exit code is 1 if one of them is an ERROR.

    \b
    ballspot data check DATA
    ballspot data check DATA --no-video
    """
    from ...evaluate.dataset import find_matches, load_label_set
    from ..data_root import ERROR, lint_matches

    if decode and no_video:
        raise click.UsageError("--decode reads videos; give it without --no-video")
    label_set = load_label_set(labels)
    matches = find_matches(data_root, labels_file=label_set.file, one_video=not no_video)
    findings = []
    for finding in lint_matches(matches, label_set, decode=decode, with_videos=not no_video):
        findings.append(finding)
        if not as_json:
            click.echo(finding.line())
    n_errors = sum(finding.level == ERROR for finding in findings)
    counts = {"n_matches": len(matches), "n_errors": n_errors, "n_warnings": len(findings) - n_errors}
    if as_json:
        click.echo(json.dumps({**counts, "findings": [asdict(finding) for finding in findings]}, indent=1))
    else:
        click.echo(f"{len(matches)} matches: {n_errors} errors, {counts['n_warnings']} warnings")
    if n_errors:
        click.get_current_context().exit(1)


@command("stats")
@data_argument
@matches_options
@json_option
def data_stats(data_root: Path, splits_file: Path | None, leave_out: str | None, labels: str, as_json: bool) -> None:
    """Count frames, duration and events per class and split.

    \b
    ballspot data stats DATA
    """
    from ...cache.terminal import note, print_table
    from ...evaluate.dataset import SPLITS_FILE as SPLITS_NAME
    from ...evaluate.dataset import DataSelection, load_label_set
    from ..data_root import match_stats, summary, table_rows

    label_set = load_label_set(labels)
    data = DataSelection(data_root, label_set, splits_file, leave_out, one_video=True)
    matches = data.matches.values()
    try:
        names = data.splits.by_part
    except BallspotError as error:
        if splits_file is not None or leave_out is not None or (data_root / SPLITS_NAME).exists():
            raise
        note(f"counted without a split: {error}")
        names = {}
    stats = {match.name: match_stats(match, label_set) for match in matches}
    parts = {part: summary([stats[name] for name in of_part], label_set) for part, of_part in names.items()}
    everything = summary(list(stats.values()), label_set)
    if as_json:
        by_match = {name: summary([one], label_set) | {"fps": str(one.fps)} for name, one in stats.items()}
        for one in by_match.values():
            del one["matches"]
        click.echo(json.dumps({**everything, "splits": parts, "by_match": by_match}, indent=1))
        return
    columns = {**parts, "all": everything}
    print_table(["", *columns], table_rows(columns, label_set))


@command("synth")
@click.argument("out", type=FOLDER)
@click.option(
    "--matches", "n_matches", type=click.IntRange(1, 999), default=7, show_default=True, help="Number of matches."
)
@click.option(
    "--minutes",
    type=FiniteRange(0, min_open=True),
    default=1.0,
    show_default=True,
    help="Length of each match in minutes.",
)
@click.option("--fps", default="25", show_default=True, help="Frames per second, e.g. 25, 29.97 or 30000/1001.")
@click.option(
    "--size", type=SIZE, default="224x398", show_default=True, help="Picture size in pixels; both numbers are even."
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Decides the events and their teams."
)
def data_synth(out: Path, n_matches: int, minutes: float, fps: str, size: tuple[int, int], seed: int) -> None:
    """Draw simple bar-coded matches for tests and for scale.

    Each picture shows its frame number as blocks, and marks of events that are near. The labels have the proportions
    of SN-BAS.

    \b
    ballspot data synth drawn --matches 4 --minutes 2 --fps 29.97
    """
    from ..data_root import synthesize

    names = synthesize(out, n_matches=n_matches, minutes=minutes, fps=parse_fps(fps), size=size, seed=seed)
    click.echo(f"{out}: {len(names)} matches of {minutes:g} minutes, labels and splits.toml")
