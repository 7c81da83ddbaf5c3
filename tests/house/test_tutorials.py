"""The tutorials, typed as they stand: their files are written and their commands given, on drawn matches of seconds."""

import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tomllib
from http import HTTPStatus
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import ballspot
from ballspot.cli import main
from ballspot.evaluate.commands import view as view_command
from ballspot.temporal.sweep import read_space

ROOT = Path(ballspot.__file__).parent
PAGES = ROOT / "docs" / "tutorials"
MOST_WORDS = 1000


def blocks(page: str) -> list[tuple[str, str]]:
    """The fenced blocks of a page, in order: language, content."""
    return re.findall(r"^```(\w+)\n(.*?)^```", (PAGES / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def commands(text: str) -> list[str]:
    return [line.strip() for line in text.replace("\\\n", " ").splitlines() if line.strip()]


def type_page(page: str) -> dict[str, str]:
    """Does what a page says, in the working folder. What each command printed."""
    said = {}
    for language, content in blocks(page):
        if language == "sh":
            for line in commands(content):
                said[line] = type_line(line)
        elif language in ("toml", "python"):
            name = content.partition("\n")[0].removeprefix("# ")
            assert re.fullmatch(r"[\w.]+", name), "a file begins with its name"
            Path(name).write_text(content, encoding="utf-8")
    return said


def type_line(line: str) -> str:
    words, _, target = line.partition(" > ")
    program, *rest = shlex.split(words, comments=True)
    if program == "ballspot":
        done = CliRunner().invoke(main, rest)
        assert done.exit_code == 0, f"{line}\n{done.output}\n{done.exception!r}"
        printed = done.stdout
    elif program == "python":
        before, sys.argv = sys.argv, rest
        try:
            runpy.run_path(rest[0], run_name="__main__")
        finally:
            sys.argv = before
        printed = ""
    else:
        assert program in ("mkdir", "cp"), line
        printed = subprocess.run([program, *rest], check=True, capture_output=True, text=True).stdout
    if target:
        Path(target).write_text(printed, encoding="utf-8")
    return printed


@pytest.fixture
def checkout(brief: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nothing_named: None) -> Path:
    """A folder that looks like a checkout, with drawn matches of four seconds in place of the rendered ones."""
    matches = tmp_path / "tests" / "matches"
    shutil.copytree(brief / "synth" / "drawn", matches / "gfootball" / "2026")
    for number, folder in enumerate(sorted((matches / "gfootball" / "2026").iterdir())):
        (folder / "64p.mp4").rename(folder / "224p.mp4")
        folder.rename(folder.with_name(f"match-{number + 4:02}"))
    name = "gfootball/2026/match-0"
    (matches / "splits.toml").write_text(f'train = ["{name}4"]\nvalid = ["{name}5"]\ntest = ["{name}6"]\n')
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", sorted(path.name for path in PAGES.glob("*.md")))
def test_a_tutorial_is_short_and_every_block_says_what_it_is(page: str) -> None:
    text = (PAGES / page).read_text(encoding="utf-8")
    assert len(text.split()) <= MOST_WORDS
    assert {language for language, _ in blocks(page)} <= {"sh", "toml", "python", "text"}
    assert len(re.findall(r"^```", text, re.MULTILINE)) == 2 * len(blocks(page))


def test_the_ablations_become_a_table_for_a_thesis(checkout: Path) -> None:
    said = type_page("thesis-table.md")
    runs = sorted(Path("runs/ablation").glob("*/seed-*/metrics.json"))
    assert len(runs) == 4 * 2
    table = Path("table.tex").read_text(encoding="utf-8")
    assert r"\toprule" in table and table.count(r"\\") >= 4
    assert "Downsampling and offsets" in Path("ablation.html").read_text(encoding="utf-8")
    (dry,) = (text for line, text in said.items() if line.endswith("--dry-run"))
    assert "offsets" in dry and "temporal_stride" in dry
    compared = said["ballspot compare runs/ablation --block 10"]
    in_order = ["AP in %", "mAP@12 over seeds", "what differs"]  # as the page counts them
    assert [compared.index(title) for title in in_order] == sorted(compared.index(title) for title in in_order)
    assert r"}{l}{4: temporal\_stride=" in table  # the names would be wider than a page


def test_own_features_and_an_own_head_are_trained_and_compared(checkout: Path) -> None:
    said = type_page("own-features-and-head.md")
    rows = np.load("arrays/gfootball/2026/match-04.npy")
    assert rows.shape == (50, 180) and rows.std() > 0  # every second of 100 pictures, 6 x 10 cells of three colours
    assert all("WRONG" not in text for line, text in said.items() if "check-head" in line)
    assert list(Path("runs/dilated/code").glob("my_head-*.py"))
    assert len(list(Path("runs/blocks").glob("*/seed-0/metrics.json"))) == 2
    assert "mAP@12" in said["ballspot evaluate runs/dilated --block 10"]
    assert "imported" in said["ballspot cache list features"]
    refused = CliRunner().invoke(main, ["predict", "runs/dilated", "tests/matches/gfootball/2026/match-04/224p.mp4"])
    assert refused.exit_code == 1 and "was imported, so only its maker can make more; predict from" in refused.stderr


class Reader:
    """Somebody before the page of `view --edit`, who accepts the first prediction and adds one label."""

    def __init__(self) -> None:
        self.n_looked = 0

    def serve(self, shown: Any, session: Any, *, port: int, opens: bool) -> None:
        self.n_looked += 1
        (match,) = shown.matches if len(shown.matches) == 1 else [m for m in shown.matches if m.name == "my-match"]
        if self.n_looked > 1:
            return
        state = session.desk.look(match)
        for revision, ms in enumerate((1000, 3000), state["revision"]):
            action = {"do": "add", "label": "PASS", "position_ms": ms}
            sent = {"revision": revision, "client": "reader", "action": action}
            status, _ = session.desk.edit(match.name, sent)
            assert status == HTTPStatus.OK


def test_one_video_becomes_corrected_events(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader()
    monkeypatch.setattr(view_command, "serve", reader.serve)
    type_page("video-to-events.md")
    assert reader.n_looked == 3
    assert Path("my-spots/my-match/spots.csv").is_file()
    events = Path("events.csv").read_text(encoding="utf-8")
    assert events.count("PASS") == 2  # the two that the reader added
    assert Path("timelines/my-match.xml").read_text(encoding="utf-8").count("<code>PASS</code>") >= 2
    assert Path("runs/first-learned-1/learned.json").is_file()
    assert Path("clips/clips.csv").is_file()  # a head of seconds may find no pass above its threshold


def test_the_sweep_of_views_reads_every_feature_set_of_its_page() -> None:
    space = read_space(ROOT / "examples" / "views.toml")
    page = (ROOT / "docs" / "measurements" / "views.md").read_text(encoding="utf-8")
    made = re.findall(r"--set (\w+)(?= |$)", page.partition("ballspot sweep")[0], re.MULTILINE)
    settings = space.sweep(space.points).settings
    assert [one.features[0].name for one in settings] == made[: len(settings)]


def test_the_sweep_of_the_guide_is_the_example_and_has_five_settings() -> None:
    example = ROOT / "examples" / "strides.toml"
    guide = (ROOT / "docs" / "guides" / "sweeps.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```toml\n(.*?)^```", guide, re.DOTALL | re.MULTILINE)
    assert tomllib.loads(block) == tomllib.loads(example.read_text(encoding="utf-8"))
    space = read_space(example)
    assert len(space.sweep(space.points).settings) == 3 * 2 - 1  # one combination is skipped
