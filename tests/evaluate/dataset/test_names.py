"""Match and class names that look alike are the same name, in whichever form of Unicode files and folders have them."""

import json
import unicodedata
import zipfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from ballspot.cache.errors import BallspotError
from ballspot.cache.runs.run import RUN_FORMAT, RunFolder
from ballspot.cache.stores import Block, FeatureStore, StoreHeader, open_feature_set, store_path, write_store
from ballspot.cache.stores.spec import FeatureSpec
from ballspot.cli import main
from ballspot.evaluate.dataset.columns import columns_of
from ballspot.evaluate.dataset.labels import Spot, read_labels
from ballspot.evaluate.dataset.labelsets import LabelSet, load_label_set
from ballspot.evaluate.dataset.matches import find_matches, resolve_match
from ballspot.evaluate.dataset.predictions import open_predictions
from ballspot.evaluate.dataset.splits import load_splits, recorded_splits

COMPOSED, APART = (unicodedata.normalize(form, "Köln/Málaga - Évry") for form in ("NFC", "NFD"))
FORMS = pytest.mark.parametrize(("here", "there"), [(COMPOSED, APART), (APART, COMPOSED), (COMPOSED, COMPOSED)])


@FORMS
@pytest.mark.parametrize("zipped", [False, True])
def test_predictions_of_one_form_are_scored_with_labels_and_splits_of_another(
    tmp_path: Path, label_file: Callable[..., Path], spot_file: Callable[..., Path], here: str, there: str, zipped: bool
) -> None:
    label_file(here, [("PASS", 1020)])
    spot_file(there, [("PASS", 1020, 0.9)])
    path = tmp_path / "predictions"
    if zipped:
        with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
            archive.write(path / there / "results_spotting.json", f"{there}/results_spotting.json")
        path = tmp_path / "p.zip"
    (tmp_path / "splits.toml").write_text(f'train = []\nvalid = []\ntest = ["{there}"]\n', encoding="utf-8")
    words = ["evaluate", str(path), "--data", str(tmp_path / "data"), "--splits", str(tmp_path / "splits.toml")]
    result = CliRunner().invoke(main, [*words, "--split", "test", "--json", "--resamples", "0"])
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert (record["matches"], record["per_class"]["PASS"]["ap"]) == ([COMPOSED], 1.0)
    assert open_predictions(path).matches() == [COMPOSED]
    assert open_predictions(path).read(there).found_at is None


@FORMS
def test_splits_and_matches_on_the_command_line_are_found(
    tmp_path: Path, label_file: Callable[..., Path], here: str, there: str
) -> None:
    for name in (here, "l/a", "l/b"):
        label_file(name, [("PASS", 1020)])
    matches = find_matches(tmp_path / "data")
    assert [match.name for match in matches] == [COMPOSED, "l/a", "l/b"]
    assert load_splits(tmp_path / "data", matches, leave_out=there).test == (COMPOSED,)
    assert resolve_match(there.rpartition("/")[2], [match.name for match in matches], which="to take") == COMPOSED
    record = {"train": [there], "valid": [], "test": [here]}
    assert recorded_splits({"splits": record}, "run.json").train == (COMPOSED,)
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.json").write_text(json.dumps({"format": RUN_FORMAT, "key": "k", "splits": record}))
    assert RunFolder(run).record()["splits"]["train"] == [COMPOSED]


def test_two_folders_that_look_alike_are_refused(tmp_path: Path, label_file: Callable[..., Path]) -> None:
    label_file(COMPOSED, [])
    label_file(APART, [])
    if len(list((tmp_path / "data").iterdir())) == 1:
        pytest.skip("this file system takes both forms for one name")
    with pytest.raises(BallspotError, match=r"has the same name as another match folder .*rename or remove one"):
        find_matches(tmp_path / "data")


@FORMS
def test_a_feature_set_of_one_form_serves_matches_of_another(tmp_path: Path, here: str, there: str) -> None:
    header = StoreHeader(
        match=there, fps=Fraction(25), n_video_frames=2, n_rows=2, dim=1, spec=FeatureSpec.read({"made": "a"})
    )
    rows = np.zeros((2, 1), "float16")
    write_store(tmp_path / "set" / f"{there}.h5", header=header, blocks=[Block(np.arange(2), {"original": rows})])
    found = open_feature_set(tmp_path / "set")
    assert list(found.stores) == [COMPOSED]
    with found.open(here) as store:
        assert store.match == COMPOSED
    assert store_path(tmp_path / "set", here).is_file()  # what is there is not extracted again under another name
    with FeatureStore.open(store_path(tmp_path / "set", there)) as store:
        assert store.n_rows == 2


def test_classes_are_the_same_in_either_form(tmp_path: Path) -> None:
    composed, apart = (unicodedata.normalize(form, "PÉNALTY") for form in ("NFC", "NFD"))
    for here, there in ((composed, apart), (apart, composed)):
        (tmp_path / "set.toml").write_text(f'labels = ["GOAL", "{here}"]\n', encoding="utf-8")
        (tmp_path / "l.json").write_text(
            json.dumps({"annotations": [{"gameTime": "1 - 00:01", "label": there, "position": "1000"}]})
        )
        label_set = load_label_set(str(tmp_path / "set.toml"))
        assert there in label_set and label_set.index(there) == 1
        spots = read_labels(tmp_path / "l.json", label_set)
        assert columns_of(spots).label_index(label_set).tolist() == [1]
    assert LabelSet("s", ("GOAL",)).place(composed) is None
    (tmp_path / "set.toml").write_text(f'labels = ["{composed}", "{apart}"]\n', encoding="utf-8")
    with pytest.raises(BallspotError, match=r"labels names .* twice; remove one"):
        load_label_set(str(tmp_path / "set.toml"))


def test_a_zip_with_backslashes_is_read_and_its_fault_is_told(tmp_path: Path, label_file: Callable[..., Path]) -> None:
    label_file("league/m1", [("PASS", 1020)])
    entry = {"gameTime": "1 - 00:01", "label": "PASS", "position": "1020", "half": "1", "confidence": "0.9"}
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        info = zipfile.ZipInfo("x")
        info.filename = "league\\m1\\results_spotting.json"  # as .NET's and PowerShell's older versions write it
        archive.writestr(info, b"\xef\xbb\xbf" + json.dumps({"predictions": [entry]}).encode())
    predictions = open_predictions(tmp_path / "p.zip")
    assert predictions.matches() == ["league/m1"]
    file = predictions.read("league/m1")
    assert file.spots == (Spot("PASS", 1020, confidence=0.9),)
    assert file.found_at == "league\\m1\\results_spotting.json"  # the official code does not find it
    words = ["evaluate", str(tmp_path / "p.zip"), "--data", str(tmp_path / "data"), "--resamples", "0"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0 and "league\\m1\\results_spotting.json" in result.output
