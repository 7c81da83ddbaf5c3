from pathlib import Path

import pytest

from ballspot.cache.errors import BallspotError
from ballspot.evaluate.dataset.labelsets import BALL_12, LabelSet, label_set_of, load_label_set


def test_ball_12_is_the_order_of_the_task():
    # Order and numbers of the published class table; background would be 0, so PASS is its class 1.
    assert len(BALL_12) == 12
    assert BALL_12.labels[:4] == ("PASS", "DRIVE", "HEADER", "HIGH PASS")
    assert BALL_12.index("PASS") == 0
    assert BALL_12.index("GOAL") == 11
    assert load_label_set() is BALL_12


def test_headline_of_ball_12_leaves_out_free_kick_and_goal():
    assert len(BALL_12.headline_labels) == 10
    assert not {"FREE KICK", "GOAL"} & set(BALL_12.headline_labels)


@pytest.mark.parametrize(
    ("label", "nearest"),
    [("pass", "PASS"), ("HIGHPASS", "HIGH PASS"), ("Throw-in", "THROW IN"), ("DRIEV", "DRIVE"), ("xyz", None)],
)
def test_nearest_label_ignores_case_and_small_slips(label: str, nearest: str | None):
    assert BALL_12.nearest(label) == nearest


def test_unknown_label_error_names_the_nearest():
    with pytest.raises(BallspotError, match="unknown label 'DRIEV' in label set 'ball-12'; did you mean 'DRIVE'"):
        BALL_12.index("DRIEV")


def test_a_label_set_file_gives_its_labels_in_order(tmp_path: Path):
    path = tmp_path / "mine.toml"
    path.write_text('labels = ["B", "A"]\nheadline_excludes = ["A"]\n')
    label_set = load_label_set(str(path))
    assert (label_set.name, label_set.labels, label_set.headline_labels) == ("mine", ("B", "A"), ("B",))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("labels = [", "not readable TOML"),
        ("", "labels must be a list"),
        ("labels = []", "labels must be a list"),
        ('labels = ["A", 1]', "labels must be a list"),
        ('labels = ["A", "A"]', "'A' twice"),
        ('lables = ["A"]', "unknown key 'lables'; did you mean 'labels'"),
        ('labels = ["A"]\nheadline_excludes = ["B"]', "'B', which is not in labels"),
        ('labels = ["A"]\nheadline_excludes = ["A"]', "every label"),
        ('labels = ["A"]\nname = 3', "name must be a text"),
    ],
)
def test_a_bad_label_set_file_is_named_with_its_fault(tmp_path: Path, text: str, message: str):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(BallspotError, match=message) as caught:
        load_label_set(str(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value).split("(")[0]


def test_a_name_that_is_neither_built_in_nor_a_file_is_an_error():
    with pytest.raises(
        BallspotError, match=r"ball-13: neither a built-in label set \(ball-12, player-8, soccernet-v2\) nor a file"
    ):
        load_label_set("ball-13")


def test_a_recorded_label_set_reads_back():
    assert label_set_of({"label_set": BALL_12.as_record()}, "run.json") == BALL_12
    assert label_set_of({"label_set": "ball-12"}, "run.json") is BALL_12
    other = LabelSet("mine", ("A", "B"), ("B",))
    assert label_set_of({"label_set": other.as_record()}, "run.json") == other
    fields = {"label_set": "mine", "labels": ["A", "B"], "headline_excludes": ["B"]}
    assert label_set_of(fields, "run.json") == LabelSet("mine", ("A", "B"), ("B",))
    assert label_set_of({"label_set": "mine", "labels": ["A", "B"]}, "run.json") == LabelSet("mine", ("A", "B"))


def test_a_recorded_name_of_a_built_in_set_with_other_classes_keeps_its_classes():
    assert label_set_of({"label_set": "ball-12", "labels": ["PASS"]}, "run.json").labels == ("PASS",)


@pytest.mark.parametrize("record", [{}, {"label_set": None}, {"label_set": "mine"}, {"label_set": {"name": "x"}}])
def test_a_run_without_a_label_set_is_an_error(record: dict):
    with pytest.raises(BallspotError, match=r"run\.json: records no label set"):
        label_set_of(record, "run.json")
