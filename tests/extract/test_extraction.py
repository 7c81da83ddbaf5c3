import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from torch import nn

from ballspot.cache.errors import BallspotError
from ballspot.cache.journal import Segment, part_path
from ballspot.cache.sets import open_feature_set, store_path
from ballspot.cache.store import FeatureStore
from ballspot.evaluate.matches import Match, find_matches
from ballspot.extract import extraction as extraction_module
from ballspot.extract.backbones import Backbone, load_backbone
from ballspot.extract.barcode import read_number
from ballspot.extract.decoders import open_source
from ballspot.extract.extraction import ExtractionJob, extract_matches
from ballspot.extract.prefetch import Batch, prefetched, read_batches
from ballspot.extract.transforms import Preprocess
from ballspot.extract.video import DecodingError, VideoProbe, VideoSource, probe_video
from ballspot.extract.weights import parse_weights

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
        name="numbers",
        model=NumberReader(),
        dim=2,
        size=SIZE,
        mean=(0.0,) * 3,
        std=(1 / 255,) * 3,
        interpolation="bilinear",
        weights_sha256="0" * 64,
    )
    return ExtractionJob(backbone, device=CPU)


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
    job = replace(job, stride=stride, batch_rows=batch_rows, decoders=(decoder,))
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


class StoppedError(Exception):
    """Stands for a process that was killed."""


@pytest.mark.parametrize("n_batches", [0, 1, 5, 15])
def test_an_interrupted_extraction_ends_in_the_same_bytes(
    matches: tuple[Match, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_batches: int
) -> None:
    backbone = load_backbone("regnety_002", parse_weights("random"), size=SIZE, device=CPU)
    job = ExtractionJob(backbone, device=CPU)
    (whole,) = extract_matches(matches[:1], tmp_path / "whole", job)

    def breaking(batches: Iterator[Batch], **settings: float) -> Iterator[Batch]:
        for number, batch in enumerate(prefetched(batches, **settings)):
            if number == n_batches:
                raise StoppedError
            yield batch

    with monkeypatch.context() as patch:
        patch.setattr(extraction_module, "prefetched", breaking)
        with pytest.raises(StoppedError):
            extract_matches(matches[:1], tmp_path / "cut", job)
    path = store_path(tmp_path / "cut", matches[0].name)
    assert part_path(path).exists() and not path.exists()
    with part_path(path).open("ab") as stream:
        stream.write(b"ROWS and then the power went")
    (resumed,) = extract_matches(matches[:1], tmp_path / "cut", job)
    assert resumed.n_new_rows == 250 - 16 * n_batches
    assert path.read_bytes() == whole.path.read_bytes()
    assert not part_path(path).exists()


def test_features_are_those_of_the_plain_model_to_a_float16_step(matches: tuple[Match, ...], tmp_path: Path) -> None:
    torch.manual_seed(0)
    plain = timm.create_model("regnety_002", pretrained=False, num_classes=0).eval()
    torch.save(plain.state_dict(), tmp_path / "w.pth")
    backbone = load_backbone("regnety_002", parse_weights(str(tmp_path / "w.pth")), size=SIZE, device=CPU)
    (result,) = extract_matches(matches[:1], tmp_path / "set", ExtractionJob(backbone, device=CPU))
    assert matches[0].video is not None
    with open_source(probe_video(matches[0].video), "pyav") as source:
        pictures = torch.from_numpy(next(source.frames(100, 108)))
    preprocess = Preprocess(SIZE, mean=backbone.mean, std=backbone.std, device=CPU)
    with torch.inference_mode():
        expected = plain(preprocess(pictures)).numpy()
    with FeatureStore.open(result.path) as store:
        # float16 rounds by up to 2**-11 of a value; folding adds less than 1e-4 of the largest.
        difference = np.abs(store.read(100, 108).astype(np.float32) - expected)
    assert (difference <= np.abs(expected) * 2**-11 + 1e-4 * np.abs(expected).max()).all()


class Failing:
    """A decoder that opens everything and fails at frame 100."""

    name = "failing"
    version = "1"

    def __init__(self, probe: VideoProbe) -> None:
        self.inner = open_source(probe, "pyav")

    def frames(self, start: int, stop: int) -> Iterator[np.ndarray]:
        for piece in self.inner.frames(start, stop):
            if start >= 100:
                raise DecodingError("frame 100 cannot be decoded")
            start += len(piece)
            yield piece

    def __enter__(self) -> VideoSource:
        return self

    def __exit__(self, *exception: object) -> None:
        return None


def test_a_decoder_that_fails_midway_gives_way_to_the_next(
    matches: tuple[Match, ...], tmp_path: Path, job: ExtractionJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(extraction_module.DECODERS, "failing", Failing)
    (result,) = extract_matches(matches[:1], tmp_path / "two", replace(job, decoders=("failing", "pyav")))
    assert numbers_in(result.path) == list(range(250))
    with FeatureStore.open(result.path) as store:
        assert store.header.decoder == "pyav"
    with pytest.raises(BallspotError, match="match 'synth/drawn/match-01': frame 100 cannot be decoded"):
        extract_matches(matches[:1], tmp_path / "one", replace(job, decoders=("failing",)))
    assert not list((tmp_path / "one").rglob("*.h5*"))


def test_a_set_made_with_other_settings_is_refused_with_what_differs(
    matches: tuple[Match, ...], tmp_path: Path, job: ExtractionJob
) -> None:
    extract_matches(matches[:1], tmp_path, job)
    with pytest.raises(BallspotError, match=r"stride is 1 there and 2 here.*choose another --set"):
        extract_matches(matches, tmp_path, replace(job, stride=2))


def test_a_part_file_of_other_settings_is_refused_too(
    matches: tuple[Match, ...], tmp_path: Path, job: ExtractionJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise StoppedError

    with monkeypatch.context() as patch:
        patch.setattr(extraction_module, "fill_journal", stop)
        with pytest.raises(StoppedError):
            extract_matches(matches[:1], tmp_path, job)
    with pytest.raises(BallspotError, match="stride is 1 there and 2 here"):
        extract_matches(matches[:1], tmp_path, replace(job, stride=2))


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


def test_a_match_without_video_stops_before_anything_is_decoded(
    matches: tuple[Match, ...], tmp_path: Path, job: ExtractionJob
) -> None:
    with pytest.raises(BallspotError, match="match 'synth/drawn/match-03' has no video"):
        extract_matches([*matches[:2], replace(matches[2], video=None)], tmp_path, job)
    assert not list(tmp_path.rglob("*.h5*"))


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
    with open_source(probe_video(video), "pyav") as source:
        batches = list(read_batches(source, Segment(11, 60), stride=3, batch_rows=16))
    assert {batch.pictures.shape for batch in batches} == {(16, 64, 96, 3)}
    index = np.concatenate([batch.frame_index for batch in batches])
    assert index.tolist() == list(range(33, 180, 3))
    shown = [read_number(p) for b in batches for p in b.pictures[: len(b.frame_index)]]
    assert shown == index.tolist()


def test_a_decoder_that_hangs_is_given_up() -> None:
    release = threading.Event()

    def hanging() -> Iterator[Batch]:
        yield Batch(np.arange(1), np.zeros((1, 2, 2, 3), np.uint8))
        release.wait(20)

    batches = prefetched(hanging(), patience_s=0.2)
    next(batches)
    threading.Timer(0.5, release.set).start()
    with pytest.raises(DecodingError, match="has given nothing"):
        next(batches)
