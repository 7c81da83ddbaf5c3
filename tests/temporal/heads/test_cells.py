"""Attention over the cells of a frame, before the trunk."""

from pathlib import Path

import pytest
import torch

from ballspot.temporal.config.sections import HeadSection
from ballspot.temporal.heads.head import CellAttention, build_head

from ...commands import ballspot
from ..conftest import Season
from ..small import SMALL


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
    assert loss.item() < 0.1  # chance is log 4 = 1.39


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


def test_a_set_of_whole_pictures_has_no_cells(season: Season, tmp_path: Path) -> None:
    words = ["train", season.features, "--data", season.data, *SMALL, "--set", "cells=4", "--run", tmp_path / "run"]
    result = ballspot(*words)
    assert result.exit_code == 1
    assert "are of 1 cell; set cells=1, or extract with --grid" in result.stderr and not (tmp_path / "run").exists()
