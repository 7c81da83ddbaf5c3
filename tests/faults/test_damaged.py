"""Files that are cut, flipped, emptied, filled with chance or replaced by a folder, read by the commands.

Files alone, by their readers: tests/cache/stores/test_verify.py, tests/evaluate/dataset/test_malformed.py,
tests/temporal/bundle/test_bundle_hostile.py, test_pickles.py, test_cuts.py, test_barcoded.py.
"""

import json
import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from ballspot.extract.data_root.synth import synthesize

from ..processes import killed_when, started
from .harness import OTHER, REFUSED, ROUNDS, SEED, Ended, ballspot, contents, judged, note_outcome, restored, sized
from .season import LABELS, Season, write_season

KNOWN_AS = {".h5": "store"}
KINDS = ("cut", "flip", "empty", "folder", "noise")
VALID, TEST = "league/match-3", "league/match-4"


@dataclass(frozen=True)
class Reader:
    """A command that reads the file, and what it gives: all it says, and the files below ``out``.

    ``told`` where something on disk says what the file should be: then no other result is let pass.
    """

    words: Callable[[Season], Sequence[object]]
    out: str = ""
    told: bool = False


def of_run(season: Season) -> Path:
    return season.run / "predictions" / "test"


PREDICT = Reader(lambda season: season.predict("--out", season.root / "out"), "out")
TRAIN = Reader(lambda season: season.train(season.root / "out"), "out")
RESUME = Reader(lambda season: season.train(season.root / "half", "--set", "n_epochs=3"), "half")
AGAIN = Reader(lambda season: season.train())
PREDICT_AGAIN = Reader(lambda season: season.predict(), "run")
EVALUATE = Reader(
    lambda season: ["evaluate", of_run(season), "--data", season.data, "--split", "test", "--resamples", 9, "--json"]
)
TUNE = Reader(lambda season: ["tune", season.run, "--data", season.data, "--out", season.root / "out" / "a"], "out")
TUNED = Reader(lambda season: season.predict("--tuned", season.run / "tuned.json", "--out", season.root / "out"), "out")
COMPARE = Reader(lambda season: ["compare", season.run, "--resamples", 9, "--format", "json"])
COMPARE_TEST = Reader(lambda season: ["compare", season.run, "--split", "test", "--resamples", 9, "--format", "json"])
EXPORT = Reader(lambda season: ["export", of_run(season), "--out", season.root / "out" / "a.zip"], "out")
CSV = Reader(lambda season: ["export", of_run(season), "--format", "csv", "--out", season.root / "out"], "out")
CARD = Reader(
    lambda season: ["export", season.run, "--format", "card", "--out", season.root / "out" / "card.md"], "out"
)
INFO = Reader(lambda season: ["cache", "info", season.features / f"{TEST}.h5"], told=True)
VERIFY = Reader(lambda season: ["cache", "verify", season.features], told=True)
PCA = Reader(
    lambda season: ["cache", "pca", season.features, "--dim", 3, "--data", season.data, "--set", "out"],
    "features/out",
)
FIT = Reader(
    lambda season: [*("cache", "pca", season.features, "--set", "out"), "--fit", season.root / "pca.safetensors"],
    "features/out",
)
PROBE = Reader(lambda season: ["probe", season.features, "--data", season.data, "--json"])
CONVERT = Reader(
    lambda season: [*("data", "convert", season.data, season.root / "out"), "--from", "labels-ball", "--to", "csv"],
    "out",
)
OWN_LABELS = Reader(lambda season: season.train(season.root / "out", "--labels", season.root / "labels.toml"), "out")
OWN_PRESET = Reader(lambda season: season.train(season.root / "out", "--preset", season.root / "preset.toml"), "out")
SWEEP = Reader(
    lambda season: [
        *("sweep", season.root / "sweep.toml", season.features, "--data", season.data),
        *("--out", season.root / "out", "--device", "cpu", "--dry-run", "--json"),
    ]
)


def told(reader: Reader) -> Reader:
    """The same where a digest, a checksum or a key on disk tells another content from the right one."""
    return Reader(reader.words, reader.out, told=True)


READ_BY: dict[str, tuple[Reader, ...]] = {
    f"features/set/{TEST}.h5": (INFO, VERIFY, told(PREDICT)),
    f"features/set/{VALID}.h5": (told(TRAIN), told(PCA), told(PROBE)),
    "run/best.safetensors": (PREDICT, CARD),
    "half/last.safetensors": (RESUME,),
    "half/log.jsonl": (RESUME,),
    "half/run.json": (RESUME,),
    "run/run.json": (AGAIN, PREDICT, TUNE, COMPARE, CARD),
    "run/config.toml": (AGAIN, TUNE, COMPARE),
    "run/metrics.json": (AGAIN, COMPARE, CARD),
    "run/log.jsonl": (COMPARE,),
    "run/tuned.json": (TUNED,),
    "run/predictions/test/predictions.json": (PREDICT_AGAIN,),
    f"run/predictions/test/{TEST}/results_spotting.json": (EVALUATE, EXPORT, CSV, COMPARE_TEST),
    f"run/predictions/test/{TEST}/scores.npz": (told(EVALUATE), told(CSV)),
    f"run/predictions/valid/{VALID}/scores.npz": (told(TUNE),),
    f"data/{TEST}/Labels-ball.json": (EVALUATE, CONVERT),
    f"data/{VALID}/Labels-ball.json": (TRAIN, told(RESUME), TUNE),
    "data/splits.toml": (TRAIN, EVALUATE),
    "pca.safetensors": (FIT,),
    "labels.toml": (OWN_LABELS,),
    "preset.toml": (OWN_PRESET,),
    "sweep.toml": (SWEEP,),
}


@dataclass(frozen=True)
class Undamaged:
    """The season of which every try gets a copy in ``place``, and what each command gives there."""

    base: Path
    place: Path
    results: dict[int, Any] = field(default_factory=dict)

    def result(self, reader: Reader) -> Any:
        if id(reader) not in self.results:
            season = Season(restored(self.base, self.place))
            ended = ballspot(*reader.words(season))
            assert ended.code == 0, ended.stderr + ended.trace
            self.results[id(reader)] = given(season, reader, ended)
        return self.results[id(reader)]


def given(season: Season, reader: Reader, ended: Ended) -> Any:
    """What a command gave: its files, or what it said where it writes none."""
    return contents(season.root / reader.out) if reader.out else ended.stdout


@pytest.fixture(scope="module")
def undamaged(tmp_path_factory: pytest.TempPathFactory) -> Undamaged:
    root = tmp_path_factory.mktemp("damaged")
    season = write_season(root / "place")
    half = killed_when(lambda text: text.startswith("os.rename") and text.endswith("last.safetensors"), times=3)
    words = season.train(season.root / "half", "--set", "n_epochs=3")
    assert started(words, root / "log", half).wait().code == -9
    for words in (
        season.train(),
        season.predict(),
        ["tune", season.run, "--data", season.data],
        ["cache", "pca", season.features, "--dim", 3, "--data", season.data],
    ):
        done = ballspot(*words)
        assert done.code == 0, done.stderr + done.trace
    shutil.move(season.root / "features" / "set-pca3" / "pca.safetensors", season.root / "pca.safetensors")
    shutil.rmtree(season.root / "features" / "set-pca3")
    (season.root / "labels.toml").write_text(f'name = "three"\nlabels = {json.dumps(LABELS)}\n')
    small = "width = 8\nkind = 'gru'\n"
    (season.root / "preset.toml").write_text(f"[head]\n{small}[training]\nn_epochs = 2\nwarmup_epochs = 0.5\n")
    (season.root / "sweep.toml").write_text(f"preset = 'fast'\nseeds = 1\n[set]\n{small}[axes]\noffset_weight = [1]\n")
    return Undamaged(Path(shutil.copytree(season.root, root / "base")), season.root)


def damage(path: Path, kind: str, rng: random.Random) -> str:
    """Damages the file; how, in a few words."""
    content = bytearray(path.read_bytes())
    if kind == "cut":
        n_bytes = rng.randrange(len(content))
        path.write_bytes(content[:n_bytes])
        return f"cut to {n_bytes} of {len(content)} bytes"
    if kind == "flip":
        bits = [rng.randrange(8 * len(content)) for _ in range(rng.choice((1, 1, 1, 8)))]
        for bit in bits:
            content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        return f"bits {bits} flipped"
    if kind == "folder":
        path.unlink()
        path.mkdir()
        return "a folder in its place"
    path.write_bytes(b"" if kind == "empty" else rng.randbytes(max(len(content), 1)))
    return kind


@pytest.mark.parametrize("file", READ_BY)
@sized(1)
def test_a_damaged_file_is_refused_in_one_line_or_changes_nothing(
    file: str, n_rounds: int, undamaged: Undamaged
) -> None:
    rng = random.Random(f"{SEED} {file}")
    for number in range(n_rounds):
        kind = rng.choice(KINDS) if n_rounds == 1 else KINDS[number % len(KINDS)]
        for reader in READ_BY[file][:1] if n_rounds == 1 else READ_BY[file]:
            expected = undamaged.result(reader)
            season = Season(restored(undamaged.base, undamaged.place))
            how = damage(season.root / file, kind, rng)
            ended = ballspot(*reader.words(season))
            command = " ".join(str(word) for word in reader.words(season)[:2] if not isinstance(word, Path))
            case = f"damaged {KNOWN_AS.get(Path(file).suffix, Path(file).name)}: {kind}, {command}"
            try:
                found = lambda s=season, r=reader, e=ended: given(s, r, e)  # noqa: E731  # bound to this round's values
                # A folder is no file: of a store that is not there, and of what may be missing, there is no word.
                outcome = judge(case, ended, found, expected, may_differ=not reader.told or kind == "folder")
            except AssertionError as error:
                raise AssertionError(f"{file}: {how}\n{error}") from error
            is_mended = file.endswith(("log.jsonl", "config.toml"))
            assert kind != "noise" or outcome == REFUSED or is_mended, (case, how)


def judge(case: str, ended: Ended, result: Callable[[], Any], expected: Any, *, may_differ: bool) -> str:
    """As `judged`; `cache verify` says what is wrong line by line, and nothing else."""
    if ended.code == 1 and not ended.trace and not ended.stderr.count("Error: ") and ".h5" in ended.stdout:
        note_outcome(case, REFUSED)
        return REFUSED
    return judged(case, ended, result, expected, may_differ=may_differ)


@sized(2)
def test_a_damaged_video_is_told_by_the_check_or_decodes(
    n_rounds: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """No digest says what a video should be, so one that decodes may be another."""
    root = tmp_path_factory.mktemp("video")
    synthesize(root / "base", n_matches=1, minutes=2 / 60, fps=Fraction(25), size=(64, 96), seed=1)
    rng = random.Random(SEED)
    for number in range(n_rounds):
        data, kind = restored(root / "base", root / "place"), KINDS[number % len(KINDS)]
        video = next(data.rglob("*.mp4"))
        how = damage(video, kind, rng)
        for words in (["data", "check", data, "--decode"], ["data", "stats", data, "--json"]):
            ended = ballspot(*words)
            assert not ended.trace and ended.code in (0, 1), f"{how}\n{ended.trace}"
            told_so = ended.code == 1
            said = ended.stdout + ended.stderr
            assert not told_so or "64p.mp4" in said or "no video" in said, (how, ended)
            note_outcome(f"damaged video: {kind}, {words[0]} {words[1]}", REFUSED if told_so else OTHER)


@sized(3, long=10 * ROUNDS)
def test_one_bit_of_a_store_is_found_or_changes_no_prediction(n_rounds: int, undamaged: Undamaged) -> None:
    """Bits outside the rows: of them HDF5 keeps no checksums."""
    expected = undamaged.result(PREDICT)
    rng = random.Random(SEED)
    file = Path(f"features/set/{TEST}.h5")
    content = (undamaged.base / file).read_bytes()
    for _ in range(n_rounds):
        season = Season(restored(undamaged.base, undamaged.place))
        bit = rng.randrange(8 * min(len(content), 8192))
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        (season.root / file).write_bytes(damaged)
        ended = ballspot(*PREDICT.words(season))
        try:
            case = "damaged store: one bit of its headers, predict"
            judged(case, ended, lambda s=season: contents(s.root / "out"), expected)
        except AssertionError as error:
            raise AssertionError(f"bit {bit}\n{error}") from error
