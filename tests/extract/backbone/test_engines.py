import importlib.util
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from torch import nn

from ballspot.cache.errors import BallspotError
from ballspot.extract.backbone import fuse_convs
from ballspot.extract.backbone.engines import Engine, TorchEngine, halved, make_engine, normalisation, normalised
from ballspot.extract.backbone.fuse_convs import FusedConv, Normalised, fuse_convolutions
from ballspot.extract.backbone.load import Backbone, load_backbone
from ballspot.extract.backbone.spec import BackboneSpec

CPU = torch.device("cpu")
SIZE = (64, 96)
ENGINES = [
    "torch",
    pytest.param(
        "openvino",
        marks=pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="openvino is not installed"),
    ),
]


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return load_backbone(BackboneSpec("regnety_002", "random", SIZE), CPU)


@pytest.fixture(scope="module", params=ENGINES)
def engine(backbone: Backbone, request: pytest.FixtureRequest) -> Engine:
    """Of each kind, of that backbone, for four pictures at a time."""
    return make_engine(backbone, kind=request.param, batch_rows=4, device=CPU)


def pictures(n: int = 4, size: tuple[int, int] = SIZE) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (n, *size, 3), dtype=np.uint8))


@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize("name", ["regnety_002", "tf_efficientnet_lite0", "resnet18"])
def test_an_engine_gives_the_plain_models_features_within_1e_4(kind: str, name: str) -> None:
    backbone = load_backbone(BackboneSpec(name, "random:3", SIZE), CPU)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        plain = timm.create_model(name, num_classes=0).eval()
    state = plain.state_dict()
    for key, value in state.items():  # untrained gains of zero are opened, as in every random backbone of ours
        if value.ndim == 1 and key.endswith("weight") and not value.any():
            value.fill_(1.0)
    means, stds = (torch.tensor(values).view(3, 1, 1) for values in (backbone.mean, backbone.std))
    with torch.inference_mode():
        expected = plain((pictures().permute(0, 3, 1, 2) / 255 - means) / stds).numpy()
    features = make_engine(backbone, kind=kind, batch_rows=4, device=CPU)(pictures())
    assert features.dtype == np.float32
    assert np.abs(features - expected).max() <= 1e-4 * np.abs(expected).max()


def test_float_pictures_give_what_the_same_bytes_give(engine: Engine) -> None:
    np.testing.assert_allclose(engine(pictures().float()), engine(pictures()), rtol=1e-4, atol=1e-5)


def test_a_row_does_not_depend_on_its_place_or_its_neighbours(engine: Engine) -> None:
    given = pictures(8)
    rows = np.concatenate([engine(given[:4]), engine(given[4:])])
    turned = given.flip(0)
    np.testing.assert_array_equal(np.concatenate([engine(turned[:4]), engine(turned[4:])])[::-1], rows)


def test_convolutions_sums_and_activations_become_single_calls(backbone: Backbone) -> None:
    given, plain = pictures(2), normalised(backbone)
    fused = fuse_convolutions(plain, given)
    modules = [module for module in fused.modules() if isinstance(module, FusedConv)]
    assert len(modules) > 50
    assert not any(isinstance(module, nn.Conv2d | nn.ReLU) for module in fused.children())
    assert not any(isinstance(module, Normalised) for module in fused.modules())  # it is in the first convolution
    # 13 blocks, each with one sum; the stem and in each block four convolutions carry an activation or a sum.
    assert sum(module.adds for module in modules) == 13
    with torch.inference_mode():
        expected = plain(given)
        assert (fused(given) - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_a_black_border_is_not_taken_for_the_padding_of_a_convolution(backbone: Backbone) -> None:
    # Zero is grey after normalising: a convolution that pads raw pictures with zeros is wrong by 14 % at the border.
    plain, given = normalised(backbone), torch.zeros(2, *SIZE, 3, dtype=torch.uint8)
    given[:, 8:-8, 8:-8] = 255
    with torch.inference_mode():
        expected = plain(given)
        assert (fuse_convolutions(plain, given)(given) - expected).abs().max() <= 1e-5 * expected.abs().max()


class Twice(nn.Module):
    """Reads its pictures in two places: no convolution alone stands for them."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(3, 8, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return (self.one(images) + self.other(images)).mean((2, 3))


def test_pictures_that_are_read_twice_are_normalised_before(backbone: Backbone) -> None:
    plain = Normalised(Twice().eval(), *normalisation(backbone.mean, backbone.std))
    fused = fuse_convolutions(plain, pictures(2))
    assert any(isinstance(module, FusedConv) for module in fused.modules())
    with torch.inference_mode():
        torch.testing.assert_close(fused(pictures(2)), plain(pictures(2)), rtol=1e-5, atol=1e-5)


class Branching(nn.Module):
    """Cannot be traced: what it does hangs on the values."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean((2, 3)) if images.sum() > 0 else images.amax((2, 3))


def test_a_model_that_cannot_be_fused_runs_as_it_is(backbone: Backbone) -> None:
    plain = Normalised(Branching(), *normalisation(backbone.mean, backbone.std))
    assert fuse_convolutions(plain, pictures(1)) is plain


@pytest.mark.parametrize("why", ["no oneDNN", "cannot be traced", "other features"])
def test_an_engine_that_is_not_fused_says_so(backbone: Backbone, monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    if why == "no oneDNN":
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    if why == "other features":
        monkeypatch.setattr(fuse_convs, "FUSION_TOLERANCE", -1.0)
    model = Branching() if why == "cannot be traced" else backbone.model
    engine = TorchEngine(replace(backbone, model=model), batch_rows=2, device=CPU)
    assert str(engine.spec) == f"torch {torch.__version__} cpu float32 unfused batch 2"
    assert engine(pictures(2)).shape[0] == 2


def test_the_name_says_what_computed(backbone: Backbone) -> None:
    assert str(TorchEngine(backbone, batch_rows=4, device=CPU).spec) == f"torch {torch.__version__} cpu float32 batch 4"


def test_openvino_is_for_the_cpu(backbone: Backbone) -> None:
    with pytest.raises(BallspotError, match="--engine openvino: runs on the CPU, not on cuda"):
        make_engine(backbone, kind="openvino", batch_rows=4, device=torch.device("cuda"))


NEW_PROCESS = """
import gc, multiprocessing, resource, signal, statistics, sys, torch
from ballspot.extract.backbone.load import load_backbone
from ballspot.extract.backbone.engines import make_engine
from ballspot.extract.backbone.spec import BackboneSpec

torch.set_num_threads(1)
cpu = torch.device("cpu")
backbone = load_backbone(BackboneSpec("regnety_002", "random", (224, 398)), cpu)
engine = make_engine(backbone, kind="torch", batch_rows=8, device=cpu)
given = torch.zeros(8, 224, 398, 3, dtype=torch.uint8)
def page_faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    engine(given)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(statistics.median(page_faults() for _ in range(7)), flush=True)
if sys.argv[1:] == ["openvino"]:
    started = []
    multiprocessing.Process.start = lambda process: started.append(process)
    backbone = load_backbone(BackboneSpec("resnet10t", "random", (32, 32)), cpu)
    engine = make_engine(backbone, kind="openvino", batch_rows=1, device=cpu)
    pictures = torch.zeros(1, 32, 32, 3, dtype=torch.uint8)
    engine(pictures.float())
    print(tuple(engine(pictures).shape), len(started), flush=True)
    del engine
    gc.collect()
    signal.signal(signal.SIGINT, lambda number, frame: print("handled"))
    signal.raise_signal(signal.SIGINT)
"""


@pytest.fixture(scope="module")
def new_process(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    """A process that has made both engines, the one of torch first, and its home; one for all: it takes seconds."""
    home = tmp_path_factory.mktemp("home")
    words = [sys.executable, "-c", NEW_PROCESS, *(["openvino"] if importlib.util.find_spec("openvino") else [])]
    environment = {**os.environ, "HOME": str(home), "USERPROFILE": str(home)}
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=False), home


@pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="openvino is not installed")
def test_openvino_sends_no_statistics_and_leaves_no_files_at_home(new_process) -> None:
    done, home = new_process
    assert done.stdout.splitlines()[1:2] == ["(1, 512) 0"], done.stderr
    assert not [path for path in home.rglob("*") if "openvino" in path.name]


@pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="openvino is not installed")
def test_a_signal_is_handled_after_engines_that_are_gone(new_process) -> None:
    """Cores that were given up one after the other left a stack for signals that was gone: the process ended (-11)."""
    done, _ = new_process
    assert (done.returncode, done.stdout.splitlines()[2:]) == (0, ["handled"]), done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc is told to keep what is freed")
def test_a_batch_takes_no_new_memory_from_the_system(new_process) -> None:
    # Feature maps given back to the system between batches would have to be cleared again, page by page, in each
    # batch. Single ones may take some: the first, and those during which the kernel moves pages on a busy machine.
    done, _ = new_process
    n_pages = 8 * 32 * 112 * 199 * 4 // 4096  # of the largest feature map alone
    assert int(done.stdout.splitlines()[0]) < n_pages / 10, done.stderr


def test_a_copy_of_a_model_that_pools_layers_keeps_its_own_maps() -> None:
    """It once wrote them into the original's: halves fell back to autocast, and nothing was fused."""
    made = load_backbone(BackboneSpec("resnet10t", "random", SIZE, ("layer2", "layer3"), (1, 2)), CPU)
    images = torch.randn(2, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        found = halved(made.model, torch.float64)(images.double())
        np.testing.assert_allclose(found.numpy(), made.model(images).numpy(), rtol=1e-4, atol=1e-5)
    assert "unfused" not in TorchEngine(made, batch_rows=2, device=CPU).spec.how
