"""Fine-tuning on a GPU, as far as a machine without one can tell: devices, waits, and what is trained."""

import json
import os
from fractions import Fraction
from pathlib import Path

import pytest
import torch

from ballspot.cache.errors import BallspotError
from ballspot.extract.data_root.synth import synthesize
from ballspot.temporal.finetune import model
from ballspot.temporal.finetune.model import chosen_precision
from ballspot.temporal.finetune.settings import FinetuneSection

from ...pretend import reason, run_pretended

SCRIPT = Path(__file__).with_name("pretended_steps.py")


@pytest.mark.skipif(bool(reason()), reason=reason())
def test_steps_and_validation_on_a_gpu_mix_no_devices_and_do_not_wait(tmp_path: Path) -> None:
    synthesize(tmp_path / "data", n_matches=3, minutes=1 / 60, fps=Fraction(25), size=(64, 96), seed=1)
    found = json.loads(run_pretended(SCRIPT, tmp_path / "data").splitlines()[-1])
    n_decoders, n_cores = found.pop("decoders")
    assert n_decoders == max(1, min(n_cores - 1, 32))
    assert len(found) == 3
    for name, one in found.items():
        assert one["without"] == [], name  # so that processes that train together need no search for them
        assert one["finite"] and one["device"] == "{device(type='cuda', index=0)}", name
        assert one["syncs"] <= 1 + ("mixing" in name), (name, one)  # whom a clip is mixed with is drawn on the CPU
    assert [one["precision"] for one in found.values()] == ["bfloat16", "bfloat16", "float32"]
    assert 0 <= found["gsf"]["map"] <= 1


def test_decoders_fill_the_cores_of_each_process(monkeypatch: pytest.MonkeyPatch) -> None:
    import ballspot.temporal.finetune.settings as settings

    monkeypatch.setattr(settings, "n_usable_cpus", lambda: 128)
    monkeypatch.setattr(os, "environ", {**os.environ, "LOCAL_WORLD_SIZE": "8"})
    monkeypatch.setattr(settings, "environ", os.environ)
    section = FinetuneSection()
    assert (section.n_decoders(on_gpu=True), section.n_decoders(on_gpu=False)) == (15, 5)
    monkeypatch.setattr(settings, "n_usable_cpus", lambda: 2)  # fewer cores than processes
    assert section.n_decoders(on_gpu=True) == 1
    assert FinetuneSection(decode_workers=0).n_decoders(on_gpu=True) == 0


@pytest.mark.parametrize(
    ("asked", "device", "units", "bf16", "given"),
    [
        ("auto", "cpu", True, False, "float32"),
        ("auto", "cuda", False, True, "bfloat16"),
        ("auto", "cuda", False, False, "float32"),
        ("float16", "cuda", False, False, "float16"),
        ("bfloat16", "cpu", True, False, "bfloat16"),
        ("bfloat16", "cpu", False, False, "float32"),
    ],
)
def test_numbers_are_those_that_the_device_has_units_for(
    asked: str, device: str, units: bool, bf16: bool, given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "has_bfloat16_units", lambda: units)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *args: bf16)
    chosen = chosen_precision(asked, torch.device(device))
    assert chosen.name == given
    assert bool(chosen.remark) == (asked == "bfloat16" and not units and device == "cpu")


def test_float16_without_a_gpu_is_refused() -> None:
    with pytest.raises(BallspotError, match=r"^--precision float16: is for GPUs; give bfloat16 or float32$"):
        chosen_precision("float16", torch.device("cpu"))
