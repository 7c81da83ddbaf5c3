"""Which videos a command is given, features that are kept of them, and spots of a stream as lines to read."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from ballspot.cache.errors import BallspotError
from ballspot.cache.stores import open_feature_set
from ballspot.cli import main
from ballspot.temporal.bundle.bundle import bundle_of
from ballspot.temporal.decoding.postprocessing import ClassDecoding, write_postprocessing
from ballspot.temporal.decoding.scores import read_scores
from ballspot.temporal.on_video import predict as on_video
from ballspot.temporal.on_video.predict import is_done, predict_keeping
from ballspot.temporal.on_video.videos import GivenVideo, given_videos

from ...extract.barcoded import remux

MATCH = "synth/drawn/match-01"


def ballspot(*words: object, code: int = 0) -> Result:
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == code, f"{result.output}\n{result.stderr}\n{result.exception!r}"
    return result


def test_a_video_that_is_given_twice_is_one_and_hidden_folders_are_left_alone(tmp_path: Path) -> None:
    for folder in ("a", ".trash", "b/.cache"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "v.mp4").touch()
    (tmp_path / "link.mp4").symlink_to(tmp_path / "a" / "v.mp4")
    assert [
        video.name for video in given_videos([tmp_path / "a" / "v.mp4", tmp_path / "a" / ".." / "a" / "v.mp4"])
    ] == ["v"]
    assert [video.name for video in given_videos([tmp_path])] == ["link", "a/v"]
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "v.mp4").touch()
    with pytest.raises(BallspotError, match=r"c/v.mp4: would be 'v' as .*a/v.mp4 is; give them one at a time"):
        given_videos([tmp_path / "a" / "v.mp4", tmp_path / "c" / "v.mp4"])


def test_a_folder_that_cannot_be_listed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refused)
    with pytest.raises(BallspotError, match=rf"^{tmp_path}: cannot be listed \(Permission denied\); check its rights$"):
        given_videos([tmp_path])


def test_a_video_that_is_gone_meanwhile_is_told(tmp_path: Path) -> None:
    with pytest.raises(BallspotError, match=r"v.mp4: cannot be read \(No such file or directory\); check the path"):
        is_done(tmp_path / "v", GivenVideo("v", tmp_path / "v.mp4"))


def test_features_of_components_are_kept_as_components_and_made_once(shared, tmp_path: Path) -> None:
    video = shared.data / MATCH / "64p.mp4"
    words = ("predict", shared.components_runs, video, "--out", tmp_path / "own", "--keep-features", tmp_path / "kept")
    assert "250 frames scored" in ballspot(*words).stdout
    kept = open_feature_set(tmp_path / "kept" / "seen-pca12")
    assert kept.fingerprint == open_feature_set(shared.components).fingerprint
    ballspot(
        "predict",
        shared.components_runs,
        shared.components,
        "--data",
        shared.data,
        "--split",
        "all",
        "--out",
        tmp_path / "stored",
    )
    ours, theirs = (
        read_scores(path / "scores.npz").scores for path in (tmp_path / "own" / "64p", tmp_path / "stored" / MATCH)
    )
    np.testing.assert_allclose(ours, theirs, atol=2e-3)  # steps of float16 in the components
    shutil.rmtree(tmp_path / "kept")
    assert "frames scored" not in ballspot(*words).stdout
    assert not (tmp_path / "kept").exists()  # what is done needs no features


def of_gpu(made: Any) -> Any:
    return replace(made, spec=made.spec.model_copy(update={"decoder": "nvdec"}))


def of_bfloat16(made: Any) -> Any:
    return replace(made, spec=made.spec.model_copy(update={"precision": "bfloat16"}))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda features: features * 2, "two of the head's sets have one name; predict without it"),
        (
            lambda features: (of_gpu(features[0]),),
            r"seen is of pictures that a GPU decoded \(--decoder nvdec\); leave it",
        ),
        (
            lambda features: (of_bfloat16(features[0]),),
            "seen is of bfloat16, which cannot be computed here; leave it out",
        ),
    ],
)
def test_features_that_cannot_be_kept_as_they_were_in_training_are_told(
    change: Callable[[Any], Any], said: str, shared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_video, "extract_matches", lambda *given, **how: pytest.fail("nothing is to be extracted"))
    bundle = bundle_of([shared.plain_run])
    (made,) = bundle.features
    job = made.job(device=torch.device("cpu"), weights=None, engine=None)
    changed = change(bundle.features)
    monkeypatch.setattr(type(made), "job", lambda *given, **how: job)
    videos = [GivenVideo("v", shared.data / MATCH / "64p.mp4")]
    ensemble: Any = SimpleNamespace(device=None, rate=None)
    with pytest.raises(BallspotError, match=f"^--keep-features.*: {said}"):
        list(predict_keeping(ensemble, changed, videos, folder=tmp_path / "kept", out=tmp_path / "out"))


def test_a_stream_is_told_in_lines_of_time_class_team_and_confidence(shared, brief: Path, tmp_path: Path) -> None:
    """They are those of --json; that tuned post-processing, which needs a whole match, is not used is said."""
    shutil.copytree(shared.plain_run, run := tmp_path / "run")
    how = {label: ClassDecoding("hard", 1.2) for label in bundle_of([run]).label_set.labels}
    write_postprocessing(run / "tuned.json", how, made_from={}, threshold=0.0)
    ballspot("export", run, "--format", "bundle", "--out", bundle := tmp_path / "a.ballspot")
    stream = remux(brief / MATCH / "64p.mp4", tmp_path / "a.ts")
    words = ("predict", bundle, stream, "--live", "--threshold", 0, "--warm-up", 2, "--idle", 0)
    plain, spots = ballspot(*words), ballspot(*words, "--json").stdout.splitlines()
    assert "--live: the bundle's tuned post-processing is for whole matches" in plain.stderr
    lines = [line for line in plain.stdout.splitlines() if line]
    assert len(lines) == len(spots) > 0
    for line, told in zip(lines, map(json.loads, spots), strict=True):
        found = re.match(r"(\d+):(\d\d):(\d\d)\.(\d{3})  (\S.*?)  +(\S+ +)?(\d\.\d\d)", line)
        assert found is not None, line
        hours, minutes, seconds, ms = map(int, found.groups()[:4])
        assert ((60 * hours + minutes) * 60 + seconds) * 1000 + ms == told["position"]
        assert found[5] == told["label"] and float(found[7]) == pytest.approx(told["confidence"], abs=0.006)


def test_a_feature_set_needs_its_data_and_stands_alone(shared) -> None:
    said = ballspot("predict", shared.plain_run, shared.plain, code=1).stderr
    assert f"{shared.plain}: a feature set; give --data, the folder of its matches, with it" in said
    said = ballspot("predict", shared.plain_run, shared.plain, shared.components, "--data", shared.data, code=1).stderr
    assert f"{shared.components}: give one feature set; further ones that RUN reads with --features" in said
