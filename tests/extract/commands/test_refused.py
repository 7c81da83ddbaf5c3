"""Options that do not go together and folders that cannot be written: one line, and nothing is left behind."""

import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from ballspot.cache.errors import BallspotError
from ballspot.cache.stores import Block, FeatureSpec, FeatureStore, StoreHeader, open_feature_set, write_store
from ballspot.cli import main
from ballspot.evaluate.dataset.labelsets import load_label_set
from ballspot.evaluate.dataset.matches import Match
from ballspot.extract.backbone import BackboneSpec
from ballspot.extract.data_root import init as roots
from ballspot.extract.data_root.stats import match_stats
from ballspot.extract.rows import plans
from ballspot.extract.rows.job import Recipe
from ballspot.extract.rows.pca import Components, fit_components, load_components, project_set, save_components

from ..barcoded import variable_rate


def ballspot(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture
def features(tmp_path: Path) -> Path:
    """A set of one match: eight rows of four numbers."""
    rows = np.random.default_rng(0).standard_normal((8, 4)).astype(np.float16)
    header = StoreHeader("m", Fraction(25), 8, 8, 4, FeatureSpec.read({"made": "here"}))
    path = tmp_path / "features" / "set"
    write_store(path / "m.h5", header=header, blocks=[Block(np.arange(8), {"original": rows})])
    return path


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["cache", "verify", "{set}", "--deep"], "--deep needs --data, the data root of the videos"),
        (["cache", "pca", "{set}"], "give --dim and --data to fit, or --fit FILE to apply a fit"),
        (["cache", "pca", "{set}", "--dim", "2"], "give --dim and --data to fit, or --fit FILE to apply a fit"),
        (["data", "check", "{set}", "--decode", "--no-video"], "--decode reads videos; give it without --no-video"),
        (
            ["init", "{set}", "--out", "{out}", "--labels", "ball-12", "--classes", "A"],
            "--labels and --classes excl",
        ),
    ],
)
def test_options_that_do_not_go_together_are_usage_errors(
    words: list[str], said: str, features: Path, tmp_path: Path
) -> None:
    done = ballspot(*(word.format(set=features, out=tmp_path / "out") for word in words))
    assert done.exit_code == 2 and said in " ".join(done.stderr.split()), done.stderr
    assert not (tmp_path / "out").exists()


def test_classes_without_a_name_name_no_class(features: Path, tmp_path: Path) -> None:
    done = ballspot("init", features, "--out", tmp_path / "out", "--classes", " , ")
    assert done.exit_code == 1 and "--classes ' , ': names no class" in done.stderr


def test_arrays_of_several_kinds_do_not_come_into_one_set(tmp_path: Path) -> None:
    for kind in ("a", "b"):
        (tmp_path / "in" / f"m-{kind}").mkdir(parents=True)
        np.save(tmp_path / "in" / f"m-{kind}" / f"1_{kind}.npy", np.zeros((3, 2), np.float32))
    done = ballspot("cache", "import", tmp_path / "in", "--out", tmp_path / "out", "--fps", 25)
    assert done.exit_code == 1
    assert f"{tmp_path / 'in'}: holds features of several kinds (a, b); give a folder of one" in done.stderr
    assert not (tmp_path / "out").exists()


def fit_of(dim: int = 4, n: int = 2) -> Components:
    return Components(np.zeros(dim, np.float32), np.eye(n, dim, dtype=np.float32), np.full(n, 0.5, np.float32))


def test_components_are_not_made_in_the_place_of_their_features(features: Path, tmp_path: Path) -> None:
    save_components(fit_of(), tmp_path / "pca.safetensors")
    done = ballspot("cache", "pca", features, "--fit", tmp_path / "pca.safetensors", "--set", "set")
    assert done.exit_code == 1 and "--set set: is FEATURES itself; choose another name" in done.stderr
    assert [path.name for path in features.iterdir()] == ["m.h5"]


def test_more_components_than_rows_cannot_be_fitted(features: Path) -> None:
    with FeatureStore.open(features / "m.h5") as store:
        wide = replace(store.header, dim=16)
    rows = np.ones((8, 16), np.float16)
    (features / "m.h5").unlink()
    write_store(features / "m.h5", header=wide, blocks=[Block(np.arange(8), {"original": rows})])
    with pytest.raises(BallspotError, match="--dim 9: the 1 training matches have 8 rows only; give fewer"):
        fit_components(open_feature_set(features), ["m"], dim=9)


def test_a_fit_that_is_not_of_the_features_is_refused_before_a_folder_is_made(features: Path, tmp_path: Path) -> None:
    with pytest.raises(BallspotError, match=r"m.h5: 4 features, the fit is of 5"):
        project_set(open_feature_set(features), fit_of(5), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (path,) = project_set(open_feature_set(features), fit_of(), tmp_path / "out")
    content = path.read_bytes()
    assert project_set(open_feature_set(features), fit_of(), tmp_path / "out") == [path]
    with pytest.raises(BallspotError, match=r"out/m.h5: made with another fit or parent; give another --set"):
        project_set(open_feature_set(features), fit_of(n=3), tmp_path / "out")
    assert path.read_bytes() == content


def test_components_too_large_for_float16_name_the_rows(features: Path, tmp_path: Path) -> None:
    large = replace(fit_of(), components=fit_of().components * np.float32(1e9))
    with pytest.raises(BallspotError, match=r"m.h5: a component of frame 0 or the next 7 does not fit float16"):
        project_set(open_feature_set(features), large, tmp_path / "out")
    assert not list((tmp_path / "out").glob("*.h5"))


@pytest.mark.parametrize("part", ["mean", "components", "share"])
def test_a_fit_of_numbers_that_are_none_is_no_fit(part: str, tmp_path: Path) -> None:
    bad: dict[str, Any] = {part: getattr(fit_of(), part) * np.float32("nan")}
    save_components(replace(fit_of(), **bad), tmp_path / "pca.safetensors")
    with pytest.raises(BallspotError, match=r"pca.safetensors: not a fit of components; give the pca.safetensors"):
        load_components(tmp_path / "pca.safetensors")


def test_a_root_that_cannot_be_written_is_told_and_leaves_nothing(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "loose").mkdir()
    shutil.copy(video, tmp_path / "loose" / "a.mp4")

    def full(texts: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(roots, "write_texts", full)
    done = ballspot("init", tmp_path / "loose", "--out", tmp_path / "root")
    assert done.exit_code == 1
    assert f"{tmp_path / 'root'}: cannot be made (No space left on device); free space, or choose ano" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["loose"]


def test_what_a_user_should_know_of_a_video_is_said_with_its_plan(tmp_path: Path, video: Path) -> None:
    job = Recipe(BackboneSpec("resnet10t", "random", (32, 48))).job()
    with pytest.raises(BallspotError, match=r"match 'm' has no video.*; put one there or leave it out"):
        plans.plan_match(Match("m", tmp_path, None, None), tmp_path / "m.h5", job)
    with pytest.raises(BallspotError, match=r"match 'm' has no video; put one there or remove the folder"):
        match_stats(Match("m", tmp_path, None, None), load_label_set("ball-12"))
    uneven = variable_rate(tmp_path / "uneven.mp4")
    plan = plans.plan_match(Match("m", tmp_path, uneven, None), tmp_path / "m.h5", job)
    assert "the store gets its frames' times (`frame_time_us`)" in plan.remarks
    plan = plans.plan_match(Match("m", tmp_path, video, None), tmp_path / "m.h5", job)
    assert plan.remarks == ()


def test_frames_that_a_container_announces_and_lacks_are_told(
    tmp_path: Path, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe = plans.probe_video(video)
    monkeypatch.setattr(plans, "probe_video", lambda path, image_fps: replace(probe, n_container_frames=260))
    job = Recipe(BackboneSpec("resnet10t", "random", (32, 48))).job()
    plan = plans.plan_match(Match("m", tmp_path, video, None), tmp_path / "m.h5", job)
    assert plan.remarks == ("10 frames that 64p.mp4 announces are not in it; was it cut short?",)
