"""The official package, SoccerNet 0.2.0, as the judge: same files in, same numbers out."""

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ballspot.evaluate.dataset.columns import column_arrays, columns_of
from ballspot.evaluate.dataset.data_selection import DataSelection
from ballspot.evaluate.dataset.labels import read_labels
from ballspot.evaluate.dataset.labelsets import BALL_12, LabelSet
from ballspot.evaluate.dataset.spots import read_spots
from ballspot.evaluate.results.evaluation import evaluate_predictions
from ballspot.evaluate.scoring.metrics import APResult, average_precision
from ballspot.evaluate.scoring.protocol import METRICS, Protocol

official = pytest.importorskip("SoccerNet.Evaluation.ActionSpotting", reason="the official package is not installed")

N_CASES = int(os.environ.get("BALLSPOT_OFFICIAL_CASES", "40"))
BLOCK = 20
ABC = LabelSet("abc", ("A", "B", "C"))
LABELS, SPOTS = "Labels-ball.json", "results_spotting.json"
Entries = list[dict[str, object]]


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(official, "tqdm", lambda rounds, **_: rounds)


def judge(labels: Path, predictions: Path, label_set: LabelSet, *, fps: int, metric: str) -> dict:
    """The official result; `dataset=None` makes it score every folder below ``labels`` that holds a JSON file."""
    places = {label: index for index, label in enumerate(label_set.labels)}
    return official.evaluate(
        str(labels),
        str(predictions),
        prediction_file=SPOTS,
        label_files=LABELS,
        framerate=fps,
        metric=metric,
        dataset=None,
        EVENT_DICTIONARY=places,
    )


def assert_equal(ours: APResult, theirs: dict) -> None:
    pairs = [
        (ours.mean_ap, theirs["a_mAP"]),
        (ours.ap, theirs["a_mAP_per_class"]),
        (ours.mean_ap_visible, theirs["a_mAP_visible"]),
        (ours.ap_visible, theirs["a_mAP_per_class_visible"]),
        (ours.mean_ap_not_shown, theirs["a_mAP_unshown"]),
        (ours.ap_not_shown, theirs["a_mAP_per_class_unshown"]),
    ]
    for our, their in pairs:
        np.testing.assert_allclose(our, their, rtol=0, atol=1e-9)


def differ(root: Path, matches: list[tuple[Entries, Entries]], *, fps: int, metric: str) -> APResult:
    """Scores the matches with both and compares every number."""
    for place, (annotations, predictions) in enumerate(matches):
        folder = root / f"m{place}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / LABELS).write_text(json.dumps({"annotations": annotations}))
        (root.parent / f"{root.name}-spots" / f"m{place}").mkdir(parents=True, exist_ok=True)
        (root.parent / f"{root.name}-spots" / f"m{place}" / SPOTS).write_text(json.dumps({"predictions": predictions}))
    truths, spots = [], []
    for place in range(len(matches)):
        labels = read_labels(root / f"m{place}" / LABELS, ABC, in_file_order=True)
        predicted = read_spots(root.parent / f"{root.name}-spots" / f"m{place}" / SPOTS)
        truths.append(column_arrays(columns_of(labels), ABC, fps=fps))
        spots.append(column_arrays(columns_of(predicted), ABC, fps=fps))
    ours = average_precision(truths, spots, n_labels=3, protocol=Protocol(metric, fps))
    assert_equal(ours, judge(root, root.parent / f"{root.name}-spots", ABC, fps=fps, metric=metric))
    return ours


def random_match(draw: random.Random) -> tuple[Entries, Entries]:
    """Labels and predictions with everything that has been seen to matter."""
    span_ms = draw.choice((2_000, 20_000, 200_000, 7_300_000))  # crowded to sparse; 7,200,000 is the end of a half
    labels = draw.choice(("AB", "ABC", "B"))
    rounding_ms = draw.choice((1, 40, 500))  # many equal frames, and the starts that read one frame early

    def time_ms() -> int:
        position_ms = draw.randrange(span_ms) // rounding_ms * rounding_ms
        return position_ms + 7_190_000 if draw.random() < 0.05 else position_ms

    def entry(label: str, position_ms: int) -> dict[str, object]:
        half = draw.choice((1, 1, 2))
        return {"gameTime": f"{half} - 00:00", "half": str(half), "label": label, "position": str(position_ms)}

    annotations, predictions = [], []
    for _ in range(draw.choice((0, 1, 6, 40))):
        visibility = draw.choice(("visible", "visible", "not shown"))
        annotations.append({**entry(draw.choice(labels), time_ms()), "visibility": visibility})
    near = [int(str(annotation["position"])) for annotation in annotations] or [0]
    for _ in range(draw.choice((0, 1, 12, 80))):
        position_ms = draw.choice((time_ms(), max(0, draw.choice(near) + draw.randrange(-1500, 1500))))
        plain, edge = draw.random(), draw.randrange(200) / 199  # an edge is exactly one of the thresholds
        score = draw.choice((plain, plain, plain, edge, 0, 1, 0.004, 1.5, -0.2))
        predictions.append({**entry(draw.choice("ABC"), position_ms), "confidence": draw.choice((score, str(score)))})
    return annotations, predictions


@pytest.mark.parametrize("block", range(max(1, N_CASES // BLOCK)))
def test_random_matches_score_as_the_official_package_scores_them(tmp_path: Path, block: int):
    # Blocks of calls of one or two matches; BALLSPOT_OFFICIAL_CASES=20000 makes the whole differential test.
    n_scored = 0
    for case in range(BLOCK):
        draw = random.Random(BLOCK * block + case)
        averaged = draw.random() < 0.04
        metric = draw.choice(("tight", "loose") if averaged else ("at1", "at2", "at3", "at4", "at5"))
        matches = [random_match(draw) for _ in range(draw.choice((1, 1, 2)))]
        ours = differ(tmp_path / str(case), matches, fps=draw.choice((1, 2, 3)), metric=metric)
        n_scored += ours.mean_ap > 0
        shutil.rmtree(tmp_path / str(case))
    assert n_scored  # the cases are not all empty; of thousands of blocks some have few that score


@pytest.mark.parametrize("metric", METRICS)
def test_random_matches_at_25_fps_score_as_the_official_package_scores_them(tmp_path: Path, metric: str):
    draw = random.Random(list(METRICS).index(metric))
    matches = [random_match(draw) for _ in range(6)]
    assert differ(tmp_path / "labels", matches, fps=25, metric=metric).mean_ap > 0


halves = st.sampled_from([1, 2])
times = st.one_of(st.integers(0, 3000), st.integers(7_199_000, 7_300_000))
truth_entries = st.builds(
    lambda label, half, position_ms, visibility: {
        "gameTime": f"{half} - 00:00",
        "label": label,
        "position": str(position_ms),
        "visibility": visibility,
    },
    st.sampled_from(["A", "B", "C"]),
    halves,
    times,
    st.sampled_from(["visible", "not shown"]),
)
spot_entries = st.builds(
    lambda label, half, position_ms, score: {
        "label": label,
        "half": str(half),
        "position": str(position_ms),
        "confidence": repr(score),
    },
    st.sampled_from(["A", "B", "C"]),
    halves,
    times,
    st.one_of(st.sampled_from([0.0, 1.0, 1.5, -1.0, 1 / 199]), st.floats(0, 1)),
)


matches_of_entries = st.tuples(st.lists(truth_entries, max_size=8), st.lists(spot_entries, max_size=12))


@settings(
    max_examples=max(25, N_CASES // 10), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.tuples(st.lists(truth_entries, max_size=8), st.lists(spot_entries, max_size=12)), min_size=1, max_size=2
    ),
    st.sampled_from(["at1", "at2", "at5"]),
    st.integers(1, 4),
)
def test_any_match_scores_as_the_official_package_scores_it(
    tmp_path_factory: pytest.TempPathFactory, matches: list, metric: str, fps: int
):
    differ(tmp_path_factory.mktemp("case") / "labels", matches, fps=fps, metric=metric)


@pytest.mark.parametrize("metric", ["at1", "tight"])
def test_evaluating_a_prediction_folder_gives_the_official_result(
    tmp_path: Path, label_file: Callable, spot_file: Callable, metric: str
):
    draw = random.Random(7)
    for match in ("league/2026/m1", "league/2026/m2", "league/2026/m3"):
        truths = [(draw.choice(BALL_12.labels), draw.randrange(150_000)) for _ in range(60)]
        found = [(label, max(0, time + draw.randrange(-900, 900)), draw.random()) for label, time in truths]
        noise = [(draw.choice(BALL_12.labels), draw.randrange(150_000), draw.random() ** 2) for _ in range(120)]
        shown = [draw.choice(("visible", "not shown")) for _ in truths]
        entries = zip(truths, shown, strict=True)
        label_file(match, [{**_annotation(*truth), "visibility": how} for truth, how in entries])
        spot_file(match, [*found, *noise])
    folder = tmp_path / "predictions"
    theirs = judge(tmp_path / "data", folder, BALL_12, fps=25, metric=metric)
    for predictions in (folder, _zip(folder)):
        ours = evaluate_predictions(predictions, DataSelection(tmp_path / "data", BALL_12), protocol=Protocol(metric))
        assert_equal(ours.result, theirs)
        assert ours.result.mean_ap > 0.05


def test_the_rendered_matches_score_as_the_official_package_scores_them(tmp_path: Path):
    data = Path(__file__).resolve().parents[3] / ".." / "shared" / "data"
    if not data.is_dir():
        pytest.skip("the rendered matches (../shared/data) are not here")
    draw = random.Random(11)
    for labels in sorted(data.rglob(LABELS)):
        spots = []
        for spot in read_labels(labels, BALL_12):
            time_ms = max(0, spot.position_ms + draw.randrange(-800, 800))
            spots.append({**_annotation(spot.label, time_ms), "half": "1", "confidence": str(draw.random())})
        target = tmp_path / labels.parent.relative_to(data) / SPOTS
        target.parent.mkdir(parents=True)
        target.write_text(json.dumps({"predictions": spots}))
    ours = evaluate_predictions(tmp_path, DataSelection(data, BALL_12))
    assert_equal(ours.result, judge(data, tmp_path, BALL_12, fps=25, metric="at1"))


def _annotation(label: str, position_ms: int) -> dict[str, object]:
    return {"gameTime": "1 - 00:00", "label": label, "position": str(position_ms)}


def _zip(folder: Path) -> Path:

    return Path(shutil.make_archive(str(folder), "zip", folder))
