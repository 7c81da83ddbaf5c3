from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ballspot.cache.errors import BallspotError
from ballspot.cache.times.axis import TimeAxis, frame_of, position_of
from ballspot.evaluate.dataset.labels import Spot
from ballspot.evaluate.scoring.metrics import metric_frame, metric_frames
from ballspot.temporal.config.grid import ClipGrid
from ballspot.temporal.config.load import PLACES, config_from_table
from ballspot.temporal.config.sections import Config, HeadSection
from ballspot.temporal.decoding.peaks import decode_scores, spots_of
from ballspot.temporal.decoding.suppression import Peaks
from ballspot.temporal.features.resident import from_arrays
from ballspot.temporal.heads.head import HeadOutput, SpottingHead, build_head
from ballspot.temporal.prediction.score import match_scores, mean_scores, placed_scores, sides_of
from ballspot.temporal.prediction.stream import score_match
from ballspot.temporal.prediction.write import claim_folder


class Echo(SpottingHead):
    """A head whose probability of its one class at a token is the feature (0..1) of the token's frame."""

    def __init__(self, temporal_stride: int = 1, offset: float = 0.0) -> None:
        super().__init__(nn.Identity(), width=1, n_classes=1)
        self.temporal_stride, self.offset = temporal_stride, offset

    def forward(self, frames):
        p = frames[:, :: self.temporal_stride].clamp(1e-6, 1 - 1e-6)  # (B, N, 1)
        logits = torch.cat([torch.zeros_like(p), torch.log(p / (1 - p))], dim=-1)
        return HeadOutput(logits, torch.full(p.shape[:2], self.offset))


def how(**settings) -> Config:
    fixed = {"clip_frames": 10, "pad_frames": 0, "clip_stride": 2, "temporal_stride": 1, "merge": "sum"}
    table: dict[str, dict] = {}
    for key, value in (fixed | settings).items():
        table.setdefault(PLACES[key][0], {})[key] = value
    return config_from_table(table, source="here")


def ramp(n_frames: int) -> np.ndarray:
    return ((np.arange(n_frames) % 90 + 1) / 100)[:, None]


@settings(max_examples=120, deadline=None)
@given(
    n_frames=st.integers(1, 400),
    clip_frames=st.integers(1, 60),
    clip_stride=st.integers(1, 4),
    overlap=st.sampled_from([0.0, 0.5, 0.75]),
)
def test_every_frame_of_a_match_gets_the_score_that_its_windows_gave_it(n_frames, clip_frames, clip_stride, overlap):
    features = from_arrays({"a": ramp(n_frames)})
    prediction = how(clip_frames=clip_frames, clip_stride=clip_stride, window_overlap=overlap, window_batch_clips=7)
    scored = score_match(Echo(), features, 0, prediction)
    assert scored.frame_index.tolist() == list(range(n_frames))
    assert scored.support.min() >= 1
    np.testing.assert_allclose(scored.scores, ramp(n_frames), atol=1e-5)


def test_one_phase_scores_every_second_frame_and_stopping_early_leaves_the_end_at_zero():
    features = from_arrays({"a": ramp(101)})
    scored = score_match(Echo(), features, 0, how(phases="one", coverage="stop-early"))
    assert scored.frame_index.tolist() == list(range(0, 101, 2))
    # 51 frames of the grid, clips of 10: the last start with another whole clip behind it is 30, scored up to 39.
    assert np.flatnonzero(scored.support).tolist() == list(range(40))
    np.testing.assert_allclose(scored.scores[:40], ramp(101)[:80:2], atol=1e-5)
    assert float(scored.scores[40:].sum()) == 0.0


def test_a_match_too_short_for_coverage_that_stops_early_has_zeros():
    scored = score_match(Echo(), from_arrays({"a": ramp(20)}), 0, how(coverage="stop-early"))
    assert scored.scores.shape == (20, 1)
    assert float(np.abs(scored.scores).sum()) == 0.0


def test_offsets_are_clip_frames_so_a_clip_stride_of_two_moves_scores_by_two_video_frames():
    spike = np.zeros((60, 1))
    spike[31] = 0.9
    scored = score_match(Echo(offset=1.0), from_arrays({"a": spike}), 0, how(clip_frames=10, window_overlap=0.5))
    assert int(scored.scores[:, 0].argmax()) == 33


def test_a_score_seen_by_two_windows_is_their_mean_even_where_only_one_placed_it():
    # Windows 0-9 and 5-14 of 15 frames; offset 5 takes the spike at frame 2 to 7, which both see, but the second window
    # does not see frame 2.
    spike = np.zeros((15, 1))
    spike[2] = 0.8
    scored = score_match(Echo(offset=5.0), from_arrays({"a": spike}), 0, how(clip_stride=1))
    assert scored.support.tolist() == [1] * 5 + [2] * 5 + [1] * 5
    assert scored.scores[7, 0] == pytest.approx(0.4, abs=1e-5)


def test_batches_of_any_size_give_the_same_scores():
    torch.manual_seed(0)
    head = build_head(HeadSection(width=8, n_layers=1, n_attention_heads=2), dims=(3,), n_labels=4, clip_frames=10)
    features = from_arrays({"a": np.random.default_rng(0).normal(size=(97, 3)).astype(np.float32)})
    one, many = (
        score_match(head, features, 0, how(temporal_stride=2, window_batch_clips=size)).scores for size in (1, 64)
    )
    np.testing.assert_allclose(one, many, atol=1e-6)


def test_other_matches_in_memory_do_not_change_a_matchs_scores():
    torch.manual_seed(0)
    head = build_head(HeadSection(width=8, n_layers=1, n_attention_heads=2), dims=(3,), n_labels=4, clip_frames=10)
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(n, 3)).astype(np.float32) for n in (33, 41))
    alone = score_match(head, from_arrays({"b": b}), 0, how(temporal_stride=2)).scores
    second = score_match(head, from_arrays({"a": a, "b": b}), 1, how(temporal_stride=2)).scores
    np.testing.assert_array_equal(alone, second)


def test_prediction_leaves_the_head_in_the_mode_it_was_in():
    head = Echo().train()
    score_match(head, from_arrays({"a": ramp(30)}), 0, how())
    assert head.training


@pytest.mark.parametrize("fps", [Fraction(25), Fraction(30000, 1001)])
def test_spots_stand_at_the_middle_of_their_frames_and_read_back_as_them(fps):
    peaks = Peaks(np.array([0, 2]), np.array([1, 0]), np.array([0.5, 0.25]))
    spots = spots_of(peaks, np.array([0, 10, 29]), axis=TimeAxis(fps, 30), labels=("A", "B"))
    assert [(spot.label, spot.confidence, frame_of(spot.position_ms, fps)) for spot in spots] == [
        ("B", 0.5, 0),
        ("A", 0.25, 29),
    ]
    if fps == 25:
        assert spots[1] == Spot("A", 29 * 40 + 20, confidence=0.25)


def test_at_25_frames_a_second_the_metric_sees_every_prediction_at_its_own_frame():
    assert metric_frames(TimeAxis(Fraction(25), 5000).positions_of(np.arange(5000))).tolist() == list(range(5000))


@pytest.mark.parametrize("fps", [Fraction(25), Fraction(30000, 1001), Fraction(25, 2), Fraction(60)])
def test_frames_of_the_metric_are_those_of_one_spot_after_another(fps):
    frames = np.r_[0:3000, 539_000:540_000]
    one_by_one = [metric_frame(position_of(frame, fps), 25.0) for frame in frames.tolist()]
    assert metric_frames(TimeAxis(fps, 0).positions_of(frames)).tolist() == one_by_one


def test_decoding_names_its_three_rules():
    scores = np.array([[0.5], [0.4], [0.3]], dtype=np.float32)
    kept = {
        kind: len(decode_scores(scores, suppression=kind, nms_window=2, score_floor=0.05).row)
        for kind in ("soft", "hard", "lopsided")
    }
    # soft: 0.3, two away, stays and takes 0.4 from 0.1 to 0.025; hard: all within 2 go; lopsided of 2 removes one
    # before a peak and none after.
    assert kept == {"soft": 2, "hard": 1, "lopsided": 3}


def test_the_mirror_image_is_averaged_in_with_its_sides_exchanged():
    class Sided(Echo):
        """Beside the echo: everything is the right team's where the feature is high."""

        def __init__(self) -> None:
            super().__init__()
            self.team_layer = nn.Linear(1, 1)

        def forward(self, frames):
            output = super().forward(frames)
            return output._replace(team_logits=torch.where(frames[..., 0] > 0.5, 9.0, -9.0))

    picture, mirrored = np.full((30, 1), 0.8), np.full((30, 1), 0.4)
    features = from_arrays({"a": picture})
    both = replace(
        features, rows=torch.from_numpy(np.concatenate([picture, mirrored])).float(), views=("original", "hflip")
    )
    alone = score_match(Sided(), both, 0, how())
    np.testing.assert_allclose(alone.scores, 0.8, atol=1e-5)
    averaged = score_match(Sided(), both, 0, how(flip_average=True))
    np.testing.assert_allclose(averaged.scores, 0.6, atol=1e-5)
    assert averaged.right_share is not None
    # 0.8 of the right team there, and 0.4 of the mirrored left, which is our right, too.
    np.testing.assert_allclose(averaged.right_share, 1.0, atol=1e-3)


def test_kept_centres_score_a_frame_by_one_window():
    features = from_arrays({"a": ramp(200)})
    scored = score_match(Echo(), features, 0, how(window_overlap=0.5, centre_share=0.5))
    assert int(scored.support[20:180].max()) == 1
    np.testing.assert_allclose(scored.scores, ramp(200), atol=1e-4)


def test_scores_of_other_frames_have_no_mean():
    features = from_arrays({"a": ramp(60)})
    one, other = (score_match(Echo(), features, 0, how(phases=phases)) for phases in ("all", "one"))
    with pytest.raises(ValueError, match="different frames"):
        mean_scores([one, other])


def test_a_kill_while_the_record_is_written_does_not_take_the_folder(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    left = out / ".predictions.json.abcd1234.tmp"  # as `whole_file` names it until it is renamed
    left.write_text('{"format": "ballspot-pre')
    claim_folder(out, {"matches": ["a"]})
    assert not left.exists()
    claim_folder(out, {"matches": ["a"]})
    with pytest.raises(BallspotError, match="holds other predictions"):
        claim_folder(out, {"matches": ["b"]})
    other = tmp_path / "other"
    other.mkdir()
    (other / ".notes.tmp").write_text("somebody's own")
    with pytest.raises(BallspotError, match=r"holds no predictions\.json"):
        claim_folder(other, {"matches": ["a"]})


@pytest.mark.parametrize("merge", ["sum", "maximum"])
@pytest.mark.parametrize("class_loss", ["cross-entropy", "sigmoid"])
def test_a_team_head_leaves_the_score_of_a_class_as_it_is(class_loss, merge):
    """Whatever the team, the score is the class's probability; the same head with no team logits gives it."""
    section = HeadSection(kind="gru", width=8, teams="head", temporal_stride=2)
    head = build_head(section, dims=(4,), n_labels=3, clip_frames=10).eval()
    config = how(clip_stride=1, temporal_stride=2, class_loss=class_loss, merge=merge)
    grid = ClipGrid.of(config, 1)
    frames = torch.randn(2, 10, 4, generator=torch.Generator().manual_seed(0)) * 5
    with torch.no_grad():
        sides = sides_of(head, config)
        placed = placed_scores(head, frames, grid, config).flatten(0, 1).numpy()
        found = match_scores(placed, np.arange(20), np.ones(20, np.int64), sides=sides)
        output = head(frames)
        team = None if output.team_logits is None else output.team_logits
        head.team_layer = None
        plain = placed_scores(head, frames, grid, config).flatten(0, 1).numpy()
    assert sides == "shared" and team is not None
    np.testing.assert_allclose(found.scores, plain, rtol=1e-5)
    if merge == "maximum":
        assert float(found.scores.max()) <= 1.0


def test_classes_of_either_side_are_added_where_they_exclude_one_another_and_else_the_higher_counts():
    section = HeadSection(kind="gru", width=8, teams="labels", temporal_stride=2)
    head = build_head(section, dims=(4,), n_labels=1, clip_frames=10)
    losses = [how(clip_stride=1, temporal_stride=2, class_loss=loss) for loss in ("cross-entropy", "sigmoid")]
    assert [sides_of(head, config) for config in losses] == ["shared", "apart"]
    asked = losses[0].model_copy(
        update={"prediction": losses[0].prediction.model_copy(update={"team_scores": "apart"})}
    )
    assert sides_of(head, asked) == "apart"
    scores = np.array([[0.5, 0.3]])
    shared, apart = (match_scores(scores, np.arange(1), np.ones(1), sides=sides) for sides in ("shared", "apart"))
    assert (float(shared.scores[0, 0]), float(apart.scores[0, 0])) == (np.float32(0.8), 0.5)
