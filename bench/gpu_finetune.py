"""Is fine-tuning worth it? Ten minutes of one GPU: a backbone tuned on the rendered matches against a frozen one.

    python bench/gpu_finetune.py DATA --out OUT                      on the GPU
    python bench/gpu_finetune.py DATA --out OUT --weights hub        from ImageNet weights, where there is a network
    python bench/gpu_finetune.py DATA --pack SMALLER                 no more than 50 MB of its matches, to travel along
    python bench/gpu_finetune.py DATA --out OUT --toy --device cpu   at toy size, to try the script itself

`regnety_002+gsf` at 224x398 is fine-tuned for as many frames as the minutes allow, found out by a short run before.
With it, and with the plain backbone of the same weights as it comes, the videos are extracted; on both sets a GRU, as
it is tuned with, and `best` are trained with three seeds, and compared on the test matches. OUT/table.md is written
after every stage: what is there when time is over is true.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bench"))
from gpu import make_importable  # noqa: E402  found on the path that is set above

MOST_BYTES = 50_000_000
BACKBONE = "regnety_002+gsf"
FROZEN = "regnety_002"  # without the shift, whose gates mean nothing before they are trained
SHARE_OF_TUNING = 0.6  # of the minutes; the rest is for extraction, heads and validation
VALIDATED_SHARE = 0.15  # of the tuning's time that its validations take, about
N_EPOCHS = 10
TRIED_FRAMES = 4000


@dataclass(frozen=True)
class Plan:
    """What is run, where, and how large."""

    data: Path
    out: Path
    device: str
    weights: str
    seconds: float
    is_toy: bool
    splits: Path | None

    @property
    def more(self) -> list[str]:
        """What every command of a head gets."""
        own = ["--device", self.device]
        return own if self.splits is None else [*own, "--splits", str(self.splits)]

    @property
    def size(self) -> str:
        """Height and width of the pictures."""
        return "64x96" if self.is_toy else "224x398"


class Table:
    """What has been found so far, on the disk after every line."""

    def __init__(self, path: Path) -> None:
        self.path, self.lines, self.started = path, list[str](), time.monotonic()

    def add(self, line: str) -> None:
        """Writes a line down and prints it."""
        self.lines.append(line)
        print(line, flush=True)
        beside = self.path.with_name(f".{self.path.name}.writing")
        with beside.open("w") as file:
            file.write("\n".join(self.lines) + "\n")
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self.path)

    def stage(self, name: str, began: float, more: str = "") -> None:
        """Says how long a stage took."""
        now = time.monotonic()
        self.add(f"- {name}: {now - began:.0f} s{more}; {now - self.started:.0f} s in all")


def ballspot(*words: object) -> None:
    """One command, in this process: on a GPU starting torch anew for each would take a minute in all."""
    from ballspot.cli import main as command

    command([str(word) for word in words], standalone_mode=False)


def tune(plan: Plan, run: Path, *, n_frames: int, n_epochs: int) -> float:
    """Fine-tunes on so many frames in all; the seconds of its epochs."""
    settings = {
        "n_epochs": n_epochs, "epoch_frames": max(n_frames // n_epochs, 1), "learning_rate": "1e-3",
        "validation_every_epochs": max(n_epochs // 2, 1), "warmup_epochs": 1 if n_epochs > 1 else 0,
    }  # fmt: skip
    if plan.is_toy:
        settings |= {"clip_frames": 8, "pad_frames": 1, "width": 16, "decode_workers": 0, "batch_clips": 2}
    words = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    ballspot("finetune", plan.data, "--out", run, "--backbone", BACKBONE, "--weights", plan.weights,
             "--size", plan.size, *words, *plan.more)  # fmt: skip
    return sum(json.loads(line)["epoch_s"] for line in (run / "log.jsonl").read_text().splitlines())


def extract(plan: Plan, name: str, weights: str) -> Path:
    """The feature set of these weights."""
    more = ["--workers", "1"] if plan.is_toy else []
    more += [] if name == "tuned" else ["--backbone", FROZEN, "--size", plan.size, "--stride", "2"]
    ballspot("extract", plan.data, "--out", plan.out / "features", "--weights", weights, "--set", name,
             "--device", plan.device, *more)  # fmt: skip
    return plan.out / "features" / name


def train(plan: Plan, features: Path, head: str) -> Path:
    """Three seeds of a head on a set: the GRU on features as they are, `best` as it comes."""
    run = plan.out / "runs" / f"{head}-{features.name}"
    preset = "finetune" if head == "gru" else head
    settings = ["n_epochs=10", *(["epoch_frames=auto"] if head == "gru" else [])]
    if plan.is_toy:
        settings = ["n_epochs=1", "epoch_frames=200", "clip_frames=10", "pad_frames=1", "width=16", "warmup_epochs=0",
                    "n_layers=1", "n_attention_heads=2"]  # fmt: skip
    words = [word for one in settings for word in ("--set", one)]
    ballspot("train", features, "--data", plan.data, "--run", run, "--preset", preset, "--seeds",
             2 if plan.is_toy else 3, *words, *plan.more)  # fmt: skip
    return run


def compared(plan: Plan, runs: Iterable[Path]) -> None:
    """Predicts the test matches with all runs and prints them side by side, the first pair's frozen one as baseline."""
    found = list(runs)
    for run in found:
        features = plan.out / "features" / run.name.partition("-")[2]
        for seed in sorted(run.glob("seed-*")):
            ballspot("predict", seed, features, "--data", plan.data, "--split", "test", *plan.more)
    draws = ["--resamples", 20] if plan.is_toy else []
    for split in ("valid", "test"):
        ballspot(
            "compare", *found, "--data", plan.data, "--split", split, "--block", 30, "--format", "markdown", *draws
        )


def whole(plan: Plan) -> None:
    """All stages; each is left out where its time is over."""
    plan.out.mkdir(parents=True, exist_ok=True)
    table = Table(plan.out / "table.md")
    ends = time.monotonic() + plan.seconds
    tried = 2 * 64 if plan.is_toy else TRIED_FRAMES
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ballspot-tried-") as folder:
        seconds = tune(plan, Path(folder) / "run", n_frames=tried, n_epochs=1)
    rate = tried / seconds  # its validation is in it, so that this is rather too low
    table.stage("tried", began, f", {rate:,.0f} frames/s with one validation")
    n_frames = tried if plan.is_toy else int(SHARE_OF_TUNING * (1 - VALIDATED_SHARE) * plan.seconds * rate)
    began = time.monotonic()
    took = tune(plan, plan.out / "runs" / "tuned", n_frames=n_frames, n_epochs=2 if plan.is_toy else N_EPOCHS)
    table.stage("fine-tuned", began, f", {n_frames:,} frames, {n_frames / took:,.0f} frames/s with validations")
    began = time.monotonic()
    sets = [extract(plan, "frozen", plan.weights), extract(plan, "tuned", str(plan.out / "runs" / "tuned"))]
    table.stage("extracted twice", began)
    runs = []
    for head in ("gru", "best"):
        for features in sets:
            if time.monotonic() > ends:
                table.add(f"- {head} on {features.name}: not trained, time is over")
                continue
            began = time.monotonic()
            runs.append(train(plan, features, head))
            scores = [json.loads(path.read_text())["mean_ap"] for path in sorted(runs[-1].glob("seed-*/metrics.json"))]
            shown = ", ".join(f"{100 * score:.1f}" for score in scores)
            table.stage(f"{head} on {features.name}", began, f", valid mAP {shown}")
    compared(plan, runs)
    table.stage("all", table.started)


def pack(data: Path, out: Path) -> list[str]:
    """Copies matches of `data` to `out` until their videos have 50 MB: one that validates, one to test, some to train.

    The copied splits.toml names them.
    """
    import tomllib

    splits: dict[str, list[str]] = tomllib.loads((data / "splits.toml").read_text())
    chosen: dict[str, list[str]] = {part: [] for part in ("train", "valid", "test")}
    left = MOST_BYTES
    in_order = [("train", 0), ("valid", 0), ("test", 0)]
    in_order += [("train", n) for n in range(1, len(splits["train"]))] + [
        ("test", n) for n in range(1, len(splits["test"]))
    ]
    for part, number in in_order:
        name = splits[part][number]
        n_bytes = sum(path.stat().st_size for path in (data / name).iterdir() if path.is_file())
        if n_bytes > left:
            continue
        left -= n_bytes
        chosen[part].append(name)
        shutil.copytree(data / name, out / name)
    lines = [f"{part} = {json.dumps(names)}" for part, names in chosen.items()]
    (out / "splits.toml").write_text("\n".join(lines) + "\n")
    return [name for names in chosen.values() for name in names]


def main(words: list[str] | None = None) -> int:
    """Runs the comparison, or packs the matches for it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("gpu-finetune"))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--weights", default="random:0")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--toy", action="store_true", help="toy sizes: tries the script, says nothing of fine-tuning")
    parser.add_argument("--wheels", type=Path, help="a folder of wheels to take packages from")
    parser.add_argument("--splits", type=Path, help="which matches train, validate and test; else the data root says")
    parser.add_argument("--pack", type=Path, help="copy no more than 50 MB of the matches there, and do nothing else")
    given: Any = parser.parse_args(words)
    if given.pack is not None:
        print(f"{given.pack}: {', '.join(pack(given.data, given.pack))}")
        return 0
    make_importable(given.wheels)
    whole(Plan(given.data, given.out, given.device, given.weights, 60 * given.minutes, given.toy, given.splits))
    return 0


if __name__ == "__main__":
    sys.exit(main())
