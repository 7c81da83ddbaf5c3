"""The same segments elsewhere: the stores are the very bytes of an extraction here; on Ray, in sweep/test_on_ray.py."""

import importlib.util
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from ballspot.cli import main

from ...commands import run


def words_for(data: Path, out: Path, *more: object) -> list[object]:
    return ["extract", data, "--out", out, "--set", "s", "--weights", "random", "--size", "64x96", *more]


def extract(data: Path, out: Path, *more: object) -> tuple[int, str]:
    result = CliRunner().invoke(main, [str(word) for word in words_for(data, out, *more)])
    return result.exit_code, result.stderr


def stores(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*.h5*")}


@pytest.fixture(scope="module")
def here(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("here")
    assert extract(drawn, out, "--workers", 1)[0] == 0
    return stores(out)


@pytest.mark.skipif(importlib.util.find_spec("submitit") is None, reason="submitit is not installed")
def test_slurm_jobs_on_the_local_cluster_give_the_same_stores(
    drawn: Path, tmp_path: Path, here: dict[str, bytes]
) -> None:
    match = "synth/drawn/match-01"
    code, error = extract(drawn, tmp_path, "--on", "slurm:local", "--workers", 2, "--match", match)
    assert code == 0, error
    assert stores(tmp_path) == {f"s/{match}.h5": here[f"s/{match}.h5"]}
    assert list((tmp_path / "s" / ".slurm").glob("*_log.out"))  # so it was submitit that made them


def test_a_place_that_is_none_is_named(drawn: Path, tmp_path: Path) -> None:
    code, error = extract(drawn, tmp_path, "--on", "moon")
    assert (code, error) == (1, "Error: --on moon: no such place; give local, ray, ray:ADDRESS, slurm or slurm:local\n")


def test_deep_verification_passes_what_the_video_gives_and_finds_what_it_does_not(
    drawn: Path, tmp_path: Path, here: dict[str, bytes]
) -> None:
    for name, content in here.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    code, out, _ = run("cache", "verify", tmp_path / "s", "--deep", "--data", drawn, "--chunks", 1, "--json")
    assert (code, json.loads(out)["n_deep_rows"]) == (0, 3 * 250)
    code, out, _ = run("cache", "verify", tmp_path / "s", "--deep", "--data", drawn, "--weights", "random:5")
    assert code == 1 and out.count("made with other weights than --weights random:5; give those") == 3
    for parent, dim in (("s", 8), ("s-pca8", 4)):
        code, _, told = run("cache", "pca", tmp_path / parent, "--dim", dim, "--data", drawn)
        assert code == 0, told
    code, out, _ = run("cache", "verify", tmp_path / "s-pca8-pca4", "--deep", "--data", drawn, "--chunks", 1)
    assert code == 1
    assert out.count("components of components; verify the set that they were made from") == 3
    # The features of one match in the place and under the name of another: sound as a file, wrong for the video.
    from ballspot.cache.stores.layout import Block
    from ballspot.cache.stores.store import FeatureStore, write_store

    first, second = (tmp_path / f"s/synth/drawn/match-0{number}.h5" for number in (1, 2))
    with FeatureStore.open(first) as wrong, FeatureStore.open(second) as right:
        block, header = Block(wrong.frame_index, {"original": wrong.read()}), right.header
    write_store(second, header=header, blocks=[block])
    code, out, _ = run("cache", "verify", tmp_path / "s", "--deep", "--data", drawn, "--chunks", 1)
    assert code == 1
    assert "match-02.h5: features differ from the video's" in out and "match-01.h5: ok" in out
