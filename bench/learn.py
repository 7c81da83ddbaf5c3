"""From an edit to new spots: seconds of `ballspot learn` for one whole match, and for rendered ones.

    python bench/learn.py                                  a drawn match of full size
    python bench/learn.py FEATURES DATA                    the matches of a feature set that is there

Without arguments seven matches of the size of SN-BAS are drawn (142,498 to 152,740 frames of 368 numbers, a bump of its
class around every event). A head is trained on the training matches alone, and predicts the test matches, as for the
page that shows its spots; neither is counted. Then a label is moved and one is added in a test match, by the same code
as the page, and the clock runs from the edit until `ballspot learn` has ended: a new head, its spots of the corrected
match beside the old ones, and the score of the validation matches. Each command is a process of its own. The bar is 60
seconds on two cores; where others work beside it, the CPU seconds tell more. The seconds of the epochs are told, too,
the last one with the validation.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from full_size import write_data

from ballspot.evaluate.dataset import DataSelection, load_label_set
from ballspot.evaluate.editing import Add, LabelBook, Move

LABELS = load_label_set("ball-12")


def ballspot(*words: object) -> str:
    """Runs a command; its last lines."""
    line = [sys.executable, "-m", "ballspot.cli", *map(str, words)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout.rstrip()


def edit(data: Path, match: str) -> None:
    """Moves the first label of a match by a frame, and adds one half a minute behind it."""
    book = LabelBook(data / match / "Labels-ball.json", LABELS, match=match, root=data)
    first = book.state().spots[0]
    book.edit(Move(0, first.position_ms + 40), revision=book.state().revision)
    book.edit(Add("PASS", first.position_ms + 30_000), revision=book.state().revision)


def turn(features: Path, data: Path, run: Path, n_frames: int) -> None:
    """One turn of the loop, and its line."""
    sets = (f"epoch_frames={n_frames}", "n_epochs=2", "warmup_epochs=0.2", "validation_every_epochs=2")
    ballspot("train", features, "--data", data, "--run", run, *(word for one in sets for word in ("--set", one)))
    ballspot("predict", run, features, "--data", data, "--split", "test")
    selection = DataSelection(data, LABELS, one_video=True).opened()
    match = selection.splits.part("test")[0]
    started = time.monotonic()
    edit(data, match)
    edited, used_before = time.monotonic(), cpu_s()
    said = ballspot("learn", run, "--data", data)
    ended, used = time.monotonic(), cpu_s() - used_before
    print(f"{match}: edit {edited - started:.2f} s, new head and spots {ended - edited:.1f} s (CPU {used:.1f} s)")
    log = (run.with_name(f"{run.name}-learned-1") / "log.jsonl").read_text(encoding="utf-8")
    epochs = [json.loads(line)["epoch_s"] for line in log.splitlines()]
    print(f"epochs: {', '.join(f'{one:.1f}' for one in epochs)} s; all else {ended - edited - sum(epochs):.1f} s")
    print(said)


def cpu_s() -> float:
    """CPU seconds of all commands that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("features", nargs="?", type=Path, help="a feature set; else matches are drawn")
    parser.add_argument("data", nargs="?", type=Path, help="its data root, which is copied")
    parser.add_argument("--scale", type=float, default=1.0, help="a share of the frames of the drawn matches")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        if options.features is None:
            place = write_data(root, times=1, scale=options.scale)
            turn(place.features, place.data, root / "run", n_frames=50_000)
            return
        ignored = shutil.ignore_patterns("*.mp4", "*.mkv")
        shutil.copytree(options.data, root / "data", ignore=ignored, copy_function=shutil.copy)
        turn(options.features, root / "data", root / "run", n_frames=10_000)


if __name__ == "__main__":
    main()
