"""Types the commands of README.md and writes docs/measurements/walkthrough.md: `python bench/walkthrough.py FOLDER`.

FOLDER gets the seven matches of SN-BAS by name, filled with the rendered ones of tests/matches, and everything that the
commands make; it is kept, so that a second call is quick, and its page then shows that. The commands are read from
README.md, so that what it says is what is typed. With `--demo`, `make demo` is typed first, in this checkout.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner

from ballspot import cli
from ballspot.evaluate.dataset.splits import SN_BAS

ROOT = Path(__file__).resolve().parents[1]
MATCHES = ROOT / "tests" / "matches" / "gfootball" / "2026"
PAGE = ROOT / "docs" / "measurements" / "walkthrough.md"
LEAGUE = "england_efl/2019-2020"
HUB_SET, OWN_SET = "features/regnety_002-hub-224x398", "features/regnety_002-random0-224x398"
OWN_WEIGHTS = "ballspot extract SN-BAS --out features --backbone regnety_002 --weights random"

INTRODUCTION = f"""\
# A whole session

The commands of [README.md](../../README.md) from top to bottom, typed in an empty folder, with what they printed and
how long they took; then a closer look, and what is said when something is wrong. `python bench/walkthrough.py FOLDER`
types it all again and writes this page. Of lines that come every epoch the middle is cut.

The videos of SN-BAS are under an agreement, so the folder `SN-BAS` has its seven match folders with rendered matches of
one minute in them (`tests/matches`). The backbone has **random** weights, because the machine had no way to the model
hub. The numbers show what the commands print, not what a method is worth.

```
SN-BAS/{LEAGUE}/2019-10-01 - Leeds United - West Bromwich/{{224p.mp4, Labels-ball.json}}
SN-BAS/{LEAGUE}/2019-10-01 - Hull City - Sheffield Wednesday/{{224p.mp4, Labels-ball.json}}
...
```
"""

WRONG_INTRODUCTION = """\
## When something is wrong

One line says what is wrong, where, and what to do. `SN-BAS` has the match folders of SN-BAS; in `no-video`,
`no-labels`, `typo` and `other` something is not as it should be.
"""

PROSE = {  # what is said ahead of a command of README.md, by how it begins
    "ballspot data check": "## README.md, command by command\n\nLook before anything else.",
    "ballspot extract": "Stage one, once. Without a network `--weights hub` fails with the ways out; nothing is\n"
    "swapped silently.",
    "ballspot train": "Stage two: a head, with the default preset and with what the original did, faults and all.",
    "ballspot predict runs": "Spots of the two test matches, SoccerNet's number, and what lies beside it.",
    "ballspot compare runs/original": "Side by side, with what differs in the configurations.",
    "ballspot sweep": "A sweep: two jobs at a time, each run resumable.",
    "ballspot predict my": "A video of one's own, and the viewer, which was ended by Ctrl-C.",
}
MORE = (  # a closer look: (what is said, command)
    ("## A closer look\n\nWhat is in a store, and is it sound?", "ballspot cache list features"),
    ("", f"ballspot cache info '{OWN_SET}/{LEAGUE}/2019-10-01 - Reading - Fulham.h5'"),
    ("", f"ballspot cache verify {OWN_SET}"),
    (
        "Other heads, and how they do on the test matches.",
        f"ballspot train {OWN_SET} --data SN-BAS --run runs/tcn --head tcn --seeds 3",
    ),
    ("", f"ballspot predict runs/tcn/seed-0 {OWN_SET} --data SN-BAS --split test"),
    ("", "ballspot compare runs/best runs/tcn/seed-0 --split test --block 30"),
    (
        "What the mistakes are, and spots as subtitles.",
        "ballspot evaluate runs/best/predictions/test --data SN-BAS --split test --block 30 --diagnose",
    ),
    ("", "ballspot export runs/best/predictions/test --format vtt --threshold 0.3 --out subtitles"),
    (
        "A run is never overwritten: the same command finds it done, another one is refused.",
        f"ballspot train {OWN_SET} --data SN-BAS --run runs/best",
    ),
    ("", f"ballspot train {OWN_SET} --data SN-BAS --run runs/best --seed 1"),
)
WRONG = (  # what goes wrong: (what was done, command)
    ("A path that is not there", "ballspot data check SN-BSA"),
    ("", f"ballspot train {OWN_SET.replace('random0', 'random')} --data SN-BAS --run runs/a"),
    ("", f"ballspot predict runs/bst {OWN_SET} --data SN-BAS"),
    ("", "ballspot predict runs/best my-mach.mp4"),
    ("Arguments in each other's place", f"ballspot train SN-BAS --data {OWN_SET} --run runs/a"),
    ("", f"ballspot predict {OWN_SET} runs/best --data SN-BAS"),
    ("", "ballspot evaluate SN-BAS --data runs/best/predictions/test"),
    ("A run where features or predictions are wanted", "ballspot train runs/best --data SN-BAS --run runs/a"),
    ("", "ballspot train features --data SN-BAS --run runs/a"),
    ("", "ballspot compare runs"),
    ("", f"ballspot predict runs/best {OWN_SET}"),
    ("Labels without a video, a video without labels", "ballspot extract no-video --out features --weights random"),
    ("", "ballspot data check no-labels"),
    ("", f"ballspot train {OWN_SET} --data no-labels --run runs/a"),
    ("", "ballspot evaluate runs/best/predictions/test --data no-labels --split test"),
    ("A class that is not known", "ballspot data check typo"),
    ("", f"ballspot train {OWN_SET} --data typo --run runs/a"),
    ("", "ballspot export runs/best/predictions/test --format csv --classes GAOL --out a"),
    ("", "ballspot evaluate runs/best/predictions/test --data SN-BAS --split test --labels ball12"),
    ("Keys, presets, parts, metrics", f"ballspot train {OWN_SET} --data SN-BAS --run runs/a --set n_epoch=3"),
    ("", f"ballspot train {OWN_SET} --data SN-BAS --run runs/a --set n_epochs=three"),
    ("", f"ballspot train {OWN_SET} --data SN-BAS --run runs/a --set lr=1e-3"),
    ("", f"ballspot train {OWN_SET} --data SN-BAS --run runs/a --preset orignal"),
    ("", f"ballspot train {OWN_SET} --data SN-BAS --run runs/a --head transfomer"),
    ("", f"ballspot predict runs/best {OWN_SET} --data SN-BAS --split tset"),
    ("", "ballspot evaluate runs/best/predictions/test --data SN-BAS --split test --metric at6"),
    ("", f"ballspot sweep experiment2 {OWN_SET} --data SN-BAS --out runs/a"),
    ("", "ballspot evalute runs/best/predictions/test --data SN-BAS"),
    ("Matches", f"ballspot train {OWN_SET} --data SN-BAS --run runs/a --leave-out 'Reading - Fulham'"),
    ("", f"ballspot train {OWN_SET} --data SN-BAS --run runs/a --splits typo.toml"),
    ("", f"ballspot train {OWN_SET} --data other --run runs/a"),
    ("Weights and backbones", "ballspot extract SN-BAS --out features --weights offline"),
    ("", "ballspot extract SN-BAS --out features --weights rnadom"),
    ("", "ballspot extract SN-BAS --out features --weights random --backbone regnet_y002"),
    ("", "ballspot extract SN-BAS --out features --weights random --size 224"),
)


@dataclass(frozen=True)
class Output:
    """What a command printed, standard error included, its exit code, and the seconds it took."""

    lines: tuple[str, ...]
    code: int
    seconds: float


def main() -> None:
    """Runs every step and writes the page."""
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    folder = Path(words[0]).resolve()
    make_data(folder)
    page = [INTRODUCTION]
    if "--demo" in sys.argv:
        page.append("## The demonstration\n\n`.venv` was there already; making it took some minutes more.\n")
        page.append(step("", "make demo", ROOT))
    own_set = HUB_SET
    for command in readme_commands():
        prose = next((text for start, text in PROSE.items() if command.startswith(start)), "")
        prose = "" if any(prose and prose in told for told in page) else prose
        command = command.replace(HUB_SET, own_set)
        output = run(command, folder)
        page.append(block(prose, command, output))
        if command.startswith("ballspot extract") and output.code:
            page.append(step("The second way of the three:", OWN_WEIGHTS, folder))
            own_set = OWN_SET
    page += [step(prose, command.replace(OWN_SET, own_set), folder) for prose, command in MORE]
    page.append(WRONG_INTRODUCTION)
    page += wrong(folder, own_set)
    PAGE.write_text("\n".join(page).replace(f"{ROOT}{os.sep}", ""), encoding="utf-8")  # paths as below the checkout


def make_data(folder: Path) -> None:
    """The data roots: SN-BAS by name with rendered matches, and smaller ones in which something is wrong."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [name for part in ("train", "valid", "test") for name in SN_BAS[part]]
    for name, match in zip(names, sorted(MATCHES.glob("match-*")), strict=True):
        link_match(match, folder / "SN-BAS" / LEAGUE / name)
    some = sorted(MATCHES.glob("match-*"))[0]
    link_match(some, folder / "no-video" / names[0], video=False)
    for name in names:
        link_match(some, folder / "no-labels" / LEAGUE / name, labels=name not in (names[1], names[-1]))
        link_match(some, folder / "typo" / LEAGUE / name, labels=name != names[0])
    link_match(some, folder / "other" / "my-match")
    labels = (some / "Labels-ball.json").read_text(encoding="utf-8").replace('"PASS"', '"PAS"', 1)
    (folder / "typo" / LEAGUE / names[0] / "Labels-ball.json").write_text(labels, encoding="utf-8")
    (folder / "typo.toml").write_text(f'train = ["{LEAGUE}/{names[0][:-1]}"]\n', encoding="utf-8")
    link(some / "224p.mp4", folder / "my-match.mp4")


def link_match(match: Path, folder: Path, *, video: bool = True, labels: bool = True) -> None:
    """A match folder with links to the files of another."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("224p.mp4",) * video + ("Labels-ball.json",) * labels:
        link(match / name, folder / name)


def link(target: Path, place: Path) -> None:
    """A link to a file, made unless it is there."""
    if not place.is_symlink():
        place.symlink_to(target)


def readme_commands() -> Iterator[str]:
    """The ballspot commands in README.md's shell blocks, one line each, without their comments."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for found in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
        for line in found.replace("\\\n", " ").splitlines():
            command = re.sub(r"\s+", " ", line.partition("#")[0]).strip()
            if command.startswith("ballspot"):
                yield command


def step(prose: str, command: str, folder: Path) -> str:
    """A command as a piece of the page."""
    return block(prose, command, run(command, folder))


def block(prose: str, command: str, output: Output) -> str:
    """A command with what it printed, as Markdown."""
    code = f"exit code {output.code}, " if output.code else ""
    shown = "\n".join([*shortened(output.lines), f"({code}{output.seconds:.0f} s)"])
    return (f"{prose}\n\n" if prose else "") + f"```console\n$ {command}\n{shown}\n```\n"


def wrong(folder: Path, own_set: str) -> Iterator[str]:
    """The commands that fail, under what they show. Ends the program where one says nothing, or has a traceback."""
    told: list[str] = []
    for prose, typed in WRONG:
        command = typed.replace(OWN_SET, own_set)
        output = run_here(command, folder)
        said = [line for line in output.lines if line.startswith(("Error: ", "ERROR ", "WARNING "))]
        if not said or any(line.startswith("Traceback") for line in output.lines):
            sys.exit(f"{command}: exit code {output.code}, no error of one line")
        if prose and told:
            yield "\n".join([*told, "```\n"])
        told = [*([f"{prose}:\n\n```console"] if prose else told), f"$ {command}", *shortened(output.lines)]
    yield "\n".join([*told, "```\n"])


def run(command: str, folder: Path) -> Output:
    """Runs a command; the viewer, which would serve for ever, is ended by Ctrl-C once it has said where it is."""
    print("$", command, flush=True)
    # Results and progress come in the order in which a person would see them.
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    is_view = command.startswith("ballspot view")
    started = time.monotonic()
    process = subprocess.Popen(
        f"exec {command} --no-open" if is_view else command,
        shell=True,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines = []
    for line in process.stdout or ():
        lines.append(line.rstrip())
        if is_view and "Ctrl-C" in line:
            process.send_signal(signal.SIGINT)
    return Output(tuple(lines), process.wait(), time.monotonic() - started)


def run_here(command: str, folder: Path) -> Output:
    """Runs a command in this process, which spares starting one for each of many that end at once."""
    print("$", command, flush=True)
    started = time.monotonic()
    with chdir(folder):
        done = CliRunner().invoke(cli.main, shlex.split(command)[1:], prog_name="ballspot")
    crash = [] if done.exception is None or isinstance(done.exception, SystemExit) else [f"Traceback: {done.exception}"]
    return Output((*done.output.splitlines(), *crash), done.exit_code, time.monotonic() - started)


def shortened(lines: tuple[str, ...]) -> list[str]:
    """The lines without those of progress, blank ones at either end, and the middle of what comes every epoch."""
    progress = re.compile(r"(frames|stores|running)  .*[1-9][\d:]* left$|running$|^epoch \d+: \d+/\d+ steps")
    shown = [line for line in lines if not progress.search(line)]
    while shown and not shown[0]:
        del shown[0]
    while shown and not shown[-1]:
        del shown[-1]
    kept: list[str] = []
    n_epochs = 0
    for index, line in enumerate(shown):
        n_epochs = n_epochs + 1 if re.match(r"epoch \d+/\d+", line) else 0
        is_last = index + 1 == len(shown) or not re.match(r"epoch \d+/\d+", shown[index + 1])
        if n_epochs <= 2 or is_last:
            kept.append(line)
        elif n_epochs == 3:
            kept.append("...")
    return kept


if __name__ == "__main__":
    main()
