"""Several processes that train one model (`torchrun`): which one this is, and what they agree on."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class Group:
    """This process's place among those of a training; a training without `torchrun` is a group of one."""

    device: torch.device
    rank: int = 0
    n_processes: int = 1

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
        """Waits until everybody is here."""
        if self.n_processes > 1:
            dist.barrier()

    def agreed(self, value: float) -> float:
        """The first process's value, to everybody."""
        if self.n_processes == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64, device=self.device)
        dist.broadcast(shared, 0)
        return float(shared)


@contextmanager
def joined_group(device: torch.device) -> Iterator[Group]:
    """The group that `torchrun` started this process in, by its environment variables; one of one without them.

    On CUDA every process has the GPU of its local rank and NCCL between them, on CPUs gloo.
    """
    n_processes = int(os.environ.get("WORLD_SIZE", "1"))
    if n_processes == 1:
        yield Group(device)
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    # The others wait while the first one validates, which takes as long as it takes.
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=timedelta(days=2))
    try:
        yield Group(device, dist.get_rank(), n_processes)
    finally:
        dist.destroy_process_group()
