"""Rows that a thread of their own writes: in order, whole, and with the disk's error told where rows are made."""

from threading import Event
from typing import Any

import pytest

from ballspot.cache.errors import BallspotError
from ballspot.extract.rows.segments import WAITING_BLOCKS, Writer

FULL = BallspotError("match-01.h5.part: cannot be written (No space left on device); free space")


class Disk:
    """Takes blocks, slowly where ``may_go`` is held; refuses those from number ``room`` on."""

    def __init__(self, room: int = 1000) -> None:
        self.blocks: list[Any] = []
        self.n_asked, self.room, self.may_go = 0, room, Event()
        self.may_go.set()

    def append(self, block: Any) -> None:
        self.may_go.wait(60)
        self.n_asked += 1
        if len(self.blocks) >= self.room:
            raise FULL
        self.blocks.append(block)


def writer_of(disk: Any, told: list[tuple[int, bool]]) -> Writer:
    return Writer(disk, lambda n_rows, is_new: told.append((n_rows, is_new)))


def test_blocks_are_written_in_order_beside_the_rows_that_are_made_next() -> None:
    disk, told = Disk(), []
    disk.may_go.clear()
    blocks = ["a" * n for n in range(1, WAITING_BLOCKS + 1)]
    with writer_of(disk, told) as writer:
        for block in blocks:
            writer.append(block)  # pyright: ignore[reportArgumentType]  # a block has a length, no more is asked
        assert disk.blocks == []  # and yet nobody waited
        disk.may_go.set()
    assert disk.blocks == blocks and told == [(len(block), True) for block in blocks]


def test_a_full_disk_stops_the_rows_and_nobody_waits_for_room() -> None:
    disk, told = Disk(room=2), []
    with pytest.raises(BallspotError) as caught, writer_of(disk, told) as writer:
        for _ in range(20 * WAITING_BLOCKS):
            writer.append("rows")  # pyright: ignore[reportArgumentType]
    assert caught.value is FULL
    assert len(told) == 2 and disk.n_asked == 3  # once refused, the disk is not asked again


def test_a_disk_that_refuses_the_last_rows_is_told_at_the_end() -> None:
    disk = Disk(room=0)
    writer = writer_of(disk, [])
    with pytest.raises(BallspotError) as caught, writer:
        disk.may_go.clear()
        writer.append("rows")  # pyright: ignore[reportArgumentType]
        disk.may_go.set()
    assert caught.value is FULL


def test_after_a_frame_that_cannot_be_had_the_rows_before_it_are_written_and_that_error_stays() -> None:
    disk, told = Disk(room=1), []
    disk.may_go.clear()
    with pytest.raises(KeyError, match="frame 128"), writer_of(disk, told) as writer:
        writer.append("rows")  # pyright: ignore[reportArgumentType]
        writer.append("more")  # pyright: ignore[reportArgumentType]
        disk.may_go.set()
        raise KeyError("frame 128")
    assert disk.blocks == ["rows"] and disk.n_asked == 2
