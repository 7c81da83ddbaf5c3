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
CASES = [
    {"settings": [f"kind={kind}", *own, *way], "resident": resident}
    for (kind, own), (number, way), resident in product(HEADS.items(), enumerate(WAYS), (True, False))
    if (list(HEADS).index(kind) + 3 * number + 5 * resident) % 9 in (0, 4) or (kind == "unet" and number != 2)
]
CASES += [
    {"settings": ["kind=unet", *way], "resident": number % 2 == 0, "stacked": True} for number, way in enumerate(WAYS)
]
AN_EPOCH = 2  # waits: for the losses, and for the events that lost their token


@pytest.mark.skipif(bool(pretend.reason()), reason=pretend.reason() or "-")
def test_no_step_of_training_waits_for_a_gpu() -> None:
    """Every head, sampling and loss, with the features on the GPU or in the CPU's memory; autograd included."""
    script = Path(__file__).with_name("pretended.py")
    found = json.loads(pretend.run_pretended(script, json.dumps(CASES)).splitlines()[-1])
    for case, one in zip(CASES, found, strict=True):
        assert one["syncs"] <= AN_EPOCH, (case, one)
        assert one["operations"] > 100, (case, one)
        assert all(0 < loss < 100 for loss in one["losses"]), (case, one)
