import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from ballspot.cache.disk.locks import fcntl, locked_folder
from ballspot.cache.stores.layout import Block
from ballspot.cache.stores.store import FeatureStore, write_store

from ...commands import run

KEPT = Path(__file__).parents[1] / "data" / "store-1.0.h5"


@pytest.fixture
def features(tmp_path: Path) -> Path:
    place = tmp_path / "features" / "set" / "league" / "season" / "match-01.h5"
    place.parent.mkdir(parents=True)
    shutil.copy(KEPT, place)
    return tmp_path / "features"


def test_info_prints_one_json_object() -> None:
    code, out, _ = run("cache", "info", KEPT, "--json")
    described = json.loads(out)
    assert code == 0
    assert {name: described[name] for name in ("n_rows", "n_video_frames", "complete", "dim", "fps")} == {
        "n_rows": 6,
        "n_video_frames": 12,
        "complete": True,
        "dim": 3,
        "fps": "30000/1001",
    }
    assert len(described["fingerprint"]) == 64


def test_list_counts_matches_and_rows(features: Path) -> None:
    code, out, _ = run("cache", "list", features, "--json")
    (listed,) = json.loads(out)["sets"]
    assert code == 0
    assert (listed["set"], listed["n_matches"], listed["n_rows"], listed["dims"]) == ("set", 1, 6, [3])
    assert "set" in run("cache", "list", features)[1]


def test_verify_passes_whole_stores(features: Path) -> None:
    code, out, _ = run("cache", "verify", features)
    assert (code, out.rstrip().endswith("match-01.h5: ok")) == (0, True)


def test_verify_finds_a_changed_byte(features: Path) -> None:
    path = next(features.rglob("*.h5"))
    content = bytearray(path.read_bytes())
    content[content.index(np.array([0, 0.25, 0.5, 0.75], np.float16).tobytes()) + 2] ^= 8
    path.write_bytes(bytes(content))
    code, out, _ = run("cache", "verify", features)
    assert code == 1
    assert "damaged" in out


def test_verify_finds_rows_missing_by_the_stride(features: Path) -> None:
    path = next(features.rglob("*.h5"))
    with h5py.File(path, "a") as file:
        file.attrs["n_video_frames"] = 40
    code, out, _ = run("cache", "verify", path, "--json")
    assert code == 1
    assert json.loads(out)["problems"][0]["what"] == "6 rows, but 20 frames were to be stored"


@pytest.mark.parametrize("command", ["info", "list", "verify"])
def test_a_missing_path_is_one_line_and_exit_code_1(tmp_path: Path, command: str) -> None:
    code, out, error = run("cache", command, tmp_path / "gone")
    assert (code, out) == (1, "")
    assert error.startswith("Error: ") and str(tmp_path / "gone") in error and error.count("\n") == 1


def test_unfinished_matches_are_counted_once_and_what_a_kill_left_is_removed(features: Path) -> None:
    folder = next(features.rglob("*.h5")).parent
    header = {"match": "league/season/match-02"}
    for name in ("match-02.h5.0-1024.part", "match-02.h5.1024-2048.part", ".match-02.h5.ab12_xyz.tmp"):
        (folder / name).write_text(json.dumps(header) + "\n")
    (folder / ".notes.tmp").write_text("mine")
    (listed,) = json.loads(run("cache", "list", features / "set", "--json")[1])["sets"]
    assert (listed["n_matches"], listed["n_unfinished"]) == (1, 1)
    code, out, _ = run("cache", "remove", features / "set", "--unfinished", "--yes")
    assert (code, out.startswith("removed 3 files")) == (0, True)
    assert sorted(path.name for path in folder.iterdir()) == [".notes.tmp", "match-01.h5"]


@pytest.mark.skipif(fcntl is None, reason="no file locks here")
def test_a_store_that_is_being_written_is_not_removed(features: Path) -> None:
    place = next(features.rglob("*.h5"))
    with FeatureStore.open(place) as store:
        header, index, rows = store.header, store.frame_index, {view: store.read(view=view) for view in store.views}
    told = []

    def blocks() -> Iterator[Block]:
        for path in (features / "set", place):
            told.append(run("cache", "remove", path, "--yes"))
        yield Block(index, rows, np.empty(0, np.int64))

    write_store(place, header=header, blocks=blocks())
    assert [code for code, *_ in told] == [1, 1] and place.is_file()
    assert all("is being written; wait for that process or stop it" in error for *_, error in told)


@pytest.mark.skipif(fcntl is None, reason="no file locks here")
def test_a_set_that_is_worked_on_is_not_removed_from(features: Path) -> None:
    place = next(features.rglob("*.h5"))
    left = place.with_name(".match-02.h5.ab12_xyz.tmp")
    left.touch()
    with locked_folder(features / "set"):
        for path in (features, features / "set", place.parent, place):
            code, _, error = run("cache", "remove", path, "--yes")
            assert code == 1 and "another process is at work here; wait for it or stop it" in error
    assert left.is_file() and run("cache", "remove", features, "--yes")[0] == 0
