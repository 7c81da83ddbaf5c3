"""How much memory a decoder shares with the process that computes."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ballspot.cache.stores import Segment
from ballspot.extract.video import DecodingProcess, probe_video, process, want_of_shared_memory


def test_pictures_for_a_gpu_come_few_at_a_time_in_a_small_ring(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole batches of large pictures once took 531 MB a decoder. Their order and their numbers stay."""
    probe = probe_video(video)
    picture_bytes = probe.height * probe.width * 3
    monkeypatch.setattr(process, "RING_BYTES", 24 * picture_bytes)
    shared: list[int] = []

    def pins(memory: np.ndarray) -> Callable[[], None]:
        shared.append(memory.nbytes)
        return lambda: None

    found = {}
    for name, on_a_gpu in (("together", None), ("few", pins)):
        decoder = DecodingProcess(batch_rows=40, pins=on_a_gpu)
        try:
            decoder.open(probe, "pyav")
            batches = [
                (b.frame_index, b.pictures[: len(b.frame_index)].copy())
                for b in decoder.batches(Segment(0, 50), stride=2)
            ]
        finally:
            decoder.close()
        found[name] = tuple(np.concatenate(parts) for parts in zip(*batches, strict=True))
        n_batches = len(batches)
    assert shared == [24 * picture_bytes]
    assert n_batches == 17  # of 3 pictures
    np.testing.assert_array_equal(found["few"][0], np.arange(0, 100, 2))
    for few, together in zip(found["few"], found["together"], strict=True):
        np.testing.assert_array_equal(few, together)


def test_want_of_shared_memory_is_told_with_what_is_there(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    probe = replace(probe_video(video), height=720, width=1280)
    monkeypatch.setattr(process.shutil, "disk_usage", lambda path: SimpleNamespace(free=64_000_000))
    assert want_of_shared_memory(probe, 64, splits=True) == ""
    told = want_of_shared_memory(probe, 64, splits=False)
    assert "has 64 MB free and each decoder needs 531" in told and "--shm-size" in told
