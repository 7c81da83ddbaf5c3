"""The features of a run, found again: what is guessed, what is refused, and what the user is to bring back."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ballspot.cache.errors import BallspotError
from ballspot.cache.runs import RunFolder
from ballspot.cache.stores import Block, FeatureStore, StoreHeader, write_store
from ballspot.extract.backbone import RUN_BACKBONE, load_model, own_settings, weights_digest
from ballspot.extract.backbone.foreign import Settled, save_backbone
from ballspot.extract.backbone.spec import BackboneSpec
from ballspot.extract.rows import FIT_FILE, BundledFeatures, load_components, save_components
from ballspot.temporal.bundle.run_features import _weights_now, features_of_run, sets_of_run
from ballspot.temporal.heads.checkpoints import read_checkpoint

MATCH = "synth/drawn/match-01"
SIZE = (32, 48)


def digest_of(weights: str) -> str:
    return weights_digest(load_model(BackboneSpec("resnet10t", weights, SIZE)).model.state_dict())


@pytest.fixture(scope="module")
def header(shared) -> StoreHeader:
    """That of a store as extractions wrote it before they said what their weights were."""
    with FeatureStore.open(shared.plain / f"{MATCH}.h5") as store:
        spec = store.spec.model_copy(
            update={"backbone": "resnet10t", "size": SIZE, "weights_sha256": digest_of("random")}
        )
        return replace(store.header, spec=spec, weights="", n_rows=4, n_video_frames=4)


def features_of(header: StoreHeader, folder: Path, *, with_backbone: bool | None = None) -> BundledFeatures:
    """What a run on a set of this store has for features; nothing but the set tells."""
    rows = np.ones((header.n_rows, header.dim), header.row_dtype)
    write_store(
        folder / "set" / f"{MATCH}.h5", header=header, blocks=[Block(np.arange(header.n_rows), {"original": rows})]
    )
    run, wanted = RunFolder(folder / "run"), header.fingerprint
    return features_of_run(run, {}, wanted, sets=[folder / "set"], with_backbone=with_backbone)[0]


def test_weights_that_a_store_does_not_name_are_guessed_by_their_digest(header, tmp_path) -> None:
    found = features_of(header, tmp_path)
    assert (found.origin, found.origin_name) == ("random", "0") and found.weights


def test_weights_that_nobody_knows_stay_behind_and_are_refused_where_they_are_wanted(header, tmp_path) -> None:
    other = replace(header, spec=header.spec.model_copy(update={"weights_sha256": "0" * 64}))
    found = features_of(other, tmp_path)
    assert (found.origin, found.origin_name, found.weights) == ("unknown", "unknown", None)
    shutil.rmtree(tmp_path / "set")
    with pytest.raises(BallspotError, match=r"match-01.h5: does not say its backbone's weights.*--without-backbone"):
        features_of(other, tmp_path, with_backbone=True)


def test_weights_of_another_digest_than_the_features_are_refused_with_both(header, tmp_path) -> None:
    wanted, found = digest_of("random")[:12], digest_of("random:1")[:12]
    with pytest.raises(
        BallspotError, match=rf"random:1: weights of digest {found}, .* made with {wanted}; bring those"
    ):
        features_of(replace(header, weights="random:1"), tmp_path)


def test_a_damaged_file_where_moved_weights_might_be_is_not_taken(header, tmp_path) -> None:
    said = "/before/project/weights/w.pt"
    for folder in (tmp_path / "weights", tmp_path / "project" / "weights"):
        folder.mkdir(parents=True)
        (folder / "w.pt").write_bytes(b"no weights")
    (tmp_path / "project" / "features").mkdir()
    assert _weights_now(header.spec, said, [tmp_path / "project" / "features"]) == said


@pytest.fixture
def components(shared, tmp_path) -> Iterator[Path]:
    """A copy of a set of components, of one match."""
    place = tmp_path / "moved" / "components"
    (place / MATCH).parent.mkdir(parents=True)
    for name in (f"{MATCH}.h5", FIT_FILE):
        shutil.copy(shared.components / name, place / name)
    yield place


def test_components_that_are_gone_or_others_are_asked_for(components, tmp_path) -> None:
    with FeatureStore.open(components / f"{MATCH}.h5") as store:
        wanted = store.fingerprint

    def found() -> BundledFeatures:
        return features_of_run(RunFolder(tmp_path / "run"), {}, wanted, sets=[components])[0]

    fit = load_components(components / FIT_FILE)
    assert found().components is not None
    save_components(replace(fit, mean=fit.mean + 1), components / FIT_FILE)
    with pytest.raises(
        BallspotError, match=rf"{FIT_FILE}: is not the fit that the features were made with; bring that"
    ):
        found()
    (components / FIT_FILE).unlink()
    with pytest.raises(BallspotError, match=rf"{FIT_FILE} is gone; bring it back, or export with --without-backbone"):
        found()
    only = features_of_run(RunFolder(tmp_path / "run"), {}, wanted, sets=[components], with_backbone=False)[0]
    assert only.components is None and only.fingerprint == wanted


def test_a_record_that_is_too_short_to_name_a_set_is_passed_over(shared, tmp_path) -> None:
    run = tmp_path / "run"
    shutil.copytree(shared.plain_run, run)
    folder = RunFolder(run)
    record, wanted = folder.record(), read_checkpoint(run / "best.safetensors").description.features_fingerprint
    files = {"a/b/c/d": "x.h5", **record["features"]["files"]}
    record = {**record, "features": {**record["features"], "files": files}}
    assert features_of_run(folder, record, wanted)[0].fingerprint == wanted
    record["features"]["files"] = {"a/b/c/d": "x.h5"}
    with pytest.raises(BallspotError, match=r"run.json: does not say its feature set; give --features FOLDER"):
        features_of_run(folder, record, wanted)
    assert sets_of_run(folder, wanted) == (shared.plain,)


def test_a_fine_tuned_backbone_that_the_head_was_not_trained_with_is_told(tmp_path) -> None:
    path = tmp_path / RUN_BACKBONE
    state = load_model(BackboneSpec("resnet10t", "random", SIZE)).model.state_dict()
    save_backbone(path, state, Settled("resnet10t", SIZE, 2))
    assert own_settings(path) is not None
    with pytest.raises(
        BallspotError, match=rf"{RUN_BACKBONE}: gives features of fingerprint \w{{12}}, the head reads 0000"
    ):
        features_of_run(RunFolder(tmp_path), {}, "0" * 64)


def test_a_fine_tuned_backbone_without_its_settings_is_told(tmp_path) -> None:
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, tmp_path / RUN_BACKBONE)
    with pytest.raises(BallspotError, match=rf"{RUN_BACKBONE}: does not say how it is extracted with; fine-tune again"):
        features_of_run(RunFolder(tmp_path), {}, "0" * 64)
