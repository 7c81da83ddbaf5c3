"""Feature arrays of others: imported, trained on, predicted and scored, as SoccerNet's own 2 fps features are."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from ballspot.cache.stores.store import FeatureStore
from ballspot.cli import main

CLASSES = ("Goal", "Corner", "Foul")
NAMES = tuple(f"league/2015/m{number}" for number in range(1, 5))
N_ROWS = 600  # five minutes at two rows a second
SMALL = ("--preset", "fast", "--device", "cpu", "--head", "tcn", *(word for one in (
    "clip_frames=32", "clip_stride=1", "pad_frames=2", "width=32", "n_epochs=6", "epoch_frames=16000",
    "temporal_stride=1", "nms_window=8", "batch_clips=8", "label_radius=0", "offsets=false",
) for word in ("--set", one)))  # fmt: skip


def ballspot(*words: object, code: int = 0) -> Result:
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == code, f"{result.output}\n{result.stderr}\n{result.exception!r}"
    return result


@pytest.fixture(scope="module")
def league(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four matches of two halves without videos: labels at two frames a second, features of noise and of a signal."""
    root, random = tmp_path_factory.mktemp("league"), np.random.default_rng(0)
    for name in NAMES:
        folder, annotations = root / "data" / name, []
        folder.mkdir(parents=True)
        for half in (1, 2):
            noise = random.standard_normal((N_ROWS, 24)).astype(np.float32)
            signal = noise.copy()
            for row in random.choice(np.arange(10, N_ROWS - 10, 12), 20, replace=False):
                label = int(random.integers(len(CLASSES)))
                signal[row, label] += 12
                clock = f"{half} - {row // 120:02d}:{row // 2 % 60:02d}"
                annotations.append({"gameTime": clock, "label": CLASSES[label], "position": str(500 * row + 250)})
            for kind, rows in (("noise", noise), ("signal", signal)):
                (root / kind / name).mkdir(parents=True, exist_ok=True)
                np.save(root / kind / name / f"{half}_ResNET_TF2_PCA512.npy", rows)
        (folder / "Labels-v2.json").write_text(json.dumps({"annotations": annotations}))
    split = {"train": NAMES[:2], "valid": NAMES[2:3], "test": NAMES[3:]}
    lines = (f"{part} = {json.dumps(names)}\n" for part, names in split.items())
    (root / "data" / "splits.toml").write_text("".join(lines))
    (root / "own.toml").write_text(f'labels_file = "Labels-v2.json"\nlabels = {json.dumps(CLASSES)}\n')
    return root


def test_soccernets_features_are_imported_trained_on_and_scored(league: Path) -> None:
    scores = {}
    for kind in ("noise", "signal"):
        told = ballspot("cache", "import", league / kind, "--out", league / "features", "--set", kind).stdout
        assert f"{NAMES[0]}/1.h5  {N_ROWS} rows of 24, 2 a second" in told
        features, run = league / "features" / kind, league / "runs" / kind
        words = (features, "--data", league / "data")
        ballspot("train", *words, "--labels", league / "own.toml", "--run", run, *SMALL)
        ballspot("predict", run, *words, "--split", "test", "--device", "cpu")
        scores[kind] = json.loads(ballspot("evaluate", run, "--fps", 2, "--json").stdout)["mean_ap"]
        record = json.loads((run / "run.json").read_text())
        assert record["splits"]["test"] == [NAMES[3]]
    assert scores["signal"] > 0.9 and scores["noise"] < 0.3
    ballspot("tune", league / "runs" / "signal", "--split", "valid")
    ballspot("compare", league / "runs" / "noise", league / "runs" / "signal", "--split", "test")
    words = ("--data", league / "data", "--labels", league / "own.toml")
    probed = ballspot("probe", league / "features" / "signal", *words, "--json")
    assert json.loads(probed.stdout)["mean_ap"] > 0.5


@pytest.mark.parametrize("suffix", [".npz", ".h5", ".pt"])
def test_every_kind_of_file_gives_the_same_rows(tmp_path: Path, suffix: str) -> None:
    rows = np.random.default_rng(1).standard_normal((30, 5)).astype(np.float32)
    (tmp_path / "given" / "a").mkdir(parents=True)
    path = tmp_path / "given" / "a" / f"m1{suffix}"
    if suffix == ".npz":
        np.savez(path, features=rows, other=np.zeros(3))
    elif suffix == ".h5":
        with h5py.File(path, "w") as file:
            file["deep/rows"] = rows[:, None, :]  # a dimension of one is none
    else:
        torch.save({"rows": torch.from_numpy(rows), "epoch": 3}, path)
    words = ("cache", "import", tmp_path / "given", "--out", tmp_path / "out", "--set", "x", "--dtype", "float32")
    assert "does not say how many rows per second it has; give --fps" in ballspot(*words, code=1).stderr
    ballspot(*words, "--fps", "12.5")
    with FeatureStore.open(tmp_path / "out" / "x" / "a" / "m1.h5") as store:
        assert (store.match, store.fps, store.n_video_frames) == ("a/m1", 12.5, 30)
        np.testing.assert_array_equal(store.read(), rows)
    ballspot("cache", "verify", tmp_path / "out")


def test_a_set_goes_out_and_comes_back(tmp_path: Path) -> None:
    rows = np.random.default_rng(2).standard_normal((40, 3)).astype(np.float16)
    times = np.arange(40) / 25
    times[20:] += 3.2  # a gap
    (tmp_path / "given").mkdir()
    np.savez(tmp_path / "given" / "m.npz", features=rows, times=times)
    ballspot("cache", "import", tmp_path / "given", "--out", tmp_path / "out", "--set", "x")
    ballspot("cache", "export", tmp_path / "out" / "x", "--out", tmp_path / "again")
    with np.load(tmp_path / "again" / "m.npz") as again:
        np.testing.assert_array_equal(again["features"], rows)
        np.testing.assert_allclose(again["times"], times, atol=1e-6)
        assert again["fps"].tolist() == [25, 1]
    ballspot("cache", "import", tmp_path / "again", "--out", tmp_path / "out", "--set", "y")
    one, two = (FeatureStore.open(tmp_path / "out" / name / "m.h5") for name in ("x", "y"))
    with one, two:
        np.testing.assert_array_equal(one.read(), two.read())
        assert one.frame_time_us is not None and two.frame_time_us is not None
        assert one.frame_time_us.tolist() == two.frame_time_us.tolist()
    ballspot("cache", "export", tmp_path / "out" / "x", "--out", tmp_path / "plain", "--format", "npy")
    np.testing.assert_array_equal(np.load(tmp_path / "plain" / "m.npy"), rows)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (np.zeros((3, 4, 5)), "shape (3, 4, 5); give numbers, a row for each moment (n, d)"),
        (np.array(["a", "b"]), "is an array of <U1"),
        (np.full((4, 2), np.nan), "a feature of row 0 is not finite"),
        (np.full((4, 2), 1e6), "a feature of row 0 does not fit float16; give --dtype float32"),
        (np.array([{"a": 1}], dtype=object), "cannot be read as .npy"),
        (np.zeros((0, 4)), "shape (0, 4)"),
    ],
)
def test_what_is_no_array_of_features_is_refused_and_nothing_is_written(
    tmp_path: Path, content: np.ndarray, told: str
) -> None:
    (tmp_path / "given").mkdir()
    np.save(tmp_path / "given" / "m.npy", content, allow_pickle=True)
    words = ("cache", "import", tmp_path / "given", "--out", tmp_path / "out", "--fps", "2")
    error = ballspot(*words, code=1).stderr
    assert told in error and "m.npy" in error
    assert not list((tmp_path / "out").rglob("*.h5"))


def test_a_file_that_is_no_array_of_numpys_is_named_and_no_trust_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "m.npy").write_bytes(b"<html>not found</html>")
    error = ballspot("cache", "import", tmp_path / "given", "--out", tmp_path / "out", "--fps", "2", code=1).stderr
    assert "m.npy: is not a NumPy array; it begins with b'<html>'" in error and "pickle" not in error


def test_rows_of_another_width_do_not_come_into_one_set(tmp_path: Path) -> None:
    for name, width in (("a", 4), ("b", 3), ("c", 4)):
        (tmp_path / "given" / name).mkdir(parents=True)
        np.save(tmp_path / "given" / name / "features.npy", np.ones((5, width)))
    words = ("cache", "import", tmp_path / "given", "--out", tmp_path / "out", "--set", "x", "--fps", "2")
    for _ in range(2):  # the second time the first store is there already
        error = ballspot(*words, code=1).stderr
        assert "b/features.npy: has 3 numbers per row, and" in error and "a/features.npy has 4" in error
        assert sorted(path.name for path in (tmp_path / "out").rglob("*.h5")) == ["a.h5"]


def given(tmp_path: Path, **arrays: object) -> tuple[object, ...]:
    """The words that import one file of these arrays."""
    (tmp_path / "given").mkdir(exist_ok=True)
    named: dict[str, Any] = {name: np.asarray(value) for name, value in arrays.items()}
    np.savez(tmp_path / "given" / "m.npz", **named)
    return "cache", "import", tmp_path / "given", "--out", tmp_path / "out", "--set", "x"


ROWS = np.random.default_rng(3).standard_normal((40, 3)).astype(np.float32)


@pytest.mark.parametrize("dtype", ["float16", "float32", "int8"])
def test_a_store_is_kept_where_the_file_has_its_rows_and_refused_where_it_has_others(
    tmp_path: Path, dtype: str
) -> None:
    words = (*given(tmp_path, a=ROWS, b=ROWS[::-1]), "--dtype", dtype)  # other rows in as many bytes
    ballspot(*words, "--fps", 25, "--key", "a")
    before = (tmp_path / "out" / "x" / "m.h5").read_bytes()
    ballspot(*words, "--fps", 25, "--key", "a")
    error = ballspot(*words, "--fps", 25, "--key", "b", code=1).stderr
    assert "m.h5: was made of other rows than" in error and error.count("\n") == 1
    given(tmp_path, a=ROWS, b=ROWS, times=np.arange(40) / 25 + (np.arange(40) > 20))
    assert "was made of other rows" in ballspot(*words, "--key", "a", code=1).stderr
    given(tmp_path, a=ROWS, b=ROWS, fps=2)
    assert "has rate 25, not 2" in ballspot(*words, "--key", "a", code=1).stderr
    assert (tmp_path / "out" / "x" / "m.h5").read_bytes() == before


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"times": np.arange(40) * 40}, "its times are 0.025 a second, not 0.1 to 240; give seconds, or --fps"),
        ({"times": [np.nan] * 40}, "its times are not seconds that grow from 0 on"),
        ({"times": np.arange(40) * 1e30}, "its times are not seconds that grow from 0 on"),
        ({"times": np.arange(39)}, "has times of shape (39,) for 40 rows; give one for each row"),
        ({"times": np.zeros((40, 2))}, "has times of shape (40, 2) for 40 rows; give one for each row"),
        ({"fps": 1e9}, "its fps is [1000000000.0], not 0.1 to 240 rows a second; give --fps"),
        ({"fps": True}, "its fps is [True], not 0.1 to 240 rows a second; give --fps"),
        ({"fps": "25"}, "its fps is ['25'], not 0.1 to 240 rows a second; give --fps"),
        ({"fps": [25, 0]}, "its fps is [25, 0], not 0.1 to 240 rows a second; give --fps"),
    ],
)
def test_times_and_rates_that_no_features_have_are_refused_in_one_line(
    tmp_path: Path, arrays: dict[str, object], told: str
) -> None:
    error = ballspot(*given(tmp_path, features=ROWS, **arrays), code=1).stderr
    assert told in error and error.count("\n") == 1
    assert not list((tmp_path / "out").rglob("*.h5"))
    if "fps" in arrays:  # the remedy helps
        assert (
            "40 rows of 3, 12.5 a second" in ballspot(*given(tmp_path, features=ROWS, **arrays), "--fps", 12.5).stdout
        )


def test_a_rate_of_broadcasts_is_the_same_however_a_file_writes_it(tmp_path: Path) -> None:
    for rate in (29.97, np.float32(29.97), [30000, 1001]):
        ballspot(*given(tmp_path, features=ROWS, fps=rate))  # the second and third find the store of the first
    with FeatureStore.open(tmp_path / "out" / "x" / "m.h5") as store:
        assert store.fps == Fraction(30000, 1001)


def test_times_may_be_a_column(tmp_path: Path) -> None:
    assert (
        "40 rows of 3, 25 a second"
        in ballspot(*given(tmp_path, features=ROWS, times=np.arange(40)[:, None] / 25)).stdout
    )


def test_torch_files_may_have_a_number_for_a_rate_fine_times_and_gradients(tmp_path: Path) -> None:
    (tmp_path / "given").mkdir()
    words = ("cache", "import", tmp_path / "given", "--out", tmp_path / "out")
    parameter = torch.nn.Parameter(torch.from_numpy(ROWS))
    torch.save({"features": parameter, "fps": 12.5}, tmp_path / "given" / "m.pt")
    assert "40 rows of 3, 12.5 a second" in ballspot(*words, "--set", "x").stdout
    times = 5400 + torch.arange(40, dtype=torch.float64) / 25
    torch.save({"features": parameter, "times": times}, tmp_path / "given" / "m.pt")
    ballspot(*words, "--set", "y")
    with FeatureStore.open(tmp_path / "out" / "y" / "m.h5") as store:
        assert store.frame_time_us is not None and store.frame_time_us[1] == 5_400_040_000
