"""Scores with one event a row of peaks, so that what tuning must find can be said in advance."""

import json
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from click.testing import CliRunner

from ballspot.cache.errors import BallspotError
from ballspot.evaluate.dataset.data_selection import DataSelection
from ballspot.evaluate.dataset.labels import Spot
from ballspot.evaluate.dataset.labelsets import LabelSet
from ballspot.evaluate.dataset.spots import SPOTS_FILE, read_spots
from ballspot.evaluate.results.evaluation import evaluate_predictions
from ballspot.temporal.commands.tune import tune
from ballspot.temporal.config.sections import PredictionSection
from ballspot.temporal.decoding.peaks import decode_as_configured
from ballspot.temporal.decoding.postprocessing import (
    ClassDecoding,
    as_configured,
    decode_class,
    decode_classes,
    decoded_spots,
    read_postprocessing,
    rows_a_second,
    write_postprocessing,
)
from ballspot.temporal.decoding.scores import SavedScores, open_scores, write_scores
from ballspot.temporal.decoding.tuning import tune_classes

LABELS = LabelSet("two", ("PASS", "SHOT"))
POOR = ClassDecoding("hard", 0.04, 0.0, 0.005)  # leaves a duplicate beside every peak


def scores_with_duplicates(n_events: int = 15, *, n_frames: int = 1500) -> tuple[SavedScores, list[Spot]]:
    """A peak at every event of PASS and a second one 8 frames later, as high as other events' peaks."""
    scores = np.zeros((n_frames, 2), dtype=np.float32)
    frames = 40 + 90 * np.arange(n_events)
    heights = np.linspace(0.9, 0.4, n_events)
    scores[frames, 0], scores[frames + 8, 0] = heights, heights - 0.02
    scores[700, 1] = 0.5
    truths = [Spot("PASS", int(frame) * 40 + 20) for frame in frames] + [Spot("SHOT", 700 * 40 + 20)]
    return SavedScores(scores, np.arange(n_frames), LABELS.labels, Fraction(25), n_frames, "m"), truths


def tuned(**settings):
    saved, truths = scores_with_duplicates()
    return tune_classes([saved], [truths], LABELS, before=dict.fromkeys(LABELS.labels, POOR), **settings)


def test_tuning_removes_the_duplicates_that_halve_precision():
    found = tuned()["PASS"]
    assert found.ap_before < 0.7
    assert found.ap_after == pytest.approx(1.0)
    assert found.decoding.window_s * 25 >= 8
    assert (found.n_truth, found.chose_alone) == (15, True)


def test_a_class_of_few_truths_takes_what_serves_the_frequent_ones():
    found = tuned()
    assert not found["SHOT"].chose_alone
    assert found["SHOT"].decoding == found["PASS"].decoding  # one frequent class decides for both


def test_without_frequent_classes_nothing_changes():
    assert {one.decoding for one in tuned(min_count=100).values()} == {POOR}


def test_what_is_already_best_is_kept():
    saved, truths = scores_with_duplicates()
    good = dict.fromkeys(LABELS.labels, ClassDecoding("hard", 0.4, 0.0, 0.005))
    found = tune_classes([saved], [truths], LABELS, before=good)
    assert found["PASS"].decoding == good["PASS"]
    assert found["PASS"].ap_before == found["PASS"].ap_after == pytest.approx(1.0)


def test_decoding_class_by_class_is_decoding_all_where_all_are_alike():
    rng = np.random.default_rng(0)
    saved = SavedScores(
        rng.random((300, 2)).astype(np.float32), np.arange(300) * 2, LABELS.labels, Fraction(25), 600, "m"
    )
    section = PredictionSection(nms_window=12)
    apart = decode_classes(saved, as_configured(section, LABELS.labels, rate=12.5))
    together = decode_as_configured(saved.scores, section)
    assert apart.row.tolist() == together.row.tolist()
    assert apart.label_index.tolist() == together.label_index.tolist()
    assert apart.score.tolist() == together.score.tolist()


def test_smoothing_keeps_the_highest_score_and_joins_neighbours():
    scores = np.zeros(100, dtype=np.float32)
    scores[[48, 52]] = 0.6
    peaks = decode_class(scores, ClassDecoding("soft", 0.2, 0.12, 0.005), rows_a_second=25)
    best = peaks.score.argmax()
    assert peaks.row[best] == 50
    assert peaks.score[best] == pytest.approx(0.6)
    silent = decode_class(np.zeros(10, dtype=np.float32), ClassDecoding("soft", 0.2, 0.1), rows_a_second=25)
    assert len(silent.row) == 0


def test_settings_survive_their_file_and_a_wrong_file_is_refused(tmp_path):
    how = {"PASS": POOR, "SHOT": ClassDecoding("soft", 0.96, 0.2)}
    write_postprocessing(tmp_path / "tuned.json", how, made_from={})
    assert read_postprocessing(tmp_path / "tuned.json") == how
    document = json.loads((tmp_path / "tuned.json").read_text())
    for wrong in ({"suppression": "harsh"}, {"window_s": -1}, {"window_s": None}):
        document["classes"]["PASS"] = {**document["classes"]["SHOT"], **wrong}
        (tmp_path / "wrong.json").write_text(json.dumps(document))
        with pytest.raises(BallspotError, match="lacks or garbles"):
            read_postprocessing(tmp_path / "wrong.json")
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(BallspotError, match="format None is not"):
        read_postprocessing(tmp_path / "other.json")
    with pytest.raises(BallspotError, match="no post-processing for class 'SHOT'"):
        decode_classes(scores_with_duplicates()[0], {"PASS": POOR})


def test_plain_arrays_of_other_systems_are_read_with_or_without_background(tmp_path):
    (tmp_path / "m").mkdir()
    scores = np.random.default_rng(0).random((20, 3))
    np.save(tmp_path / "m" / "scores.npy", scores)
    saved = open_scores(tmp_path, "m", LABELS, rows_a_second=Fraction(25, 2))
    np.testing.assert_allclose(saved.scores, scores[:, 1:], rtol=1e-6)
    assert (saved.frame_index.tolist(), saved.fps) == (list(range(0, 40, 2)), Fraction(25))
    np.savez(tmp_path / "m" / "scores.npz", scores=scores[:, 1:])
    np.testing.assert_array_equal(
        open_scores(tmp_path, "m", LABELS, rows_a_second=Fraction(25, 2)).scores, saved.scores
    )


@pytest.mark.parametrize("rate", [Fraction(2), Fraction(25, 2), Fraction(25), Fraction(30)])
def test_a_row_of_a_plain_array_is_written_at_its_picture(tmp_path, rate):
    (tmp_path / "m").mkdir()
    scores = np.zeros((40, 2))
    scores[30, 0] = 1.0
    np.save(tmp_path / "m" / "scores.npy", scores)
    saved = open_scores(tmp_path, "m", LABELS, rows_a_second=rate)
    how = as_configured(PredictionSection(), saved.labels, rate=rows_a_second(saved))
    (spot,) = decoded_spots(saved, how)
    assert 0 <= spot.position_ms - float(30_000 / rate) <= 20  # a video's frame lasts 40 ms and is named by its middle
    assert rows_a_second(saved) == float(rate)


def test_saved_scores_below_0_are_refused(tmp_path):
    saved, _ = scores_with_duplicates()
    write_scores(tmp_path / "m" / "scores.npz", replace(saved, scores=saved.scores - 1.0))
    with pytest.raises(BallspotError, match="negative or not finite"):
        open_scores(tmp_path, "m", LABELS, rows_a_second=None)


def test_columns_of_our_own_files_are_put_in_the_label_sets_order(tmp_path):
    saved, _ = scores_with_duplicates()
    write_scores(tmp_path / "m" / "scores.npz", saved)
    turned = open_scores(tmp_path, "m", LabelSet("turned", ("SHOT", "PASS")), rows_a_second=None)
    np.testing.assert_array_equal(turned.scores, saved.scores[:, ::-1])
    with pytest.raises(BallspotError, match="has no scores of GOAL"):
        open_scores(tmp_path, "m", LabelSet("more", ("GOAL",)), rows_a_second=None)


@pytest.mark.parametrize(
    "array, rate, message",
    [
        (np.zeros((5, 2)), None, "give --rows-per-second"),
        (np.zeros((5, 7)), 25, "neither (n, 2) nor, background first, (n, 3)"),
        (np.zeros(5), 25, "neither (n, 2)"),
        (np.full((5, 2), -1.0), 25, "probabilities, not logits"),
        (np.full((5, 2), np.nan), 25, "probabilities, not logits"),
    ],
)
def test_a_wrong_array_is_named(tmp_path, array, rate, message):
    (tmp_path / "m").mkdir()
    np.save(tmp_path / "m" / "scores.npy", array)
    with pytest.raises(BallspotError) as error:
        open_scores(tmp_path, "m", LABELS, rows_a_second=None if rate is None else Fraction(rate))
    assert message in str(error.value)
    with pytest.raises(BallspotError, match=r"neither scores\.npz nor scores\.npy"):
        open_scores(tmp_path, "n", LABELS, rows_a_second=None)


def test_tune_works_on_another_systems_scores_and_applies_what_it_found(tmp_path):
    saved, truths = scores_with_duplicates()
    labels = tmp_path / "labels.toml"
    labels.write_text('name = "two"\nlabels = ["PASS", "SHOT"]\n')
    (tmp_path / "data" / "m").mkdir(parents=True)
    annotations = [
        {"gameTime": "1 - 00:00", "label": spot.label, "position": str(spot.position_ms), "visibility": "visible"}
        for spot in truths
    ]
    (tmp_path / "data" / "m" / "Labels-ball.json").write_text(json.dumps({"annotations": annotations}))
    splits = tmp_path / "splits.toml"
    splits.write_text('train = []\nvalid = ["m"]\ntest = []\n')
    (tmp_path / "scores" / "m").mkdir(parents=True)
    np.save(tmp_path / "scores" / "m" / "scores.npy", saved.scores)
    words = [tmp_path / "scores", "--data", tmp_path / "data", "--splits", splits, "--labels", labels]
    words += ["--rows-per-second", "25", "--apply", tmp_path / "scores", "--to", tmp_path / "out", "--json"]
    result = CliRunner().invoke(tune, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["mean_ap_after"] >= found["mean_ap_before"]
    spots = read_spots(tmp_path / "out" / "m" / SPOTS_FILE)
    assert spots == tuple(decoded_spots(saved, read_postprocessing(tmp_path / "scores" / "tuned.json")))
    scored = evaluate_predictions(tmp_path / "out", DataSelection(tmp_path / "data", LABELS))
    assert scored.result.mean_ap == pytest.approx(found["mean_ap_after"], abs=1e-9)
