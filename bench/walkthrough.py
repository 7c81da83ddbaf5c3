"""Writes docs/walkthrough.md by running its commands: `python bench/walkthrough.py DATA FOLDER`.

DATA is a data root of rendered matches; FOLDER is where features and runs go (kept, so a second call is quick). Every
command runs in FOLDER, where `matches` is a link to DATA, exactly as it is printed.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "docs" / "walkthrough.md"
SET = "features/regnety_002-random0-224x398"

INTRODUCTION = """\
# A whole session

Seven rendered matches of three minutes each (398x224, 25 fps; four for training, one for validation, two for test) in
the folder `matches`, from the first look at the data to a comparison. Everything below was typed and printed as it
stands (`python bench/walkthrough.py` runs it again); where a command prints a line an epoch, the middle is cut.

The backbone has **random** weights here, because the machine had no way to the model hub, and the matches are minutes,
not hours: the numbers show what the commands print, not what a method is worth.
"""

STEPS: tuple[tuple[str, str], ...] = (
    ("Look before anything else.", "ballspot data check matches"),
    ("", "ballspot data stats matches"),
    (
        "Stage one, once. Without a network `--weights hub` fails with the ways out, and nothing is chosen silently.",
        "ballspot extract matches --out features --backbone regnety_002 --weights hub",
    ),
    (
        "The first time took about ten minutes on one core of a busy machine. Given again, it finds the work done.",
        "ballspot extract matches --out features --backbone regnety_002 --weights random:0",
    ),
    ("What is in a store, and is it sound?", f"ballspot cache info {SET}/gfootball/2026/match-01.h5"),
    ("", f"ballspot cache verify {SET}"),
    (
        "Stage two: the default, an encoder-decoder head.",
        f"ballspot train {SET} --data matches --run runs/best --seed 0",
    ),
    ("The same with other heads.", f"ballspot train {SET} --data matches --run runs/tcn --head tcn --seed 0"),
    ("", f"ballspot train {SET} --data matches --run runs/transformer --head transformer --seed 0"),
    (
        "What the original did, faults and all, with both heads. Its epoch of 500,000 frames is for hours of video:\n"
        "here `epoch_frames=auto` keeps its 1.7 passes over the data.",
        f"ballspot train {SET} --data matches --run runs/original --preset original --set epoch_frames=auto --seed 0",
    ),
    (
        "",
        f"ballspot train {SET} --data matches --run runs/original-tcn --preset original --head tcn "
        "--set epoch_frames=auto --seed 0",
    ),
    ("Spots of the two test matches.", f"ballspot predict runs/best {SET} --data matches --split test"),
    *(
        ("", f"ballspot predict runs/{run} {SET} --data matches --split test")
        for run in ("tcn", "transformer", "original", "original-tcn")
    ),
    (
        "SoccerNet's number, and what lies beside it.",
        "ballspot evaluate runs/best/predictions/test --data matches --split test",
    ),
    ("", "ballspot evaluate runs/original/predictions/test --data matches --split test"),
    ("Side by side, with what differs in the configurations.", "ballspot compare runs/original runs/best"),
    (
        "The test matches, once, when everything is decided.",
        "ballspot compare runs/original runs/original-tcn runs/tcn runs/transformer runs/best --split test",
    ),
    (
        "A run is never overwritten; the same command again finds it done.",
        f"ballspot train {SET} --data matches --run runs/tcn --head tcn --seed 0",
    ),
    ("", f"ballspot train {SET} --data matches --run runs/tcn --head tcn --seed 1"),
)


def main() -> None:
    """Runs every step and writes the page."""
    data, folder = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "matches").exists():
        (folder / "matches").symlink_to(data)
    page = [INTRODUCTION]
    for prose, command in STEPS:
        print("$", command, flush=True)
        output = run(command, folder)
        page.append((f"{prose}\n\n" if prose else "") + f"```console\n$ {command}\n{output}\n```\n")
    PAGE.write_text("\n".join(page), encoding="utf-8")


def run(command: str, folder: Path) -> str:
    """What the command prints, standard error included, with long progress cut and the exit code when it is not 0."""
    # Results and progress come in the order in which a person would see them.
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        command, shell=True, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    lines = [line.rstrip() for line in done.stdout.strip().splitlines()]
    shown = [line for line in lines if not re.search(r"frames  .*[1-9][\d:]* left$", line)]
    epochs = [index for index, line in enumerate(shown) if re.match(r"epoch \d+/\d+", line)]
    if len(epochs) > 6:
        shown[epochs[2] : epochs[-2] + 1] = ["..."]
    if done.returncode:
        shown.append(f"(exit code {done.returncode})")
    return "\n".join(shown)


if __name__ == "__main__":
    main()
