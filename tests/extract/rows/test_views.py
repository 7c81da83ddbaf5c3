"""Extractions that see motion and boxes: rows by definition, resumed to the same bytes, checked, refused plainly."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from ballspot.cache.errors import BallspotError
from ballspot.cache.stores import FeatureStore, RegionSpec, Segment
from ballspot.cli import main
from ballspot.evaluate.dataset.matches import Match, find_matches
from ballspot.extract.backbone import BackboneSpec, load_backbone
from ballspot.extract.regions import RegionEngine
from ballspot.extract.rows import ExtractionJob, SegmentRunner, Settings, extract_matches, segments
from ballspot.extract.video import LiveFrames, open_source, probe_video
from ballspot.extract.video.process import Batch, DecodingProcess

CPU, SIZE, BOX = torch.device("cpu"), (48, 72), (32, 32)
N_ROWS = 250


def region(by: str, **changes: Any) -> RegionSpec:
    said = {"by": by, "size": BOX, "picture": (64, 96), "count": 1, "fuse": "concat"}
    return RegionSpec.model_validate(said | changes)


def job_of(**settings: Any) -> ExtractionJob:
    cells = {key: settings.pop(key) for key in ("grid", "layers") if key in settings}
    spec = BackboneSpec("resnet10t", "random", SIZE, **cells)
    return ExtractionJob(load_backbone(spec, CPU), CPU, Settings(**settings))


@pytest.fixture(scope="module")
def one(drawn: Path) -> tuple[Match, ...]:
    return find_matches(drawn)[:1]


def rows_of(job: ExtractionJob, match: Match) -> dict[str, np.ndarray]:
    """The rows of a match's video as a stream, which needs no process beside this one."""
    assert match.video is not None
    with match.video.open("rb") as file:
        frames = LiveFrames(file, "stream")  # pyright: ignore[reportArgumentType]  # it reads, as a pipe does
        settings, runner = job.settings, SegmentRunner(job)
        batches = frames.batches(batch_rows=8, stride=settings.stride, motion=settings.motion)
        blocks = list(runner.rows_of_stream(batches, match=match.name))
        frames.close()
    assert [len(block) for block in blocks].count(8) >= len(blocks) - 1
    return {view: np.concatenate([block.features[view] for block in blocks]) for view in settings.views}


WAYS = {
    "motion": {"motion": 3, "stride": 2},
    "two boxes by motion, with cells": {
        "region": region("motion", count=2),
        "grid": (1, 2),
        "layers": ("layer3",),
        "stride": 2,
    },
    "all": {"region": region("map", fuse="max"), "motion": 2, "views": ("original", "hflip"), "stride": 2},
}


@pytest.mark.parametrize("way", WAYS)
def test_an_extraction_that_was_stopped_ends_in_the_same_bytes(
    one: tuple[Match, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    job = job_of(**WAYS[way])
    (whole,) = extract_matches(one, tmp_path / "whole", job)
    given, n_left = DecodingProcess.batches, [12]

    def breaking(self: DecodingProcess, *segment: Any, **more: Any) -> Iterator[Batch]:
        for batch in given(self, *segment, **more):
            n_left[0] -= 1
            if n_left[0] == 0:
                raise KeyboardInterrupt
            yield batch

    with monkeypatch.context() as patch:
        patch.setattr(DecodingProcess, "batches", breaking)
        with pytest.raises(KeyboardInterrupt):
            extract_matches(one, tmp_path / "cut", job)
    (resumed,) = extract_matches(one, tmp_path / "cut", job)
    assert 0 < resumed.n_new_rows < resumed.n_rows
    assert resumed.path.read_bytes() == whole.path.read_bytes()
    streamed = rows_of(job, one[0])
    with FeatureStore.open(whole.path) as store:
        for view in job.settings.views:
            np.testing.assert_array_equal(store.read(view=view), streamed[view])


def test_motion_reads_the_three_frames_as_channels(one: tuple[Match, ...]) -> None:
    job = job_of(motion=2, stride=5, dtype="float32")
    assert one[0].video is not None
    with open_source(probe_video(one[0].video), "pyav") as source:
        frames = [picture.astype(np.float64) @ np.array([77, 150, 29]) / 256 for picture in source.frames(0, N_ROWS)]
    greys = np.floor(np.stack(frames) + 0.5)
    index = np.arange(0, N_ROWS, 5)
    pictures = np.stack([greys[np.clip(index + move, 0, N_ROWS - 1)] for move in (-2, 0, 2)], axis=1)
    images = torch.nn.functional.interpolate(
        torch.from_numpy(pictures).float(), SIZE, mode=job.backbone.interpolation, antialias=True
    )
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (job.backbone.mean, job.backbone.std))
    with torch.inference_mode():
        wanted = job.backbone.model((images.clamp(0, 255) / 255 - mean) / std).numpy()
    np.testing.assert_allclose(rows_of(job, one[0])["original"], wanted, atol=2e-4 * np.abs(wanted).max())


@pytest.mark.parametrize("by", ["map", "motion", "random", "centre"])
def test_a_row_is_that_of_the_plain_picture_beside_those_of_its_boxes(one: tuple[Match, ...], by: str) -> None:
    plain, seen, most = (
        job_of(stride=10, dtype="float32", **more)
        for more in ({}, {"region": region(by, count=2)}, {"region": region(by, count=2, fuse="max")})
    )
    rows = [rows_of(job, one[0])["original"] for job in (plain, seen, most)]
    dim = plain.dim
    assert (seen.dim, most.dim, rows[1].shape[1]) == (3 * dim, dim, 3 * dim)
    np.testing.assert_allclose(rows[1][:, :dim], rows[0], atol=1e-4 * np.abs(rows[0]).max())
    np.testing.assert_allclose(rows[2], rows[1].reshape(-1, 3, dim).max(1), atol=1e-6)
    assert np.abs(rows[1][:, dim : 2 * dim] - rows[1][:, 2 * dim :]).max() > 1e-3  # two boxes, not one


def test_a_gpu_gets_whole_batches_for_boxes_too(one: tuple[Match, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """There a decoder sends large pictures a few at a time, and who uploads puts them together; here on the CPU."""
    job, n_rows = job_of(stride=10, region=region("map")), N_ROWS // 10
    expected, runner, given, sizes = rows_of(job, one[0])["original"], SegmentRunner(job), job.settings.batch_rows, []
    assert one[0].video is not None

    def pieces(self: DecodingProcess, segment: Segment, **_: Any) -> Iterator[Batch]:
        assert one[0].video is not None
        with open_source(probe_video(one[0].video), "pyav") as source:
            shown = np.stack(list(source.frames(segment.start * 10, (segment.stop - 1) * 10 + 1, 10)))
        for first in range(0, len(shown), 3):
            part = shown[first : first + 3]
            index = 10 * np.arange(segment.start + first, segment.start + first + len(part))
            filled = np.concatenate([part, np.repeat(part[-1:], 3 - len(part), axis=0)])
            yield Batch(index, filled, np.empty(0, np.int64))

    def together(batches: Iterator[Batch], batch_rows: int, device: torch.device) -> Iterator[Batch]:
        read = [(at, one) for each in batches for at, one in zip(each.frame_index, each.pictures, strict=False)]
        for first in range(0, len(read), batch_rows):
            index, shown = zip(*read[first : first + batch_rows], strict=True)
            filled = np.stack([*shown, *shown[-1:] * (batch_rows - len(shown))])
            yield Batch(np.array(index), filled, np.empty(0, np.int64))

    monkeypatch.setattr(DecodingProcess, "batches", pieces)
    monkeypatch.setattr(segments, "uploaded", together)
    monkeypatch.setattr(runner, "on_gpu", True)
    assert isinstance(runner.engine, RegionEngine)
    plain = runner.engine.whole
    monkeypatch.setattr(runner.engine, "whole", lambda given: (sizes.append(len(given)), plain(given))[1])
    runner.n_rows = n_rows
    blocks = list(runner.rows(Segment(0, n_rows), match="m"))
    assert set(sizes) == {given}
    np.testing.assert_array_equal(np.concatenate([block.features["original"] for block in blocks]), expected)


def test_a_box_in_the_middle_is_cut_out_of_the_larger_picture(one: tuple[Match, ...]) -> None:
    job = job_of(stride=25, dtype="float32", region=region("centre"), views=("original", "hflip"))
    rows = rows_of(job, one[0])
    assert one[0].video is not None
    with open_source(probe_video(one[0].video), "pyav") as source:
        cut = np.stack([picture[16:48, 32:64] for picture in source.frames(0, N_ROWS, 25)])
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (job.backbone.mean, job.backbone.std))
    for view, pictures in (("original", cut), ("hflip", cut[:, :, ::-1].copy())):
        images = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
        with torch.inference_mode():
            wanted = job.backbone.model((images - mean) / std).numpy()
        found = rows[view][:, job.backbone.dim :]
        np.testing.assert_allclose(found, wanted, atol=2e-4 * np.abs(wanted).max())


def run(*words: object, code: int = 0) -> str:
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == code, f"{result.output}\n{result.stderr}\n{result.exception!r}"
    return result.stderr


def test_the_store_says_what_was_seen_and_a_deep_check_sees_it_again(drawn: Path, tmp_path: Path) -> None:
    words = ["--weights", "random", "--backbone", "resnet10t", "--size", "48x72", "--match", "match-01", "--stride", 4]
    words += ["--workers", 1, "--batch", 8]
    boxes = ["--region", "map", "--region-size", "32x32", "--region-from", "64x96", "--motion", 2]
    run("extract", drawn, "--out", tmp_path, *words, *boxes)
    (path,) = tmp_path.glob("resnet10t*/synth/drawn/match-01.h5")
    assert path.parents[2].name == "resnet10t-random0-48x72-stride4-motion2-region-map-32x32of64x96"
    with FeatureStore.open(path) as store:
        assert store.spec.motion == 2 and store.spec.region == region("map")
        store.spec.require_buildable()
    run("cache", "verify", path.parents[2], "--deep", "--data", drawn)
    plain = job_of().spec
    assert "motion" not in plain.as_json() and "region" not in plain.as_json()  # old fingerprints stay


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--region-size", "32x32"], "--region-size: is for --region"),
        (["--region", "map", "--region-size", "33x32"], "give even numbers of pixels from 32 on"),
        (["--region", "map", "--region-size", "112x112"], "not smaller than the picture of 96x144"),
        (["--region", "map", "--region-fuse", "max", "--grid", "1x2", "--region-size", "32x32"], "different places"),
        (["--region", "map", "--region-size", "32x32", "--grid", "2x2"], "cells at 32x32 pixels"),
        (["--region", "centre", "--region-size", "32x32", "--backbone", "regnety_002+gsf"], "boxes move"),
        (["--motion", "2", "--views", "photo:1"], "have no colours"),
        (["--region", "random", "--region-size", "32x32", "--backbone", "vit_tiny_patch16_224"], "cannot read such"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(drawn: Path, tmp_path: Path, words: list[str], told: str) -> None:
    own = [] if "--backbone" in words else ["--backbone", "resnet10t"]
    said = run(
        "extract", drawn, "--out", tmp_path, "--weights", "random", "--size", "48x72" if own else "64x96", *own, *words,
        code=1,
    )  # fmt: skip
    errors = [line for line in said.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1 and told in errors[0] and said.rstrip().endswith(errors[0])
    assert not list(tmp_path.rglob("*.h5"))


def test_a_backbone_without_a_map_has_boxes_by_motion_alone(one: tuple[Match, ...]) -> None:
    backbone = load_backbone(BackboneSpec("resnet10t", "random", SIZE), CPU)
    flat = replace(backbone, model=torch.nn.Sequential(backbone.model))
    with pytest.raises(BallspotError, match="no map of the picture; give --region motion"):
        SegmentRunner(ExtractionJob(flat, CPU, Settings(region=region("map"))))
    SegmentRunner(ExtractionJob(flat, CPU, Settings(region=region("motion")))).close()
