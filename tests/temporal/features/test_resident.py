from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from ballspot.cache.errors import BallspotError
from ballspot.cache.stores.layout import Block, StoreHeader
from ballspot.cache.stores.spec import FeatureSpec
from ballspot.cache.stores.store import write_store
from ballspot.temporal.clips.gather import ClipStarts, gather_clips
from ballspot.temporal.config.grid import ClipGrid
from ballspot.temporal.config.load import load_config
from ballspot.temporal.features.resident import from_arrays, load_features, scale_features
from ballspot.temporal.features.scaling import ScalingFit, fit_scaling
from ballspot.temporal.features.sources import open_source


def store(folder: Path, match: str, rows: np.ndarray, frame_index: np.ndarray | None = None) -> None:
    index = np.arange(len(rows)) if frame_index is None else frame_index
    header = StoreHeader(
        match=match,
        fps=Fraction(25),
        n_video_frames=int(index[-1]) + 1,
        n_rows=len(rows),
        dim=rows.shape[1],
        spec=FeatureSpec.read({"made": "here"}),
    )
    write_store(folder / f"{match}.h5", header=header, blocks=[Block(index, {"original": rows.astype(np.float16)})])


def test_matches_lie_one_after_another_in_the_order_asked_for(tmp_path):
    store(tmp_path, "a", np.full((3, 2), 1.0))
    store(tmp_path, "b", np.full((4, 2), 2.0))
    features = load_features(open_source(tmp_path), ["b", "a"], device="cpu")
    assert features.rows[:, 0].tolist() == [2, 2, 2, 2, 1, 1, 1]
    assert features.rows.dtype == torch.float16
    assert [(match.name, match.first_row, match.n_rows) for match in features.matches] == [("b", 0, 4), ("a", 4, 3)]
    assert features.match_rows(1)[:, 1].tolist() == [1, 1, 1]


def test_a_store_of_every_second_frame_gives_clips_of_even_strides_only(tmp_path):
    store(tmp_path, "a", np.zeros((5, 2)), frame_index=np.arange(5) * 2)
    features = load_features(open_source(tmp_path), ["a"], device="cpu")
    assert features.frame_spacing == 2
    grid = ClipGrid.of(load_config("best", ["clip_stride=4"]), features.frame_spacing)
    assert (grid.row_stride, grid.frame_spacing) == (2, 2)
    with pytest.raises(BallspotError, match="clip_stride 3 is not a multiple of the 2 frames"):
        ClipGrid.of(load_config("best", ["clip_stride=3"]), features.frame_spacing)


def test_a_store_with_a_gap_is_refused(tmp_path):
    store(tmp_path, "a", np.zeros((4, 2)), frame_index=np.array([0, 1, 2, 4]))
    with pytest.raises(BallspotError, match="not evenly spaced"):
        load_features(open_source(tmp_path), ["a"], device="cpu")


def test_a_match_without_a_store_is_named(tmp_path):
    store(tmp_path, "a", np.zeros((4, 2)))
    with pytest.raises(BallspotError, match="no store of match 'b'"):
        load_features(open_source(tmp_path), ["a", "b"], device="cpu")


def test_scaling_gives_mean_zero_and_deviation_one_and_leaves_constants_finite():
    rng = np.random.default_rng(0)
    rows = np.column_stack([rng.normal(5, 3, 40000), rng.normal(-1, 0.01, 40000), np.full(40000, 7.0)])
    features = from_arrays({"a": rows})
    scaling = scale_features(features, "train")
    assert scaling is not None
    assert features.rows[:, :2].mean(0).abs().max() < 1e-3
    torch.testing.assert_close(features.rows[:, :2].std(0), torch.ones(2), atol=1e-3, rtol=0)
    assert float(features.rows[:, 2].abs().max()) == 0.0


def test_a_fitted_scaling_is_applied_as_it_is():
    scaling = fit_scaling(torch.tensor([[0.0], [2.0]]))
    assert (float(scaling.mean), float(scaling.sd)) == (1.0, 1.0)
    features = from_arrays({"a": np.array([[5.0], [9.0]])})
    scale_features(features, "train", fitted=scaling)
    assert features.rows[:, 0].tolist() == [4.0, 8.0]


def test_scaling_by_match_is_the_same_whether_other_matches_are_there_or_not():
    rng = np.random.default_rng(0)
    a, b = rng.normal(3, 2, (50, 4)), rng.normal(-1, 5, (70, 4))
    both, alone = from_arrays({"a": a, "b": b}), from_arrays({"b": b})
    assert scale_features(both, "match") is None
    scale_features(alone, "match")
    assert torch.equal(both.match_rows(1), alone.rows)
    assert abs(float(both.match_rows(0).mean())) < 1e-5


def test_scaling_by_one_deviation_a_match_keeps_how_much_more_one_feature_varies_than_another():
    rng = np.random.default_rng(0)
    a, b = rng.normal(3, 1, (4000, 2)) * (4.0, 0.04), rng.normal(-1, 50, (4000, 2))
    features = from_arrays({"a": a, "b": b})
    assert scale_features(features, "match-common") is None
    for index in (0, 1):
        rows = features.match_rows(index)
        assert float(rows.mean(0).abs().max()) < 1e-5
        assert abs(float(rows.var(0, correction=0).mean()) - 1.0) < 1e-4
    spread = features.match_rows(0).std(0)
    assert 95 < float(spread[0] / spread[1]) < 105


def test_one_deviation_of_constant_features_is_1():
    features = from_arrays({"a": np.full((4, 2), 7.0)})
    scale_features(features, "match-common")
    assert float(features.rows.abs().max()) == 0.0


def test_unscaled_features_are_as_stored():
    features = from_arrays({"a": np.array([[5.0], [9.0]])})
    assert scale_features(features, "none") is None
    assert features.rows[:, 0].tolist() == [5.0, 9.0]


def test_features_beyond_the_limit_lie_in_a_file_and_are_the_same(tmp_path):
    rng = np.random.default_rng(0)
    for match in "ab":
        store(tmp_path / "set", match, rng.normal(3, 2, (300, 8)))
    source = open_source(tmp_path / "set")
    resident = load_features(source, ["a", "b"], device="cpu")
    mapped = load_features(source, ["a", "b"], device="cpu", limit_gb=1e-9, spill=tmp_path / "spill")
    for features in (resident, mapped):
        scale_features(features, "train")
    assert torch.equal(resident.rows, mapped.rows)
    assert not list((tmp_path / "spill").iterdir())  # the file has no name that could be left behind


def test_several_sets_stand_side_by_side(tmp_path):
    store(tmp_path / "first", "a", np.full((3, 2), 1.0))
    store(tmp_path / "second", "a", np.full((3, 1), 2.0))
    source = open_source(tmp_path / "first", [tmp_path / "second"])
    features = load_features(source, ["a"], device="cpu")
    assert features.rows.tolist() == [[1, 1, 2]] * 3
    assert features.dims == (2, 1)
    assert source.name == "first+second"
    prints = {one.fingerprint for one in (source, open_source(tmp_path / "first"))}
    reverse = open_source(tmp_path / "second", [tmp_path / "first"])
    assert len(prints | {reverse.fingerprint}) == 3 or source.sets[0].fingerprint == source.sets[1].fingerprint


def test_sets_of_other_frames_cannot_stand_side_by_side(tmp_path):
    store(tmp_path / "first", "a", np.zeros((6, 2)))
    store(tmp_path / "second", "a", np.zeros((3, 2)), frame_index=np.arange(3) * 2)
    with pytest.raises(BallspotError, match="extract both sets with one --stride"):
        load_features(open_source(tmp_path / "first", [tmp_path / "second"]), ["a"], device="cpu")


def viewed(folder: Path, match: str, views: dict[str, np.ndarray]) -> None:
    first = next(iter(views.values()))
    header = StoreHeader(
        match=match,
        fps=Fraction(25),
        n_video_frames=len(first),
        n_rows=len(first),
        dim=first.shape[1],
        spec=FeatureSpec.read({"made": "here"}),
        views=tuple(views),
    )
    block = Block(np.arange(len(first)), {name: rows.astype(np.float16) for name, rows in views.items()})
    write_store(folder / f"{match}.h5", header=header, blocks=[block])


def test_views_lie_behind_one_another_and_clips_choose_among_them(tmp_path):
    rows = np.arange(6.0)[:, None]
    viewed(tmp_path, "a", {"original": rows, "hflip": rows + 100})
    viewed(tmp_path, "b", {"original": rows + 10, "hflip": rows + 110})
    features = load_features(open_source(tmp_path), ["a", "b"], device="cpu", views=("original", "hflip"))
    assert (features.n_rows, len(features.rows)) == (12, 24)
    clips = ClipStarts(torch.tensor([0, 1, 1]), torch.tensor([1, 1, 1]), torch.tensor([1, 0, 1]))
    frames = gather_clips(features, clips, ClipGrid(2, 2, row_stride=2))
    assert frames[..., 0].tolist() == [[101, 103], [11, 13], [111, 113]]
    assert features.only(1).rows[:, 0].tolist() == [10, 11, 12, 13, 14, 15]


def test_a_view_that_is_not_there_is_named_with_the_remedy(tmp_path):
    store(tmp_path, "a", np.zeros((4, 2)))
    with pytest.raises(BallspotError, match="has no view 'hflip', only original; extract it, or change views"):
        load_features(open_source(tmp_path), ["a"], device="cpu", views=("original", "hflip"))


def test_all_views_are_scaled_by_the_original_ones_numbers(tmp_path):
    rows = np.random.default_rng(0).normal(5, 2, (50, 3))
    viewed(tmp_path, "a", {"original": rows, "hflip": rows + 2})
    features = load_features(
        open_source(tmp_path), ["a"], device="cpu", views=("original", "hflip"), dtype=torch.float32
    )
    scale_features(features, "match")
    shift = features.match_rows(0, 1) - features.match_rows(0, 0)
    torch.testing.assert_close(shift, (2 / torch.tensor(rows.std(0))).float().expand(50, 3), atol=0.01, rtol=0.01)


def test_one_deviation_is_of_one_feature_set_and_a_running_one_ends_as_the_whole():
    rng = np.random.default_rng(0)
    rows = torch.from_numpy(rng.normal(0, 1, (3000, 5)) * (10.0, 20.0, 0.01, 0.02, 0.03)).float()
    features = replace(from_arrays({"a": rows.numpy()}), dims=(2, 3))
    fitted = fit_scaling(rows, common_dims=(2, 3))
    running = ScalingFit(common_dims=(2, 3))
    for piece in rows.split(700):
        running.add(piece)
    torch.testing.assert_close(running.scaling.sd, fitted.sd, rtol=1e-7, atol=0)
    assert torch.equal(running.scaling.mean, fitted.mean)
    scale_features(features, "match-common")
    variance = features.rows.var(0, correction=0)
    assert abs(float(variance[:2].mean()) - 1.0) < 1e-3 and abs(float(variance[2:].mean()) - 1.0) < 1e-3
