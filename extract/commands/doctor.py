"""The command `doctor`."""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ...cache.terminal import FOLDER, command, json_option

if TYPE_CHECKING:
    from ..doctor import Finding

SIGNS = {"ok": "+", "note": "i", "missing": "-", "fault": "!"}
SHELLS = ("bash", "zsh", "fish")


@command("doctor")
@click.argument("folder", metavar="[FOLDER]", type=FOLDER, default=Path())
@json_option
def doctor(folder: Path, as_json: bool) -> None:
    """Say what works here, and how to get the rest.

    Looks at versions, CPU and GPUs, tries every decoder on a video of twelve frames that it writes, names the extras
    that are not installed, and looks at the disk of FOLDER (by default the current folder). The exit code is 1 if
    something that every command needs does not work. Nothing is sent anywhere.

    \b
    ballspot doctor
    ballspot doctor /data/features --json
    """
    from ..doctor import examine

    findings = examine(folder)
    if as_json:
        click.echo(json.dumps([finding.as_record() for finding in findings], indent=1, ensure_ascii=False))
    else:
        show(findings)
    if any(finding.state == "fault" for finding in findings):
        sys.exit(1)


def show(findings: Sequence["Finding"]) -> None:
    """A line a finding under the name of its part; then the commands that bring what is not there."""
    width = max(len(finding.name) for finding in findings)
    part = ""
    for finding in findings:
        if finding.part != part:
            click.echo(f"{finding.part}" if not part else f"\n{finding.part}")
            part = finding.part
        click.echo(f"  {SIGNS[finding.state]} {finding.name:<{width}}  {finding.text}")
    remedies = [finding for finding in findings if finding.remedy]
    if remedies:
        click.echo("\nHow to get what is missing (! needed, - needed only for what stands beside it, i worth knowing)")
        for finding in remedies:
            click.echo(f"  {SIGNS[finding.state]} {finding.name:<{width}}  {finding.remedy}")
    faults = sum(finding.state == "fault" for finding in findings)
    click.echo(
        f"\n{faults} thing{'s' if faults > 1 else ''} to repair" if faults else "\nEverything that is needed works."
    )
    if faults == 0:
        click.echo(f"Completion of commands by the Tab key: {completion_line()}")


def completion_line() -> str:
    """The line that turns on completion in the user's own shell, in bash where it is none that click knows."""
    shell = Path(os.environ.get("SHELL", "bash")).name
    shell = shell if shell in SHELLS else "bash"
    if shell == "fish":
        return "_BALLSPOT_COMPLETE=fish_source ballspot > ~/.config/fish/completions/ballspot.fish"
    return f"echo 'eval \"$(_BALLSPOT_COMPLETE={shell}_source ballspot)\"' >> ~/.{shell}rc"
