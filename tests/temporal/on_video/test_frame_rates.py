"""A run knows the frame rate that it was trained at: material of another rate is brought to it by time."""

import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from ballspot.cache.stores.store import FeatureStore
from ballspot.evaluate.dataset.spots import read_spots
from ballspot.extract.video.probe import probe_video
from ballspot.temporal.bundle.bundle import load_bundle
from ballspot.temporal.decoding.scores import read_scores
from ballspot.temporal.heads.checkpoints import read_checkpoint

from .test_predict import MATCH, extracted, run, trained

TESTED = "synth/drawn/match-03"


def at_another_rate(video: Path, path: Path, fps: Fraction) -> Path:
    """The same pictures for the same time, each repeated or left out as the rate wants; nearly without loss."""
    with av.open(str(video)) as old:
        pictures = [frame.to_ndarray(format="rgb24") for frame in old.decode(video=0)]
    with av.open(str(path), "w") as new:
        stream = new.add_stream("libx264", rate=fps, options={"crf": "1", "g": "12"})
        stream.height, stream.width = pictures[0].shape[:2]
        for number in range(int(len(pictures) * fps / 25)):
            picture = pictures[min(round(number * 25 / fps), len(pictures) - 1)]
            new.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        new.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def drawn(ten_seconds: Path) -> Path:
    return ten_seconds


@pytest.fixture(scope="module")
def video(drawn: Path) -> Path:
    return drawn / MATCH / "64p.mp4"


@pytest.fixture(scope="module")
def features(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return extracted(drawn, tmp_path_factory.mktemp("features"))


@pytest.fixture(scope="module")
def trained_run(features: Path, drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(features, drawn, tmp_path_factory.mktemp("run") / "run", "scaling=none")


@pytest.fixture(scope="module")
def own(trained_run: Path, video: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The predictions of the video at its own rate."""
    out = tmp_path_factory.mktemp("own")
    run("predict", trained_run, video, "--out", out)
    return out / "64p"


def test_a_run_and_its_bundle_say_the_rate_of_the_training(trained_run: Path, tmp_path: Path) -> None:
    assert read_checkpoint(trained_run / "best.safetensors").description.fps == 25
    run("export", trained_run, "--format", "bundle", "--out", tmp_path / "a.ballspot")
    assert [head.description.fps for head in load_bundle(tmp_path / "a.ballspot").heads] == [25]


@pytest.mark.parametrize("fps", [Fraction(50), Fraction(30), Fraction(60000, 1001)], ids=str)
def test_a_video_of_another_rate_gives_the_scores_of_the_same_moments(
    trained_run: Path, own: Path, video: Path, tmp_path: Path, fps: Fraction
) -> None:
    other = at_another_rate(video, tmp_path / "other.mp4", fps)
    done = run("predict", trained_run, other, "--out", tmp_path / "brought")
    assert f"other: 25 frames a second are read, by time, of its {float(fps):.5g}" in done.stderr
    one, two = (read_scores(path / "scores.npz") for path in (own, tmp_path / "brought/other"))
    assert (two.fps, two.n_video_frames) == (25, len(two.scores))
    shared = min(len(one.scores), len(two.scores))
    assert abs(len(one.scores) - len(two.scores)) <= 1
    assert np.abs(one.scores[: shared - 20] - two.scores[: shared - 20]).max() < 0.05  # another encoding
    assert all(spot.position_ms < 10_000 for spot in read_spots(tmp_path / "brought/other/results_spotting.json"))


def test_stored_features_of_another_rate_are_brought_to_it(trained_run: Path, drawn: Path, tmp_path: Path) -> None:
    """Both ways: rows chosen of all rows, and frames chosen before the backbone by --fps."""
    old = drawn / TESTED
    data = tmp_path / "data" / "synth" / "drawn" / "match-03"
    data.mkdir(parents=True)
    (tmp_path / "data" / "splits.toml").write_text(f'test = ["{TESTED}"]\n')
    (data / "Labels-ball.json").write_bytes((old / "Labels-ball.json").read_bytes())
    at_another_rate(old / "64p.mp4", data / "64p.mp4", Fraction(50))
    whole = extracted(tmp_path / "data", tmp_path / "whole")
    chosen = extracted(tmp_path / "data", tmp_path / "chosen", "--fps", "25")
    with FeatureStore.open(whole / f"{TESTED}.h5") as store:
        assert (store.fps, store.n_rows) == (50, 500)
        rows = store.read()[::2]
    with FeatureStore.open(chosen / f"{TESTED}.h5") as store:
        assert (store.fps, store.n_rows, store.n_video_frames) == (25, 250, 250)
        np.testing.assert_allclose(store.read().astype(np.float32), rows.astype(np.float32), atol=2e-3)
    words = ("--data", tmp_path / "data", "--split", "test", "--out")
    done = run("predict", trained_run, whole, *words, tmp_path / "of-whole")
    assert f"{TESTED}: 50 frames a second are read at 25, by time" in done.stderr
    assert "by time" not in run("predict", trained_run, chosen, *words, tmp_path / "of-chosen").stderr
    first, second = (read_scores(tmp_path / name / TESTED / "scores.npz") for name in ("of-whole", "of-chosen"))
    assert (first.fps, first.n_video_frames) == (second.fps, second.n_video_frames) == (25, 250)
    np.testing.assert_allclose(first.scores, second.scores, atol=5e-3)
    run("cache", "verify", chosen, "--deep", "--data", tmp_path / "data")
    refused = run("extract", tmp_path / "data", "--out", whole.parent, "--set", "plain", "--weights", "random:4",
                  "--size", "64x96", "--fps", "25", code=1)  # fmt: skip
    assert "its rows are of 50 frames a second, not of --fps 25; extract it with another --set" in refused.stderr


def test_features_that_were_kept_at_another_rate_are_brought_to_it(
    trained_run: Path, video: Path, tmp_path: Path
) -> None:
    """As 0.1.0 kept them: at the video's own rate."""
    (tmp_path / "data" / "other").mkdir(parents=True)
    other = at_another_rate(video, tmp_path / "data" / "other" / "other.mp4", Fraction(50))
    run("extract", tmp_path / "data", "--out", tmp_path / "kept", "--set", "plain", "--weights", "random:4",
        "--size", "64x96")  # fmt: skip
    words = ("predict", trained_run, other, "--out")
    done = run(*words, tmp_path / "of-kept", "--keep-features", tmp_path / "kept")
    assert "other: 50 frames a second are read at 25, by time" in done.stderr
    run(*words, tmp_path / "own")
    first, second = (read_scores(tmp_path / name / "other" / "scores.npz") for name in ("of-kept", "own"))
    assert (first.fps, len(first.scores)) == (second.fps, len(second.scores))
    np.testing.assert_allclose(first.scores, second.scores, atol=5e-3)


def test_a_folder_of_pictures_that_was_read_at_another_rate_is_verified(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "m" / "frames"
    folder.mkdir(parents=True)
    (folder.parent / "Labels-ball.json").write_text('{"annotations": []}')
    for number in range(40):
        picture = np.full((32, 48, 3), 5 * number, np.uint8)
        with av.open(str(folder / f"{number:03d}.jpg"), "w", format="image2", options={"update": "1"}) as out:
            stream = out.add_stream("mjpeg", rate=25, options={"qscale": "2"})
            stream.height, stream.width, stream.pix_fmt = 32, 48, "yuvj420p"
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuvj420p")))
            out.mux(stream.encode(None))
    run("extract", tmp_path / "data", "--out", tmp_path / "f", "--set", "s", "--weights", "random:4", "--size", "32x48",
        "--image-fps", "50", "--fps", "25")  # fmt: skip
    with FeatureStore.open(tmp_path / "f" / "s" / "m.h5") as store:
        assert (store.fps, store.n_rows, store.header.picture_fps) == (25, 20, "50")
    verified = run("cache", "verify", tmp_path / "f" / "s", "--deep", "--data", tmp_path / "data")
    assert "ok" in verified.stdout
    (folder / "039.jpg").unlink()
    assert (
        "another size"
        in run("cache", "verify", tmp_path / "f" / "s", "--deep", "--data", tmp_path / "data", code=1).stdout
    )


def test_matches_of_two_rates_are_trained_at_the_usual_one(drawn: Path, tmp_path: Path) -> None:
    for number in (1, 2, 3):
        old = drawn / "synth" / "drawn" / f"match-0{number}"
        new = tmp_path / "data" / "synth" / "drawn" / old.name
        new.mkdir(parents=True)
        (new / "Labels-ball.json").write_bytes((old / "Labels-ball.json").read_bytes())
        if number == 1:
            at_another_rate(old / "64p.mp4", new / "64p.mp4", Fraction(50))
        else:
            (new / "64p.mp4").write_bytes((old / "64p.mp4").read_bytes())
    names = [f'"synth/drawn/match-0{number}"' for number in (1, 2, 3)]
    splits = f"train = [{names[0]}, {names[1]}]\nvalid = [{names[2]}]\ntest = []\n"
    (tmp_path / "data" / "splits.toml").write_text(splits)
    assert probe_video(tmp_path / "data/synth/drawn/match-01/64p.mp4").fps == 50
    features = extracted(tmp_path / "data", tmp_path / "features")
    words = [word for one in ("n_epochs=2", "width=16", "clip_frames=16", "pad_frames=2", "epoch_frames=500",
                              "batch_clips=8", "unet_levels=1") for word in ("--set", one)]  # fmt: skip
    done = run("train", features, "--data", tmp_path / "data", "--run", tmp_path / "run", "--preset", "best", *words)
    assert f"{MATCH}: 50 frames a second are read at 25, by time" in done.stderr
    assert read_checkpoint(tmp_path / "run" / "best.safetensors").description.fps == 25


def test_a_stream_of_another_rate_gives_the_spots_of_the_file(trained_run: Path, video: Path, tmp_path: Path) -> None:
    other = at_another_rate(video, tmp_path / "other.ts", Fraction(50))
    run("predict", trained_run, other, "--out", tmp_path / "whole")
    spots = {
        (spot.label, spot.position_ms)
        for spot in read_spots(tmp_path / "whole" / "other" / "results_spotting.json")
        if (spot.confidence or 0) > 0.01
    }
    told = run("predict", trained_run, other, "--live", "--json", "--threshold", "0.01", "--idle", "0.2")
    live = {(one["label"], one["position"]) for one in map(json.loads, told.stdout.splitlines())}
    assert live and live == spots
