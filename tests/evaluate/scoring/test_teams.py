import math
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ballspot.evaluate.dataset.columns import columns_of
from ballspot.evaluate.dataset.labels import Spot
from ballspot.evaluate.dataset.labelsets import LabelSet
from ballspot.evaluate.dataset.spots import SpotFile
from ballspot.evaluate.scoring.pairing import Pairing
from ballspot.evaluate.scoring.protocol import Protocol
from ballspot.evaluate.scoring.teams import team_average_precision

AB = LabelSet("ab", ("A", "B"))


def pairing(truths: Sequence[Sequence[Spot]], spots: Sequence[Sequence[Spot]], label_set: LabelSet = AB) -> Pairing:
    names = tuple(f"m{place}" for place in range(len(truths)))
    files = tuple(SpotFile(columns_of(one)) for one in spots)
    return Pairing(label_set, names, tuple(map(tuple, truths)), files, (None,) * len(names))


def direct_ap(truths: list[list[int]], spots: list[list[tuple[int, float]]], reach: int) -> float:
    """One class side's official AP, written from the rules in plain loops: no code shared with the package."""
    scored: list[tuple[float, bool]] = []
    n_truth = 0
    for match_truths, match_spots in zip(truths, spots, strict=True):
        frames = dict(match_spots)  # the last written of a frame
        taken = set()
        for truth in sorted(set(match_truths)):
            n_truth += 1
            near = [f for f in sorted(frames) if abs(f - truth) <= reach and f not in taken and frames[f] >= 0]
            if near:
                taken.add(max(near, key=lambda f: (frames[f], -f)))
        scored += [(score, frame in taken) for frame, score in frames.items() if score >= 0]
    curve = []
    for step in range(200):
        above = [hit for score, hit in scored if score >= step / 199]
        hits = sum(above)
        curve.append((hits / n_truth if n_truth else 0.0, hits / len(above) if above else 0.0))
    return sum(max((p for r, p in curve if r >= level / 10), default=0.0) for level in range(11)) / 11


def direct_team_map(matches: list, labels: Sequence[str], reach: int, fps: int) -> float:
    """24 class sides, each action's two averaged with their truths as weights, the mean over actions with truths."""

    def at(spot: Spot) -> int:
        return int(fps * (spot.position_ms / 1000))

    actions = []
    for label in labels:
        aps, counts = [], []
        for team in ("left", "right"):
            truths = [[at(s) for s in t if (s.label, s.team) == (label, team)] for t, _ in matches]
            spots = [[(at(s), s.confidence) for s in p if (s.label, s.team) == (label, team)] for _, p in matches]
            aps.append(direct_ap(truths, spots, reach))
            counts.append(sum(len(set(one)) for one in truths))
        if sum(counts):
            actions.append(sum(a * n for a, n in zip(aps, counts, strict=True)) / sum(counts))
    return sum(actions) / len(actions) if actions else math.nan


def test_the_sides_are_weighted_by_their_truths_by_hand():
    # Left: 3 truths all found, AP 1. Right: 1 truth not found, AP 0. Action A: 3/4; B has no truth and is absent.
    truths = [Spot("A", 1000 * n, team="left") for n in (1, 20, 40)] + [Spot("A", 60_000, team="right")]
    spots = [Spot("A", 1000 * n, team="left", confidence=0.9) for n in (1, 20, 40)]
    result = team_average_precision(pairing([truths], [spots]))
    assert result.mean_ap == pytest.approx(0.75)
    assert (result.ap[0], math.isnan(result.ap[1])) == (pytest.approx(0.75), True)
    assert result.n_truth.tolist() == [[3, 1], [0, 0]]


def test_the_right_action_of_the_wrong_team_is_no_hit():
    truths, spots = [Spot("A", 1000, team="left")], [Spot("A", 1000, team="right", confidence=0.9)]
    assert team_average_precision(pairing([truths], [spots])).mean_ap == 0.0


def test_spots_without_a_side_take_no_part_and_labels_without_are_counted():
    truths = [Spot("A", 1000, team="left"), Spot("B", 5000, team="not applicable")]
    spots = [Spot("A", 1000, team="left", confidence=0.9), Spot("A", 9000, confidence=1.0)]
    result = team_average_precision(pairing([truths], [spots]))
    assert (result.mean_ap, result.n_truths_without_side) == (1.0, 1)


def test_labels_without_any_side_give_no_number():
    result = team_average_precision(pairing([[Spot("A", 1000)]], [[Spot("A", 1000, confidence=0.9)]]))
    assert math.isnan(result.mean_ap)


sides = st.sampled_from(["left", "right", None])
truth_spots = st.builds(
    lambda label, time, team: Spot(label, time, team=team), st.sampled_from("AB"), st.integers(0, 20_000), sides
)
scored_spots = st.builds(
    lambda label, time, team, score: Spot(label, time, team=team, confidence=score),
    st.sampled_from("AB"),
    st.integers(0, 20_000),
    sides,
    st.one_of(st.floats(-0.1, 1.2), st.sampled_from([0.0, 1.0])),
)
match = st.tuples(st.lists(truth_spots, max_size=14), st.lists(scored_spots, max_size=20))


@settings(max_examples=150, deadline=None)
@given(st.lists(match, min_size=1, max_size=3))
def test_team_map_is_that_of_a_direct_implementation(matches: list):
    ours = team_average_precision(pairing([t for t, _ in matches], [p for _, p in matches]), Protocol(fps=2)).mean_ap
    assert ours == pytest.approx(direct_team_map(matches, AB.labels, reach=1, fps=2), abs=1e-9, nan_ok=True)
