"""Clips begin with the frame that they say: read from the bar code in their pictures, for every kind of video."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from ballspot.cache.errors import BallspotError
from ballspot.extract.commands.clips import CUTS
from ballspot.extract.media.cuts import Cut, audio_note, container_of, plan_cut, write_cut
from ballspot.extract.video.probe import DecodingError, VideoProbe, probe_video

from ..barcoded import WHOLE, corrupted, encoded, plain, read_number, written_once

KINDS = ("B-frames, key frame every 12", "29.97 in Matroska", "variable frame rate", "edit list", "odd width",
         "open groups", "open groups in MPEG-TS", "gradual refresh")  # fmt: skip
LAST = -1
STARTS = ((0, 1.0), (5, 0.08), (11, 0.0), (12, 0.0), (13, 0.0), (130, 1.2), (LAST, 0.0), (LAST, 2.0))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], VideoProbe]:
    return written_once(tmp_path_factory.mktemp("cuts"))


def shown(path: Path) -> list[int | None]:
    """The numbers that a player shows, which knows nothing of our probe."""
    with av.open(str(path)) as container:
        return [read_number(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]


def cut_of(probe: VideoProbe, spot: int, out: Path, how: str, *, before_s: float, with_audio: bool = False) -> Cut:
    cut = plan_cut(probe, spot % probe.n_frames, before_s=before_s, after_s=0.52, how=how)
    write_cut(probe, cut, out, how=how, with_audio=with_audio)
    return cut


@pytest.mark.parametrize("kind", KINDS)
def test_an_exact_cut_shows_the_frames_that_were_wanted_at_their_times(
    made: Callable[[str], VideoProbe], kind: str, tmp_path: Path
) -> None:
    probe, numbers = made(kind), WHOLE[kind][2]
    for spot, before_s in STARTS:
        cut = cut_of(probe, spot, tmp_path / "a.mp4", "exact", before_s=before_s)
        assert cut.start == cut.wanted <= cut.spot < cut.stop
        assert shown(tmp_path / "a.mp4") == numbers[cut.start : cut.stop]
        assert_same_times(probe_video(tmp_path / "a.mp4"), probe, cut)


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_begins_with_the_last_key_frame_at_or_before_the_wanted_one(
    made: Callable[[str], VideoProbe], kind: str, tmp_path: Path
) -> None:
    probe, numbers = made(kind), WHOLE[kind][2]
    for spot, before_s in STARTS:
        cut = cut_of(probe, spot, tmp_path / "a.mp4", "keyframe", before_s=before_s)
        assert cut.start == max(key for key in probe.key_index.tolist() if key <= cut.wanted)
        seen = shown(tmp_path / "a.mp4")
        assert seen == numbers[cut.start : cut.start + len(seen)]
        assert cut.stop - cut.start <= len(seen) <= cut.stop - cut.start + 4  # frames stored ahead of earlier ones
        assert_same_times(probe_video(tmp_path / "a.mp4"), probe, cut)


def assert_same_times(clip: VideoProbe, probe: VideoProbe, cut: Cut) -> None:
    times = clip.frame_times_us(np.arange(clip.n_frames))
    source = probe.frame_times_us(np.arange(cut.start, cut.start + clip.n_frames))
    assert np.abs(times - (source - source[0])).max() <= 1000  # Matroska's milliseconds


def test_a_plan_counts_seconds_in_frames_and_stays_within_the_video(made: Callable[[str], VideoProbe]) -> None:
    probe = made("B-frames, key frame every 12")  # 250 frames at 25 a second
    plan = plan_cut(probe, 100, before_s=2, after_s=1, how="exact")
    assert plan == Cut(spot=100, wanted=50, start=50, stop=126)
    assert plan_cut(probe, 100, before_s=2, after_s=1, how="keyframe") == Cut(100, wanted=50, start=48, stop=126)
    assert plan_cut(probe, 10, before_s=2, after_s=60, how="exact") == Cut(10, wanted=0, start=0, stop=250)
    assert plan_cut(probe, 10, before_s=0, after_s=0, how="exact") == Cut(10, wanted=10, start=10, stop=11)


def test_at_a_variable_rate_seconds_are_those_of_the_time_stamps(made: Callable[[str], VideoProbe]) -> None:
    probe = made("variable frame rate")  # from frame 100 on everything is shown 20 frames, 0.8 s, later
    assert plan_cut(probe, 105, before_s=1, after_s=0, how="exact").wanted == 99  # which is shown until 100 is
    assert plan_cut(probe, 90, before_s=1, after_s=0, how="exact").wanted == 65


def test_a_cut_that_fails_leaves_no_file_and_names_the_frame(tmp_path: Path) -> None:
    probe = probe_video(corrupted(tmp_path / "a.mp4", at=0.5, n_bytes=200))
    with pytest.raises(DecodingError, match=r"a\.mp4: frame \d+ is damaged|a\.mp4: frame \d+ cannot be decoded"):
        write_cut(probe, Cut(125, 0, 0, 250), tmp_path / "out" / "b.mp4", how="exact", with_audio=False)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_codec_that_mp4_cannot_hold_is_copied_into_matroska(tmp_path: Path) -> None:
    path = tmp_path / "a.webm"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libvpx", rate=25, options={"g": "12"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        with av.open(str(plain(tmp_path / "source.mp4"))) as source:
            for index, frame in enumerate(source.decode(video=0)):
                if index == 60:
                    break
                frame.pict_type = 0
                container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    probe = probe_video(path)
    assert (container_of(probe, "keyframe"), container_of(probe, "exact")) == ("matroska", "mp4")
    for how, name in (("keyframe", "b.mkv"), ("exact", "b.mp4")):
        cut = cut_of(probe, 30, tmp_path / name, how, before_s=0.2)
        seen = shown(tmp_path / name)
        assert seen[: cut.stop - cut.start] == list(range(cut.start, cut.stop))


def with_sound(path: Path, video: Path, codec: str) -> Path:
    """The video's packets and ten seconds of sound, whose loudness says the second: (second + 1) / 16 of the most."""
    with av.open(str(video)) as old, av.open(str(path), "w") as new:
        pictures = old.streams.video[0]
        copy = new.add_stream_from_template(pictures)
        sound = new.add_stream(codec, rate=48_000, layout="mono")
        for packet in old.demux(pictures):
            if packet.size:
                packet.stream = copy
                new.mux(packet)
        fitting = av.AudioFifo()
        seconds = np.arange(480_000) // 48_000
        wave = ((seconds + 1) / 16 * np.sin(np.arange(480_000) * 0.1)).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, 0, Fraction(1, 48_000)
        resampler = av.AudioResampler(format=sound.codec_context.format, layout="mono", rate=48_000)
        for part in resampler.resample(frame):
            fitting.write(part)
        while (part := fitting.read(sound.codec_context.frame_size or 1024, partial=True)) is not None:
            new.mux(sound.encode(part))
        new.mux(sound.encode(None))
    return path


@pytest.mark.parametrize("how", CUTS)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_sound_is_copied_and_stays_with_its_pictures(tmp_path: Path, how: str, suffix: str) -> None:
    probe = probe_video(with_sound(tmp_path / f"a{suffix}", plain(tmp_path / "source.mp4"), "aac"))
    assert audio_note(probe, how) is None
    cut = cut_of(probe, 125, tmp_path / "b.mp4", how, before_s=1.28, with_audio=True)  # wanted is frame 93
    assert (cut.wanted, cut.start) == (93, 84 if how == "keyframe" else 93)
    assert shown(tmp_path / "b.mp4")[0] == cut.start
    with av.open(str(tmp_path / "b.mp4")) as clip:
        parts = [(float(f.time or 0), np.abs(f.to_ndarray()).max()) for f in clip.decode(audio=0)]
    assert 0 <= parts[0][0] < 0.06 and parts[-1][0] < (cut.stop - cut.start) / 25
    for time, loudness in parts[2:-2]:
        at = time + cut.start / 25
        if 0.1 < at % 1 < 0.9:  # the encoder smears the steps
            assert round(16 * loudness) - 1 == int(at), (at, loudness)


def test_sound_that_cannot_be_copied_is_left_out_with_a_note(tmp_path: Path) -> None:
    source = plain(tmp_path / "source.mp4")
    probe = probe_video(with_sound(tmp_path / "a.mkv", source, "wavpack"))
    assert audio_note(probe, "keyframe") == "wavpack sound cannot be copied into mp4 and is left out"
    assert audio_note(probe_video(source), "keyframe") is None
    cut_of(probe, 125, tmp_path / "b.mp4", "keyframe", before_s=1)
    with av.open(str(tmp_path / "b.mp4")) as clip:
        assert not clip.streams.audio


def test_sound_of_a_codec_that_nobody_knows_is_left_out_with_a_note(tmp_path: Path) -> None:
    path = with_sound(tmp_path / "a.mkv", plain(tmp_path / "source.mp4"), "aac")
    path.write_bytes(path.read_bytes().replace(b"A_AAC", b"A_ZZZ"))
    for how in ("keyframe", "exact"):
        assert audio_note(probe_video(path), how) == "its sound is of a codec that is not known here and is left out"


@pytest.mark.parametrize("how", CUTS)
def test_pixels_that_are_not_square_keep_their_shape(tmp_path: Path, how: str) -> None:
    video = encoded(tmp_path / "wide.mp4", **{"x264-params": "sar=64/45"})
    cut_of(probe_video(video), 30, tmp_path / "cut.mp4", how, before_s=0.4)
    with av.open(str(tmp_path / "cut.mp4")) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(64, 45)


def test_a_video_without_time_stamps_is_cut_exactly_only(tmp_path: Path) -> None:
    path = encoded(tmp_path / "a.h264", bf="0")
    probe = probe_video(path)
    if probe.pts is not None:
        pytest.skip("this FFmpeg gives a raw stream time stamps")
    with pytest.raises(BallspotError, match="no time stamps, so it cannot be cut by copying; give --cut exact"):
        cut_of(probe, 50, tmp_path / "b.mp4", "keyframe", before_s=1)
    cut = cut_of(probe, 50, tmp_path / "b.mp4", "exact", before_s=1)
    assert shown(tmp_path / "b.mp4") == list(range(cut.start, cut.stop))
