"""Data at its limits: features that are not numbers or never change, matches without events or almost without frames,
one of five hours, a thousand of a second, one class and a hundred."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from ballspot.cache.stores.attributes import STORE_FORMAT, fixed, header_attributes
from ballspot.cache.stores.layout import StoreHeader
from ballspot.cache.stores.spec import FeatureSpec

from .harness import REFUSED, SAME, Ended, ballspot, contents, note_outcome, require_refusal, spread
from .season import (
    DIM,
    LABELS,
    N_FRAMES,
    Season,
    draw_events,
    shown,
    write_features,
    write_labels,
    write_season,
    write_splits,
)

SCALINGS = ("none", "train", "match", "match-common")
NAMES = [f"league/match-{number}" for number in range(1, 5)]


def done(*words: object, limit_s: float = 120.0) -> Ended:
    ended = ballspot(*words, limit_s=limit_s)
    assert ended.code == 0, f"{words[0]}\n{ended.stderr}\n{ended.trace}"
    return ended


def all_the_way(season: Season, *more: object, limit_s: float = 120.0) -> dict[str, Any]:
    """Trains, predicts, evaluates, tunes and compares; the evaluation of the test matches."""
    done(*season.train(None, *more), limit_s=limit_s)
    done(*season.predict(), limit_s=limit_s)
    labels = more[more.index("--labels") :][:2] if "--labels" in more else []
    words = ["evaluate", season.run / "predictions" / "test", "--data", season.data, "--split", "test", "--diagnose"]
    found = json.loads(done(*words, "--resamples", 9, "--json", *labels, limit_s=limit_s).stdout)
    done("tune", season.run, "--data", season.data, limit_s=limit_s)
    done("compare", season.run, "--split", "test", "--resamples", 9, *(["--format", "json"]), limit_s=limit_s)
    return found


def foreign_store(path: Path, match: str, rows: np.ndarray) -> None:
    """A store of another writer, of format 1.0: no digests, and nobody who refuses what is not finite."""
    path.unlink(missing_ok=True)
    header = StoreHeader(
        match=match, fps=Fraction(25), n_video_frames=len(rows), n_rows=len(rows), dim=rows.shape[1],
        spec=FeatureSpec.read({"made": "a"}),
    )  # fmt: skip
    with h5py.File(path, "w", libver="earliest") as file:
        for name, value in {**header_attributes(header), "format": STORE_FORMAT, "format_version": "1.0"}.items():
            file.attrs.create(name, fixed(value))
        file.create_dataset("frame_index", data=np.arange(len(rows)))
        file.create_dataset("features", data=rows.astype(np.float16), chunks=(min(256, len(rows)), rows.shape[1]))
        file.attrs.create("complete", np.uint8(1))


@pytest.mark.parametrize("value", spread(("nan", "inf", "-inf"), "nan"))
@pytest.mark.parametrize("scaling", spread(SCALINGS, "match-common"))
@pytest.mark.parametrize("place", [0, 2, 3], ids=["train", "valid", "test"])
def test_features_that_are_no_numbers_are_told(value: str, scaling: str, place: int, tmp_path: Path) -> None:
    season = write_season(tmp_path)
    rows = np.zeros((N_FRAMES, DIM))
    rows[17, 3] = float(value)
    path = season.features / f"{NAMES[place]}.h5"
    if place == 3:
        done(*season.train(None, "--set", f"scaling={scaling}"))
    foreign_store(path, NAMES[place], rows)
    words = season.predict() if place == 3 else season.train(None, "--set", f"scaling={scaling}")
    error = require_refusal("features", ballspot(*words))
    assert "finite" in error and (place == 0 or NAMES[place] in error), error
    assert not list(season.run.glob("predictions/*/*/*/results_spotting.json")) or place == 3
    if place == 0:
        pca = ["cache", "pca", season.features, "--dim", 2, "--data", season.data]
        for more in (pca, ["probe", season.features, "--data", season.data]):
            assert "finite" in require_refusal("features", ballspot(*more))
    verified = ballspot("cache", "verify", path)
    assert verified.code == 1 and "row 17 is not finite" in verified.stdout
    note_outcome("data extremes: features that are not numbers", REFUSED)


@pytest.mark.parametrize("scaling", spread(SCALINGS, "train"))
def test_features_that_never_change_train_and_predict(scaling: str, tmp_path: Path) -> None:
    season = write_season(tmp_path)
    for name in NAMES:
        write_features(season.features, name, np.full((N_FRAMES, DIM), 7.0))
    found = all_the_way(season, "--set", f"scaling={scaling}")
    assert 0 <= found["mean_ap"] <= 1
    done("cache", "pca", season.features, "--dim", 2, "--data", season.data)
    note_outcome("data extremes: features that never change", SAME)


@pytest.mark.parametrize("place", spread(range(4), 2))
def test_a_match_without_events_is_scored(place: int, tmp_path: Path) -> None:
    season = write_season(tmp_path)
    write_labels(season.data, NAMES[place], [])
    found = all_the_way(season)
    assert found["n_labels"] == (0 if place == 3 else len(labels_of(season, 3)))
    note_outcome("data extremes: a match without events", SAME)


def labels_of(season: Season, place: int) -> list[dict]:
    return json.loads((season.data / NAMES[place] / "Labels-ball.json").read_text())["annotations"]


def test_a_training_part_without_any_event_is_refused(tmp_path: Path) -> None:
    season = write_season(tmp_path)
    for name in NAMES[:2]:
        write_labels(season.data, name, [])
    assert "no event in the training matches" in require_refusal("no events", ballspot(*season.train()))
    assert "have no event" in require_refusal("no events", ballspot("probe", season.features, "--data", season.data))
    note_outcome("data extremes: a training part without events", REFUSED)


@pytest.mark.parametrize("n_frames", spread((1, 2, 3), 1))
@pytest.mark.parametrize("place", spread((0, 2, 3), 0, 3))
@pytest.mark.parametrize("stride", spread((1, 2), 2))
def test_a_match_of_a_frame_or_two_goes_all_the_way(n_frames: int, place: int, stride: int, tmp_path: Path) -> None:
    season = Season(tmp_path)
    for number, name in enumerate(NAMES):
        length = n_frames if number == place else N_FRAMES
        rng = np.random.default_rng(number)
        events = [(0, "SHOT")] if number == place else draw_events(length, rng)
        write_labels(season.data, name, events)
        rows = shown(events, length, rng)[::stride]
        write_features(
            season.features, name, rows, n_video_frames=length, spec=FeatureSpec.read({"made": "a", "stride": stride})
        )
    write_splits(season.data, NAMES)
    found = all_the_way(season)
    assert found["n_labels"] == (1 if place == 3 else len(labels_of(season, 3)))
    scores = np.load(season.run / "predictions" / "test" / NAMES[3] / "scores.npz")["scores"]
    assert np.isfinite(scores).all() and len(scores) == -(-(n_frames if place == 3 else N_FRAMES) // stride)
    note_outcome(f"data extremes: a match of {n_frames} frames", SAME)


@pytest.mark.faults
def test_a_match_of_five_hours_is_predicted_and_scored(tmp_path: Path) -> None:
    season = write_season(tmp_path)
    n_frames = 450_000
    events = [(25 * 60 * minute, "PASS") for minute in range(0, 300, 2)]
    rows = shown(events, n_frames, np.random.default_rng(1))
    write_features(season.features, NAMES[3], rows)
    write_labels(season.data, NAMES[3], events)
    done(*season.train())
    predicted = done(*season.predict(), limit_s=300)
    assert f"{n_frames} frames scored" in predicted.stdout
    words = ["evaluate", season.run / "predictions" / "test", "--data", season.data, "--split", "test"]
    ended = done(*words, "--resamples", 9, "--json")
    found = json.loads(ended.stdout)
    assert found["n_labels"] == 150
    # SoccerNet's half is of 120 minutes: all that comes later counts in its last frame, and that is said
    assert found["per_class"]["PASS"]["n_truth"] == 61 and "120 minutes" in ended.stderr
    note_outcome("data extremes: a match of five hours", SAME)


@pytest.mark.parametrize("n_matches", spread((30, 1000), 30))
def test_many_tiny_matches_train_predict_and_compare(n_matches: int, tmp_path: Path) -> None:
    names = [f"league/{number // 100}/{number:04d}" for number in range(n_matches)]
    season = write_season(tmp_path, (50,) * n_matches, names=names)
    third = n_matches // 3
    parts = {"train": names[:third], "valid": names[third : 2 * third], "test": names[2 * third :]}
    text = "\n".join(f"{part} = {json.dumps(members)}" for part, members in parts.items())
    (season.data / "splits.toml").write_text(text)
    found = all_the_way(season, limit_s=600)
    assert len(found["matches"]) == n_matches - 2 * third
    note_outcome(f"data extremes: {n_matches} matches of two seconds", SAME)


@pytest.mark.parametrize("n_labels", spread((1, 100), 100))
def test_label_sets_of_one_and_of_a_hundred_classes_go_all_the_way(n_labels: int, tmp_path: Path) -> None:
    labels = tuple(f"CLASS {number}" for number in range(n_labels))
    file = tmp_path / "labels.toml"
    file.write_text(f'name = "many"\nlabels = {json.dumps(labels)}\n')
    season = write_season(tmp_path / "season", (600,) * 4, labels=labels)
    found = all_the_way(season, "--labels", file)
    assert len(found["per_class"]) == n_labels
    missing = [label for label, one in found["per_class"].items() if not one["n_truth"]]
    assert (n_labels == 1) == (not missing)  # of a hundred classes most have no event in the test match
    spots = contents(season.run / "predictions" / "test")
    assert spots and all(b"PASS" not in content for name, content in spots.items() if name.endswith("spotting.json"))
    note_outcome(f"data extremes: a label set of {n_labels} classes", SAME)


def test_a_class_without_events_keeps_its_place(tmp_path: Path) -> None:
    season = write_season(tmp_path, labels=LABELS[:2])
    found = all_the_way(season)
    assert found["per_class"]["SHOT"] == found["per_class"]["SHOT"] | {"ap": 0.0, "n_truth": 0}
    note_outcome("data extremes: classes without an event", SAME)


@pytest.mark.parametrize("size", spread((1e-7, 6e4), 6e4))
def test_features_as_small_or_as_large_as_they_can_be_stored_train(size: float, tmp_path: Path) -> None:
    season = write_season(tmp_path)
    for number, name in enumerate(NAMES):
        rng = np.random.default_rng(number)
        write_features(season.features, name, rng.uniform(-size, size, (N_FRAMES, DIM)))
    found = all_the_way(season)
    assert 0 <= found["mean_ap"] <= 1
    note_outcome("data extremes: features at the limits of their type", SAME)
