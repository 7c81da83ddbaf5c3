"""The procedure of an adopted model in its file: read back as it was, and what it cannot be is told with its place."""

import json
from pathlib import Path
from typing import Any

import pytest

from ballspot.cache.errors import BallspotError
from ballspot.temporal.config.procedure import (
    PROCEDURE_FILE,
    Procedure,
    RegionLooks,
    procedure_record,
    read_procedure,
    write_procedure,
)

SAID: dict[str, Any] = {
    "system": "E2E-Spot",
    "size": (224, 398),
    "clip_rows": 100,
    "overlap_rows": 50,
    "padding": "mean",
}


def test_a_procedure_comes_back_as_it_was_written(tmp_path: Path) -> None:
    looks = RegionLooks(low_crop=(112, 112), threshold=0.4)
    procedure = Procedure(**SAID | {"network": "adaspot", "regions": looks, "fps": "30000/1001"})
    write_procedure(tmp_path, procedure)
    assert read_procedure(tmp_path) == procedure
    (tmp_path / PROCEDURE_FILE).unlink()
    assert read_procedure(tmp_path) is None  # a run of another kind


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"overlap_rows": 100}, "overlap_rows 100 must be smaller than clip_rows 100"),
        ({"first_row": -100}, "first_row -100 leaves nothing of the video in a clip of 100"),
        ({"token_rows": 2}, 'token_rows 2 is for placing "added" alone'),
        ({"crop": (225, 224)}, "crop .225, 224. is larger than the picture .224, 398."),
        ({"crop": (224, 399)}, "crop .224, 399. is larger than the picture"),
        ({"network": "adaspot"}, "network 'adaspot' with regions None: adaspot alone has them"),
        ({"regions": RegionLooks().model_dump()}, "network 'backbone' with regions .*: adaspot alone has them"),
        (
            {"network": "adaspot", "regions": RegionLooks().model_dump(), "crop": (112, 112)},
            "crop is for one look; AdaSpot's two have low_crop and high_crop",
        ),
        ({"fps": "0"}, "fps: "),
        ({"format": "ballspot-adopted/9"}, "format 'ballspot-adopted/9' is not 'ballspot-adopted/1'"),
        ({"colour": "blue"}, "colour: "),
    ],
)
def test_settings_that_do_not_go_together_are_told_with_their_file(
    change: dict[str, Any], said: str, tmp_path: Path
) -> None:
    record = {**procedure_record(Procedure(**SAID)), **change}
    (tmp_path / PROCEDURE_FILE).write_text(json.dumps(record))
    with pytest.raises(BallspotError, match=rf"{PROCEDURE_FILE}: .*{said}.*; adopt the checkpoint again$"):
        read_procedure(tmp_path)


def test_what_is_no_object_is_no_procedure(tmp_path: Path) -> None:
    (tmp_path / PROCEDURE_FILE).write_text("[1, 2]")
    with pytest.raises(BallspotError, match="format None is not"):
        read_procedure(tmp_path)
