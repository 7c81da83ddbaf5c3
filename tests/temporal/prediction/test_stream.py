import threading
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ballspot.temporal.config.sections import ClipSection, Config, HeadSection, PredictionSection
from ballspot.temporal.features.resident import ResidentFeatures, from_arrays
from ballspot.temporal.heads.head import build_head
from ballspot.temporal.prediction.score import joined
from ballspot.temporal.prediction.stream import ScoreStream, score_match, side_by_side

CPU = torch.device("cpu")


def head_of(kind: str = "tcn", *, clip_frames: int = 12, teams: str = "none", temporal_stride: int = 2):
    torch.manual_seed(3)
    section = HeadSection(
        kind=kind,
        temporal_stride=temporal_stride,
        teams=teams,
        width=8,
        n_layers=1,
        n_attention_heads=2,
        branch_factors=(1, 2),
        unet_levels=1,
    )
    return build_head(section, dims=(5,), n_labels=3, clip_frames=clip_frames)


def how(clip_frames: int = 12, clip_stride: int = 2, **settings) -> Config:
    return Config(
        clips=ClipSection(clip_frames=clip_frames, clip_stride=clip_stride, pad_frames=0),
        head=HeadSection(temporal_stride=2),
        prediction=PredictionSection(merge="sum", **settings),
    )


def stream_of(config: Config, frame_spacing: int = 1) -> ScoreStream:
    return ScoreStream(head_of(), config, frame_spacing=frame_spacing, device=CPU)


def streamed(head, features: ResidentFeatures, config: Config, sizes: list[int]):
    """Everything that a stream gives for rows that come in pieces of these sizes, again and again."""
    rows = features.rows
    stream = ScoreStream(head, config, frame_spacing=features.frame_spacing, device=CPU)
    parts, at, number = [], 0, 0
    while at < len(rows):
        size = sizes[number % len(sizes)]
        parts.append(stream.push({"original": rows[at : at + size]}))
        at, number = at + size, number + 1
    return joined([*parts, stream.finish()]), stream


@settings(max_examples=150, deadline=None)
@given(
    n_frames=st.integers(1, 150),
    clip_frames=st.integers(2, 20),
    clip_stride=st.integers(1, 3),
    overlap=st.sampled_from([0.0, 0.5, 0.75]),
    centre_share=st.sampled_from([1.0, 0.5]),
    phases=st.sampled_from(["all", "one"]),
    coverage=st.sampled_from(["every-frame", "stop-early"]),
    batch=st.integers(1, 5),
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=4),
    teams=st.sampled_from(["none", "head", "labels"]),
)
def test_a_stream_gives_the_scores_of_the_whole_match_however_its_rows_arrive(
    n_frames, clip_frames, clip_stride, overlap, centre_share, phases, coverage, batch, sizes, teams
):
    generator = np.random.default_rng(n_frames)
    features = from_arrays({"a": generator.normal(size=(n_frames, 5)).astype(np.float32)})
    config = how(
        clip_frames,
        clip_stride,
        window_overlap=overlap,
        centre_share=max(centre_share, 1.0 - overlap),
        window_batch_clips=batch,
        phases=phases,
        coverage=coverage,
    )
    head = head_of(clip_frames=clip_frames, teams=teams).eval()
    whole = score_match(head, features, 0, config)
    part_by_part, _ = streamed(head, features, config, sizes)
    assert part_by_part.frame_index.tolist() == whole.frame_index.tolist()
    assert part_by_part.support.tolist() == whole.support.tolist()
    np.testing.assert_allclose(part_by_part.scores, whole.scores, atol=2e-6)
    if whole.right_share is not None:
        np.testing.assert_allclose(part_by_part.right_share, whole.right_share, atol=1e-4)


@pytest.mark.parametrize("kind", ["transformer", "gru", "unet", "multires", "linear"])
def test_every_kind_of_head_streams(kind):
    features = from_arrays({"a": np.random.default_rng(1).normal(size=(90, 5)).astype(np.float32)})
    config = how()
    head = head_of(kind).eval()
    part_by_part, _ = streamed(head, features, config, [7])
    np.testing.assert_allclose(part_by_part.scores, score_match(head, features, 0, config).scores, atol=2e-6)


def test_rows_that_are_some_frames_apart_keep_their_frame_indices():
    features = replace(from_arrays({"a": np.ones((60, 5), np.float32)}), frame_spacing=2)
    part_by_part, _ = streamed(head_of(), features, how(12, 4), [9])
    assert part_by_part.frame_index.tolist() == list(range(0, 120, 2))


def test_a_stream_holds_no_more_than_one_clip_and_the_newest_rows():
    stream = stream_of(how())
    held = []
    for _ in range(200):
        stream.push({"original": torch.randn(16, 5)})
        held.append(len(stream.rows["original"]) + len(stream.total["original"]))
    assert max(held) <= 2 * (12 * 2 + 16)


def test_a_score_is_given_one_clip_after_its_row():
    stream = stream_of(how())
    given_rows = [len(stream.push({"original": torch.randn(1, 5)}).frame_index) for _ in range(100)]
    assert sum(given_rows) == 100 - stream.look_ahead_rows == 100 - 24
    assert Fraction(sum(given_rows[24:]), 76) == 1


def test_no_rows_give_no_scores():
    stream = stream_of(how())
    assert stream.finish().scores.shape == (0, 3)


@pytest.mark.parametrize("kind", ["tcn", "unet", "gru"])
def test_threads_that_score_windows_side_by_side_give_the_numbers_of_one(kind: str):
    torch.manual_seed(0)
    features = from_arrays({"m": np.random.default_rng(1).normal(size=(400, 5)).astype(np.float32)})
    config, head = how(window_batch_clips=4), head_of(kind)
    callers: list[set[int]] = []
    head.register_forward_pre_hook(lambda *_: callers[-1].add(threading.get_ident()))
    scores = []
    try:
        for n_threads in (1, 3):
            torch.set_num_threads(n_threads)
            callers.append(set())
            scores.append(score_match(head, features, 0, config).scores)
            assert torch.get_num_threads() == n_threads
    finally:
        torch.set_num_threads(1)
    np.testing.assert_array_equal(*scores)
    assert callers[0] == {threading.get_ident()} and callers[1].isdisjoint(callers[0])


def test_own_code_is_called_by_one_thread():
    head, config = head_of(), how()
    own = config.model_copy(update={"head": config.head.model_copy(update={"kind": "mine.py:Head"})})
    try:
        torch.set_num_threads(3)
        with side_by_side(head, own, n_batches=9) as each:
            assert each is map
        with side_by_side(head, config, n_batches=9) as each:
            assert each is not map
    finally:
        torch.set_num_threads(1)
