"""Spots straight from videos: the very ones that extraction and prediction from the store give."""

import errno
import io
import json
import os
import threading
from pathlib import Path

import av
import numpy as np
import pytest
from click.testing import CliRunner

from ballspot.cache.errors import BallspotError
from ballspot.cli import main
from ballspot.evaluate.dataset.spots import read_spots
from ballspot.extract.video.live import LiveFrames
from ballspot.temporal.decoding.scores import read_scores
from ballspot.temporal.features.spill import RowFile
from ballspot.temporal.on_video.videos import given_videos

SMALL = (
    "width=16", "clip_frames=16", "pad_frames=2", "n_epochs=2", "epoch_frames=800", "batch_clips=8", "unet_levels=1",
    "score_floor=0.0", "nms_window=6",
)  # fmt: skip
MATCH = "synth/drawn/match-01"


def run(*words: object, code: int = 0, **settings):
    result = CliRunner().invoke(main, [str(word) for word in words], **settings)
    assert result.exit_code == code, f"{result.output}\n{result.stderr}\n{result.exception!r}"
    return result


def extracted(drawn: Path, out: Path, *words: object) -> Path:
    run("extract", drawn, "--out", out, "--set", "plain", "--weights", "random:4", "--size", "64x96", *words)
    return out / "plain"


def trained(features: Path, drawn: Path, path: Path, *settings: str) -> Path:
    words = [word for one in (*SMALL, *settings) for word in ("--set", one)]
    run("train", features, "--data", drawn, "--run", path, "--preset", "best", *words)
    return path


@pytest.fixture(scope="module")
def features(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return extracted(drawn, tmp_path_factory.mktemp("features"), "--views", "original,hflip")


@pytest.fixture(scope="module")
def trained_run(features: Path, drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(features, drawn, tmp_path_factory.mktemp("run") / "run", "scaling=none")


def assert_same(ours: Path, theirs: Path) -> None:
    """Scores to the rounding of sums, and the spots that are above it."""
    one, other = read_scores(ours / "scores.npz"), read_scores(theirs / "scores.npz")
    assert one.frame_index.tolist() == other.frame_index.tolist()
    assert (one.fps, one.n_video_frames, one.labels) == (other.fps, other.n_video_frames, other.labels)
    np.testing.assert_allclose(one.scores, other.scores, atol=2e-6)
    found = [
        {(spot.label, spot.position_ms): spot.confidence or 0.0 for spot in read_spots(path / "results_spotting.json")}
        for path in (ours, theirs)
    ]
    strong = [{key for key, confidence in spots.items() if confidence > 1e-3} for spots in found]
    assert strong[0]
    for key in strong[0] ^ strong[1]:  # a rounding below the bound in one, above it in the other
        assert all(abs(spots[key] - 1e-3) < 1e-5 for spots in found), key


@pytest.mark.parametrize("scaling", ["none", "train", "match", "match-common"])
def test_a_video_gives_the_spots_of_its_stored_features(scaling, features, drawn, video, tmp_path):
    path = trained(features, drawn, tmp_path / "run", f"scaling={scaling}", "flip_average=true")
    run("predict", path, features, "--data", drawn, "--split", "all", "--out", tmp_path / "stored")
    run("predict", path, video, "--out", tmp_path / "own")
    assert_same(tmp_path / "own" / "64p", tmp_path / "stored" / MATCH)


def test_principal_components_and_further_sets_are_made_again(features, drawn, video, tmp_path):
    run("cache", "pca", features, "--dim", "16", "--data", drawn)
    small = features.parent / "plain-pca16"
    other = extracted(drawn, tmp_path / "other", "--layers", "s3")
    words = ["--features", other, "--set", "scaling=match-common"]
    settings = [word for one in SMALL for word in ("--set", one)]
    run("train", small, "--data", drawn, "--run", tmp_path / "run", "--preset", "best", *settings, *words)
    stored = ["predict", tmp_path / "run", small, "--features", other, "--data", drawn, "--split", "all"]
    run(*stored, "--out", tmp_path / "stored")
    run("predict", tmp_path / "run", video, "--out", tmp_path / "own")
    assert_same(tmp_path / "own" / "64p", tmp_path / "stored" / MATCH)


def test_several_seeds_and_a_bundle_of_them_give_the_same(features, drawn, video, tmp_path):
    settings = [word for one in (*SMALL, "scaling=none") for word in ("--set", one)]
    run("train", features, "--data", drawn, "--run", tmp_path / "run", "--preset", "best", "--seeds", "2", *settings)
    run("predict", tmp_path / "run", features, "--data", drawn, "--split", "all", "--out", tmp_path / "stored")
    run("predict", tmp_path / "run", video, "--out", tmp_path / "own")
    assert_same(tmp_path / "own" / "64p", tmp_path / "stored" / MATCH)
    run("export", tmp_path / "run", "--format", "bundle", "--out", tmp_path / "a.ballspot")
    for name in ("run", "stored"):
        (tmp_path / name).rename(tmp_path / f"{name}-elsewhere")
    run("predict", tmp_path / "a.ballspot", video, "--out", tmp_path / "bundled")
    assert_same(tmp_path / "bundled" / "64p", tmp_path / "stored-elsewhere" / MATCH)
    for words, told in (
        (("--checkpoint", "last"), "holds the best checkpoint; leave out --checkpoint last"),
        (("--features", features), "--features: is for runs"),
    ):
        for live in ((), ("--live",)):
            assert told in run("predict", tmp_path / "a.ballspot", video, *words, *live, code=1).stderr


def test_kept_features_are_those_of_an_extraction(trained_run, features, drawn, video, tmp_path):
    run("predict", trained_run, video, "--out", tmp_path / "own", "--keep-features", tmp_path / "kept")
    run("predict", trained_run, features, "--data", drawn, "--split", "all", "--out", tmp_path / "stored")
    assert_same(tmp_path / "own" / "64p", tmp_path / "stored" / MATCH)
    assert (tmp_path / "own" / "64p" / "spots.csv").is_file()
    said = json.loads(run("cache", "info", tmp_path / "kept" / "plain" / "64p.h5", "--json").stdout)
    assert said["complete"] and said["n_rows"] == 100


def test_kept_features_say_which_weights_made_them(trained_run, drawn, tmp_path):
    run("predict", trained_run, drawn, "--out", tmp_path / "own", "--keep-features", tmp_path / "kept")
    kept = tmp_path / "kept" / "plain"
    said = json.loads(run("cache", "info", kept / f"{MATCH}.h5", "--json").stdout)
    assert said["weights"] == "random:4"
    run("cache", "verify", kept, "--deep", "--data", drawn, "--chunks", "1")
    run("export", trained_run, "--format", "bundle", "--features", kept, "--out", tmp_path / "a.ballspot")


def test_a_folder_is_predicted_under_its_matches_names_and_only_once(trained_run, drawn, tmp_path):
    done = run("predict", trained_run, drawn, "--out", tmp_path / "own")
    assert done.stdout.count("100 frames scored") == 3
    spots = {path: path.read_bytes() for path in (tmp_path / "own").rglob("results_spotting.json")}
    assert {path.parent.relative_to(tmp_path / "own").as_posix() for path in spots} == {
        f"synth/drawn/match-0{number}" for number in (1, 2, 3)
    }
    assert "spots.csv" in {path.name for path in (tmp_path / "own" / MATCH).iterdir()}
    (tmp_path / "own" / MATCH / "spots.csv").unlink()  # as if it had been killed before its last file
    again = run("predict", trained_run, drawn, "--out", tmp_path / "own")
    assert again.stdout.count("100 frames scored") == 1
    assert spots == {path: path.read_bytes() for path in spots}
    scored = run("evaluate", tmp_path / "own", "--data", drawn, "--json")
    assert json.loads(scored.stdout)["mean_ap"] >= 0


def test_one_bad_video_does_not_stop_the_others(trained_run, video, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.mp4").write_bytes(b"no video")
    (tmp_path / "in" / "b.mp4").write_bytes(video.read_bytes())
    done = run("predict", trained_run, tmp_path / "in", "--out", tmp_path / "own", code=1)
    assert "b: 100 frames scored" in done.stdout
    assert "1 of 2 videos failed" in done.stderr and "a.mp4" in done.stderr
    assert not (tmp_path / "own" / "a" / "results_spotting.json").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere.mp4"], "nowhere.mp4: no such video"),
        (["."], "no video in it"),
        (["x.mp4", "--split", "test"], "--split: is for stored features"),
        (["x.mp4", "--threshold", "0.3"], "--threshold: is for --live"),
        (["x.mp4", "--live", "--keep-features", "kept"], "--keep-features: does not work with --live"),
        (["nowhere.ts", "--live"], "nowhere.ts: no such file"),
        ([".", "--live"], ".: cannot be read"),
        (["-", "x.mp4", "--live"], "x.mp4: --live takes one stream"),
        (["x.mp4", "--weights", "random:5"], "give those with --weights"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(words, told, trained_run, video, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if "x.mp4" in words:
        Path("x.mp4").write_bytes(video.read_bytes())
    failed = run("predict", trained_run, *words, code=1)
    assert told in failed.stderr and "Traceback" not in failed.stderr
    assert not Path("predictions").exists() or not list(Path("predictions").rglob("*.npz"))


def test_another_video_of_the_same_name_is_not_taken_for_done(trained_run, video, tmp_path):
    (tmp_path / "a.mp4").write_bytes(video.read_bytes())
    run("predict", trained_run, tmp_path / "a.mp4", "--out", tmp_path / "own")
    (tmp_path / "a.mp4").write_bytes(video.read_bytes() + b"\0" * 64)
    failed = run("predict", trained_run, tmp_path / "a.mp4", "--out", tmp_path / "own", code=1)
    assert "holds the spots of another a.mp4" in failed.stderr


def test_what_was_predicted_of_a_loose_video_is_cut_from_it_where_it_lies(trained_run, video, tmp_path):
    (tmp_path / "loose").mkdir()
    loose = tmp_path / "loose" / "a.mp4"
    loose.write_bytes(video.read_bytes())
    run("predict", trained_run, loose, "--out", tmp_path / "own")
    record = json.loads((tmp_path / "own/a/video.json").read_text())
    assert record == {"video": "a.mp4", "bytes": loose.stat().st_size, "path": str(loose)}
    spots = read_spots(tmp_path / "own/a/results_spotting.json")
    surest = max(spot.confidence for spot in spots)
    cut = run("clips", tmp_path / "own", "--out", tmp_path / "clips", "--threshold", surest)
    assert "1 clips of 1 matches" in cut.stdout
    again = loose.rename(tmp_path / "a.mp4")  # given again from its new place, it is done and its record is put right
    assert "was predicted before" in run("predict", trained_run, again, "--out", tmp_path / "own").stderr
    assert json.loads((tmp_path / "own/a/video.json").read_text())["path"] == str(again)


def test_two_videos_of_one_name_are_refused(video, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "half.mp4").write_bytes(video.read_bytes())
    with pytest.raises(BallspotError, match="would be 'half'"):
        given_videos([tmp_path / "a" / "half.mp4", tmp_path / "b" / "half.mp4"])
    assert [one.name for one in given_videos([tmp_path])] == ["a/half", "b/half"]


def test_videos_that_soccernet_names_alike_are_named_by_their_matches(video, tmp_path, monkeypatch):
    for name in ("a/224p.mp4", "b/720p.mp4"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(video.read_bytes())
    assert [one.name for one in given_videos([tmp_path / "a/224p.mp4", tmp_path / "b/720p.mp4"])] == ["a", "b"]
    monkeypatch.chdir(tmp_path / "a")
    assert [one.name for one in given_videos([Path("224p.mp4")])] == ["a"]


@pytest.fixture(scope="module")
def stream(video: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The drawn match in a container that can be read before it has ended."""
    return remuxed(video, tmp_path_factory.mktemp("stream") / "a.mkv")


def remuxed(video: Path, path: Path) -> Path:
    """The same packets in a container that can be read before it has ended."""
    with av.open(str(video)) as old, av.open(str(path), "w", format="matroska") as new:
        copy = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(old.streams.video[0]):
            if packet.size:
                packet.stream = copy
                new.mux(packet)
    return path


def told(stdout: str) -> dict[tuple[str, int], dict]:
    lines = [json.loads(line) for line in stdout.splitlines()]
    return {(line["label"], line["position"]): line for line in lines}


def test_a_pipe_tells_the_spots_of_the_whole_video_each_within_the_stated_latency(ten_seconds, tmp_path):
    """Of ten seconds, after most of which a spot is settled."""
    features = extracted(ten_seconds, tmp_path / "features", "--views", "original,hflip")
    path = trained(features, ten_seconds, tmp_path / "run", "scaling=none")
    video = ten_seconds / MATCH / "64p.mp4"
    stream = remuxed(video, tmp_path / "a.mkv")
    run("predict", path, video, "--out", tmp_path / "own")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(stream.read_bytes()), daemon=True)
    writer.start()
    live = run("predict", path, pipe, "--live", "--json", "--threshold", "0.01")
    writer.join(10)
    found = told(live.stdout)
    spots = read_spots(tmp_path / "own" / "64p" / "results_spotting.json")
    wanted = {(spot.label, spot.position_ms): spot.confidence for spot in spots if spot.confidence >= 0.01}
    assert found.keys() == wanted.keys() and found
    np.testing.assert_allclose([found[key]["confidence"] for key in wanted], list(wanted.values()), atol=1e-5)
    stated_s = float(live.stderr.partition("when about ")[2].partition(" s of video")[0])
    assert max(line["latency_s"] for line in found.values()) <= stated_s + 0.1
    last_s = [line["latency_s"] + line["position"] / 1000 for line in found.values()]
    assert max(last_s) == pytest.approx(10, abs=0.01)  # the last are told when the video ends, after 250 frames
    positions = [json.loads(line)["position"] for line in live.stdout.splitlines()]
    assert positions == sorted(positions)


def test_a_head_that_scales_by_the_match_begins_after_its_warm_up(features, drawn, stream, tmp_path):
    path = trained(features, drawn, tmp_path / "run", "scaling=match-common")
    live = run("predict", path, stream, "--live", "--json", "--threshold", "0", "--warm-up", "2", "--idle", "0")
    found = told(live.stdout)
    assert found
    early = [line for (_, position), line in found.items() if position < 1000]
    assert early and min(line["latency_s"] for line in early) > 0.9


def test_a_stream_without_video_is_refused(trained_run, tmp_path):
    (tmp_path / "a.ts").write_bytes(b"nothing" * 1000)
    failed = run("predict", trained_run, tmp_path / "a.ts", "--live", "--idle", "0", code=1)
    assert "no video can be read from it" in failed.stderr


def test_where_openvino_is_missing_torch_makes_what_it_made(drawn, video, tmp_path, monkeypatch):
    features = extracted(drawn, tmp_path / "features", "--engine", "openvino")
    path = trained(features, drawn, tmp_path / "run", "scaling=none")
    run("predict", path, video, "--out", tmp_path / "own")
    monkeypatch.setattr("ballspot.temporal.commands.predict.has_openvino", lambda: False)
    done = run("predict", path, video, "--out", tmp_path / "torch")
    assert "OpenVINO, which is not installed" in done.stderr
    one, other = (read_scores(tmp_path / name / "64p" / "scores.npz").scores for name in ("own", "torch"))
    np.testing.assert_allclose(one, other, atol=5e-3)
    failed = run("predict", path, features, "--data", drawn, "--engine", "torch", code=1)
    assert "--engine: stored features have no use for it" in failed.stderr


def test_a_mended_video_is_predicted_where_the_bad_one_failed(trained_run, video, tmp_path):
    (tmp_path / "a.mp4").write_bytes(video.read_bytes()[:2000])
    run("predict", trained_run, tmp_path / "a.mp4", "--out", tmp_path / "own", code=1)
    (tmp_path / "a.mp4").write_bytes(video.read_bytes())
    assert "100 frames scored" in run("predict", trained_run, tmp_path / "a.mp4", "--out", tmp_path / "own").stdout


def test_with_kept_features_too_one_bad_video_does_not_stop_the_others(trained_run, video, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.mp4").write_bytes(b"no video")
    (tmp_path / "in" / "b.mp4").write_bytes(video.read_bytes())
    words = ["predict", trained_run, tmp_path / "in", "--out", tmp_path / "own"]
    words += ["--keep-features", tmp_path / "in" / "kept"]
    for n_done in (1, 0):  # and given again: what is done stays done
        done = run(*words, code=1)
        assert done.stdout.count("b: 100 frames scored") == n_done and "a.mp4" in done.stderr
    assert (tmp_path / "own" / "b" / "spots.csv").is_file()


def test_a_stream_that_breaks_off_tells_what_came_before(trained_run, stream, monkeypatch):
    def broken(self):
        for number, picture in enumerate(whole(self)):
            if number == 70:
                raise BallspotError("a stream: damaged after what was read")
            yield picture

    whole = LiveFrames.__iter__
    monkeypatch.setattr(LiveFrames, "__iter__", broken)
    live = run("predict", trained_run, stream, "--live", "--json", "--threshold", "0.01", "--idle", "0", code=1)
    positions = [position for _, position in told(live.stdout)]
    assert positions and 1700 < max(positions) < 2600  # 64 of 70 frames are whole batches: up to 2.56 s
    assert "damaged after what was read" in live.stderr


@pytest.mark.parametrize("name", ["...mp4", "sp\udce9l.mp4"])
def test_names_that_cannot_be_a_folder_are_refused(name, tmp_path, video):
    (tmp_path / name).write_bytes(video.read_bytes())
    with pytest.raises(BallspotError, match="rename it"):
        given_videos([tmp_path / name])


class Full(io.BytesIO):
    """A file on a disk that takes no more."""

    def write(self, content) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_told_in_one_line(tmp_path, monkeypatch):
    kept = RowFile(tmp_path, ("original",))
    monkeypatch.setattr(kept._files["original"], "_file", Full())
    with kept, pytest.raises(BallspotError, match=r"no room for a match's features \(No space left on device\)"):
        kept.append({"original": np.zeros((4, 3), np.float16)})
    monkeypatch.setattr("tempfile.TemporaryFile", lambda dir: Full().write(dir))
    with pytest.raises(BallspotError, match="no room for a match's features"):
        RowFile(tmp_path, ("original",))
