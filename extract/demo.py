"""The demonstration: the user's own commands, one after the other, on seven short matches."""

import json
import runpy
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from ..cache.errors import BallspotError
from ..cache.runs import RunFolder
from ..cache.terminal import note
from ..cache.workers import process_context

MATCHES = Path(__file__).resolve().parents[1] / "tests" / "matches"
HEADS = ("tcn", "transformer")


# The pretrained backbone costs twice as much a pixel: half the pixels of every second frame keep the demo short.
LESS = ("--size", "160x284", "--stride", "2")

LOADED_ONCE = (
    "timm",
    "torch._dynamo",
    "ballspot.temporal.training",
)  # seconds of every command that trains or extracts


def demo_matches() -> Path:
    """The seven short matches in the repository's tests. Raises BallspotError in an installation without them."""
    if not MATCHES.is_dir():
        raise BallspotError(
            f"{MATCHES}: the demo's matches come with the repository, not the package; give --data DATA"
        )
    return MATCHES


def exit_code(*words: object) -> int | None:
    """How a ballspot command ends in a process of its own; its output goes to the terminal."""
    sys.stdout.flush()
    process = process_context(LOADED_ONCE).Process(target=run_command, args=([str(word) for word in words],))
    process.start()
    process.join()
    return process.exitcode


def run_command(words: list[str]) -> None:
    """What that process does: the command, as `python -m ballspot.cli` would."""
    sys.argv = ["ballspot", *words]
    runpy.run_module("ballspot.cli", run_name="__main__")


@dataclass(frozen=True)
class Demo:
    """One demonstration: where the matches are, where everything goes, and how the commands are run."""

    data: Path
    out: Path
    device: str

    def run(self) -> str:
        """What the person is told at the end; every command's output went to the terminal as it came.

        Raises BallspotError naming the command that failed. Given again, finished work is taken up, not done again.
        """
        started = time.monotonic()
        self.command("data", "check", self.data)
        self.command("data", "stats", self.data)
        plain, plain_weights = self.extract_plain()
        pretrained = self.extract("pretrained", "tf_efficientnet_lite0", "offline", *LESS)
        runs = [self.train(features, head) for features in (plain, pretrained) for head in HEADS]
        control = self.train(pretrained, HEADS[-1], shuffled=True)
        for run in [*runs, control]:
            self.predict(run, plain if run.name.startswith(plain.name) else pretrained)
        best = max(runs, key=lambda run: RunFolder(run).metric("mean_ap"))  # chosen on the validation match
        self.command("evaluate", best / "predictions" / "test", "--data", self.data, "--split", "test")
        self.command("compare", *runs, control, "--split", "test")
        return self.closing(best, control, plain_weights, time.monotonic() - started)

    def command(self, *words: object) -> None:
        """Shows a command as one would type it, and runs it."""
        note("\n$ ballspot " + shlex.join(str(word) for word in words))
        if exit_code(*words) != 0:
            raise BallspotError(f"the demo stopped: `ballspot {words[0]}` failed with the error above")

    def extract_plain(self) -> tuple[Path, str]:
        """The regnety_002 feature set and its weights: the hub's where it can be reached, else random, said loudly."""
        features, words = self.extraction("plain", "regnety_002", "hub")
        note("\n$ ballspot " + shlex.join(words))
        if exit_code(*words) == 0:
            return features, "hub"
        note(
            "\n*** The model hub cannot be reached: regnety_002 gets RANDOM weights here. ***\n"
            "*** Its numbers show that the pipeline works; they are not what a trained backbone gives. ***"
        )
        return self.extract("plain-random", "regnety_002", "random:0"), "random"

    def extract(self, name: str, backbone: str, weights: str, *options: str) -> Path:
        """The feature set ``name``, extracted now or taken up."""
        features, words = self.extraction(name, backbone, weights, *options)
        self.command(*words)
        return features

    def extraction(self, name: str, backbone: str, weights: str, *options: str) -> tuple[Path, list[str]]:
        """Where a feature set goes, and the words of the command that fills it."""
        words = ["extract", self.data, "--out", self.out / "features", "--set", name]
        words += ["--backbone", backbone, "--weights", weights, *options, "--device", self.device]
        return self.out / "features" / name, [str(word) for word in words]

    def train(self, features: Path, head: str, *, shuffled: bool = False) -> Path:
        """The run folder of one head on one feature set."""
        run = self.out / "runs" / f"{features.name}-{head}{'-shuffled-labels' if shuffled else ''}"
        words = ["train", features, "--data", self.data, "--run", run, "--preset", "fast", "--head", head]
        self.command(*words, "--device", self.device, *(["--shuffle-labels"] if shuffled else []))
        return run

    def predict(self, run: Path, features: Path) -> None:
        """Writes the run's predictions for the test matches into the run's folder."""
        self.command("predict", run, features, "--data", self.data, "--split", "test", "--device", self.device)

    def test_scores(self, run: Path) -> str:
        """The run's means on the test matches, as `ballspot evaluate --json` gives them."""
        words = ("evaluate", run / "predictions" / "test", "--data", self.data, "--split", "test", "--json")
        line = [sys.executable, "-m", "ballspot.cli", *(str(word) for word in words)]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BallspotError(f"{run}: its predictions cannot be scored ({done.stderr.strip()})")
        scores = json.loads(done.stdout)
        text = f"mAP@1 {100 * scores['mean_ap']:.2f}"
        if scores["frequent_ap"] is not None:
            text += f", over classes with {scores['min_count']} true spots or more {100 * scores['frequent_ap']:.2f}"
        return text

    def closing(self, best: Path, control: Path, plain_weights: str, seconds: float) -> str:
        """The last words: the best result beside the control, and where to look."""
        predictions = best / "predictions" / "test"
        lines = [
            f"\nDone in {seconds / 60:.1f} minutes.",
            "On the test matches, the head that is best on the validation match beside one trained on shuffled labels:",
            f"  {best.name}: {self.test_scores(best)}",
            f"  {control.name}: {self.test_scores(control)}",
            "  The control shows what chance reaches: only what lies clearly above it was learned.",
            "  Seven minutes of video are far too little to say which method is better.",
            "",
            f"  feature stores  {self.out / 'features'}",
            f"  runs            {self.out / 'runs'} (config.toml, log.jsonl, metrics.json, best.safetensors)",
            f"  predictions     {predictions} (SoccerNet's format, and scores.npz)",
        ]
        if plain_weights == "random":
            lines.append(
                "  regnety_002 had RANDOM weights: the hub could not be reached (`extract --weights FILE` reads yours)."
            )
        return "\n".join(lines)
