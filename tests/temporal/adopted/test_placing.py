"""Scores of a clip's tokens at their rows: T-DEED's rules, the kit's teams, and tokens that stay."""

import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from ballspot.temporal.adopted.placing import PlacedClip, moved_rows, place_clip
from ballspot.temporal.config import Procedure
from ballspot.temporal.heads import HeadOutput


def placed(logits, offsets=None, teams=None, **settings) -> PlacedClip:
    values = {"system": "test", "size": (32, 32), "clip_rows": 9, "overlap_rows": 1, "padding": "black"}
    procedure = Procedure.model_validate({**values, "placing": "maximum", "count": "placed", **settings})
    several = [None if one is None else one[None] for one in (offsets, teams)]
    return place_clip(HeadOutput(logits[None], *several), procedure)


def drawn_rows(n_rows: int, seed: int) -> torch.Tensor:
    return torch.randn(n_rows, 4, generator=torch.Generator().manual_seed(seed)) * 3


DISPLACEMENTS = st.one_of(
    st.floats(-12, 12, width=32),
    st.integers(-24, 24).map(lambda number: number / 2),  # halves, which are rounded to even
    st.sampled_from((math.inf, -math.inf, 1e30, -1e30)),
)


@given(displacements=st.lists(DISPLACEMENTS, min_size=1, max_size=12), seed=st.integers(0, 99), teams=st.booleans())
def test_rows_move_as_one_reads_it_in_tdeeds_facts(displacements, seed, teams):
    n_rows = len(displacements)
    logits, team = drawn_rows(n_rows, seed), torch.linspace(-4, 4, n_rows)
    probability = logits.softmax(-1)
    expected = torch.zeros(n_rows, 4)
    for t, displacement in enumerate(displacements):
        whole = round(max(min(displacement, 100.0), -100.0))
        place = max(0, min(n_rows - 1, t - whole))
        expected[place] = torch.maximum(expected[place], probability[t])
    result = placed(logits, -torch.tensor(displacements), team if teams else None)

    labels = expected[:, 1:]
    if teams:  # of the row where the score stands
        right = team.sigmoid()[:, None]
        labels = torch.cat([(1 - right) * labels, right * labels], dim=1)
    torch.testing.assert_close(result.scores, labels, rtol=0, atol=1e-6)
    assert result.counts.tolist() == (expected.sum(1) > 0).tolist()


@given(n_rows=st.integers(1, 12), seed=st.integers(0, 99))
def test_every_token_is_heard_somewhere_and_no_score_is_invented(n_rows, seed):
    rows = drawn_rows(n_rows, seed).softmax(-1)
    offsets = drawn_rows(n_rows, seed + 100)[:, 0] * 2
    moved = moved_rows(rows, offsets)
    assert torch.equal(moved.max(0).values, rows.max(0).values)  # the highest of a class stays, wherever it goes
    assert all(value in rows for value in moved[moved > 0])
    assert torch.equal(moved_rows(rows, torch.zeros(n_rows)), rows)


def test_a_row_that_none_moved_to_has_no_team_and_does_not_count():
    clip = placed(torch.zeros(3, 3), torch.tensor([1.0, 0.0, 0.0]), torch.tensor([5.0, -5.0, 5.0]))
    assert clip.counts.tolist() == [False, True, True]
    assert not clip.scores[0].any()
    left, right = clip.scores[:, :2], clip.scores[:, 2:]
    torch.testing.assert_close(left + right, torch.tensor([[0.0, 0.0], [1 / 3, 1 / 3], [1 / 3, 1 / 3]]))
    assert (left[1] > right[1]).all() and (left[2] < right[2]).all()  # by the team of rows 1 and 2


def test_all_rows_count_where_clips_are_counted():
    assert placed(torch.zeros(3, 3), torch.full((3,), -9.0), count="clips").counts.tolist() == [True] * 3


def test_tokens_that_stay_keep_their_probabilities_whatever_their_offsets():
    logits = drawn_rows(5, 1)
    for offsets in (None, torch.full((5,), 2.0)):
        clip = placed(logits, offsets, placing="stay", count="clips")
        torch.testing.assert_close(clip.scores, logits.softmax(-1)[:, 1:])
        assert clip.counts.all()
    assert torch.equal(placed(logits, None).scores, placed(logits, None, placing="stay").scores)  # nothing to move by


def test_what_is_no_number_stays_visible():
    clip = placed(drawn_rows(3, 1), torch.tensor([0.0, math.nan, 0.0]))
    assert clip.scores.isnan().any(1).tolist() == [False, True, False]
    broken = placed(torch.full((2, 3), math.nan), torch.tensor([0.0, 0.0]))
    assert broken.scores.isnan().all() and broken.counts.all()
