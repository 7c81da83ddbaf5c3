"""Disks that are full or closed, homes that are missing, other locales, odd and long names.

Extraction on full and read-only disks: tests/extract/rows/test_robustness.py;
predicting videos: test_video_prediction.py.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..disks import IS_ROOT, remount, small_disk
from ..processes import started
from .harness import REFUSED, SAME, Ended, ballspot, contents, note_outcome, require_refusal, restored, sized, spread
from .season import Season, write_predicted, write_season
from .test_killed import COMMANDS, Killed

WRITERS = {name: one for name, one in COMMANDS.items() if one.out == "out"}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_predicted(tmp_path_factory.mktemp("places") / "place")


@pytest.fixture
def season(base: Path) -> Season:
    """A copy of the season, in the place where it was made."""
    return Season(restored(base, base.with_name("place")))


@pytest.fixture
def disk(season: Season) -> Iterator[Path]:
    """A file system of 1 MB at the place that commands write to."""
    with small_disk(season.root / "out", "1m") as disk:
        yield disk


def in_process(*words: object, cwd: Path | None = None, **environment: str | None) -> Ended:
    """The command in a process of its own, with these variables set, or unset where None."""
    changed = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    left = {name: value for name, value in changed.items() if value is not None}
    command = [sys.executable, "-m", "ballspot.cli", *map(str, words)]
    done = subprocess.run(command, capture_output=True, check=False, env=left, cwd=cwd, timeout=1800)
    return Ended(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


@pytest.mark.parametrize("name", spread(WRITERS, "train", "train, features in a file", "predict"))
@sized(1, long=24)
def test_a_full_disk_is_told_and_once_there_is_room_the_command_ends_as_ever(
    name: str, n_rounds: int, season: Season, disk: Path, tmp_path: Path
) -> None:
    command: Killed = WRITERS[name]
    assert started(command.words(season), tmp_path / "log").wait().code == 0
    whole = contents(disk)
    n_used = sum(path.stat().st_blocks * 512 for path in disk.rglob("*") if path.is_file())
    n_refused = 0
    for number in range(n_rounds):
        empty(disk)
        size = max(n_used * (number + 1) // (n_rounds + 1) // 4096, 1) * 4096
        remount(disk, f"size={size}")
        ended = started(command.words(season), tmp_path / "log").wait()
        remount(disk, "size=1m")
        where = f"{name} with {size} of {n_used} bytes"
        if ended.code != 0:
            assert "No space left on device" in require_refusal(where, ended), where
            n_refused += 1
        for path, content in contents(disk).items():
            if path.rpartition("/")[2] not in ("run.json", "log.jsonl", "last.safetensors", "best.safetensors"):
                assert content == whole[path], f"{where}: {path} is not whole"
        if ended.code != 0:
            again = started(command.words(season), tmp_path / "log").wait()
            assert again.code == 0, f"{where}\n{again.stderr}"
        assert contents(disk) == whole, where
        note_outcome(f"full disk: {name}", REFUSED if ended.code else SAME)
    assert n_refused or n_used <= 8192  # what fits into a page fits into the smallest disk


def empty(folder: Path) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.mark.parametrize("name", spread(WRITERS, "train", "predict"))
def test_a_disk_that_is_read_only_is_told(name: str, season: Season, disk: Path, tmp_path: Path) -> None:
    remount(disk, "ro")
    ended = started(WRITERS[name].words(season), tmp_path / "log").wait()
    remount(disk, "rw")
    assert "Read-only file system" in require_refusal(name, ended)
    note_outcome(f"read-only disk: {name}", REFUSED)


@pytest.mark.parametrize("name", spread(WRITERS, "train", "predict", "tune --apply"))
def test_a_file_where_a_folder_must_be_is_told(name: str, season: Season, tmp_path: Path) -> None:
    (season.root / "out").write_text("mine")
    ended = started(WRITERS[name].words(season), tmp_path / "log").wait()
    assert str(season.root / "out") in require_refusal(name, ended)
    assert (season.root / "out").read_text() == "mine"
    note_outcome(f"a file where a folder must be: {name}", REFUSED)


@pytest.fixture(scope="module")
def open_to_all(base: Path) -> Iterator[Season]:
    """A copy of the season in a place that every user can read."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        season = Season(restored(base, Path(name) / "place"))
        (season.root / "out").mkdir(mode=0o555)
        yield season


@pytest.mark.parametrize("name", spread(WRITERS, "predict"))
def test_a_folder_without_rights_is_told(name: str, season: Season, open_to_all: Season, tmp_path: Path) -> None:
    """As the user nobody where the tests run as root, who may write anywhere."""
    done = ballspot(*WRITERS[name].words(season))  # so that all it imports is here: nobody may not see our files
    assert done.code == 0, done.stderr + done.trace
    (tmp_path / "log").touch()

    def as_nobody(number: int, text: str) -> None:
        if number == 0 and IS_ROOT:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)

    ended = started(WRITERS[name].words(open_to_all), tmp_path / "log", as_nobody).wait()
    assert "Permission denied" in require_refusal(name, ended)
    assert not list((open_to_all.root / "out").iterdir())
    note_outcome(f"a folder without rights: {name}", REFUSED)


@pytest.mark.faults
@pytest.mark.parametrize("home", ["missing", "not there", "read-only", "no temporary folder"])
def test_a_home_that_cannot_be_used_does_not_matter(home: str, season: Season, tmp_path: Path) -> None:
    closed = "/proc" if IS_ROOT else str(tmp_path / "closed")
    variables: dict[str, str | None] = {
        "missing": {"HOME": None, "XDG_CACHE_HOME": None},
        "not there": {"HOME": "/nonexistent"},
        "read-only": {"HOME": closed, "XDG_CACHE_HOME": closed, "XDG_CONFIG_HOME": closed},
        "no temporary folder": {"TMPDIR": "/nonexistent", "HOME": "/nonexistent"},
    }[home]
    (tmp_path / "closed").mkdir(mode=0o555)
    plots = tmp_path / "plots"
    words = ["evaluate", season.run / "predictions" / "test", "--data", season.data, "--split", "test"]
    ended = in_process(*words, "--resamples", 9, "--plots", plots, **variables)
    assert ended.code == 0 and "Traceback" not in ended.stderr, ended.stderr
    assert len(list(plots.glob("*.png"))) > 3
    note_outcome(f"a home that cannot be used: {home}, evaluate --plots", SAME)
    trained = in_process(*season.train(season.root / "out"), **variables)
    assert trained.code == 0, trained.stderr
    assert contents(season.root / "out")["best.safetensors"] == contents(season.run)["best.safetensors"]
    note_outcome(f"a home that cannot be used: {home}, train", SAME)


REDIRECTIONS = {
    "stdout full": ">/dev/full",
    "stdout closed": ">&-",
    "stderr closed": "2>&-",
    "reader gone": "| true",
}
ODD_NAMES = (
    "лига/2019-10-01 - Лидс — Уэст Бромвич",
    "リーグ/試合 1 [final] (x2)?*",
    "a b'c\"d/$HOME & ; | `x` %d %s",
    "-flag/--help",
    "naïve/e\u0301 ﬁ 🏟️",
    "dots/not..hidden.. .",
    "back\\slash/tab\there",
)


@pytest.mark.faults
@pytest.mark.parametrize(
    "environment",
    [
        {"LC_ALL": "C.UTF-8"},
        {"LANG": "C", "LC_ALL": None},
        {"LC_ALL": "C"},
        {"LC_ALL": "POSIX", "PYTHONIOENCODING": "ascii"},
    ],
    ids=["utf-8", "LANG=C", "LC_ALL=C", "ascii output"],
)
def test_any_language_and_any_name_give_the_same_run(
    environment: dict[str, str | None], tmp_path: Path, base: Path
) -> None:
    season = write_season(tmp_path / "Ordner mit ü und Leerzeichen", (240,) * len(ODD_NAMES), names=ODD_NAMES)
    run = tmp_path / "läufe" / "ein Lauf"
    for words in (
        season.train(run),
        season.predict(run=run),
        ["evaluate", run / "predictions" / "test", "--data", season.data, "--split", "test", "--resamples", 9],
        ["compare", run, "--resamples", 9],
        ["cache", "verify", season.features],
        ["cache", "list", season.features.parent],
        ["export", run / "predictions" / "test", "--format", "youtube", "--out", tmp_path / "zeiten"],
    ):
        ended = in_process(*words, **environment)
        assert ended.code == 0 and "Traceback" not in ended.stderr, f"{words[0]}\n{ended.stderr}"
    spots = json.loads((run / "predictions" / "test" / ODD_NAMES[-1] / "results_spotting.json").read_text("utf-8"))
    assert spots["UrlLocal"] == ODD_NAMES[-1]
    note_outcome(f"odd names in other locales: {environment}", SAME)


def test_odd_names_are_scored_where_output_has_no_sign_for_them(tmp_path: Path) -> None:
    season = write_season(tmp_path / "Ordner mit ü", (240,) * len(ODD_NAMES), names=ODD_NAMES)
    for words in (season.train(), season.predict()):
        done = ballspot(*words)
        assert done.code == 0, done.stderr + done.trace
    words = ["evaluate", season.run / "predictions" / "test", "--data", season.data, "--split", "test"]
    plain, latin_1 = (
        in_process(*words, "--resamples", 9, "--json", **environment)
        for environment in ({"LC_ALL": "C.UTF-8"}, {"LC_ALL": "C", "PYTHONIOENCODING": "latin-1"})
    )
    assert plain.code == latin_1.code == 0, plain.stderr + latin_1.stderr
    assert json.loads(plain.stdout) == json.loads(latin_1.stdout)
    note_outcome("odd names in other locales: output in Latin 1, evaluate", SAME)


@pytest.mark.faults
def test_a_python_that_was_told_to_know_ascii_only_is_refused(tmp_path: Path) -> None:
    season = write_season(tmp_path, (240,) * len(ODD_NAMES), names=ODD_NAMES)
    words = ["evaluate", season.data, "--data", season.data]
    ended = in_process(*words, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert "not UTF-8" in require_refusal("ascii everywhere", ended)
    note_outcome("odd names in other locales: ascii everywhere", REFUSED)


def test_names_that_are_no_text_are_refused_by_name(tmp_path: Path) -> None:
    season = write_season(tmp_path)
    bad = os.fsencode(season.data / "league") + b"/match-\xff\xfe"
    try:
        shutil.copytree(os.fsencode(season.data / "league" / "match-1"), bad)
    except OSError:
        pytest.skip("this file system takes text only")
    for words in (season.train(), ["data", "stats", season.data], ["extract", season.data, "--out", tmp_path / "o"]):
        error = require_refusal(str(words[0]), ballspot(*words))
        assert "UTF-8" in error and "rename" in error
        note_outcome("odd names: no UTF-8", REFUSED)


def test_line_breaks_in_names_keep_errors_in_one_line(tmp_path: Path) -> None:
    season = write_season(tmp_path, names=[f"league/match\n{number}" for number in range(4)])
    assert ballspot(*season.train()).code == 0
    (season.features / "league" / "match\n3.h5").unlink()
    ended = ballspot(*season.predict())
    assert "match" in require_refusal("line breaks", ended) and ended.stderr.count("\n") == 1
    note_outcome("odd names: a line break", REFUSED)


@pytest.mark.parametrize("n_letters", spread((100, 200, 240, 252, 255), 252))
@pytest.mark.parametrize("letter", spread("aé試🏟", "🏟"))
def test_names_as_long_as_the_system_lets_them_be_are_taken_or_refused(
    n_letters: int, letter: str, tmp_path: Path
) -> None:
    name = letter * (n_letters // len(letter.encode()))
    names = ["league/1", "league/2", f"league/{name}"]
    try:
        season = write_season(tmp_path, names=names, lengths=(240,) * 3)
    except OSError:
        pytest.skip("this system takes no such name")
    except Exception as error:  # noqa: BLE001  # whatever it is, it is judged below
        assert "File name too long" in str(error), error
        note_outcome(f"long match names: {n_letters} bytes", REFUSED)
        return
    for words in (season.train(), season.predict()):
        ended = ballspot(*words)
        assert ended.code == 0, ended.stderr + ended.trace
    note_outcome(f"long match names: {n_letters} bytes", SAME)


@pytest.mark.parametrize("n_bytes", spread((255, 256, 3900, 4095, 5000), 256, 5000))
def test_paths_that_are_too_long_are_refused(n_bytes: int, season: Season) -> None:
    long = ("x" * 200 + "/") * 30 if n_bytes > 300 else "x" * n_bytes
    path = Path(str(season.root / long)[:n_bytes].rstrip("/")) if n_bytes > 300 else season.root / long
    for words in (
        season.train(path),
        season.predict("--out", path),
        ["tune", season.run, "--data", season.data, "--out", path],
        ["export", season.run / "predictions" / "test", "--out", path],
        ["evaluate", path, "--data", season.data],
        ["evaluate", season.run / "predictions" / "test", "--data", path],
        ["cache", "info", path],
        ["cache", "list", path],
        ["cache", "verify", path],
        ["compare", path],
        ["train", path, "--data", season.data, "--run", season.root / "r"],
        ["train", season.features, "--data", season.data, "--run", season.root / "r", "--labels", path],
        ["train", season.features, "--data", season.data, "--run", season.root / "r", "--preset", path],
        ["sweep", path, season.features, "--data", season.data, "--out", season.root / "r"],
        ["predict", path, season.features, "--data", season.data],
        ["predict", season.run, path],
        ["extract", season.data, "--out", path],
    ):
        ended = ballspot(*words)
        if ended.code == 0:
            note_outcome(f"long paths: {n_bytes} bytes", SAME)
        else:
            require_refusal(" ".join(str(word)[:30] for word in words), ended)
            note_outcome(f"long paths: {n_bytes} bytes", REFUSED)


@pytest.mark.parametrize("where", spread(REDIRECTIONS, "stdout full", "stderr closed"))
def test_output_that_nobody_can_take_gives_no_traceback(where: str, season: Season) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    command = [sys.executable, "-m", "ballspot.cli", "evaluate", str(season.run / "predictions" / "test")]
    command += ["--data", str(season.data), "--split", "test", "--resamples", "9"]
    words = ["bash", "-c", f'"$@" {REDIRECTIONS[where]}', "-", *command]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr, done.stderr
    if where == "stdout full":
        assert done.returncode == 1 and "No space left on device" in done.stderr
    elif where != "reader gone":
        assert done.returncode == 0, done.stderr
    note_outcome(f"output that nobody takes: {where}", REFUSED if done.returncode else SAME)
