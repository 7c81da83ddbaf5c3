"""The demonstration: the user's own commands, one after the other, on a shared feature set and a few new videos."""

import json
import runpy
import shlex
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..cache.disk import make_folder, read_toml, whole_file
from ..cache.errors import BallspotError
from ..cache.terminal import note
from ..cache.workers import end_with_parent, process_context

SHARED = Path("examples", "rendered")  # labels and features of nine matches whose videos are not here
VIDEOS = Path("tests", "matches")  # the first minute of each of seven matches, with labels
SET = "motion"  # the feature set in SHARED
BACKBONE = (
    *("--backbone", "tf_efficientnet_lite0", "--weights", "offline", "--layers", "blocks.6"),
    *("--size", "112x200", "--motion", "2", "--stride", "2"),
)
STORED = ("--dtype", "int8")
TRAINING: tuple[str, ...] = ()  # what the heads have otherwise than by default
BLOCK_S = 30  # seconds: the matches are a minute long, and SN-BAS's blocks of five would be one each

LOADED_ONCE = ("timm", "torch._dynamo", "ballspot.temporal.training")  # seconds of every command that uses them


def find_repository() -> Path:
    """The folder that holds the matches and features of the demo: that of the code, else the one that we are in.

    An editable installation runs from the checkout itself; after `pip install .` the code lies elsewhere. Raises
    BallspotError where neither holds them.
    """
    for folder in (Path(__file__).resolve().parents[1], Path.cwd()):
        if (folder / SHARED).is_dir() and (folder / VIDEOS).is_dir():
            return folder
    raise BallspotError(
        f"{Path.cwd()}: no {SHARED} and {VIDEOS} here; the demo's matches and features come with the repository, not "
        "the package: give `ballspot demo` in a checkout of it"
    )


def exit_code(*words: object) -> int | None:
    """How a ballspot command ends in a process of its own; its output goes to the terminal."""
    sys.stdout.flush()
    process = process_context(LOADED_ONCE).Process(target=run_command, args=([str(word) for word in words],))
    process.start()
    process.join()
    return process.exitcode


def run_command(words: list[str]) -> None:
    """What that process does: the command, as `python -m ballspot.cli` would."""
    end_with_parent()
    sys.argv = ["ballspot", *words]
    # The parent's module is there already, under the name that it is run by here: that is what is wanted.
    warnings.filterwarnings("ignore", message=".*found in sys.modules after import of package", category=RuntimeWarning)
    runpy.run_module("ballspot.cli", run_name="__main__")


@dataclass(frozen=True)
class Demo:
    """One demonstration: where everything goes, what computes, and the seed of the heads."""

    out: Path
    device: str
    seed: int = 0
    repository: Path = field(default_factory=find_repository)

    @property
    def data(self) -> Path:
        """The data root: labels of all matches, videos of those that are held out."""
        return self.out / "matches"

    @property
    def features(self) -> Path:
        """The feature set: what came with the repository, and what is extracted here."""
        return self.out / "features" / SET

    @property
    def head(self) -> Path:
        """The run of the head."""
        return self.out / "runs" / "head"

    @property
    def control(self) -> Path:
        """The run of the same head on events at random times."""
        return self.out / "runs" / "control"

    def run(self) -> str:
        """What the person is told at the end; every command's output went to the terminal as it came.

        Raises BallspotError naming the command that failed. Given again, finished work is taken up, not done again.
        """
        started = time.monotonic()
        self.bring()
        note(
            "\n1. Four matches that no head has seen, from their videos: what the backbone makes of every second frame."
        )
        words = ("extract", self.data, "--out", self.features.parent, "--set", SET, *BACKBONE, *STORED)
        self.command(*words, "--split", "test", "--device", self.device)
        note(
            "\n2. A head, trained on stores of eight other matches, and a control: the same on events at random times."
        )
        self.train(self.head)
        self.train(self.control, "--shuffle-labels")
        note("\n3. Spots of the four matches by both, and what they are worth.")
        for run in (self.head, self.control):
            self.command("predict", run, self.features, "--data", self.data, "--split", "test", "--device", self.device)
        compared = ("compare", self.control, self.head, "--split", "test", "--block", BLOCK_S)
        report = self.out / "report.html"
        self.command(*compared, "--report", report, "--title", "ballspot demo")
        picture = self.picture()
        return self.closing(self.numbers(*compared), (report, picture), time.monotonic() - started)

    def bring(self) -> None:
        """Copies labels, stores and the held-out videos into ``out``; what is there already stays."""
        note(f"\n0. {self.out}: labels and features of nine matches that others extracted, videos of four more.")
        copy_missing(self.repository / SHARED / "data", self.data)
        copy_missing(self.repository / SHARED / "features" / SET, self.features)
        for match in held_out(self.data / "splits.toml"):
            copy_missing(self.repository / VIDEOS / match, self.data / match)

    def command(self, *words: object) -> None:
        """Shows a command as one would type it, and runs it."""
        note("\n$ ballspot " + shlex.join(str(word) for word in words))
        if exit_code(*words) != 0:
            raise BallspotError(f"the demo stopped: `ballspot {words[0]}` failed with the error above")

    def train(self, run: Path, *options: str) -> None:
        """Trains the default head on the feature set."""
        words = ("train", self.features, "--data", self.data, "--run", run, "--seed", self.seed)
        self.command(*words, *TRAINING, *options, "--device", self.device)

    def picture(self) -> Path | None:
        """The surest hits and the worst mistakes of the frequent classes on frames; None without matplotlib."""
        if find_spec("matplotlib") is None:
            note("no picture of spots: pip install 'ballspot[plots]' brings what draws it")
            return None
        path = self.out / "spots.png"
        words = ("--data", self.data, "--split", "test", "--classes", "PASS,DRIVE,HIGH PASS,SHOT")
        counts = ("--hits", 4, "--false", 1, "--missed", 1)
        self.command("sheet", self.head, *words, *counts, "--out", path)
        return path

    def numbers(self, *words: object) -> dict[str, Any]:
        """What the comparison says, as its JSON object."""
        line = [sys.executable, "-m", "ballspot.cli", *(str(word) for word in words), "--format", "json"]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BallspotError(f"{self.out}: its runs cannot be compared ({done.stderr.strip()})")
        return json.loads(done.stdout)

    def closing(self, compared: dict[str, Any], made: tuple[Path, Path | None], seconds: float) -> str:
        """The last words: the head beside its control, and where to look."""
        report, picture = made
        lines = [
            f"\nDone in {seconds / 60:.1f} minutes. On four matches that neither has seen, in % with 95 % intervals:"
        ]
        frequent = f"classes with {compared['min_count']} truths or more"
        for name, key in (("all 12 classes", "settings"), (frequent, "frequent_settings")):
            lines += verdict(f"mAP@1, {name}", compared[key]) if compared[key] else []  # no class may be frequent
        lines += [
            "The control is the same head, trained as long on events at random times: it shows what chance reaches.",
            "The backbone learned from ImageNet's pictures; here its colours are the grey levels of three moments.",
            "",
            f"  spots on frames  {picture}" if picture is not None else "",
            f"  report           {report}",
            f"  spots            {self.head / 'predictions' / 'test'}",
            f"  on the video     ballspot view {shlex.quote(str(self.head))}",
        ]
        return "\n".join(line for number, line in enumerate(lines) if line or number == len(lines) - 5)


def verdict(title: str, settings: Sequence[dict[str, Any]]) -> list[str]:
    """What head and control reach, whether their intervals overlap, and the paired difference; control comes first."""
    control, head = settings
    lines = [title]
    for name, one in (("head", head), ("control", control)):
        low, high = one["interval"]
        bounds = "" if low is None else f"  [{100 * low:.1f}, {100 * high:.1f}]"
        lines.append(f"  {name:<8} {100 * one['mean_ap']:5.1f}{bounds}")
    if None not in (head["interval"][0], control["interval"][1]):
        apart = head["interval"][0] > control["interval"][1]
        lines[-1] += "   the intervals are apart" if apart else "   the intervals overlap"
    gain = head["difference_to_first"]
    if gain is not None and gain["interval"][0] is not None:
        low, high = gain["interval"]
        bounds = f"[{100 * low:+.1f}, {100 * high:+.1f}]"
        lines.append(f"  better by {100 * gain['value']:+4.1f}  {bounds}, on the same minutes")
    return lines


def held_out(splits: Path) -> list[str]:
    """The test matches of a file of splits."""
    return [str(match) for match in read_toml(splits, remedy="clone the repository again")["test"]]


def copy_missing(source: Path, target: Path) -> None:
    """Copies the files below ``source`` that are not below ``target`` yet, each whole."""
    for path in sorted(source.rglob("*")):
        copy = target / path.relative_to(source)
        if path.is_file() and not copy.exists():
            make_folder(copy.parent)
            with whole_file(copy) as temporary:
                shutil.copyfile(path, temporary)
