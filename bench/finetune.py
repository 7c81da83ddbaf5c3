"""Fine-tuning of this checkout against an older one, in turns: the same bits, and seconds of an epoch as a ratio.

    python bench/finetune.py ROOT [--size 112x200] [--frames 400] [--rounds 2] [--workers 1]

ROOT is a folder with the older package in it, named `ballspot`. Both fine-tune the same drawn matches on the CPU; the
last epoch of each run is timed, and all that last.safetensors holds is compared, bit by bit.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path
from statistics import median

import torch
from safetensors.torch import load_file

from ballspot.extract.data_root.synth import synthesize


def fine_tuned(data: Path, run: Path, package: Path | None, given: argparse.Namespace) -> float:
    """Fine-tunes with the package of that folder, or this one; seconds of its last epoch without the validation."""
    settings = {
        "n_epochs": 3, "epoch_frames": given.frames, "warmup_epochs": 0, "batch_clips": 2, "clip_frames": 20,
        "pad_frames": 4, "decode_workers": given.workers, "validation_every_epochs": 3,
    }  # fmt: skip
    words = [
        "finetune",
        data,
        "--out",
        run,
        "--backbone",
        given.backbone,
        "--weights",
        "random:3",
        "--size",
        given.size,
    ]
    words += ["--device", "cpu", "--threads", 1]
    words += [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    environment = {**os.environ, **({} if package is None else {"PYTHONPATH": str(package)})}
    line = [sys.executable, "-m", "ballspot.cli", *map(str, words)]
    subprocess.run(line, check=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    log = [json.loads(text) for text in (run / "log.jsonl").read_text().splitlines()]
    return log[1]["epoch_s"]  # the second: nothing starts in it, and nothing is validated


def main() -> None:
    """Prints the ratio, and which tensors differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path)
    parser.add_argument("--backbone", default="regnety_002+gsf")
    parser.add_argument("--size", default="112x200")
    parser.add_argument("--frames", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    height, width = map(int, given.size.split("x"))
    seconds: dict[str, list[float]] = {"before": [], "now": []}
    with tempfile.TemporaryDirectory(prefix="ballspot-finetune-") as folder:
        place = Path(folder)
        for name, size in (("same", (height, width)), ("resized", (2 * height, 2 * width))):
            synthesize(place / name, n_matches=3, minutes=6 / 60, fps=Fraction(25), size=size, seed=1)
        for turn in range(given.rounds):
            data = place / ("same", "resized")[turn % 2]
            for name, package in (("before", given.old), ("now", None)):
                seconds[name].append(fine_tuned(data, place / f"{name}-{turn}", package, given))
            ours, theirs = (load_file(place / f"{name}-{turn}" / "last.safetensors") for name in ("now", "before"))
            apart = [key for key, value in theirs.items() if not torch.equal(value, ours[key])]
            print(f"{data.name}: {len(theirs)} tensors, {len(apart)} of them differ {apart[:3]}", flush=True)
    for name, found in seconds.items():
        print(
            f"{name}: {median(found):.2f} s an epoch of {given.frames} frames ({', '.join(f'{s:.2f}' for s in found)})"
        )
    print(f"now / before: {median(seconds['now']) / median(seconds['before']):.2f}")


if __name__ == "__main__":
    main()
