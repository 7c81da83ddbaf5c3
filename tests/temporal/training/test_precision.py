"""In what a head computes while it learns, and which heads are compiled."""

import pytest
import torch

from ballspot.temporal.commands.sweep import tell_precision
from ballspot.temporal.config import deciding_table, load_config
from ballspot.temporal.heads import build_head
from ballspot.temporal.training import computes_in_bfloat16, computing
from ballspot.temporal.training import optimizer as deciding
from ballspot.temporal.training import run as running

CPU, GPU, APPLE = torch.device("cpu"), torch.device("cuda", 0), torch.device("mps")


@pytest.mark.parametrize(
    ("settings", "device", "units", "supported", "expected"),
    [
        (["precision=bfloat16"], CPU, True, False, True),
        (["precision=bfloat16"], CPU, False, False, False),  # emulated, it would be slower
        ([], CPU, True, True, False),
        (["amp=true"], CPU, True, True, False),  # as ever: for GPUs
        (["amp=true"], GPU, False, True, True),
        (["precision=bfloat16"], GPU, False, True, True),
        (["precision=bfloat16"], GPU, True, False, False),
        ([], GPU, True, True, False),
        (["precision=bfloat16"], APPLE, True, True, False),
    ],
)
def test_bfloat16_is_computed_where_a_unit_has_it(monkeypatch, settings, device, units, supported, expected):
    monkeypatch.setattr(deciding, "has_bfloat16_units", lambda: units)
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or supported
    )
    section = load_config("fast", settings).training
    assert computes_in_bfloat16(section, device) is expected


def test_a_sweep_says_once_that_there_is_no_unit(monkeypatch, capsys):
    monkeypatch.setattr(deciding, "has_bfloat16_units", lambda: False)
    sections = [load_config("fast", settings).training for settings in ([], *[["precision=bfloat16"]] * 2)]
    tell_precision(sections[:1], "cpu")
    assert capsys.readouterr().err == ""
    tell_precision(sections, "cpu")
    told = capsys.readouterr().err
    assert told == "precision bfloat16: cpu has no unit for it; heads are computed in float32\n"


def test_products_are_in_bfloat16_and_weights_and_gradients_are_not(monkeypatch):
    monkeypatch.setattr(deciding, "has_bfloat16_units", lambda: True)
    config = load_config("best", ["precision=bfloat16", "width=16"])
    head = build_head(config.head, dims=(8,), n_labels=2, clip_frames=20)
    with computing(config.training, CPU):
        output = head(torch.randn(2, 20, 8))
    assert output.class_logits.dtype == torch.bfloat16
    output.class_logits.float().sum().backward()
    dtypes = {parameter.dtype for parameter in head.parameters()}
    assert dtypes == {one.grad.dtype for one in head.parameters() if one.grad is not None} == {torch.float32}


def test_a_run_in_float32_is_the_run_that_it_was():
    """A key of 0.1.0 knew no precision."""
    assert "precision" not in deciding_table(load_config("best"))["training"]
    changed = deciding_table(load_config("best", ["precision=bfloat16"]))
    assert changed["training"]["precision"] == "bfloat16"


@pytest.mark.parametrize(("kind", "compiled"), [("gru", False), ("spot-gru", False), ("adaspot", False), ("tcn", True)])
def test_recurrent_heads_are_not_compiled(monkeypatch, kind, compiled):
    """On a GPU: a graph that breaks at each recurrent layer gains nothing."""
    told: list[str] = []
    monkeypatch.setattr(torch, "compile", lambda head: "compiled")
    config = load_config("fast", [f"kind={kind}", "compile=true", "width=8"])
    head = build_head(config.head, dims=(8,), n_labels=2, clip_frames=20)
    monkeypatch.setattr(type(next(head.parameters())), "is_cuda", True, raising=False)
    assert (running._forward(head, config, told.append) == "compiled") is compiled
    assert [line for line in told if kind in line] == ([] if compiled else told) and bool(told) is not compiled
