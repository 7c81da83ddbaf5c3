"""Attention over the cells of a frame, before the trunk."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ballspot.temporal.config.sections import HeadSection
from ballspot.temporal.heads.head import CellAttention, build_head

from ..small import SMALL, ballspot


def test_it_begins_as_the_mean_over_the_cells_and_learns_to_look_at_one() -> None:
    torch.manual_seed(0)
    pool = CellAttention(8 * 6, n_cells=8, width=16, n_heads=4)
    frames = torch.randn(3, 5, 8 * 6)
    with torch.no_grad():
        wanted = pool.value(frames.unflatten(-1, (8, 6)).mean(2))
        torch.testing.assert_close(pool(frames), wanted)
        pool.place_weights[3] = 50.0  # all heads look at the fourth cell
        torch.testing.assert_close(pool(frames), pool.value(frames[..., 18:24]))
    # Which cell holds a spike is told by a hundred steps: a mean over cells could not tell where it is.
    pool = CellAttention(4 * 2, n_cells=4, width=4, n_heads=2)
    layer = torch.nn.Linear(4, 4)
    optimizer = torch.optim.Adam([*pool.parameters(), *layer.parameters()], 0.05)
    place = torch.randint(4, (256, 1))
    frames = torch.zeros(256, 1, 4, 2).scatter_(2, place[..., None, None].expand(-1, -1, -1, 2), 1.0).flatten(2)
    for _ in range(100):
        loss = torch.nn.functional.cross_entropy(layer(pool(frames))[:, 0], place[:, 0])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss) < 0.1  # chance is log 4 = 1.39


@pytest.mark.parametrize("kind", ["unet", "transformer", "gru", "linear"])
def test_a_head_over_cells_is_the_trunk_on_what_attention_makes(kind: str) -> None:
    section = HeadSection(kind=kind, width=16, n_attention_heads=2, n_layers=1, fused_width=8, cells=6, unet_levels=1)
    one = build_head(section, dims=(24,), n_labels=3, clip_frames=20).eval()
    frames = torch.randn(2, 20, 24)
    pooled = one.trunk.projections[0](frames)
    assert pooled.shape == (2, 20, 8)
    assert torch.equal(one(frames).class_logits, one.class_layer(one.trunk.trunk(pooled)))
    both = build_head(section, dims=(24, 12), n_labels=3, clip_frames=20)
    assert both(torch.randn(2, 20, 36)).class_logits.shape[0] == 2


@pytest.mark.parametrize(("cells", "width", "told"), [(5, 8, "24 numbers are not 5 cells"), (6, 9, "does not divide")])
def test_features_that_are_no_such_cells_are_refused(cells: int, width: int, told: str) -> None:
    section = HeadSection(kind="gru", n_attention_heads=2, cells=cells, fused_width=width)
    with pytest.raises(ValueError, match=told):
        build_head(section, dims=(24,), n_labels=3, clip_frames=20)


def test_a_run_over_cells_is_trained_exported_and_held_to_the_grid_of_its_store(drawn: Path, tmp_path: Path) -> None:
    words = ["--weights", "random", "--backbone", "resnet10t", "--size", "64x96", "--stride", 2]
    assert ballspot("extract", drawn, "--out", tmp_path, "--set", "grid", "--grid", "1x3", *words).exit_code == 0
    train = ["train", tmp_path / "grid", "--data", drawn, *SMALL, "--set", "clip_stride=2", "--set", "fused_width=16"]
    wrong = ballspot(*train, "--run", tmp_path / "wrong", "--set", "cells=4")
    assert wrong.exit_code == 1 and "are of 3 cells; set cells=3" in wrong.stderr
    assert ballspot(*train, "--run", tmp_path / "run", "--set", "cells=3").exit_code == 0
    predict = ["predict", tmp_path / "run", tmp_path / "grid", "--data", drawn, "--split", "test"]
    assert ballspot(*predict, "--out", tmp_path / "own").exit_code == 0
    out = tmp_path / "a.ballspot"
    assert ballspot("export", tmp_path / "run", "--format", "bundle", "--out", out).exit_code == 0
    assert ballspot("predict", out, *predict[2:], "--out", tmp_path / "bundled").exit_code == 0
    one, other = (np.load(next((tmp_path / name).rglob("scores.npz")))["scores"] for name in ("own", "bundled"))
    np.testing.assert_array_equal(one, other)
