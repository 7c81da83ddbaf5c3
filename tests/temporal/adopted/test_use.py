"""An adopted model in use, from its checkpoint to spots, stored features, a head trained on them, and a bundle."""

from pathlib import Path

import numpy as np
import pytest
import timm
import torch

import ballspot as ballspot_api
from ballspot.cache.stores import FeatureStore
from ballspot.evaluate.dataset import BALL_12, read_spots
from ballspot.extract.backbone.temporal_shift import insert_shift, parse_backbone
from ballspot.temporal.bundle import load_bundle
from ballspot.temporal.decoding.scores import read_scores

from ...commands import ballspot, done


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three drawn matches, and a run adopted from a checkpoint laid out as E2E-Spot's, which sees pictures' middle."""
    root = tmp_path_factory.mktemp("adopted")
    done("data", "synth", root / "data", "--matches", 3, "--minutes", 0.1, "--size", "96x128")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = timm.create_model("regnety_002", num_classes=0)
        insert_shift(model, parse_backbone("regnety_002+gsm")[1], backbone="regnety_002+gsm")
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):  # else residual branches begin at zero
                torch.nn.init.uniform_(module.weight, 0.5, 1.0)
        state = {f"_features.{name}": value for name, value in model.state_dict().items()}
        gru = torch.nn.GRU(368, 368, bidirectional=True)
        state |= {f"_pred_fine._gru.{name}": value for name, value in gru.state_dict().items()}
        state |= {
            "_pred_fine._fc_out._fc_out.weight": torch.randn(13, 736) / 27,
            "_pred_fine._fc_out._fc_out.bias": torch.zeros(13),
        }
    torch.save(state, root / "checkpoint_007.pt")
    options = ("--size", "96x128", "--crop", "64x96", "--clip-rows", 24)
    told = done("adopt", root / "checkpoint_007.pt", "--out", root / "run", *options)
    assert "pictures 96x128, of which the middle 64x96" in told.stderr
    return root


@pytest.fixture(scope="module")
def video(root: Path) -> Path:
    return sorted((root / "data").rglob("*.mp4"))[0]


@pytest.fixture(scope="module")
def features(root: Path) -> Path:
    words = ("--out", root / "features", "--weights", root / "run", "--set", "theirs")
    assert "videos are read at 25 frames a second" in done("extract", root / "data", *words).stderr
    return root / "features" / "theirs"


def test_a_run_is_adopted_again_with_the_same_settings_alone(root: Path) -> None:
    options = ("--size", "96x128", "--clip-rows", 24)
    done("adopt", root / "checkpoint_007.pt", "--out", root / "run", *options, "--crop", "64x96")
    other = ballspot("adopt", root / "checkpoint_007.pt", "--out", root / "run", *options, "--crop", "none")
    assert other.exit_code == 1
    assert f"{root / 'run'}: was adopted with crop [64, 96], not None; choose another --out" in other.stderr


def test_tensors_of_a_wrapped_network_are_its_own(root: Path, tmp_path: Path) -> None:
    state = torch.load(root / "checkpoint_007.pt", weights_only=True)
    torch.save({f"model.module.{key}": value.half() for key, value in state.items()}, tmp_path / "wrapped.pt")
    done("adopt", tmp_path / "wrapped.pt", "--out", tmp_path / "run", "--crop", "none")


def test_a_bundle_of_it_finds_the_same_spots_in_a_video(root: Path, video: Path, tmp_path: Path) -> None:
    done("export", root / "run", "--format", "bundle", "--with-backbone", "--out", tmp_path / "theirs.ballspot")
    done("predict", root / "run", video, "--out", tmp_path / "run")
    done("predict", tmp_path / "theirs.ballspot", video, "--out", tmp_path / "bundle")
    spots = [next((tmp_path / place).rglob("results_spotting.json")).read_bytes() for place in ("run", "bundle")]
    assert spots[0] == spots[1]
    assert load_bundle(tmp_path / "theirs.ballspot").procedure is not None


def test_a_script_finds_the_same_spots_in_a_video(root: Path, video: Path, tmp_path: Path) -> None:
    done("predict", root / "run", video, "--out", tmp_path)
    wanted = read_spots(next(tmp_path.rglob("results_spotting.json")))
    assert wanted and ballspot_api.load_run(root / "run").predict(video) == wanted


def test_its_stored_features_are_of_the_middle_and_its_head_reads_them(root: Path, features: Path, video: Path) -> None:
    """Rows away from the clips' ends are those of the clips: the shift reaches no farther than a window's margin."""
    match = video.parent.relative_to(root / "data").as_posix()
    with FeatureStore.open(features / f"{match}.h5") as store:
        assert store.spec.uncropped == (96, 128) and store.spec.size == (64, 96)
        assert store.spec.interpolation == "bilinear-antialias"  # as the systems resized, whatever timm says
    words = ("--data", root / "data", "--split", "all")
    done("predict", root / "run", features, *words, "--out", root / "from-rows")
    done("predict", root / "run", video, "--out", root / "from-video")
    ours = read_scores(root / "from-rows" / match / "scores.npz")
    theirs = read_scores(next((root / "from-video").rglob("scores.npz")))
    assert ours.labels == theirs.labels == BALL_12.labels
    np.testing.assert_array_equal(ours.frame_index, theirs.frame_index)
    assert float(np.corrcoef(ours.scores.ravel(), theirs.scores.ravel())[0, 1]) > 0.9  # near, not equal: other clips


def test_a_head_is_trained_from_its_own_on_its_features(root: Path, features: Path) -> None:
    words = ("--data", root / "data", "--set", "n_epochs=2", "--set", "warmup_epochs=1")
    told = done("train", features, *words, "--init", root / "run", "--run", root / "more")
    assert "begins with" in told.stderr
    assert (root / "more" / "metrics.json").is_file()


def test_its_backbone_is_trained_further(root: Path) -> None:
    settings = ("n_epochs=1", "warmup_epochs=0", "epoch_frames=48", "batch_clips=2", "clip_frames=12", "pad_frames=2")
    chosen = [word for setting in settings for word in ("--set", setting)]
    words = ("--weights", root / "run", "--head", "gru", *chosen)
    done("finetune", root / "data", "--out", root / "finetuned", *words)
    done("extract", root / "data", "--out", root / "features", "--weights", root / "finetuned", "--set", "finetuned")
    (path, *_) = sorted((root / "features" / "finetuned").rglob("*.h5"))
    with FeatureStore.open(path) as store:
        assert store.spec.uncropped == (96, 128)
