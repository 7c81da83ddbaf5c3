import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import nn

from ballspot.cache.errors import BallspotError
from ballspot.cache.stores.journal import Segment, find_parts
from ballspot.cache.stores.sets import open_feature_set, store_path
from ballspot.cache.stores.store import FeatureStore
from ballspot.evaluate.dataset.matches import Match, find_matches
from ballspot.extract.backbone.engines import normalisation
from ballspot.extract.backbone.load import Backbone, load_backbone
from ballspot.extract.backbone.spec import BackboneSpec
from ballspot.extract.rows import segments as segments_module
from ballspot.extract.rows.extraction import ExtractionError, extract_matches, summed_up
from ballspot.extract.rows.job import ExtractionJob, Settings
from ballspot.extract.rows.segments import cut_segments
from ballspot.extract.video.probe import DecodingError, probe_video
from ballspot.extract.video.process import Batch, DecodingProcess
from ballspot.extract.video.sources import open_source

from ..barcoded import read_number

CPU = torch.device("cpu")
SIZE = (64, 96)


class NumberReader(nn.Module):
    """A backbone whose features are the number in the picture: high and low part, each exact in float16."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        pictures = images.permute(0, 2, 3, 1).numpy()
        read = [read_number(picture) for picture in pictures]
        return torch.tensor([[-1.0, -1.0] if n is None else [n // 1000, n % 1000] for n in read])


@pytest.fixture
def job() -> ExtractionJob:
    """Stores frame numbers: pictures pass unnormalised (mean 0, std 1/255)."""
    backbone = Backbone(
        spec=BackboneSpec("numbers", "", SIZE),
        model=NumberReader(),
        dim=2,
        mean=(0.0,) * 3,
        std=(1 / 255,) * 3,
        interpolation="bilinear",
        weights_sha256="0" * 64,
    )
    return ExtractionJob(backbone, device=CPU)


def with_settings(job: ExtractionJob, **changes: object) -> ExtractionJob:
    return replace(job, settings=replace(job.settings, **changes))


@pytest.fixture
def matches(drawn: Path) -> tuple[Match, ...]:
    return find_matches(drawn)


def numbers_in(path: Path) -> list[int]:
    with FeatureStore.open(path) as store:
        high, low = store.read().astype(np.int64).T
        return (1000 * high + low).tolist()


@pytest.mark.parametrize("decoder", ["decord", "pyav"])
@pytest.mark.parametrize(("stride", "batch_rows"), [(1, 16), (1, 7), (2, 16), (7, 5), (300, 4)])
def test_every_row_is_the_frame_its_index_says(
    matches: tuple[Match, ...], tmp_path: Path, job: ExtractionJob, decoder: str, stride: int, batch_rows: int
) -> None:
    job = with_settings(job, stride=stride, batch_rows=batch_rows, decoder=decoder)
    (result,) = extract_matches(matches[:1], tmp_path, job)
    with FeatureStore.open(result.path) as store:
        assert store.frame_index.tolist() == list(range(0, 250, stride))
        assert (store.n_video_frames, store.header.decoder) == (250, decoder)
    assert numbers_in(result.path) == list(range(0, 250, stride))
    assert not list(tmp_path.rglob("*.part"))


def test_a_set_holds_a_store_for_each_match_and_a_second_run_keeps_them(
    matches: tuple[Match, ...], tmp_path: Path, job: ExtractionJob
) -> None:
    first = extract_matches(matches, tmp_path / "set", job)
    assert [result.n_new_rows for result in first] == [250] * 3
    assert list(open_feature_set(tmp_path / "set").stores) == [match.name for match in matches]
    changed = first[1].path.stat().st_mtime_ns
    assert [result.n_new_rows for result in extract_matches(matches, tmp_path / "set", job)] == [0] * 3
    assert first[1].path.stat().st_mtime_ns == changed


def the_part(path: Path) -> Path:
    """The only part file of a store; where there is none yet, a place where none is."""
    parts = find_parts(path)
    assert len(parts) <= 1
    return parts[0] if parts else path.with_suffix(".none")


class StoppedError(Exception):
    """Stands for a process that was killed."""


@pytest.fixture(scope="module")
def whole(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The store of the first match, made without a break."""
    job = ExtractionJob(load_backbone(BackboneSpec("regnety_002", "random", SIZE), CPU), device=CPU)
    (result,) = extract_matches(find_matches(drawn)[:1], tmp_path_factory.mktemp("whole"), job)
    return result.path.read_bytes()


@pytest.mark.parametrize("n_batches", [0, 1, 30])
def test_an_interrupted_extraction_ends_in_the_same_bytes(
    matches: tuple[Match, ...],
    whole: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    n_batches: int,
) -> None:
    job = ExtractionJob(load_backbone(BackboneSpec("regnety_002", "random", SIZE), CPU), device=CPU)
    n_given = 0

    def breaking(self: DecodingProcess, segment: Segment, **settings: Any) -> Iterator[Batch]:
        nonlocal n_given
        for batch in given(self, segment, **settings):
            if n_given == n_batches:
                raise StoppedError
            n_given += 1
            yield batch

    given = DecodingProcess.batches
    with monkeypatch.context() as patch:
        patch.setattr(DecodingProcess, "batches", breaking)
        with pytest.raises(StoppedError):
            extract_matches(matches[:1], tmp_path / "cut", job)
    assert "begun before" not in capsys.readouterr().err
    path = store_path(tmp_path / "cut", matches[0].name)
    assert the_part(path).exists() and not path.exists()
    with the_part(path).open("ab") as stream:
        stream.write(b"ROWS and then the power went")
    (resumed,) = extract_matches(matches[:1], tmp_path / "cut", job)
    assert f"{matches[0].name}: begun before; the rows that are there are kept" in capsys.readouterr().err
    assert resumed.n_new_rows == 250 - Settings().batch_rows * n_batches // 64 * 64  # records of 64 rows
    assert path.read_bytes() == whole
    assert not the_part(path).exists()


def test_features_are_those_of_the_plain_model_to_a_float16_step(matches: tuple[Match, ...], tmp_path: Path) -> None:
    torch.manual_seed(0)
    plain = timm.create_model("regnety_002", pretrained=False, num_classes=0).eval()
    torch.save(plain.state_dict(), tmp_path / "w.pth")
    backbone = load_backbone(BackboneSpec("regnety_002", str(tmp_path / "w.pth"), SIZE), CPU)
    (result,) = extract_matches(matches[:1], tmp_path / "set", ExtractionJob(backbone, device=CPU))
    assert matches[0].video is not None
    with open_source(probe_video(matches[0].video), "pyav") as source:
        pictures = torch.from_numpy(np.stack(list(source.frames(100, 108))))
    scale, shift = normalisation(backbone.mean, backbone.std)
    with torch.inference_mode():
        expected = plain(pictures.permute(0, 3, 1, 2) * scale + shift).numpy()
    with FeatureStore.open(result.path) as store:
        # float16 rounds by up to 2**-11 of a value; folding adds less than 1e-4 of the largest.
        difference = np.abs(store.read(100, 108).astype(np.float32) - expected)
    assert (difference <= np.abs(expected) * 2**-11 + 1e-4 * np.abs(expected).max()).all()


def failing_at(frame: int) -> Callable[..., Iterator[Batch]]:
    """DecodingProcess.batches of a decoder that cannot give `frame`."""
    given = DecodingProcess.batches

    def batches(self: DecodingProcess, segment: Segment, **settings: Any) -> Iterator[Batch]:
        for batch in given(self, segment, **settings):
            if batch.frame_index[-1] >= frame:
                raise DecodingError(f"frame {frame} cannot be decoded")
            yield batch

    return batches


def test_a_frame_that_cannot_be_decoded_leaves_no_rows_behind(
    matches: tuple[Match, ...], tmp_path: Path, job: ExtractionJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows beside a damaged place may be wrong as well."""
    monkeypatch.setattr(DecodingProcess, "batches", failing_at(100))
    with pytest.raises(BallspotError, match="match 'synth/drawn/match-01': frame 100 cannot be decoded"):
        extract_matches(matches[:1], tmp_path, job)
    assert not list(tmp_path.rglob("*.h5*"))


def test_a_set_made_with_other_settings_is_refused_with_what_differs(
    matches: tuple[Match, ...], tmp_path: Path, job: ExtractionJob
) -> None:
    extract_matches(matches[:1], tmp_path, job)
    with pytest.raises(BallspotError, match=r"stride is 1 there and 2 here.*choose another --set"):
        extract_matches(matches, tmp_path, with_settings(job, stride=2))


def test_a_part_file_of_other_settings_is_refused_too(
    matches: tuple[Match, ...], tmp_path: Path, job: ExtractionJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise StoppedError

    with monkeypatch.context() as patch:
        patch.setattr(segments_module.SegmentRunner, "rows", stop)
        with pytest.raises(StoppedError):
            extract_matches(matches[:1], tmp_path, job)
    with pytest.raises(BallspotError, match="stride is 1 there and 2 here"):
        extract_matches(matches[:1], tmp_path, with_settings(job, stride=2))


def test_a_store_of_another_video_is_refused(matches: tuple[Match, ...], tmp_path: Path, job: ExtractionJob) -> None:
    (result,) = extract_matches(matches[:1], tmp_path / "set", job)
    other = tmp_path / "other.mp4"
    assert matches[0].video is not None
    other.write_bytes(matches[0].video.read_bytes() + b"\0" * 8)
    with pytest.raises(BallspotError, match=r"was made from .*64p\.mp4.* not from .*other\.mp4"):
        extract_matches([replace(matches[0], video=other)], tmp_path / "set", job)
    assert result.path.exists()


def test_a_half_written_store_is_refused(matches: tuple[Match, ...], tmp_path: Path, job: ExtractionJob) -> None:
    path = store_path(tmp_path, matches[0].name)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 100)
    with pytest.raises(BallspotError, match=r"match-01\.h5: damaged store.*remove it and extract again"):
        extract_matches(matches[:1], tmp_path, job)


def test_matches_that_fail_do_not_stop_the_others(
    matches: tuple[Match, ...], tmp_path: Path, job: ExtractionJob
) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    given = [replace(matches[0], video=None), replace(matches[1], video=broken), matches[2]]
    with pytest.raises(ExtractionError, match=r"2 of 3 matches failed.*match-01.*has no video.*match-02") as caught:
        extract_matches(given, tmp_path, job)
    assert [result.match for result in caught.value.results] == ["synth/drawn/match-03"]
    assert numbers_in(store_path(tmp_path, matches[2].name)) == list(range(250))


class Overflowing(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.full((len(images), 2), 1e6)


def test_features_beyond_float16_are_an_error_that_names_the_match(
    matches: tuple[Match, ...], tmp_path: Path, job: ExtractionJob
) -> None:
    job = replace(job, backbone=replace(job.backbone, model=Overflowing()))
    with pytest.raises(BallspotError, match=r"match 'synth/drawn/match-01': a feature of frame 0 .* float16"):
        extract_matches(matches[:1], tmp_path, job)


def test_batches_of_a_segment_have_one_shape_and_the_right_frames(video: Path) -> None:
    with DecodingProcess(batch_rows=16) as decoding:
        decoding.open(probe_video(video), "pyav")
        index, shown = [], []
        for batch in decoding.batches(Segment(11, 60), stride=3):
            assert batch.pictures.shape == (16, 64, 96, 3)
            index += batch.frame_index.tolist()
            shown += [read_number(picture) for picture in batch.pictures[: len(batch.frame_index)]]
    assert index == shown == list(range(33, 180, 3))


def test_a_decoder_that_gives_nothing_is_ended(video: Path) -> None:
    others = multiprocessing.active_children()
    with DecodingProcess(batch_rows=2) as decoding:
        patience_s = decoding.patience_s
        decoding.open(probe_video(video), "pyav")
        child = decoding._process
        assert child is not None
        os.kill(child.pid, signal.SIGSTOP)
        decoding.patience_s = 0.3
        with pytest.raises(DecodingError, match="has given nothing for 0 s"):
            list(decoding.batches(Segment(0, 100), stride=1))
        assert set(multiprocessing.active_children()) <= set(others)
        decoding.patience_s = patience_s
        decoding.open(probe_video(video), "pyav")  # a new child takes its place
        assert next(decoding.batches(Segment(0, 2), stride=1)).frame_index.tolist() == [0, 1]


def test_a_decoder_that_dies_is_an_error_that_another_decoder_may_mend(video: Path) -> None:
    with DecodingProcess(batch_rows=2) as decoding:
        decoding.open(probe_video(video), "pyav")
        assert decoding._process is not None
        os.kill(decoding._process.pid, signal.SIGSEGV)
        with pytest.raises(DecodingError, match=r"ended by itself \(exit code -11\)"):
            list(decoding.batches(Segment(0, 100), stride=1))


def test_segments_are_whole_batches_that_begin_soon_after_key_frames(video: Path) -> None:
    probe = replace(probe_video(video), n_frames=5000, key_index=np.arange(0, 5000, 12), pts=np.arange(5000))
    for stride in (1, 2):
        segments = cut_segments(probe, stride=stride, aligned_rows=4)
        assert segments[0].start == 0 and segments[-1].stop == -(-5000 // stride)
        assert all(before.stop == after.start for before, after in pairwise(segments))
        assert all(segment.start % 4 == 0 for segment in segments)
        assert all((segment.start * stride) % 12 < 4 * stride for segment in segments)
        assert all(500 < segment.stop - segment.start < 1600 for segment in segments)
    assert cut_segments(probe_video(video), stride=1, aligned_rows=4) == [Segment(0, 250)]


def test_a_reason_that_matches_share_is_told_once():
    failed = {"a": "torchcodec is missing", "b": "b.mp4: empty file", "c": "torchcodec is missing"}
    assert summed_up(failed) == "matches 'a', 'c': torchcodec is missing; match 'b': b.mp4: empty file"
    assert summed_up({"b": "b.mp4: empty file"}) == "match 'b': b.mp4: empty file"
