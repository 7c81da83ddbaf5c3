"""Pictures on their way to a GPU: what can be tried of it without one."""

import numpy as np
import pytest
import torch

from ballspot.extract.cuda import copies
from ballspot.extract.video.process import Batch


class Stream:
    """A stream that counts how often its copies were waited for."""

    def __init__(self) -> None:
        self.n_waits = 0

    def synchronize(self) -> None:
        self.n_waits += 1


class Filled:
    """A batch that is full with one piece."""

    def __init__(self, *_: object) -> None:
        self.n_rows = 0

    def take(self, piece: Batch, *_: object) -> int:
        self.n_rows = len(piece.frame_index)
        return self.n_rows

    def whole(self) -> str:
        return "batch"


def test_copies_have_ended_when_they_are_left_in_the_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shared memory that they read is given up next."""
    stream = Stream()
    monkeypatch.setattr(copies.torch.cuda, "Stream", lambda device: stream)
    monkeypatch.setattr(copies, "Filling", Filled)
    piece = Batch(np.arange(4), np.zeros((4, 2, 2, 3), np.uint8), np.empty(0, np.int64))
    batches = copies.uploaded([piece] * 3, 4, torch.device("cuda"))
    assert next(batches) == "batch" and stream.n_waits == 0
    batches.close()  # pyright: ignore[reportAttributeAccessIssue]  # it is a generator
    assert stream.n_waits == 1
