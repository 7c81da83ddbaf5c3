"""Training on a GPU that is not there (tests/pretend.py): tensors of both devices never meet, and no step waits."""

import json
from itertools import product
from pathlib import Path

import pytest

from ... import pretend

HEADS = {
    "tcn": [],
    "transformer": ["positions=rotary"],
    "multires": [],
    "unet": [],
    "tdeed": [],
    "sgp-mixer": [],
    "linear": ["offsets=false"],
    "mstcn": ["n_stages=2"],
    "asformer": ["n_stages=2"],
}
WAYS = [  # of drawing, changing and judging clips
    ["ema_decay=0.9", "mixup_alpha=0.2"],
    ["sampling=near-actions", "teams=head", "gradient_clip=0.1"],
    ["sampling=class-balanced", "teams=labels", "class_loss=sigmoid", "sam_rho=0.05"],
    ["index_jitter=0.4", "frame_switch=0.3", "temporal_drop=0.5", "offset_loss=huber", "label_sd=1"],
    ['views=["original", "hflip"]', "teams=head", "offset_window=none", "offset_loss=mse"],
]
ALL = [
    {"settings": [f"kind={kind}", *own, *way], "resident": resident, "stacked": stacked}
    for (kind, own), way, resident, stacked in product(HEADS.items(), WAYS, (True, False), (False, True))
]
PLACES = [(number, number % len(WAYS), number % 2 == 0, False) for number in range(len(HEADS))]  # a case of every head
PLACES += [(list(HEADS).index("unet"), way, way % 2 == 1, way in (0, 3)) for way in range(len(WAYS))]
FEW = [ALL[((head * len(WAYS) + way) * 2 + (not resident)) * 2 + stacked] for head, way, resident, stacked in PLACES]
AN_EPOCH = 2  # waits: for the losses, and for the events that lost their token


cannot = pytest.mark.skipif(bool(pretend.reason()), reason=pretend.reason() or "-")


@cannot
def test_no_step_of_training_waits_for_a_gpu() -> None:
    """Every head, and every way, with the features on the GPU or in the CPU's memory; autograd included."""
    assert len({str(case) for case in FEW}) == len(PLACES)
    require_no_waits(FEW)


@cannot
@pytest.mark.faults
def test_no_step_of_training_waits_for_a_gpu_in_any_combination() -> None:
    """Every head x way x placement, by itself and stacked: minutes."""
    require_no_waits(ALL)


def require_no_waits(cases: list[dict]) -> None:
    script = Path(__file__).with_name("pretended.py")
    found = json.loads(pretend.run_pretended(script, json.dumps(cases)).splitlines()[-1])
    for case, one in zip(cases, found, strict=True):
        assert one["syncs"] <= AN_EPOCH, (case, one)
        assert one["operations"] > 100, (case, one)
        assert all(0 < loss < 100 for loss in one["losses"]), (case, one)
