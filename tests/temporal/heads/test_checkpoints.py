"""Checkpoints that are garbled, or of another head, are told in one line with their file and what to do."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch

from ballspot.cache.errors import BallspotError
from ballspot.evaluate.dataset import LabelSet
from ballspot.temporal.config import Config, HeadSection
from ballspot.temporal.features import Scaling
from ballspot.temporal.heads import checkpoints
from ballspot.temporal.heads.checkpoints import (
    HeadDescription,
    Progress,
    read_checkpoint,
    restore,
    restore_optimizer,
    write_checkpoint,
)

DIM = 6


def description_of(**changes: Any) -> HeadDescription:
    config = Config(head=HeadSection(kind="tcn", width=8, n_layers=1))
    return replace(HeadDescription(config, LabelSet("two", ("A", "B")), (DIM,), "0" * 64), **changes)


def written(path: Path, **values: Any) -> Path:
    described = values.pop("description", description_of())
    plain = {"head": described.build(), "progress": Progress(), "scaling": None}
    write_checkpoint(path, description=described, **{**plain, **values})
    return path


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"description": description_of(fps=Fraction(10**6))}, "fps '1000000'"),
        (
            {"scaling": Scaling(torch.zeros(DIM + 1), torch.ones(DIM + 1))},
            "scaling, which is not 6 means and deviations",
        ),
        (
            {"scaling": Scaling(torch.zeros(DIM).double(), torch.ones(DIM).double())},
            "scaling, which is not 6 means and deviations",
        ),
        ({"progress": Progress(n_epochs_done=-1)}, "progress"),
    ],
)
def test_a_garbled_header_is_told_with_its_file(values: dict[str, Any], said: str, tmp_path: Path) -> None:
    path = written(tmp_path / "best.safetensors", **values)
    with pytest.raises(
        BallspotError, match=rf"best.safetensors: its header lacks or garbles {said}; train the run again"
    ):
        read_checkpoint(path)


def test_a_checkpoint_of_another_head_is_not_gone_on_with(tmp_path: Path) -> None:
    kept = read_checkpoint(written(path := tmp_path / "last.safetensors"))
    other = description_of(dims=(DIM + 1,)).build()
    with pytest.raises(
        BallspotError, match=r"last.safetensors: is not of this head \(.*size mismatch.*\); remove the run"
    ):
        restore(path, kept, other, torch.optim.AdamW(other.parameters()))


def test_a_rate_of_no_number_is_told_with_its_file(tmp_path: Path) -> None:
    path = written(tmp_path / "best.safetensors", description=description_of(fps=Fraction(25, 7)))
    assert read_checkpoint(path).description.fps == Fraction(25, 7)
    path.write_bytes(path.read_bytes().replace(b"25/7", b"25/0"))
    with pytest.raises(BallspotError, match="its header lacks or garbles fps '25/0'; train the run again"):
        read_checkpoint(path)


@pytest.mark.parametrize("shape", [(3,), (DIM,)])
def test_numbers_of_an_optimizer_that_have_no_place_are_told(shape: tuple[int, ...]) -> None:
    head = description_of().build()
    optimizer = torch.optim.AdamW(head.parameters())
    name = "nowhere.exp_avg" if shape == (DIM,) else f"{next(name for name, _ in head.named_parameters())}.exp_avg"
    with pytest.raises(BallspotError, match=f"its optimizer's '{name}' has no place; remove the run and train again"):
        restore_optimizer(optimizer, head, {name: torch.zeros(shape)})


def test_a_head_for_which_there_is_no_memory_names_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object, **how: object) -> None:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp] not enough memory: you tried to allocate 8 TB\nmore")

    monkeypatch.setattr(checkpoints, "build_head", full)
    with pytest.raises(BallspotError, match=r"^head: .*you tried to allocate 8 TB; set a smaller width$"):
        description_of().build()
