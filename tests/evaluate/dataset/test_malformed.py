"""Prediction files as they come: every fault is one line with the file and the entry, never a traceback."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from ballspot.cache.errors import BallspotError
from ballspot.cli import main
from ballspot.evaluate.dataset.labels import read_labels
from ballspot.evaluate.dataset.labelsets import BALL_12, load_label_set
from ballspot.evaluate.dataset.matches import find_matches
from ballspot.evaluate.dataset.splits import load_splits

GOOD = {"gameTime": "1 - 00:01", "label": "PASS", "position": "1000", "half": "1", "confidence": "0.9"}


def changed(**changes: object) -> str:
    entry = {key: value for key, value in {**GOOD, **changes}.items() if value is not ...}
    return json.dumps({"predictions": [GOOD, entry]})


MALFORMED: dict[str, tuple[str | bytes, str]] = {
    "an empty file": ("", "not valid JSON (Expecting value at line 1, column 1)"),
    "a cut file": (changed()[:-20], "not valid JSON"),
    "text that is no JSON": ("frame,label\n1,PASS\n", "not valid JSON"),
    "bytes that are no UTF-8": (b'{"predictions": [{"label": "\xff\xfe"}]}', "not UTF-8 text (byte 28)"),
    "a list in place of an object": ("[]", 'holds no list "predictions"'),
    "no predictions": ('{"UrlLocal": "m"}', 'holds no list "predictions"'),
    "predictions that are no list": ('{"predictions": {}}', 'holds no list "predictions"'),
    "an entry that is no object": ('{"predictions": [7]}', "prediction 1: is not a JSON object"),
    "no label": (changed(label=...), "prediction 2: label None is not text"),
    "a label that is a number": (changed(label=3), "prediction 2: label 3 is not text"),
    "a label of half a surrogate pair": (changed(label="\ud800"), "prediction 2: label '\\ud800' is not text"),
    "no position": (changed(position=...), "prediction 2: position None"),
    "a position that is not a number": (changed(position="soon"), "prediction 2: position 'soon'"),
    "a position with a fraction in text": (changed(position="12.5"), "prediction 2: position '12.5'"),
    "a negative position": (changed(position="-40"), "prediction 2: position '-40'"),
    "a position beyond all videos": (changed(position=10**15), "prediction 2: position 1000000000000000"),
    "a position of 5,000 digits": (changed(position=0).replace(": 0", ": " + "9" * 5000), "cannot be held"),
    "a position that is true": (changed(position=True), "prediction 2: position True"),
    "no confidence": (changed(confidence=...), "prediction 2: confidence None"),
    "a confidence that is not a number": (changed(confidence="high"), "prediction 2: confidence 'high'"),
    "a confidence that is not finite": (changed(confidence="nan"), "prediction 2: confidence 'nan'"),
    "an infinite confidence": (changed(confidence=float("inf")), "prediction 2: confidence inf"),
    "a third half": (changed(half="3"), "prediction 2: half '3'"),
    "no half and no gameTime": (changed(half=..., gameTime=...), "prediction 2: half None"),
    "nesting of 100,000 brackets": ("[" * 100_000, "cannot be held"),
}


@pytest.mark.parametrize("fault", MALFORMED)
def test_a_malformed_prediction_file_is_one_line_with_file_and_entry(tmp_path: Path, label_file: Callable, fault: str):
    label_file("m", [("PASS", 1000)])
    content, message = MALFORMED[fault]
    path = tmp_path / "predictions" / "m" / "results_spotting.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    result = CliRunner().invoke(main, ["evaluate", str(tmp_path / "predictions"), "--data", str(tmp_path / "data")])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"Error: {path}: ") and result.stderr.count("\n") == 1
    assert message in result.stderr


def test_numbers_of_thousands_of_digits_and_deep_nesting_in_toml_are_one_line(tmp_path: Path):
    # Found by bench/fuzz_readers.py: tomllib raises a plain ValueError, and RecursionError.
    (tmp_path / "data" / "m").mkdir(parents=True)
    (tmp_path / "data" / "m" / "Labels-ball.json").write_text('{"annotations": []}')
    matches = find_matches(tmp_path / "data")
    path = tmp_path / "odd.toml"
    for content in ("labels = " + "9" * 5000, "labels = " + "[" * 20_000):
        path.write_text(content)
        with pytest.raises(BallspotError, match=r"odd\.toml: is not readable TOML"):
            load_label_set(str(path))
        with pytest.raises(BallspotError, match=r"odd\.toml: is not readable TOML"):
            load_splits(tmp_path / "data", matches, splits_file=path)


def test_two_videos_of_other_names_do_not_keep_labels_from_being_scored(
    tmp_path: Path, label_file: Callable, spot_file: Callable
):
    label_file("m", [("PASS", 1000)])
    for half in (1, 2):
        (tmp_path / "data" / "m" / f"{half}_224p.mkv").touch()
    spot_file("m", [("PASS", 1000, 0.9)])
    result = CliRunner().invoke(
        main, ["evaluate", str(tmp_path / "predictions"), "--data", str(tmp_path / "data"), "--json"]
    )
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["per_class"]["PASS"]["ap"] == 1.0


def test_labels_are_read_with_another_file_name_and_label_set(tmp_path: Path, spot_file: Callable):
    path = tmp_path / "data" / "m" / "Labels-v2.json"
    path.parent.mkdir(parents=True)
    path.write_text(
        '{"annotations": [{"gameTime": "2 - 00:01", "label": "Goal", "position": "1000", "visibility": "not shown"}]}'
    )
    (tmp_path / "v2.toml").write_text('labels = ["Goal"]\n')
    spot_file("m", [{**GOOD, "label": "Goal", "half": "2"}])
    words = ["evaluate", str(tmp_path / "predictions"), "--data", str(tmp_path / "data"), "--json"]
    words += ["--labels-file", "Labels-v2.json", "--labels", str(tmp_path / "v2.toml"), "--metric", "tight"]
    record = json.loads(CliRunner().invoke(main, words).stdout)
    assert (record["per_class"]["Goal"]["ap"], record["per_class"]["Goal"]["n_not_shown"]) == (1.0, 1)
    with pytest.raises(BallspotError, match="unknown label 'Goal'"):
        read_labels(path, BALL_12)
