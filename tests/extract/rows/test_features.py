"""Richer stores: grids, layers, views, number types, components."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch

from ballspot.cache.errors import BallspotError
from ballspot.cache.stores.layout import Block
from ballspot.cache.stores.sets import open_feature_set
from ballspot.cache.stores.store import FeatureStore, write_store
from ballspot.extract.backbone.load import load_backbone
from ballspot.extract.backbone.spec import BackboneSpec
from ballspot.extract.rows import pca
from ballspot.extract.rows.pca import Components, fit_components, load_components, project_set

from ...commands import run

CPU = torch.device("cpu")
SIZE = (64, 96)
MATCH = "synth/drawn/match-01"


@pytest.fixture(scope="module")
def extracted(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sets of three short matches: f16 (with the mirrored view), f32, i8."""
    out = tmp_path_factory.mktemp("sets")
    words = ("extract", drawn, "--out", out, "--weights", "random", "--size", "64x96", "--workers", 1, "--stride", 2)
    assert run(*words, "--set", "f16", "--views", "original,hflip")[0] == 0
    assert run(*words, "--set", "f32", "--dtype", "float32")[0] == 0
    assert run(*words, "--set", "i8", "--dtype", "int8")[0] == 0
    return out


def rows(extracted: Path, name: str, view: str = "original") -> np.ndarray:
    with open_feature_set(extracted / name).open(MATCH) as store:
        return store.read(view=view)


def test_cells_of_a_grid_average_to_the_plain_feature() -> None:
    # 64 x 96 pixels leave a map of 2 x 3 at stride 32: cells of one row and three columns divide it evenly.
    images = torch.rand(2, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    plain = load_backbone(BackboneSpec("regnety_002", "random", SIZE), CPU)
    cells = load_backbone(BackboneSpec("regnety_002", "random", SIZE, grid=(2, 3)), CPU)
    assert (plain.dim, cells.dim) == (368, 6 * 368)
    with torch.inference_mode():
        whole, parts = plain.model(images), cells.model(images).view(2, 6, 368)
    torch.testing.assert_close(parts.mean(1), whole, rtol=1e-4, atol=1e-5)
    assert cells.features(stride=1).grid == (2, 3)


def test_layers_are_averages_of_the_models_own_maps_in_the_order_asked_for() -> None:
    images = torch.rand(2, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    backbone = load_backbone(BackboneSpec("regnety_002", "random", SIZE, layers=("s4", "s2")), CPU)
    assert backbone.dim == 368 + 56  # regnety_002 has stages of 24, 56, 152 and 368 channels
    model = timm.create_model("regnety_002", features_only=True, out_indices=(2, 4)).eval()
    shapes = [info["num_chs"] for info in model.feature_info.get_dicts()]
    plain = load_backbone(BackboneSpec("regnety_002", "random", SIZE), CPU)
    with torch.inference_mode():
        features = backbone.model(images)
        torch.testing.assert_close(features[:, :368], plain.model(images), rtol=1e-4, atol=1e-5)
    assert 56 in shapes and features.shape == (2, 424)


def test_a_layer_that_is_none_is_named_with_the_nearest() -> None:
    with pytest.raises(BallspotError, match="--layers s5: regnety_002 has no such layer; did you mean s"):
        load_backbone(BackboneSpec("regnety_002", "random", SIZE, layers=("s5",)), CPU)


def test_number_types_lose_no_more_than_is_said(extracted: Path) -> None:
    exact = rows(extracted, "f32")
    assert exact.dtype == np.float32
    assert np.abs(rows(extracted, "f16") - exact).max() <= 2**-11 * np.abs(exact).max()
    step = (exact.max(axis=0) - exact.min(axis=0)) / 254
    assert (np.abs(rows(extracted, "i8") - exact) <= 0.51 * step + 1e-6).all()
    sizes = {name: (extracted / name / f"{MATCH}.h5").stat().st_size for name in ("f16", "f32", "i8")}
    assert 3.5 * sizes["i8"] < sizes["f32"] + 40_000 and sizes["f16"] < 1.1 * sizes["f32"]  # f16 has two views


def test_a_mirrored_view_is_stored_beside_the_original(extracted: Path) -> None:
    original, mirrored = rows(extracted, "f16"), rows(extracted, "f16", "hflip")
    assert original.shape == mirrored.shape
    assert not np.array_equal(original, mirrored)
    assert len({open_feature_set(extracted / name).fingerprint for name in ("f16", "f32", "i8")}) == 3


def test_components_are_fitted_on_the_training_matches_and_applied_to_all(extracted: Path, drawn: Path) -> None:
    code, out, error = run("cache", "pca", extracted / "f16", "--dim", 5, "--data", drawn)
    assert code == 0, error
    assert out.splitlines()[-1] == f"feature set: {extracted / 'f16-pca5'}"
    made = open_feature_set(extracted / "f16-pca5")
    parent = open_feature_set(extracted / "f16")
    fit = load_components(extracted / "f16-pca5" / "pca.safetensors")
    assert fit.fitted_on == ("synth/drawn/match-01",)  # splits.toml: one each for training, validation and test
    with made.open(MATCH) as store, parent.open(MATCH) as whole:
        assert (store.dim, store.views) == (5, ("original", "hflip"))
        assert store.spec.pca.parent == parent.fingerprint != made.fingerprint
        given = whole.read().astype(np.float64)
        # By singular values of the centred training rows, written out anew.
        _, _, directions = np.linalg.svd(given - given.mean(axis=0), full_matrices=False)
        expected = np.abs((given - given.mean(axis=0)) @ directions[:5].T)
        np.testing.assert_allclose(np.abs(store.read()), expected, atol=0.02 * expected.max())
    code, _, _ = run(
        "cache", "pca", extracted / "f16", "--fit", extracted / "f16-pca5/pca.safetensors", "--set", "again"
    )
    assert code == 0
    assert open_feature_set(extracted / "again").fingerprint == made.fingerprint
    assert run("cache", "verify", extracted / "again")[0] == 0
    words = ("cache", "verify", extracted / "again", "--deep", "--data", drawn, "--chunks", 1)
    assert run(*words)[0] == 0  # extracted again, in the same components
    (extracted / "again" / "pca.safetensors").unlink()
    code, out, _ = run(*words)
    assert code == 1 and out.count("no such file; give the pca.safetensors of a set") == 3


def test_a_set_cannot_be_removed_while_components_are_made_in_it(
    extracted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, told = open_feature_set(extracted / "f32"), []
    with whole.open(MATCH) as store:
        fit = Components(np.zeros(store.dim, np.float32), np.ones((2, store.dim), np.float32), np.ones(2, np.float32))

    def write(path: Path, **given: object) -> None:
        write_store(path, **given)  # the next store's temporary file is not there yet
        told.append(run("cache", "remove", tmp_path / "small", "--yes"))

    monkeypatch.setattr(pca, "write_store", write)
    project_set(whole, fit, tmp_path / "small")
    assert len(told) == 3 and all(code == 1 and "another process is at work here" in error for code, _, error in told)
    assert run("cache", "remove", tmp_path / "small", "--yes")[0] == 0


def test_deep_verification_tells_another_video_of_the_same_size(extracted: Path, drawn: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(drawn, tmp_path / "data")
    video = tmp_path / "data" / MATCH / "64p.mp4"
    content = bytearray(video.read_bytes())
    content[-5] ^= 1
    video.write_bytes(content)
    code, out, _ = run("cache", "verify", extracted / "f32", "--deep", "--data", tmp_path / "data", "--chunks", 1)
    assert code == 1 and out.count(": ok") == 2
    assert f"match-01.h5: {video} is another video than the one it was made from: their SHA-256 differ" in out


@pytest.mark.parametrize(("kind", "code"), [("float32", 1), ("float16 autocast", 0)])
def test_float32_stores_of_half_precision_are_held_to_that(
    extracted: Path, drawn: Path, tmp_path: Path, kind: str, code: int
) -> None:
    with open_feature_set(extracted / "f32").open(MATCH) as store:
        header = replace(store.header, engine=f"torch 2.8.0 cuda {kind} batch 8")
        rounded = store.read().astype(np.float16).astype(np.float32)
        block = Block(store.frame_index, {"original": rounded})
    write_store(tmp_path / "s" / f"{MATCH}.h5", header=header, blocks=[block])
    found, out, _ = run("cache", "verify", tmp_path / "s", "--deep", "--data", drawn, "--chunks", 1)
    assert found == code, out


def test_too_many_components_are_refused(extracted: Path) -> None:
    with pytest.raises(BallspotError, match="--dim 400: must be at most 368"):
        fit_components(open_feature_set(extracted / "f32"), [MATCH], dim=400)


def test_remove_takes_stores_and_empty_folders_and_nothing_else(extracted: Path, tmp_path: Path) -> None:
    place = tmp_path / "features" / "f32" / f"{MATCH}.h5"
    place.parent.mkdir(parents=True)
    place.write_bytes((extracted / "f32" / f"{MATCH}.h5").read_bytes())
    (tmp_path / "features" / "notes.txt").write_text("mine")
    code, out, _ = run("cache", "remove", tmp_path / "features", "--yes")
    assert code == 0 and out.startswith("removed 1 files")
    assert [path.name for path in tmp_path.rglob("*")] == ["features", "notes.txt"]
    code, _, error = run("cache", "remove", tmp_path / "features", "--yes")
    assert code == 1 and "no feature store there" in error


def test_a_damaged_frame_is_an_error_or_is_substituted_and_recorded(drawn: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(drawn, tmp_path / "data")
    video = tmp_path / "data" / MATCH / "64p.mp4"
    content = bytearray(video.read_bytes())
    content[len(content) // 2] ^= 255
    video.write_bytes(bytes(content))
    words = ("extract", tmp_path / "data", "--out", tmp_path, "--set", "s", "--weights", "random", "--size", "64x96")
    words += ("--workers", 1, "--match", MATCH)
    code, _, error = run(*words)
    assert code == 1 and "damaged" in error.splitlines()[-1]
    assert not list(tmp_path.rglob("*.part"))
    code, _, error = run(*words, "--on-bad-frame", "substitute")
    assert code == 0, error
    with FeatureStore.open(tmp_path / "s" / f"{MATCH}.h5") as store:
        bad = store.substituted
        assert 0 < len(bad) < 30 and store.n_rows == 250
        features = store.read()
    for frame in bad:  # the row of the last good frame before it, computed again
        good = max(k for k in range(250) if k < frame and k not in set(bad.tolist()))
        np.testing.assert_array_equal(features[frame], features[good])


def test_a_model_that_lays_channels_last_is_pooled_over_its_places() -> None:
    name, size = "swin_tiny_patch4_window7_224", (224, 224)
    plain = load_backbone(BackboneSpec(name, "random", size), CPU)
    cells = load_backbone(BackboneSpec(name, "random", size, grid=(1, 7)), CPU)
    assert (plain.dim, cells.dim) == (768, 7 * 768)
    images = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():  # the mean over cells of equal size is the mean over the picture
        torch.testing.assert_close(cells.model(images).view(1, 7, 768).mean(1), plain.model(images))


@pytest.mark.parametrize(
    ("name", "layers", "grid", "message"),
    [
        ("regnety_002", ("pooled",), (2, 4), "--grid 2x4: the map of layer 'pooled' has 2x3 cells at 64x96 pixels"),
        ("regnety_002", ("s2", "s4"), (3, 3), "--grid 3x3: the map of layer 's4' has 2x3 cells at 64x96 pixels"),
    ],
)
def test_cells_that_a_backbone_cannot_give_are_refused(
    name: str, layers: tuple[str, ...], grid: tuple[int, int], message: str
) -> None:
    with pytest.raises(BallspotError, match=message):
        load_backbone(BackboneSpec(name, "random", SIZE, layers=layers, grid=grid), CPU)
