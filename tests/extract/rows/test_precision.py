"""`--precision`: what is computed is what is said, in sets, part files, prediction and verification."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ballspot.cache import machine
from ballspot.cache.errors import BallspotError
from ballspot.cache.stores.sets import open_feature_set
from ballspot.cache.stores.spec import EngineSpec, FeatureSpec
from ballspot.extract import device
from ballspot.extract.backbone.engines import HALF_TOLERANCES, TorchEngine, drawn_pictures, make_engine
from ballspot.extract.backbone.load import load_backbone
from ballspot.extract.backbone.spec import BackboneSpec
from ballspot.extract.rows.decoders import n_decoders_for
from ballspot.extract.rows.recipe import BundledFeatures

from ...commands import run

CPU = torch.device("cpu")
SIZE = (64, 96)
MATCH = "synth/drawn/match-01"
WITHOUT = "has no units for it (AMX or AVX512-BF16)"


@pytest.fixture
def cpu_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Has the kernel say other flags of the CPU."""

    def say(flags: str) -> None:
        path = tmp_path / f"cpuinfo-{len(flags)}"
        path.write_text(f"model name\t: Some CPU\nflags\t\t: fpu {flags}\n\nprocessor\t: 1\n")
        monkeypatch.setattr(machine, "CPU_INFO", path)

    return say


@pytest.mark.parametrize("flags", ["amx_tile amx_bf16", "avx512_bf16"])
def test_bfloat16_is_computed_recorded_and_verified_where_the_cpu_has_units(
    drawn: Path, tmp_path: Path, cpu_is: Callable[[str], None], flags: str
) -> None:
    cpu_is(flags)
    words = ("extract", drawn, "--out", tmp_path, "--weights", "random", "--size", "64x96", "--workers", 1)
    words += ("--match", "match-01", "--stride", 10)
    assert run(*words)[0] == 0
    code, out, told = run(*words, "--precision", "bfloat16")
    assert code == 0 and WITHOUT not in told, told
    plain, brain = (tmp_path / f"regnety_002-random0-64x96-stride10{end}" for end in ("", "-bfloat16"))
    assert out.splitlines()[-1] == f"feature set: {brain}"
    with open_feature_set(plain).open(MATCH) as one, open_feature_set(brain).open(MATCH) as other:
        assert "precision" not in one.spec.as_json() and other.spec.as_json()["precision"] == "bfloat16"
        assert EngineSpec.read(other.header.engine).how.split()[1:3] == ["cpu", "bfloat16"]
        off = np.abs(one.read().astype(np.float32) - other.read().astype(np.float32)).max()
        largest = np.abs(one.read()).max()
        assert 0 < off <= HALF_TOLERANCES["bfloat16"] * largest
    assert run("cache", "verify", brain, "--deep", "--data", drawn, "--chunks", 1)[0] == 0
    code, _, told = run(*words, "--set", brain.name)
    assert code == 1 and "(precision is bfloat16 there and float32 here)" in told
    cpu_is("avx2")  # on another machine, what was computed there is still found sound, and told once
    code, out, told = run("cache", "verify", brain, "--deep", "--data", drawn, "--chunks", 1)
    assert code == 0 and told.count(WITHOUT) == 1, out + told


def test_a_cpu_without_units_says_so_and_computes_and_records_float32(
    drawn: Path, tmp_path: Path, cpu_is: Callable[[str], None]
) -> None:
    cpu_is("avx2 avx512f amx_tile")  # AMX without its bfloat16
    words = ("extract", drawn, "--out", tmp_path, "--weights", "random", "--size", "64x96", "--workers", 1)
    code, out, told = run(*words, "--match", "match-01", "--stride", 10, "--precision", "bfloat16")
    assert code == 0
    assert told.count(f"--precision bfloat16: this CPU (Some CPU) {WITHOUT}; features are computed in float32") == 1
    made = tmp_path / "regnety_002-random0-64x96-stride10"
    assert out.splitlines()[-1] == f"feature set: {made}"
    with open_feature_set(made).open(MATCH) as store:
        assert "precision" not in store.spec.as_json() and " cpu float32 " in store.header.engine


@pytest.mark.parametrize("kind", ["torch", "openvino"])
def test_no_engine_computes_anything_but_what_it_is_asked_for(cpu_is: Callable[[str], None], kind: str) -> None:
    if kind == "openvino":
        pytest.importorskip("openvino")
    cpu_is("avx2")
    backbone = load_backbone(BackboneSpec("regnety_002", "random", SIZE), CPU)
    with pytest.raises(BallspotError, match=r"--precision bfloat16: this CPU .* has no units"):
        make_engine(backbone, kind=kind, batch_rows=2, device=CPU, precision="bfloat16")
    cpu_is("avx512_bf16")
    engine = make_engine(backbone, kind=kind, batch_rows=2, device=CPU, precision="bfloat16")
    assert engine.spec.how.split()[1:3] == ["cpu", "bfloat16"]


def test_other_machines_are_asked_for_what_was_said(cpu_is: Callable[[str], None]) -> None:
    cpu_is("avx2")
    told: list[str] = []
    for on, expected in (
        ("slurm", "bfloat16"),
        ("ray:head:6379", "bfloat16"),
        ("slurm:local", "float32"),
        (None, "float32"),
    ):
        assert device.pick_precision("bfloat16", "cpu", on=on, tell=told.append) == expected
    assert len(told) == 2
    assert device.pick_precision("auto", "cpu", tell=told.append) == "auto" and len(told) == 2


def test_fingerprints_of_float32_are_what_they_were() -> None:
    # The fingerprint was computed by the code before there was a precision.
    spec = FeatureSpec(backbone="regnety_002", weights_sha256="0" * 64, size=(224, 398), stride=1, dtype="float16")
    assert spec.fingerprint == "d8b1b4955042130fdea691034bfabeedf0cd40322bbe92e70093146c82717bcd"
    backbone = load_backbone(BackboneSpec("regnety_002", "random", SIZE), CPU)
    plain = backbone.features(stride=1)
    assert plain == backbone.features(stride=1, precision="auto") == backbone.features(stride=1, precision="float32")
    assert backbone.features(stride=1, precision="bfloat16").fingerprint != plain.fingerprint
    assert plain.differing(backbone.features(stride=1, precision="bfloat16")) == ["precision"]


def bundled(engine: str, **more: object) -> BundledFeatures:
    spec = FeatureSpec.read({"backbone": "regnety_002", "stride": 2, **more})
    return BundledFeatures("set", spec.fingerprint, spec, EngineSpec.read(engine), "random", "0", None, None)


@pytest.mark.parametrize(
    ("made_by", "device_now", "kind", "batch_rows"),
    [
        ("torch 2.8.0 cpu float32 batch 8", "cuda:0", "torch", 64),  # a GPU would be idle with eight
        ("openvino 2026.1 cpu float32 batch 4", "cuda:1", "torch", 64),
        ("torch 2.8.0 cuda float16 batch 256", "cuda:0", "torch", 256),
        ("torch 2.8.0 cuda float16 autocast batch 64", "cpu", "torch", 8),
        ("openvino 2026.1 cpu float32 batch 16", "cpu", "openvino", 16),
        ("torch 2.8.0 cpu float32 batch 5", "cpu", "torch", 5),
        ("", "cuda:0", "torch", 64),
    ],
)
def test_prediction_takes_the_batch_of_the_device(made_by: str, device_now: str, kind: str, batch_rows: int) -> None:
    settings = bundled(made_by).settings(device=device_now)
    assert (settings.engine, settings.batch_rows, settings.precision) == (kind, batch_rows, "auto")


def test_prediction_computes_in_the_precision_of_the_set() -> None:
    assert bundled("torch 2.15.0 cpu bfloat16 batch 8", precision="bfloat16").settings().precision == "bfloat16"
    with pytest.raises(ValueError, match="precision"):
        FeatureSpec.read({"backbone": "regnety_002", "precision": "float8"})


@pytest.mark.parametrize(("n_cpus", "expected"), [(1, 1), (2, 1), (4, 2), (16, 14), (128, 16)])
def test_decoders_of_a_gpu_fill_the_cores(n_cpus: int, expected: int) -> None:
    assert n_decoders_for(torch.device("cuda:0"), n_cpus=n_cpus) == expected
    assert n_decoders_for(CPU, n_cpus=n_cpus) == 1


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_a_model_is_compiled_once_and_the_first_batch_is_like_the_next(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype
) -> None:
    compiled: list[torch.dtype] = []

    def backend(graph: torch.fx.GraphModule, given: list[torch.Tensor]) -> Callable[..., object]:
        compiled.append(given[0].dtype)
        return graph.forward

    compiling = torch.compile
    monkeypatch.setattr(torch, "compile", lambda model, **how: compiling(model, backend=backend))
    torch._dynamo.reset()
    backbone = load_backbone(BackboneSpec("resnet18", "random", (32, 32)), CPU)
    engine = TorchEngine(backbone, batch_rows=2, device=CPU, compiles=True)
    n_before = len(compiled)
    given = drawn_pictures(2, (32, 32)).to(dtype)
    for _ in range(3):
        engine(given)
    assert (n_before, len(compiled)) == (1, 1 if dtype == torch.uint8 else 2)


def test_what_cannot_be_compiled_is_told_for_every_type_of_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing(torch.nn.Module):
        def __init__(self, model: torch.nn.Module) -> None:
            super().__init__()
            self.model = model

        def forward(self, given: torch.Tensor) -> torch.Tensor:
            if given.dtype == torch.float32:
                raise RuntimeError("no compiler")
            return self.model(given)

    monkeypatch.setattr(torch, "compile", lambda model, **how: Failing(model))
    backbone = load_backbone(BackboneSpec("resnet18", "random", (32, 32)), CPU)
    engine = TorchEngine(backbone, batch_rows=2, device=CPU, compiles=True)
    assert str(engine.spec) == f"torch {torch.__version__} cpu float32 compiled batch 2"
    with pytest.raises(BallspotError, match="--compile: torch cannot compile this backbone on the cpu here"):
        engine(drawn_pictures(2, (32, 32)).float())


class Casts(TorchDispatchMode):
    """Counts the tensors that are brought to another floating type."""

    n = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        number = kwargs.get("dtype")
        if func is torch.ops.aten._to_copy.default and number is not None and args[0].is_floating_point():
            self.n += number.is_floating_point and number != args[0].dtype
        return func(*args, **kwargs)


def test_no_weight_is_cast_at_a_batch(cpu_is: Callable[[str], None]) -> None:
    """Autocast once cast each weight at each batch: 142 of a RegNetY. A copy in halves has the pictures cast alone."""
    cpu_is("avx512_bf16")
    made = load_backbone(BackboneSpec("regnety_002", "random", SIZE), CPU)
    engine = TorchEngine(made, batch_rows=2, device=CPU, precision="bfloat16")
    assert "autocast" not in engine.spec.how
    with Casts() as casts:
        engine.tensor(drawn_pictures(2, SIZE))
    assert casts.n <= 2  # into the model, and its features

    cast = Casts()
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad(), cast:
        made.model(torch.zeros(2, 3, *SIZE))
    assert cast.n > 40  # what is counted is there to be counted
