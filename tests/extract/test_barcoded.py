"""Every stored row belongs to the right frame, or there is a clear error: for each backend and each kind of video."""

import importlib.util
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from ballspot.cache.errors import BallspotError
from ballspot.extract.barcode import draw_number, read_number
from ballspot.extract.damage import damaged_frames
from ballspot.extract.decoders import TorchcodecSource, open_source
from ballspot.extract.synth import write_video
from ballspot.extract.video import DecodingError, VideoProbe, probe_video

N_FRAMES = 250
SIZE = (64, 96)


def remux(source: Path, out: Path, *, first_pts: int = 0, stamps: dict[int, int] | None = None, **options: str) -> Path:
    """The same packets with time stamps moved by `first_pts` frames, or to other stamps by frame, in 12,800ths."""
    with av.open(str(source)) as old, av.open(str(out), "w", options={"use_editlist": "1", **options}) as new:
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        for packet in old.demux(stream):
            if packet.size and packet.pts is not None and packet.dts is not None:
                moved = stamps[packet.pts // 512] if stamps else packet.pts + first_pts * 512
                packet.dts += moved - packet.pts if not stamps else 0
                packet.pts = moved
                packet.stream = copy
                new.mux(packet)
    return out


def plain(path: Path, *, gop: int = 12, fps: Fraction = Fraction(25)) -> Path:
    write_video(path, N_FRAMES, fps=fps, size=SIZE, events=[], gop=gop)
    return path


def variable_rate(path: Path) -> Path:
    """Frames from 100 on are shown 20 frames later, and every third one is late by a quarter of a frame."""
    source = plain(path.with_name("constant.mp4"))
    stamps = {k: (k + (20 if k >= 100 else 0)) * 512 + (128 if k % 3 == 0 else 0) for k in range(N_FRAMES)}
    return remux(source, path, stamps=stamps)


def edit_list(path: Path) -> Path:
    """30 frames lie before time zero: in the file, but not shown."""
    return remux(plain(path.with_name("uncut.mp4")), path, first_pts=-30)


def odd_width(path: Path) -> Path:
    """97 x 65 pixels, in 4:4:4, since 4:2:0 needs even ones."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 97, 65, "yuv444p"
        stream.codec_context.thread_count = 1
        stream.options = {"preset": "ultrafast", "bf": "2", "g": "12", "sc_threshold": "0"}
        for number in range(N_FRAMES):
            luma = np.full((65, 97), 90, np.uint8)
            draw_number(luma, number)
            picture = np.stack([luma, np.full_like(luma, 128), np.full_like(luma, 128)])
            frame = av.VideoFrame.from_ndarray(picture, format="yuv444p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def truncated(path: Path) -> Path:
    """Cut at 60 % of its bytes, with the index in front, so that it opens and counts 250 frames."""
    remux(plain(path.with_name("whole.mp4")), path, movflags="+faststart")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.6)])
    return path


def corrupted(path: Path, *, at: float = 0.5, n_bytes: int = 1) -> Path:
    """A byte in the middle of the pictures is another one: decoders go on and conceal it."""
    content = bytearray(plain(path).read_bytes())
    place = int(len(content) * at)
    content[place : place + n_bytes] = bytes(255 - value for value in content[place : place + n_bytes])
    path.write_bytes(bytes(content))
    return path


def count_too_high(path: Path) -> Path:
    """Ends neatly after 13 groups of pictures, but its index, in front, counts all 250 frames."""
    remux(plain(path.with_name("whole.mp4")), path, movflags="+faststart")
    with av.open(str(path)) as container:
        ends = [
            packet.pos + packet.size for packet in container.demux(video=0) if packet.size and packet.pos is not None
        ]
    path.write_bytes(path.read_bytes()[: max(ends[: 13 * 12])])
    return path


WHOLE: dict[str, tuple[Callable[[Path], Path], str, list[int]]] = {
    "B-frames, key frame every 12": (plain, ".mp4", list(range(N_FRAMES))),
    "key frame every 250": (lambda path: plain(path, gop=250), ".mp4", list(range(N_FRAMES))),
    "29.97 frames a second": (lambda path: plain(path, fps=Fraction(30000, 1001)), ".mp4", list(range(N_FRAMES))),
    "29.97 in Matroska": (lambda path: plain(path, fps=Fraction(30000, 1001)), ".mkv", list(range(N_FRAMES))),
    "variable frame rate": (variable_rate, ".mp4", list(range(N_FRAMES))),
    "edit list": (edit_list, ".mp4", list(range(30, N_FRAMES))),
    "odd width": (odd_width, ".mp4", list(range(N_FRAMES))),
}


def torchcodec_works() -> bool:
    if importlib.util.find_spec("torchcodec") is None:
        return False
    try:
        importlib.import_module("torchcodec.decoders")
    except (ImportError, RuntimeError, OSError):
        return False
    return True


BACKENDS = [
    "pyav",
    "decord",
    pytest.param(
        "torchcodec",
        marks=pytest.mark.skipif(
            not torchcodec_works(), reason="torchcodec or the FFmpeg libraries it needs are missing"
        ),
    ),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], VideoProbe]:
    """The probe of a kind of video, written when it is first asked for."""
    probes: dict[str, VideoProbe] = {}

    def probe_of(kind: str) -> VideoProbe:
        if kind not in probes:
            write, suffix, _ = WHOLE[kind]
            probes[kind] = probe_video(write(tmp_path_factory.mktemp("barcoded") / f"a{suffix}"))
        return probes[kind]

    return probe_of


def numbers_of(probe: VideoProbe, backend: str, start: int, stop: int, step: int = 1) -> list[int | None]:
    with open_source(probe, backend) as source:
        return [read_number(picture) for picture in source.frames(start, stop, step)]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", WHOLE)
def test_rows_are_the_right_frames_or_the_backend_gives_up(
    made: Callable[[str], VideoProbe], backend: str, kind: str
) -> None:
    probe, expected = made(kind), WHOLE[kind][2]
    assert probe.n_frames == len(expected)
    for start, stop, step in ((0, probe.n_frames, 1), (37, 91, 1), (100, 101, 1), (5, 200, 7)):
        try:
            shown = numbers_of(probe, backend, start, stop, step)
        except DecodingError as error:
            # Only decord, and only where it is known not to agree with the packets.
            assert backend != "pyav" and kind in ("edit list", "odd width", "variable frame rate"), error
        else:
            assert shown == expected[start:stop:step]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_truncated_video_is_an_error_or_ends_at_its_last_whole_frame(tmp_path: Path, backend: str) -> None:
    probe = probe_video(truncated(tmp_path / "a.mp4"))
    assert 100 < probe.n_frames < N_FRAMES == probe.n_container_frames
    with pytest.raises(DecodingError, match=r"a\.mp4"):
        numbers_of(probe, backend, 0, probe.n_frames)
    assert numbers_of(probe, "pyav", 0, 100) == list(range(100))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("at", "n_bytes"), [(0.4, 1), (0.5, 1), (0.5, 200), (0.62, 1)])
def test_a_video_corrupted_in_the_middle_is_an_error_that_names_the_frame(
    tmp_path: Path, backend: str, at: float, n_bytes: int
) -> None:
    probe = probe_video(corrupted(tmp_path / "a.mp4", at=at, n_bytes=n_bytes))
    with pytest.raises(DecodingError, match=r"a\.mp4: frames? \d+"):
        numbers_of(probe, backend, 0, probe.n_frames)


@pytest.mark.parametrize(("at", "n_bytes"), [(0.4, 1), (0.5, 1), (0.5, 200), (0.62, 1), (0.3, 2000)])
def test_every_frame_that_is_wrong_is_among_the_damaged_ones(tmp_path: Path, at: float, n_bytes: int) -> None:
    probe = probe_video(corrupted(tmp_path / "a.mp4", at=at, n_bytes=n_bytes))
    bad = set(damaged_frames(probe, 0, probe.n_frames).tolist())
    with open_source(probe, "pyav", substitute=True) as source:
        shown = [read_number(picture) for picture in source.frames(0, N_FRAMES)]
        substituted = source.substituted
    assert bad and len(bad) < 60
    assert substituted == bad
    good = [k for k in range(N_FRAMES) if k not in bad]
    assert [shown[k] for k in good] == good
    for k in sorted(bad):  # the last good frame before, else the first one after
        before = [g for g in good if g < k]
        assert shown[k] == (before[-1] if before else good[0])


def test_an_undamaged_video_has_no_damaged_frame(tmp_path: Path) -> None:
    probe = probe_video(plain(tmp_path / "a.mp4"))
    assert len(damaged_frames(probe, 0, N_FRAMES)) == len(damaged_frames(probe, 30, 80)) == 0


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_container_that_counts_too_many_frames_is_not_believed(tmp_path: Path, backend: str) -> None:
    probe = probe_video(count_too_high(tmp_path / "a.mp4"))
    assert (probe.n_frames, probe.n_container_frames) == (156, N_FRAMES)
    try:
        shown = numbers_of(probe, backend, 0, 156)
    except DecodingError:
        assert backend != "pyav"
    else:
        assert shown == list(range(156))


def test_the_times_of_a_variable_rate_are_those_of_its_packets(tmp_path: Path) -> None:
    probe = probe_video(variable_rate(tmp_path / "a.mp4"))
    assert probe.is_variable
    # 12,800 ticks a second: frame 0 at 128, frame 1 at 512, frame 99 at 99 * 512 + 128, frame 100 at 120 * 512.
    times = probe.frame_times_us(np.array([0, 1, 99, 100]))
    assert times.tolist() == [0, 30_000, 3_960_000, 4_790_000]


def write_pictures(folder: Path, video: Path, *, first: int = 0) -> Path:
    from PIL import Image

    folder.mkdir()
    with open_source(probe_video(video), "pyav") as source:
        for number, picture in enumerate(source.frames(0, 30), start=first):
            Image.fromarray(picture).save(folder / f"frame_{number:06d}.jpg", quality=95)
    return folder


def test_a_folder_of_pictures_is_read_in_the_order_of_their_numbers(tmp_path: Path, video: Path) -> None:
    folder = write_pictures(tmp_path / "frames", video, first=1)
    probe = probe_video(folder, image_fps=Fraction(25))
    assert (probe.n_frames, probe.width, probe.height, probe.fps) == (30, 96, 64, 25)
    assert numbers_of(probe, "jpg", 3, 30, 2) == list(range(3, 30, 2))


def test_a_folder_of_pictures_with_a_gap_or_without_a_rate_is_refused(tmp_path: Path, video: Path) -> None:
    folder = write_pictures(tmp_path / "frames", video)
    with pytest.raises(BallspotError, match="give --image-fps"):
        probe_video(folder)
    (folder / "frame_000012.jpg").unlink()
    with pytest.raises(BallspotError, match="no picture of number 12"):
        probe_video(folder, image_fps=Fraction(25))
    (tmp_path / "empty").mkdir()
    with pytest.raises(BallspotError, match="without JPG files"):
        probe_video(tmp_path / "empty", image_fps=Fraction(25))


def test_a_damaged_picture_is_an_error_or_is_replaced_and_named(tmp_path: Path, video: Path) -> None:
    folder = write_pictures(tmp_path / "frames", video)
    (folder / "frame_000012.jpg").write_bytes(b"no picture")
    probe = probe_video(folder, image_fps=Fraction(25))
    with pytest.raises(DecodingError, match="frame 12 cannot be read"):
        numbers_of(probe, "jpg", 0, 30)
    with open_source(probe, "jpg", substitute=True) as source:
        shown = [read_number(picture) for picture in source.frames(12, 15)]
        assert (shown, source.substituted) == ([11, 13, 14], {12})


@pytest.mark.skipif(torchcodec_works(), reason="torchcodec is installed here")
def test_a_missing_torchcodec_is_named_with_the_remedy(video: Path) -> None:
    with pytest.raises(DecodingError, match="--decoder torchcodec: cannot be loaded"):
        TorchcodecSource(probe_video(video))
