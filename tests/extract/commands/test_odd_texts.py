"""Texts of options, labels and weights that fuzzing found to end in a traceback or to take without end."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ballspot.cache.errors import BallspotError
from ballspot.cache.terminal.options import parse_fps
from ballspot.evaluate.dataset.labelsets import BALL_12
from ballspot.evaluate.dataset.matches import Match
from ballspot.extract.backbone.foreign import OWN_FORMAT, own_settings
from ballspot.extract.backbone.weights import parse_weights
from ballspot.extract.data_root.check import lint_labels
from ballspot.extract.rows.pca import load_components


@pytest.mark.parametrize("text", ["1e999999999", "1E-999999999", "9" * 5000, "25" + " " * 50, "nan", "1/0", ""])
def test_a_frame_rate_of_any_size_is_refused_at_once(text: str):
    with pytest.raises(BallspotError, match="must be a number above 0 and up to 240"):
        parse_fps(text)


@pytest.mark.parametrize("text", ["random:" + "9" * 5000, "random:9223372036854775808", "a" * 5000])
def test_weights_that_no_seed_or_file_can_be_called_are_refused(text: str):
    with pytest.raises(BallspotError, match="--weights"):
        parse_weights(text)


def test_labels_with_half_letters_and_endless_clocks_are_linted_in_lines_that_can_be_printed(tmp_path: Path):
    entry = {"gameTime": f"1 - {'9' * 5000}:00", "label": {"a": "\ud800"}, "position": "1000", "visibility": ["\udfff"]}
    path = tmp_path / "Labels-ball.json"
    path.write_text(json.dumps({"annotations": [entry]}))
    lines = [one.line() for one in lint_labels(Match("m", tmp_path, None, path), BALL_12, None)]
    assert len([line for line in lines if line.encode()]) == 4
    assert any("\\ud800" in line for line in lines)


@pytest.mark.parametrize("changes", [{"size": "0x96"}, {"size": "64x99999"}, {"stride": "0"}, {"stride": "-2"}])
def test_a_backbone_s_own_settings_out_of_range_are_refused(tmp_path: Path, changes: dict[str, str]):
    said = {"format": OWN_FORMAT, "backbone": "regnety_002", "size": "64x96", "stride": "2", "views": "original"}
    save_file({"a": torch.zeros(1)}, tmp_path / "b.safetensors", metadata={**said, **changes})
    with pytest.raises(BallspotError, match="lacks or garbles"):
        own_settings(tmp_path / "b.safetensors")


@pytest.mark.parametrize(
    "shapes", [((6,), (2, 5), (2,)), ((6,), (2, 6), (3,)), ((6,), (6,), (2,)), ((6, 1), (2, 6), (2,))]
)
def test_components_that_do_not_go_together_are_refused(tmp_path: Path, shapes: tuple[tuple[int, ...], ...]):
    tensors = {name: torch.ones(shape) for name, shape in zip(("mean", "components", "share"), shapes, strict=True)}
    save_file(tensors, tmp_path / "pca.safetensors", metadata={"fitted_on": "[]"})
    with pytest.raises(BallspotError, match="not a fit of components"):
        load_components(tmp_path / "pca.safetensors")
