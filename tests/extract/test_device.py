"""Which devices workers are dealt, here and on a cluster; no GPU is needed for it."""

import pytest
import torch

from ballspot.cache.errors import BallspotError
from ballspot.extract.device import pick_device, pick_devices
from ballspot.extract.rows import n_workers_for


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.usefixtures("two_gpus")
def test_every_gpu_is_dealt() -> None:
    assert pick_devices("auto") == pick_devices("cuda") == ["cuda:0", "cuda:1"]


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize(("name", "kind"), [("cuda", "cuda"), ("cuda:1", "cuda"), ("cpu", "cpu"), ("auto", "cpu")])
@pytest.mark.parametrize("on", ["slurm", "ray:head:6379", "slurm:local"])
def test_a_login_node_needs_no_gpu_and_no_task_gets_a_number(name: str, kind: str, on: str) -> None:
    assert pick_devices(name, on=on) == [kind]


@pytest.mark.usefixtures("no_gpu")
def test_what_auto_asks_a_cluster_for_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    pick_devices("auto", on="slurm")
    assert "tasks are asked for a CPU" in capsys.readouterr().err


def test_a_device_that_no_cluster_deals_is_refused() -> None:
    with pytest.raises(BallspotError, match=r"^--device mps: is not for clusters; give cuda or cpu$"):
        pick_devices("mps", on="slurm")


@pytest.mark.parametrize(
    ("n_gpus", "n_cpus", "n_rows", "expected"),
    [
        (1, 16, 10**6, 8),  # a process that computes and one that decodes are two cores
        (2, 16, 10**6, 8),
        (1, 64, 10**6, 8),  # at most eight processes hold a context
        (4, 4, 10**6, 4),
        (8, 64, 5000, 2),  # a worker has 2,048 rows at least
        (1, 2, 100, 1),
    ],
)
def test_workers_of_gpus_fill_the_cores(n_gpus: int, n_cpus: int, n_rows: int, expected: int) -> None:
    devices = [f"cuda:{index}" for index in range(n_gpus)]
    assert n_workers_for(n_rows, devices, n_cpus=n_cpus) == expected


def test_apples_gpu_is_taken_where_torch_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """No such GPU is needed: the trial of it is answered for it."""
    zeros = torch.zeros

    def on_apple(*size: int, device: torch.device | None = None) -> torch.Tensor:
        return zeros(*size) if device == torch.device("mps") else zeros(*size, device=device)

    monkeypatch.setattr(torch, "zeros", on_apple)
    assert pick_devices("mps") == ["mps"]
    assert str(pick_device("mps")) == "mps"


def test_apples_gpu_is_refused_where_torch_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*size: int, device: torch.device) -> torch.Tensor:
        raise RuntimeError("The MPS backend is supported on MacOS 14.0+.\nmore")

    monkeypatch.setattr(torch, "zeros", refuse)
    with pytest.raises(
        BallspotError, match=r"--device mps: cannot be used here \(The MPS backend .*give auto, cpu, cuda or mps"
    ):
        pick_devices("mps")
