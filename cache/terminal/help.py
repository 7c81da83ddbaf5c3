"""How a command's help looks: what it does, examples, then its options in groups.

A command is made by `command` of this module in place of click's, so that every help is laid out by the same rules.
"""

import inspect
from collections.abc import Callable
from typing import Any

import click

GROUPS: dict[str, tuple[str, ...]] = {
    "Input": (
        *("--data", "--features", "--labels", "--labels-file", "--init", "--with", "--with-run", "--against"),
        *("--baseline", "--mistakes", "--queue", "--from", "--to", "--image-fps", "--fps", "--key", "--settings"),
        *("--apply", "--live", "--checkpoint"),
    ),
    "Matches": ("--split", "--splits", "--leave-out", "--match", "--also", "--rows"),
    "Spots": ("--threshold", "--classes", "--team", "--limit", "--tuned"),
    "Model": (
        *("--backbone", "--weights", "--size", "--stride", "--views", "--grid", "--layers", "--margin", "--dtype"),
        *("--preset", "--head", "--set", "--seed", "--seeds", "--freeze", "--epochs", "--shuffle-labels"),
        *("--crop", "--clip-rows", "--overlap-rows", "--first-row", "--padding", "--first-clip", "--low", "--region"),
        *("--conv-padding", "--search", "--trials", "--finalists", "--motion", "--region-size", "--region-from"),
        *("--region-count", "--region-fuse", "--precision"),
    ),
    "Scoring": ("--metric", "--tolerance", "--min-count", "--resamples", "--block", "--diagnose"),
    "Output": (
        *("--out", "--run", "--edit", "--format", "--json", "--report", "--title", "--only", "--plots"),
        *("--plot-format", "--keep-features", "--before", "--after", "--cut", "--hits", "--false"),
        *("--missed", "--width", "--zoom", "--dry-run", "--port", "--open", "--track", "--with-backbone"),
    ),
}
REST = "Advanced"
ELSEWHERE = {  # options whose name means another thing in these commands
    ("extract", "--set"): "Output",
    ("export", "--backbone"): "Output",
    ("export", "--checkpoint"): "Model",
    ("predict", "--checkpoint"): "Model",
    ("predict", "--fps"): REST,
    ("evaluate", "--fps"): "Scoring",
    ("view", "--fps"): "Scoring",
    ("adopt", "--threshold"): "Model",
    ("adopt", "--fps"): "Model",
}
FEW = 7  # options up to which a list needs no groups
EXAMPLE = "ballspot "


class Command(click.Command):
    """A click command whose help has a part for examples, and groups of options where there are many."""

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """What the command does, without its examples, which `format_options` writes."""
        write_text(self, formatter)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The examples, then the options under the names of their groups."""
        write_examples(self, formatter)
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        shown = [(param, record) for param in options if (record := param.get_help_record(ctx)) is not None]
        if len(shown) <= FEW:
            with formatter.section("Options"):
                formatter.write_dl([record for _, record in shown])
            return
        grouped: dict[str, list[tuple[str, str]]] = {title: [] for title in (*GROUPS, REST)}
        for param, record in shown:
            grouped[group_of(self.name or "", param)].append(record)
        for title, rows in grouped.items():
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


def write_text(documented: click.Command, formatter: click.HelpFormatter) -> None:
    """The help of a command or group without its examples."""
    text, _ = split_examples(documented.help or "")
    with formatter.indentation():
        formatter.write_paragraph()
        formatter.write_text(text)


def write_examples(documented: click.Command, formatter: click.HelpFormatter) -> None:
    """The part of a help that holds the examples of a docstring, a line each as it is written there."""
    _, examples = split_examples(documented.help or "")
    if examples:
        with formatter.section("Examples"):
            for line in examples:
                formatter.write(f"{'':>{formatter.current_indent}}{line}\n")


def group_of(command_name: str, param: click.Parameter) -> str:
    """The group that an option of a command is listed in; one that no group names is an advanced one."""
    for flag in param.opts:
        named = ELSEWHERE.get((command_name, flag))
        found = named or next((title for title, flags in GROUPS.items() if flag in flags), None)
        if found is not None:
            return found
    return REST


def split_examples(text: str) -> tuple[str, list[str]]:
    """A docstring without its last block of ``\\b`` lines where these are commands, and those lines."""
    before, mark, block = inspect.cleandoc(text).rpartition("\n\b\n")
    lines = [line.strip() for line in block.splitlines() if line.strip()]
    if not mark or not any(line.startswith(EXAMPLE) for line in lines):
        return inspect.cleandoc(text), []
    return before.rstrip(), lines


def command(name: str | None = None, **settings: Any) -> Callable[[Callable[..., None]], click.Command]:
    """`click.command` that makes a `Command`."""
    return click.command(name, cls=Command, **settings)
