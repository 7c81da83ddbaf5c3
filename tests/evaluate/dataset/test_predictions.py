import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ballspot.cache.errors import BallspotError
from ballspot.evaluate.dataset import predictions
from ballspot.evaluate.dataset.predictions import open_predictions


def packed(folder: Path) -> Path:
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*.json")):
            archive.write(file, file.relative_to(folder).as_posix())
    return path


@pytest.mark.parametrize("zipped", [False, True])
def test_a_folder_and_its_zip_give_the_same_spots(tmp_path: Path, spot_file: Callable, zipped: bool):
    spot_file("league/m1", [("PASS", 20, 0.5), ("OUT", 10, 0.25)])
    path = tmp_path / "predictions"
    spots = open_predictions(packed(path) if zipped else path).spots("league/m1")
    assert [(spot.label, spot.position_ms, spot.confidence) for spot in spots] == [("PASS", 20, 0.5), ("OUT", 10, 0.25)]


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("there", ["test/league/m1", "m1"])
def test_predictions_too_deep_or_too_high_are_used_and_their_place_told(
    tmp_path: Path, spot_file: Callable, zipped: bool, there: str
):
    spot_file(there, [("PASS", 20, 0.5)])
    path = tmp_path / "predictions"
    file = open_predictions(packed(path) if zipped else path).read("league/m1")
    assert (len(file.spots), file.found_at) == (1, f"{there}/results_spotting.json")


@pytest.mark.parametrize("zipped", [False, True])
def test_predictions_that_could_be_either_of_two_files_are_pointed_at(
    tmp_path: Path, spot_file: Callable, zipped: bool
):
    spot_file("test/league/m1", [])
    spot_file("valid/league/m1", [])
    path = tmp_path / "predictions"
    with pytest.raises(BallspotError, match=r"match 'league/m1' .*there is test/league/m1/results_spotting\.json"):
        open_predictions(packed(path) if zipped else path).spots("league/m1")


def test_another_match_of_the_same_league_is_not_taken_for_the_wanted_one(tmp_path: Path, spot_file: Callable):
    spot_file("league/m2", [])
    spot_file("other/m1", [])
    with pytest.raises(BallspotError, match="no predictions for match 'league/m1'"):
        open_predictions(tmp_path / "predictions").spots("league/m1")


@pytest.mark.parametrize("zipped", [False, True])
def test_a_file_of_one_match_is_never_taken_for_another_too(tmp_path: Path, spot_file: Callable, zipped: bool):
    spot_file("m1", [("PASS", 20, 0.5)])
    path = tmp_path / "predictions"
    opened = open_predictions(packed(path) if zipped else path)
    assert opened.find("old/m1") == "m1/results_spotting.json"  # alone, it lies too high
    known = opened.among(["m1", "old/m1"])
    assert (known.find("m1"), known.find("old/m1")) == ("m1/results_spotting.json", None)
    with pytest.raises(BallspotError, match=r"no predictions for match 'old/m1' .*; predict that match too"):
        known.read("old/m1")
    both = opened.among(["a/m1", "b/m1"])  # neither's: it could be that of either
    assert (both.find("a/m1"), both.find("b/m1")) == (None, None)
    with pytest.raises(BallspotError, match=r"there is m1/results_spotting\.json; the folders"):
        both.read("a/m1")


def test_a_file_too_deep_is_found_beside_that_of_another_match(tmp_path: Path, spot_file: Callable):
    spot_file("old/m1", [])
    spot_file("test/m1", [])
    opened = open_predictions(tmp_path / "predictions")
    assert opened.find("m1") is None
    assert opened.among(["m1", "old/m1"]).find("m1") == "test/m1/results_spotting.json"


def test_a_zip_that_unpacks_to_too_much_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(predictions, "MAX_ENTRY_BYTES", 10_000)
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/results_spotting.json", " " * 20_000)
    assert path.stat().st_size < 500
    with pytest.raises(BallspotError, match=r"bomb\.zip: m/results_spotting\.json: unpacks to over"):
        open_predictions(path).spots("m")


def test_what_is_neither_folder_nor_zip_is_an_error(tmp_path: Path):
    with pytest.raises(BallspotError, match="no such folder or zip file"):
        open_predictions(tmp_path / "absent")
    text = tmp_path / "spots.zip"
    text.write_text("no zip")
    with pytest.raises(BallspotError, match="nor a readable zip file"):
        open_predictions(text)


def test_a_zip_of_an_unknown_version_is_an_error(tmp_path: Path, spot_file: Callable):
    # Found by bench/fuzz_readers.py: zipfile raises NotImplementedError for it.
    spot_file("m", [("PASS", 20, 0.5)])
    path = packed(tmp_path / "predictions")
    content = bytearray(path.read_bytes())
    content[content.rindex(b"PK\x01\x02") + 6] = 202  # the version needed to extract, in the central directory
    path.write_bytes(content)
    with pytest.raises(BallspotError, match="nor a readable zip file"):
        open_predictions(path)


def test_a_run_folder_is_told_from_predictions(tmp_path: Path):
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(BallspotError, match="is a run, not predictions; give its folder predictions/test"):
        open_predictions(tmp_path)


def test_a_damaged_zip_is_an_error_that_names_the_entry(tmp_path: Path, spot_file: Callable):
    spot_file("m", [("PASS", 20, 0.5)])
    path = packed(tmp_path / "predictions")
    content = bytearray(path.read_bytes())
    content[60:80] = bytes(20)  # within the stored JSON: its checksum no longer fits
    path.write_bytes(content)
    with pytest.raises(BallspotError, match=r"m/results_spotting\.json cannot be unpacked"):
        open_predictions(path).spots("m")


def test_a_zip_that_says_more_than_it_holds_takes_no_memory_for_it(tmp_path: Path, spot_file: Callable):
    # Found by bench/fuzz_readers.py: zipfile reads as many bytes as the directory says, a MemoryError at 2 GB.
    spot_file("m", [("PASS", 20, 0.5)])
    path = packed(tmp_path / "predictions")
    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\x01\x02") + 20  # the packed size, in the central directory
    content[at : at + 4] = (2**31).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(BallspotError, match=r"cannot be unpacked \(2147483648 bytes in a file of fewer\)"):
        open_predictions(path).spots("m")


def test_the_length_of_a_video_comes_from_the_scores_beside_the_spots(tmp_path: Path, spot_file: Callable):
    for match in ("a", "b", "c"):
        spot_file(match, [])
    predictions = open_predictions(tmp_path / "predictions")
    np.savez(tmp_path / "predictions" / "a" / "scores.npz", n_video_frames=250, fps=50.0)
    np.savez(tmp_path / "predictions" / "b" / "scores.npz", n_video_frames=250)
    assert predictions.video_length("a", fps=25) == 5.0
    assert predictions.video_length("b", fps=25) == 10.0
    assert predictions.video_length("c", fps=25) is None
    (tmp_path / "predictions" / "c" / "scores.npz").write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(BallspotError, match=r"scores\.npz: holds no scores"):
        predictions.video_length("c", fps=25)


@pytest.mark.parametrize("there", ["test/league/m1", "m1"])
def test_the_length_of_a_video_comes_from_beside_the_spots_also_too_deep_or_too_high(
    tmp_path: Path, spot_file: Callable, there: str
):
    spot_file(there, [])
    np.savez(tmp_path / "predictions" / there / "scores.npz", n_video_frames=250, fps=50.0)
    assert open_predictions(tmp_path / "predictions").video_length("league/m1", fps=25) == 5.0
