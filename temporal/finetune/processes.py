"""Several processes that train one model (`torchrun`): which one this is, and what they agree on."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from ...cache.errors import BallspotError
from ...extract.backbone import first_line
from .watch import GRACE_S, Watch, joined_watch

COLLECTIVE_MINUTES = 15  # for the slowest step of all: what takes longer waits in `wait`, which knows no end
Value = TypeVar("Value")


@dataclass(frozen=True)
class Group:
    """This process's place among those of a training; a training without `torchrun` is a group of one."""

    device: torch.device
    rank: int = 0
    n_processes: int = 1
    watch: Watch | None = None

    @property
    def is_first(self) -> bool:
        """Whether this process writes and tells."""
        return self.rank == 0

    def total(self, values: Tensor) -> Tensor:
        """The sum of everybody's values."""
        if self.n_processes > 1:
            dist.all_reduce(values)
        return values

    def wait(self) -> None:
        """Waits until everybody is here, for as long as they are at work; BallspotError where one of them is gone."""
        if self.watch is not None:
            self.watch.meet()

    def agreed(self, value: float) -> float:
        """The first process's value, to everybody."""
        if self.n_processes == 1:
            return value
        self.wait()
        shared = torch.tensor([value], dtype=torch.float64, device=self.device)
        dist.broadcast(shared, 0)
        return float(shared)

    def gathered(self, value: Value) -> list[Value]:
        """Everybody's value, to everybody, in the order of the processes; waits for all of them first."""
        if self.n_processes == 1:
            return [value]
        self.wait()
        values: list[Value] = [value] * self.n_processes
        dist.all_gather_object(values, value)
        return values

    def first_ones(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The first process's tensors, to everybody: norms that each computes by itself differ between them."""
        if self.n_processes == 1:
            return dict(state)
        copies = {name: value.detach().clone() for name, value in state.items()}
        for value in copies.values():
            dist.broadcast(value, 0)
        return copies


@contextmanager
def joined_group(device: torch.device) -> Iterator[Group]:
    """The group that `torchrun` started this process in, by its environment variables; one of one without them.

    On CUDA every process has the GPU of its local rank and NCCL between them, on CPUs gloo. When one of them fails or
    is gone, the others end within a minute.
    """
    n_processes = int(os.environ.get("WORLD_SIZE", "1"))
    if n_processes == 1:
        yield Group(device)
        return
    on_gpu = device.type == "cuda"
    if on_gpu:
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if on_gpu else "gloo",
        timeout=timedelta(minutes=COLLECTIVE_MINUTES),
        device_id=device if on_gpu else None,  # else NCCL guesses it, from the order of the processes
    )
    watch = joined_watch(dist.get_rank(), n_processes)
    try:
        yield Group(device, dist.get_rank(), n_processes, watch)
    except BallspotError as error:
        watch.fail(str(error))
        raise  # what the processes hold together is not taken apart: that waits for those who are gone
    except Exception as error:  # a collective's, where another process has ended
        cause = watch.problem(patience_s=GRACE_S)
        watch.fail(f"{type(error).__name__}: {first_line(error)}")
        if cause:
            raise BallspotError(cause) from error
        raise
    except BaseException:
        watch.fail("it was stopped")
        raise
    watch.close()
    dist.destroy_process_group()
