import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from ballspot.cache.errors import BallspotError
from ballspot.cli import main
from ballspot.evaluate.dataset.data_selection import DataSelection
from ballspot.evaluate.dataset.labelsets import BALL_12
from ballspot.evaluate.formats.submission import pack_submission
from ballspot.evaluate.results.evaluation import evaluate_predictions
from ballspot.evaluate.uncertainty.bootstrap import Bootstrap


@pytest.fixture
def folders(tmp_path: Path, label_file: Callable, spot_file: Callable) -> Path:
    for number, match in enumerate(("league/2026/m1", "league/2026/m2")):
        label_file(match, [("PASS", 1020 + 40 * n * n) for n in range(30)] + [("GOAL", 5020)])
        entries = [("PASS", 1000 + 40 * n * n + 13 * n, (n * 7 % 10) / 10) for n in range(30)]
        spot_file(match, [*entries, ("GOAL", 5020, 1.5 - number), ("PASS", 1020, 0.05)])
    return tmp_path


def test_the_official_code_takes_the_zip_and_gives_the_same_score(folders: Path):
    official = pytest.importorskip(
        "SoccerNet.Evaluation.ActionSpotting", reason="the official package is not installed"
    )
    pack_submission(folders / "predictions", folders / "out.zip", label_set=BALL_12)
    theirs = official.evaluate(
        str(folders / "data"),
        str(folders / "out.zip"),
        prediction_file="results_spotting.json",
        label_files="Labels-ball.json",
        framerate=25,
        metric="at1",
        dataset=None,
        EVENT_DICTIONARY={label: index for index, label in enumerate(BALL_12.labels)},
    )
    for path in (folders / "predictions", folders / "out.zip"):
        ours = evaluate_predictions(path, DataSelection(folders / "data", BALL_12), bootstrap=Bootstrap(0))
        assert ours.result.mean_ap == pytest.approx(theirs["a_mAP"], abs=1e-9)
    assert theirs["a_mAP"] > 0.05


def test_the_zip_holds_the_matches_from_the_league_down_and_the_same_bytes_each_time(folders: Path):
    for name in ("one.zip", "two.zip"):
        submission = pack_submission(folders / "predictions", folders / name, label_set=BALL_12)
    assert (submission.n_matches, submission.n_spots) == (2, 64)
    assert submission.notes[0].startswith("1 confidences are outside 0..1")
    with zipfile.ZipFile(folders / "one.zip") as archive:
        assert archive.namelist() == [f"league/2026/{match}/results_spotting.json" for match in ("m1", "m2")]
    assert (folders / "one.zip").read_bytes() == (folders / "two.zip").read_bytes()


def test_a_match_that_was_not_predicted_gets_no_file_of_another(
    tmp_path: Path, label_file: Callable, spot_file: Callable
):
    for match in ("m1", "old/m1"):
        label_file(match, [("PASS", 1020)])
    spot_file("m1", [("PASS", 1020, 0.9)])
    for score in (
        lambda: evaluate_predictions(
            tmp_path / "predictions", DataSelection(tmp_path / "data", BALL_12), bootstrap=Bootstrap(0)
        ),
        lambda: pack_submission(
            tmp_path / "predictions", tmp_path / "o.zip", label_set=BALL_12, matches=["m1", "old/m1"]
        ),
    ):
        with pytest.raises(BallspotError, match="no predictions for match 'old/m1'"):
            score()


def test_missing_halves_are_filled_in_and_misplaced_files_put_right(folders: Path, spot_file: Callable):
    entry = {"gameTime": "2 - 00:01", "label": "PASS", "position": "1020", "confidence": "0.9"}
    spot_file("extra/league/2026/m1", [entry], root="others")
    submission = pack_submission(folders / "others", folders / "o.zip", label_set=BALL_12, matches=["league/2026/m1"])
    assert len(submission.notes) == 2
    with zipfile.ZipFile(folders / "o.zip") as archive:
        assert b'"half": "2"' in archive.read("league/2026/m1/results_spotting.json")


def test_unknown_labels_existing_files_and_empty_folders_are_refused(folders: Path, spot_file: Callable):
    spot_file("m", [("PASS", 1000, 0.5), ("Pas", 1000, 0.5)], root="odd")
    with pytest.raises(BallspotError, match=r"m/results_spotting\.json: prediction 2: unknown label 'Pas'"):
        pack_submission(folders / "odd", folders / "odd.zip", label_set=BALL_12)
    assert not (folders / "odd.zip").exists()
    (folders / "there.zip").touch()
    with pytest.raises(BallspotError, match=r"there\.zip: already exists"):
        pack_submission(folders / "predictions", folders / "there.zip", label_set=BALL_12)
    (folders / "empty").mkdir()
    with pytest.raises(BallspotError, match="no <match>/results_spotting"):
        pack_submission(folders / "empty", folders / "e.zip", label_set=BALL_12)


def test_the_command_packs_a_split_and_misses_no_match_of_it(folders: Path):
    (folders / "data" / "splits.toml").write_text('train = ["league/2026/m1"]\nvalid = []\ntest = ["league/2026/m2"]\n')
    words = ["export", str(folders / "predictions"), "--data", str(folders / "data"), "--split", "test", "--out"]
    result = CliRunner().invoke(main, [*words, str(folders / "test.zip")])
    assert result.exit_code == 0, result.output
    assert "32 predictions of 1 matches, as soccernet-zip" in result.stdout
    (folders / "predictions" / "league" / "2026" / "m2" / "results_spotting.json").unlink()
    again = CliRunner().invoke(main, [*words, str(folders / "again.zip")])
    assert again.exit_code == 1 and "no predictions for match 'league/2026/m2'" in again.stderr
    assert CliRunner().invoke(main, [*words[:2], "--split", "test", "--out", "x.zip"]).exit_code == 2
