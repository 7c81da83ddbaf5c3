"""Where features lie for a GPU, by what is free on it, and how they are read ahead where they do not fit."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ballspot.temporal.clips import ClipStarts, gather_clips, reading, rows_ahead
from ballspot.temporal.config import ClipGrid
from ballspot.temporal.features import from_arrays, limit_on

GPU = torch.device("cuda", 0)
GRID = ClipGrid(6, 2, row_stride=2)


@pytest.mark.parametrize(("configured", "limit_gb"), [(8.0, 24.0), (20.0, 20.0), (100.0, 24.0), (float("inf"), 24.0)])
def test_the_limit_of_a_gpu_is_a_share_of_what_is_free(monkeypatch, configured, limit_gb):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (40_000_000_000, 80_000_000_000))
    assert limit_on(GPU, configured) == pytest.approx(limit_gb)


def test_the_limit_of_a_machine_is_as_configured():
    assert limit_on(torch.device("cpu"), 3.0) == 3.0
    assert limit_on(torch.device("mps"), 8.0) == 8.0


def features_of(device: torch.device):
    random = np.random.default_rng(0)
    features = from_arrays({name: random.standard_normal((50, 3)).astype(np.float32) for name in "ab"})
    return replace(features, device=device)


def test_nothing_is_read_ahead_where_the_rows_lie():
    clips = ClipStarts(torch.tensor([0]), torch.tensor([0]))
    assert rows_ahead(features_of(torch.device("cpu")), clips, GRID, size=2) is None


def test_rows_read_ahead_are_those_gathered_step_by_step(monkeypatch):
    """The device is the CPU by another name here: what is read and in which order is what counts."""
    features = features_of(torch.device("meta"))
    generator = torch.Generator().manual_seed(0)
    starts = torch.randint(-4, 50, (7,), generator=generator)
    clips = ClipStarts(torch.tensor([0, 1, 0, 1, 1, 0, 0]), starts)
    monkeypatch.setattr(reading, "bring_rows", lambda frames, outside, device: (frames, outside))
    ahead = rows_ahead(features, clips, GRID, size=3)
    assert ahead is not None
    found = [frames.float().masked_fill(outside[..., None], 0.0) for frames, outside in ahead]
    assert [len(frames) for frames in found] == [3, 3, 1]
    assert torch.equal(torch.cat(found), gather_clips(features_of(torch.device("cpu")), clips, GRID))


def test_an_error_of_reading_reaches_who_trains(monkeypatch):
    def fail(*arguments, **words):
        raise OSError("the disk is gone")

    monkeypatch.setattr(reading, "read_rows", fail)
    clips = ClipStarts(torch.zeros(4, dtype=torch.int64), torch.zeros(4, dtype=torch.int64))
    with pytest.raises(OSError, match="the disk is gone"):
        next(rows_ahead(features_of(torch.device("meta")), clips, GRID, size=1))
