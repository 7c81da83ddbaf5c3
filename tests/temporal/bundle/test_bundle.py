"""A bundle predicts what its run predicts, wherever it is, and makes the features that the run was trained on."""

import json
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ballspot.cache.errors import BallspotError
from ballspot.cache.stores.journal import Segment
from ballspot.cache.stores.store import FeatureStore
from ballspot.extract.backbone.load import load_model
from ballspot.extract.backbone.spec import BackboneSpec
from ballspot.extract.rows.recipe import BundledFeatures
from ballspot.extract.rows.segments import SegmentRunner
from ballspot.extract.video.probe import probe_video
from ballspot.temporal.bundle.bundle import bundle_of, load_bundle, save_bundle, without_backbone, write_bundle
from ballspot.temporal.decoding.postprocessing import ClassDecoding, write_postprocessing
from ballspot.temporal.decoding.scores import read_scores
from ballspot.temporal.heads.checkpoints import read_checkpoint, write_checkpoint

from ...commands import ballspot, done

CPU = torch.device("cpu")
N_ROWS = 64


@dataclass(frozen=True)
class Files:
    plain: Path
    components: Path


@pytest.fixture(scope="module")
def files(shared, tmp_path_factory) -> Files:
    root = tmp_path_factory.mktemp("bundles")
    done("export", shared.plain_run, "--format", "bundle", "--out", root / "plain.ballspot")
    done("export", shared.components_runs, "--format", "bundle", "--out", root / "components.ballspot")
    return Files(root / "plain.ballspot", root / "components.ballspot")


@pytest.mark.parametrize("kind", ["plain", "components"])
def test_a_bundle_predicts_what_its_run_does_without_the_run(shared, files, tmp_path, kind):
    """The one seed's head, or the mean of two; the bundle is alone in its folder with a copy of the features."""
    run, features = {
        "plain": (shared.plain_run, shared.plain),
        "components": (shared.components_runs, shared.components),
    }[kind]
    moved = tmp_path / "elsewhere" / "given.ballspot"
    moved.parent.mkdir()
    shutil.copy(getattr(files, kind), moved)
    shutil.copytree(features, tmp_path / "features")
    words = ("--data", shared.data, "--split", "all", "--device", "cpu")
    done("predict", moved, tmp_path / "features", *words, "--out", tmp_path / "ours")
    done("predict", run, features, *words, "--out", tmp_path / "theirs")
    ours = sorted((tmp_path / "ours").rglob("scores.npz"))
    assert len(ours) == 3
    for path in ours:
        other = tmp_path / "theirs" / path.relative_to(tmp_path / "ours")
        np.testing.assert_allclose(read_scores(path).scores, read_scores(other).scores, atol=1e-6)
        spots = path.with_name("results_spotting.json")
        assert spots.read_bytes() == other.with_name("results_spotting.json").read_bytes()


def test_equal_runs_give_equal_bytes_and_reading_and_writing_again_changes_none(shared, files, tmp_path):
    write_bundle([shared.components_runs], out=tmp_path / "again.ballspot")
    save_bundle(load_bundle(files.components), tmp_path / "through.ballspot")
    written = files.components.read_bytes()
    assert (tmp_path / "again.ballspot").read_bytes() == written
    assert (tmp_path / "through.ballspot").read_bytes() == written


def first_rows(features: BundledFeatures, video: Path, **how: str) -> np.ndarray:
    with SegmentRunner(features.job(device=CPU, **how)) as runner:
        runner.open(probe_video(video), "pyav")
        blocks = list(runner.rows(Segment(0, N_ROWS), match="drawn"))
    return features.project(np.concatenate([block.features["original"] for block in blocks]))


@pytest.mark.parametrize("kind", ["plain", "components"])
def test_a_bundle_makes_the_features_of_the_stores_from_the_video(shared, files, video, kind):
    """The plain ones to the bit; components in other batches than a whole match's, so to a last bit of float16."""
    features = load_bundle(getattr(files, kind)).features[0]
    with FeatureStore.open(getattr(shared, kind) / "synth" / "drawn" / "match-01.h5") as store:
        stored = store.read(0, N_ROWS)
        assert features.fingerprint == store.fingerprint
    made = first_rows(features, video)
    assert made.dtype == stored.dtype
    np.testing.assert_allclose(made, stored, rtol=0 if kind == "plain" else 2e-3, atol=0 if kind == "plain" else 1e-5)


def test_weights_that_can_be_made_again_need_not_be_held(shared, files, tmp_path, video):
    out = tmp_path / "light.ballspot"
    result = done("export", shared.plain_run, "--format", "bundle", "--out", out, "--without-backbone")
    assert "are not in it" in result.stderr
    assert out.stat().st_size < files.plain.stat().st_size / 10
    light = load_bundle(out).features[0]
    assert (light.weights, light.origin, light.origin_name) == (None, "random", "3")
    assert np.array_equal(first_rows(light, video), first_rows(load_bundle(files.plain).features[0], video))
    with pytest.raises(BallspotError, match=r"random:4: weights of digest \w{12}, the features were made with \w{12}"):
        light.backbone(device=CPU, weights="random:4")


def test_weights_of_a_file_are_named_by_file_and_digest_and_taken_only_if_they_are_those(files, tmp_path, video):
    whole = load_bundle(files.plain)
    made = whole.features[0]
    of_file = replace(made, origin="file", origin_name="mine.safetensors")
    save_bundle(without_backbone(replace(whole, features=(of_file,))), tmp_path / "a.ballspot")
    light = load_bundle(tmp_path / "a.ballspot").features[0]
    with pytest.raises(BallspotError, match=rf"the file 'mine.safetensors' \(digest {made.spec.weights_sha256[:12]}\)"):
        light.backbone(device=CPU)
    right, wrong = tmp_path / "right.safetensors", tmp_path / "wrong.safetensors"
    state = load_model(BackboneSpec("regnety_002", "random:3", (64, 96))).model.state_dict()
    save_file(state, right)
    save_file(load_model(BackboneSpec("regnety_002", "random:4", (64, 96))).model.state_dict(), wrong)
    assert np.array_equal(first_rows(light, video, weights=str(right)), first_rows(made, video))
    with pytest.raises(BallspotError, match="give those with --weights"):
        light.backbone(device=CPU, weights=str(wrong))


def test_extracted_features_say_where_weights_of_a_file_are_or_nothing(files, tmp_path):
    """A bundle that holds the weights of a file does not know where that file is."""
    (made,) = load_bundle(files.plain).features
    of_file = replace(made, origin="file", origin_name="mine.safetensors")
    said = [one.job(device=CPU).backbone.spec.weights for one in (made, of_file)]
    assert said == ["random:3", ""]
    path = tmp_path / "mine.safetensors"
    save_file(dict(made.weights or {}), path)
    assert of_file.job(device=CPU, weights=os.path.relpath(path)).backbone.spec.weights == str(path.resolve())


def test_a_file_of_others_is_held_only_on_demand_and_its_loss_is_told(shared, tmp_path):
    """A run on features of a weights file: the stores say where it lay."""
    state = load_model(BackboneSpec("regnety_002", "random:5", (64, 96))).model.state_dict()
    lay = tmp_path / "theirs.safetensors"
    save_file(state, lay)
    extract = ("extract", shared.data, "--out", tmp_path, "--set", "f", "--size", "64x96", "--workers", 1)
    done(*extract, "--weights", lay, "--backbone", "regnety_002", "--match", "synth/drawn/match-01")
    features = tmp_path / "f"
    with FeatureStore.open(features / "synth" / "drawn" / "match-01.h5") as store:
        wanted = store.fingerprint
    run = tmp_path / "run"
    shutil.copytree(shared.plain_run, run)
    kept = read_checkpoint(run / "best.safetensors")
    described = replace(kept.description, features_fingerprint=wanted)
    head = kept.load("cpu")
    write_checkpoint(
        run / "best.safetensors", description=described, head=head, progress=kept.progress, scaling=kept.scaling
    )
    light = bundle_of([run], features=[features]).features[0]
    assert (light.weights, light.origin, light.origin_name) == (None, "file", "theirs.safetensors")
    assert bundle_of([run], features=[features], with_backbone=True).features[0].weights is not None
    lay.unlink()
    with pytest.raises(BallspotError, match=r"no such file.*digest \w{12}.*--without-backbone"):
        bundle_of([run], features=[features], with_backbone=True)


def test_a_bundle_holds_any_seed_that_training_takes(files, tmp_path):
    largest = replace(load_bundle(files.plain), seeds=(2**63 - 1,))
    save_bundle(largest, tmp_path / "a.ballspot")
    assert load_bundle(tmp_path / "a.ballspot").seeds == (2**63 - 1,)
    with pytest.raises(BallspotError, match=r"b\.ballspot: no bundle can hold its heads\.0\.seed: .* less than"):
        save_bundle(replace(largest, seeds=(2**63,)), tmp_path / "b.ballspot")


@pytest.mark.parametrize("form", ["bundle", "card"])
@pytest.mark.parametrize(("name", "value"), [("fps", None), ("per_class", {"PASS": {"ap": 0.5}}), ("split", "dev")])
def test_metrics_that_were_damaged_are_told_in_one_line(shared, tmp_path, form, name, value):
    run = tmp_path / "run"
    shutil.copytree(shared.plain_run, run)
    metrics = json.loads((run / "metrics.json").read_text())
    (run / "metrics.json").write_text(json.dumps({**metrics, name: value}))
    result = ballspot("export", run, "--format", form, "--out", tmp_path / "out")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert f"metrics.json: lacks or garbles {name}" in result.stderr


def test_features_of_another_kind_are_refused(shared, files, tmp_path):
    result = ballspot(
        "predict", files.plain, shared.components, "--data", shared.data, "--split", "all", "--out", tmp_path / "out"
    )
    assert result.exit_code == 1
    assert "is not the run's" in result.stderr
    with pytest.raises(BallspotError, match="is not the run's"):
        bundle_of([shared.plain_run], features=[shared.components])
    with pytest.raises(BallspotError, match="trained on other features"):
        bundle_of([shared.plain_run, shared.components_runs])


def test_tuned_post_processing_travels_and_decides_the_spots(shared, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(shared.plain_run, run)
    labels = bundle_of([run]).label_set.labels
    write_postprocessing(run / "tuned.json", {label: ClassDecoding("hard", 1.2) for label in labels}, made_from={})
    done("export", run, "--format", "bundle", "--out", tmp_path / "tuned.ballspot")
    words = (shared.plain, "--data", shared.data, "--split", "test", "--device", "cpu")
    done("predict", tmp_path / "tuned.ballspot", *words, "--out", tmp_path / "ours")
    done("predict", run, *words, "--tuned", run / "tuned.json", "--out", tmp_path / "theirs")
    done("predict", run, *words, "--out", tmp_path / "plain")
    ours, theirs, plain = (
        next((tmp_path / name).rglob("results_spotting.json")).read_bytes() for name in ("ours", "theirs", "plain")
    )
    assert ours == theirs != plain


def test_stores_that_are_not_found_leave_a_bundle_without_them_where_that_is_asked_for(shared, tmp_path, monkeypatch):
    sets = tmp_path / "moved"
    shutil.copytree(shared.plain, sets)
    hidden = shared.plain.with_name("hidden")
    shared.plain.rename(hidden)
    try:
        words = ("export", shared.plain_run, "--format", "bundle", "--out", tmp_path / "a.ballspot")
        refused = ballspot(*words)
        assert (refused.exit_code, refused.stderr.count("\n")) == (1, 1)
        assert f"looked at {shared.plain}" in refused.stderr
        assert "give --features FOLDER, or --without-backbone" in refused.stderr
        result = done(*words, "--without-backbone")
        assert "predicts from features, not from video" in result.stderr
        asked = ballspot("export", shared.plain_run, "--format", "bundle", "--out", tmp_path / "b", "--with-backbone")
        assert (asked.exit_code, asked.stderr.count("\n")) == (1, 1)
        assert "--features FOLDER" in asked.stderr
        words = ("--data", shared.data, "--split", "test", "--out", tmp_path / "out")
        done("predict", tmp_path / "a.ballspot", sets, *words)
        with pytest.raises(BallspotError, match="export again with --features"):
            load_bundle(tmp_path / "a.ballspot").features[0].backbone(device=CPU)
    finally:
        hidden.rename(shared.plain)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--format", "soccernet-zip", "--with-backbone"), "--with-backbone is not for --format soccernet-zip"),
        (("--format", "bundle", "--split", "test"), "--split is not for --format bundle"),
        (("--format", "card", "--backbone", "b.onnx"), "--backbone is not for --format card"),
    ],
)
def test_options_of_another_format_are_usage_errors(shared, tmp_path, words, message):
    result = ballspot("export", shared.plain_run, "--out", tmp_path / "out", *words)
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_file_that_is_there_is_not_overwritten_and_a_bundle_needs_out_for_predictions(shared, files, tmp_path):
    there = ballspot("export", shared.plain_run, "--format", "bundle", "--out", files.plain)
    assert (there.exit_code, there.stderr.count("\n")) == (1, 1)
    assert "already exists" in there.stderr
    nowhere = ballspot("predict", files.plain, shared.plain, "--data", shared.data)
    assert nowhere.exit_code == 1
    assert "give --out FOLDER" in nowhere.stderr
    last = ballspot(
        "predict", files.plain, shared.plain, "--data", shared.data, "--out", tmp_path / "o", "--checkpoint", "last"
    )
    assert "holds the best checkpoint" in last.stderr


@pytest.mark.parametrize(("kind", "n_runs"), [("plain", 1), ("components", 2)])
def test_a_bundle_adopted_is_a_run_that_predicts_and_is_bundled_again(shared, files, tmp_path, kind, n_runs):
    """Of the plain set the run makes its features itself; components are said to need the bundle."""
    result = done("adopt", getattr(files, kind), "--out", tmp_path / "run")
    features = {"plain": shared.plain, "components": shared.components}[kind]
    assert ("predict with the bundle itself" in result.stderr) == (kind == "components")
    words = ("--data", shared.data, "--split", "test", "--device", "cpu")
    done("predict", tmp_path / "run", features, *words, "--out", tmp_path / "ours")
    done("predict", getattr(files, kind), features, *words, "--out", tmp_path / "theirs")
    (ours,) = (tmp_path / "ours").rglob("results_spotting.json")
    (theirs,) = (tmp_path / "theirs").rglob("results_spotting.json")
    assert ours.read_bytes() == theirs.read_bytes()
    folders = [tmp_path / "run"] if n_runs == 1 else sorted((tmp_path / "run").glob("seed-*"))
    assert [(folder / "backbone.safetensors").is_file() for folder in folders] == [kind == "plain"] * n_runs
    if kind == "plain":
        again = bundle_of([tmp_path / "run"])
        assert again.features[0].fingerprint == load_bundle(files.plain).features[0].fingerprint


@pytest.mark.parametrize("option", ["--stride=2", "--first-row=0", "--overlap-rows=0", "--threshold=0"])
def test_what_a_bundle_says_of_itself_is_no_option(files, tmp_path, option):
    result = ballspot("adopt", files.plain, "--out", tmp_path / "run", option)
    assert result.exit_code == 1
    assert f"{option.partition('=')[0]}: a bundle already says this; leave it out" in result.stderr
    assert not (tmp_path / "run").exists()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kind", ["plain", "components"])
def test_a_bundle_is_never_adopted_over_the_run_that_it_was_made_of(shared, files, tmp_path, kind):
    """Nor over one of its seeds."""
    shutil.copytree({"plain": shared.plain_run, "components": shared.components_runs}[kind], tmp_path / "run")
    before = contents(tmp_path / "run")
    refused = ballspot("adopt", getattr(files, kind), "--out", tmp_path / "run")
    assert refused.exit_code == 1 and "holds a run that was trained here; choose another --out" in refused.stderr
    assert contents(tmp_path / "run") == before


def test_a_bundle_is_adopted_where_nothing_else_is(shared, files, tmp_path):
    """Not among a run's files, not over what another bundle gave; twice to one place is once."""
    shutil.copytree(shared.plain_run, tmp_path / "one")
    refused = ballspot("adopt", files.components, "--out", tmp_path / "one")
    assert "holds a run that is none of the bundle's" in refused.stderr
    assert contents(tmp_path / "one") == contents(shared.plain_run)
    done("adopt", files.plain, "--out", tmp_path / "new")
    once = contents(tmp_path / "new")
    done("adopt", files.plain, "--out", tmp_path / "new")
    again = contents(tmp_path / "new")
    assert again.keys() == once.keys() and again["best.safetensors"] == once["best.safetensors"]
    save_bundle(replace(load_bundle(files.plain), threshold=0.25), tmp_path / "other.ballspot")
    refused = ballspot("adopt", tmp_path / "other.ballspot", "--out", tmp_path / "new")
    assert "was adopted from something else" in refused.stderr and contents(tmp_path / "new") == again


def test_runs_of_one_seed_are_adopted_one_by_one(files, tmp_path):
    """A mean of two heads stays the mean of those two, in their order."""
    bundle = load_bundle(files.components)
    save_bundle(replace(bundle, seeds=(3, 3)), tmp_path / "same.ballspot")
    done("adopt", tmp_path / "same.ballspot", "--out", tmp_path / "run")
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["seed-0", "seed-1"]
    for place, head in enumerate(bundle.heads):
        there = read_checkpoint(tmp_path / "run" / f"seed-{place}" / "best.safetensors").head
        assert all(torch.equal(there[name], value) for name, value in head.head.items())
        assert json.loads((tmp_path / "run" / f"seed-{place}" / "run.json").read_text())["seed"] == 3


def test_an_adopted_run_has_the_threshold_of_its_bundle(files, tmp_path):
    save_bundle(replace(load_bundle(files.plain), threshold=0.375, postprocessing=None), tmp_path / "a.ballspot")
    done("adopt", tmp_path / "a.ballspot", "--out", tmp_path / "run")
    assert bundle_of([tmp_path / "run"], with_backbone=False).threshold == 0.375
