"""The `ballspot` command: a group whose commands are imported only when they are asked for."""

import codecs
import errno
import io
import os
import sys
from difflib import get_close_matches
from importlib import import_module
from typing import Any

import click

from .cache.errors import BallspotError
from .cache.terminal.help import write_examples, write_text
from .cache.version import __version__

Place = tuple[str, str, str]  # module inside the package, its click command, the one-line summary

DATA: dict[str, Place] = {
    "check": ("extract.commands.data", "data_check", "Lint the videos and labels of a data root."),
    "stats": ("extract.commands.data", "data_stats", "Count frames, duration and events per class and split."),
    "convert": ("evaluate.commands.convert", "data_convert", "Turn labels or predictions of one format into another."),
    "synth": ("extract.commands.data", "data_synth", "Draw simple bar-coded matches for tests and for scale."),
}
CACHE: dict[str, Place] = {
    "info": ("cache.commands.stores", "cache_info", "Describe one feature store."),
    "list": ("cache.commands.stores", "cache_list", "List the feature sets below a folder."),
    "verify": ("extract.commands.cache", "cache_verify", "Read every row of stores and check them."),
    "import": ("extract.commands.cache", "cache_import", "Make a feature set from arrays of your own."),
    "export": ("extract.commands.cache", "cache_export", "Write a feature set as arrays."),
    "pca": ("extract.commands.cache", "cache_pca", "Make a smaller feature set by principal components."),
    "remove": ("cache.commands.stores", "cache_remove", "Remove feature sets or single stores."),
}
HUB: dict[str, Place] = {
    "push": ("temporal.commands.hub", "hub_push", "Put a run's head, configuration and card on the hub."),
    "pull": ("temporal.commands.hub", "hub_pull", "Get a head from the hub, checked and ready to predict."),
}
COMMANDS: dict[str, Place] = {
    "init": ("extract.commands.init", "init", "Make a data root from loose videos and label files."),
    "extract": ("extract.commands.extract", "extract", "Turn the videos of a data root into feature stores."),
    "finetune": ("temporal.commands.finetune", "finetune", "Train a backbone and a head together on video."),
    "train": ("temporal.commands.train", "train", "Train a head on a feature set."),
    "check-head": ("temporal.commands.check_head", "check_head", "Try a head of your own before it is trained."),
    "learn": ("temporal.commands.learn", "learn", "Learn from corrected labels, in seconds."),
    "sweep": ("temporal.commands.sweep", "sweep", "Train every setting of a sweep file with several seeds."),
    "adopt": ("temporal.commands.adopt", "adopt", "Make a run from another system's checkpoint."),
    "predict": ("temporal.commands.predict", "predict", "Find the spots of a split, or of any video."),
    "tune": ("temporal.commands.tune", "tune", "Find the best post-processing of every class on saved scores."),
    "probe": ("temporal.commands.probe", "probe", "Score single frames by logistic regression: the floor for heads."),
    "evaluate": ("evaluate.commands.evaluate", "evaluate", "Score predictions as SoccerNet does."),
    "compare": ("evaluate.commands.compare", "compare", "Put runs side by side, with what differs in their configs."),
    "view": ("evaluate.commands.view", "view", "Look at mistakes on the video, and correct labels."),
    "queue": ("evaluate.commands.queue", "queue", "Choose what to ask an annotator, best first."),
    "export": ("temporal.commands.export", "export", "Write predictions or a run as a file for others."),
    "clips": ("extract.commands.clips", "clips", "Cut a short video around every predicted spot."),
    "sheet": ("extract.commands.clips", "sheet", "Draw the worst mistakes of every class on one picture."),
    "demo": ("extract.commands.demo", "demo", "See what a head learns, in a few minutes."),
    "doctor": ("extract.commands.doctor", "doctor", "Say what works here, and how to get the rest."),
}
SECTIONS: dict[str, tuple[str, ...]] = {
    "Matches and labels": ("init", "data", "queue"),
    "Videos to features": ("extract", "cache", "finetune"),
    "Features to heads": ("train", "sweep", "learn", "tune", "probe", "check-head"),
    "Spots and scores": ("predict", "evaluate", "compare", "view", "clips", "sheet"),
    "From and for others": ("adopt", "export", "hub"),
    "This installation": ("demo", "doctor"),
}
GOES_ON = ("extract", "train", "finetune", "clips", "demo", "import")  # given again, these take up what is finished
INTERRUPTED = 130  # the exit code of what Ctrl-C ended: 128 and the number of its signal


def as_escapes(error: UnicodeError) -> tuple[str, int]:
    """What is written where an encoding has no sign for a text: escapes as in JSON, which stays JSON."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2)), error.end


codecs.register_error("ballspot", as_escapes)
# Torch then asks Linux for pages of 2 MB, which a fine-tuning on a CPU fills a sixth faster (bench/pages.py); it looks
# once, when it first takes memory, so this comes before any command is imported.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
# Threads that wait for one another spin for a fraction of a millisecond and then sleep. By default they spin on, which
# takes the cores from other work and from one another on a busy machine; to sleep at once makes a step of small
# products five times as long on a quiet one (bench/threads.py). OpenMP reads both once, when torch is imported; the
# second is libgomp's, which the wheels for Linux bring.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")


class LazyGroup(click.Group):
    """A click group that lists its commands from a table and imports one only to run it or to show its help."""

    def __init__(
        self, *args: Any, table: dict[str, Place], sections: dict[str, tuple[str, ...]] | None = None, **settings: Any
    ) -> None:
        super().__init__(*args, **settings)
        self.table = table
        self.sections = sections

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """What the group is for, without its examples, which `format_options` writes."""
        write_text(self, formatter)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The examples, the commands, then click's options."""
        write_examples(self, formatter)
        self.format_commands(ctx, formatter)
        click.Command.format_options(self, ctx, formatter)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self.commands, *self.table]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in self.table:
            module, attribute, _ = self.table[cmd_name]
            return getattr(import_module(f"{__package__}.{module}"), attribute)
        return super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = {name: command.get_short_help_str(60) for name, command in self.commands.items()}
        rows |= {name: summary for name, (_, _, summary) in self.table.items()}
        width = max(map(len, rows))
        for title, names in (self.sections or {"Commands": tuple(rows)}).items():
            with formatter.section(title):
                formatter.write_dl([(f"{name:<{width}}", rows[name]) for name in names])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        known = self.list_commands(ctx)
        if args[0] not in known and not args[0].startswith("-"):
            near = get_close_matches(args[0], known, n=1)
            ctx.fail(f"No such command {args[0]!r}." + (f" Did you mean {near[0]!r}?" if near else ""))
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BallspotError as error:
            raise click.ClickException(str(error)) from error
        except KeyboardInterrupt as error:
            raise Interrupted(
                "interrupted; run the same command to go on"
                if ctx.invoked_subcommand in GOES_ON
                else "interrupted; no file is half-written"
            ) from error
        except OSError as error:
            if error.strerror is None or error.errno == errno.EPIPE:  # not the system's; click's own matter
                raise
            place = f"{error.filename}: " if error.filename else ""
            raise click.ClickException(f"{place}{error.strerror}; check the path, rights and free space") from error
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            said = " ".join(str(error).split())[:200] or "no more than this"
            raise click.ClickException(
                f"out of memory ({said}); lower what is held at once (batch_clips, window_batch_clips or "
                "resident_limit_gb with --set, --batch, --jobs), or take a machine or GPU with more"
            ) from error


class Interrupted(click.ClickException):
    """What Ctrl-C ended, with the exit code that shells give it."""

    exit_code = INTERRUPTED


def is_out_of_memory(error: BaseException) -> bool:
    """Whether Python, numpy or torch, on the CPU or on a GPU, could not get the memory that was asked for."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"  # torch's; not imported for commands that do without torch
        or "DefaultCPUAllocator: can't allocate memory" in str(error)
    )


@click.group(cls=LazyGroup, table=COMMANDS, sections=SECTIONS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ballspot")
def main() -> None:
    """Find every ball action in a football video, with its exact time.

    Stage one turns videos into feature stores, once; stage two trains heads on them in seconds to minutes.

    \b
    ballspot extract DATA --out features --weights hub
    ballspot train features/SET --data DATA --run runs/first
    ballspot predict runs/first features/SET --data DATA --split test --out predictions
    ballspot evaluate predictions --data DATA --split test
    """
    for stream in (sys.stdout, sys.stderr):  # None where closed, and in a test anything
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="ballspot")


@main.group(cls=LazyGroup, table=DATA)
def data() -> None:
    """Check, count, convert and draw matches and their labels."""


@main.group(cls=LazyGroup, table=CACHE)
def cache() -> None:
    """Look at feature stores, check, import, export, shrink or remove them."""


@main.group(cls=LazyGroup, table=HUB)
def hub() -> None:
    """Give trained heads to others through the Hugging Face hub."""


if __name__ == "__main__":
    main()
