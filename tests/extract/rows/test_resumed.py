"""What an extraction that goes on gives where frames are damaged, and where reading takes long to come to its rows."""

import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from ballspot.cache.stores.journal import Segment, find_parts
from ballspot.cache.stores.sets import store_path
from ballspot.cache.stores.store import FeatureStore
from ballspot.cli import main
from ballspot.evaluate.dataset.matches import Match
from ballspot.extract.backbone.load import load_backbone
from ballspot.extract.backbone.spec import BackboneSpec
from ballspot.extract.data_root.synth import write_video
from ballspot.extract.rows.extraction import ExtractionError, extract_matches
from ballspot.extract.rows.job import ExtractionJob, Settings
from ballspot.extract.rows.segments import cut_segments
from ballspot.extract.video import process as decoding_module
from ballspot.extract.video.damage import damaged_frames
from ballspot.extract.video.probe import probe_video
from ballspot.extract.video.process import Batch, DecodingProcess, serve
from ballspot.extract.video.sources import open_source

from ..barcoded import gradual_refresh

SIZE = (64, 96)


class StoppedError(Exception):
    """Stands for a process that was killed."""


def damaged(path: Path, n_frames: int = 240) -> Path:
    """A video whose second key frame, 120, and all after it are damaged, and so is every frame from there on."""
    path.parent.mkdir(parents=True)
    write_video(path, n_frames, fps=Fraction(25), size=SIZE, events=[], gop=120)
    content = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        keys = [packet for packet in container.demux(video=0) if packet.size and packet.is_keyframe]
    assert [packet.pts for packet in keys[:2]] == [0, 120 * 512]
    for packet in keys[1:]:
        assert packet.pos is not None
        for place in range(packet.pos + 40, packet.pos + packet.size - 10, 7):
            content[place] ^= 0x5A
    path.write_bytes(bytes(content))
    return path


def pictures(folder: Path) -> Path:
    """140 pictures of growing brightness, the one of number 128 damaged."""
    from PIL import Image

    folder.mkdir(parents=True)
    for number in range(140):
        Image.fromarray(np.full((*SIZE, 3), number, np.uint8)).save(folder / f"{number:03d}.jpg")
    (folder / "128.jpg").write_bytes(b"damaged")
    return folder


def job_of(backbone: str, **settings: Any) -> ExtractionJob:
    device = torch.device("cpu")
    loaded = load_backbone(BackboneSpec(backbone, "random", SIZE), device)
    return ExtractionJob(loaded, device, Settings(substitute=True, **settings))


def stop_after(n_batches: int, patch: pytest.MonkeyPatch) -> None:
    given = DecodingProcess.batches

    def batches(self: DecodingProcess, segment: Segment, **settings: Any) -> Iterator[Batch]:
        for number, batch in enumerate(given(self, segment, **settings)):
            if number == n_batches:
                raise StoppedError
            yield batch

    patch.setattr(DecodingProcess, "batches", batches)


def cut_short(match: Match, out: Path, job: ExtractionJob, n_batches: int, monkeypatch: pytest.MonkeyPatch) -> Path:
    with monkeypatch.context() as patch:
        stop_after(n_batches, patch)
        with pytest.raises(StoppedError):
            extract_matches([match], out, job)
    return store_path(out, match.name)


@pytest.mark.parametrize(
    ("write", "backbone", "settings", "n_batches"),
    [
        (damaged, "resnet10t", {}, 24),  # 192 rows: none of the frames left is good
        (partial(damaged, n_frames=420), "regnety_002+gsf:s4", {}, 45),  # 256 rows: two windows
        (pictures, "resnet10t", {"stride": 2, "image_fps": Fraction(25)}, 8),  # 64 rows: picture 128 is the next
    ],
)
def test_an_extraction_with_stand_ins_goes_on_to_the_same_bytes(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    write: Callable[[Path], Path],
    backbone: str,
    settings: dict[str, Any],
    n_batches: int,
) -> None:
    match = Match("m", tmp_path / "m", write(tmp_path / "m" / "224p.mp4"), None)
    job = job_of(backbone, **settings)
    (whole,) = extract_matches([match], tmp_path / "whole", job)
    path = cut_short(match, tmp_path / "cut", job, n_batches, monkeypatch)
    assert find_parts(path)
    (resumed,) = extract_matches([match], tmp_path / "cut", job)
    assert 0 < resumed.n_new_rows < resumed.n_rows
    assert path.read_bytes() == whole.path.read_bytes()


def test_stand_ins_are_not_gone_on_with_where_a_damaged_frame_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    match = Match("m", tmp_path / "m", damaged(tmp_path / "m" / "224p.mp4"), None)
    job = job_of("resnet10t")
    path = cut_short(match, tmp_path / "cut", job, 24, monkeypatch)
    strict = replace(job, settings=replace(job.settings, substitute=False))
    told = "shows another frame in place of damaged frame 120; give --on-bad-frame substitute again, or another --set"
    with pytest.raises(ExtractionError, match=told):
        extract_matches([match], tmp_path / "cut", strict)
    assert find_parts(path)
    (done,) = extract_matches([match], tmp_path / "cut", job)
    assert done.n_rows == 240


def test_deep_verification_makes_stand_ins_again(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "m"
    damaged(folder / "64p.mp4", 560)  # the chunks of rows 256 and 512 hold stand-ins only
    (folder / "Labels-ball.json").write_text('{"annotations": []}')
    words = ("extract", tmp_path / "data", "--out", tmp_path, "--set", "s", "--weights", "random", "--size", "64x96",
             "--backbone", "resnet10t", "--workers", 1, "--on-bad-frame", "substitute")  # fmt: skip
    for line in (words, ("cache", "verify", tmp_path / "s", "--deep", "--data", tmp_path / "data", "--chunks", 3)):
        result = CliRunner().invoke(main, list(map(str, line)))
        assert result.exit_code == 0, result.output + result.stderr
    with FeatureStore.open(tmp_path / "s" / "m.h5") as store:
        assert store.substituted.tolist() == list(range(120, 560))


def test_a_decoder_that_passes_frames_over_is_not_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow:
        """A decoder that takes longer than it is waited for to come to the first frame that is asked for."""

        name, version = "slow", "1"

        def __init__(self, beat: Callable[[], None]) -> None:
            self.beat, self.substituted = beat, set[int]()

        def frames(self, start: int, stop: int, step: int = 1) -> Iterator[np.ndarray]:
            for _ in range(45):
                time.sleep(0.1)
                self.beat()
            yield from (np.zeros((*SIZE, 3), np.uint8) for _ in range(start, stop, step))

    video = tmp_path / "a.mp4"
    write_video(video, 12, fps=Fraction(25), size=SIZE, events=[])
    monkeypatch.setattr(decoding_module, "open_source", lambda probe, decoder, *, substitute, beat, motion: Slow(beat))
    monkeypatch.setattr(decoding_module, "end_with_parent", lambda: None)
    monkeypatch.setattr(decoding_module, "BEAT_S", 0.1)
    decoding = DecodingProcess(batch_rows=4, patience_s=3.0)

    def start(shape: tuple[int, ...]) -> None:
        """What `_start` does, in a thread."""
        decoding._connection, theirs = multiprocessing.Pipe()
        ring = np.zeros((3, *shape), np.uint8)
        decoding._ring, decoding._shape = ring, shape
        threading.Thread(target=serve, args=(theirs, ring.reshape(-1), 3, shape), daemon=True).start()

    monkeypatch.setattr(decoding, "_start", start)
    decoding.open(probe_video(video), "pyav")
    batches = decoding.batches(Segment(4, 12), stride=1)
    assert [batch.frame_index.tolist() for batch in batches] == [[4, 5, 6, 7], [8, 9, 10, 11]]
    decoding._connection.close()


def test_a_video_that_is_only_read_from_its_start_is_one_segment_and_beats_while_frames_are_passed_over(
    tmp_path: Path,
) -> None:
    probe = probe_video(gradual_refresh(tmp_path / "a.mp4"))
    long = replace(probe, n_frames=5000)
    assert cut_segments(long, stride=1, aligned_rows=4) == [Segment(0, 5000)]
    n_beats = 0

    def beat() -> None:
        nonlocal n_beats
        n_beats += 1

    next(open_source(probe, "pyav", beat=beat).frames(240, 250))
    assert n_beats > 240
    n_beats = 0
    damaged_frames(probe, 240, 250, beat)
    assert n_beats >= 250
