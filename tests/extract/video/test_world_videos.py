"""The time axis, held to ffmpeg: what our frame of a time shows is what `ffmpeg -ss` shows, for many kinds of video."""

import os
import shutil
import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from ballspot.cache.errors import BallspotError
from ballspot.extract.media.cuts import plan_cut, write_cut
from ballspot.extract.video.damage import damaged_frames
from ballspot.extract.video.derived import at_rate
from ballspot.extract.video.probe import VideoProbe, probe_video
from ballspot.extract.video.sources import open_source

from ..barcoded import read_number
from ..world_videos import KINDS, MS, How, make, write

FFMPEG, FFPROBE = shutil.which("ffmpeg"), shutil.which("ffprobe")
needs_ffmpeg = pytest.mark.skipif(not (FFMPEG and FFPROBE), reason="the programs ffmpeg and ffprobe are not installed")
FIRST_IS_LOST = ("MPEG-TS tuned in to",)  # there the first number that is shown is not 0


def number_at(probe: VideoProbe, frame: int) -> int | None:
    with open_source(probe, "pyav") as source:
        return read_number(next(source.frames(frame, frame + 1)))


def shown_by_ffmpeg(path: Path, stamp_s: float, size: tuple[int, int]) -> int | None:
    """The number in the first picture that `ffmpeg -copyts -i VIDEO -ss STAMP` shows.

    (`-ss` ahead of the video may seek too far; of MPEG-TS the clock begins with the streams that are used: so all are.)
    """
    command = [str(FFMPEG), "-v", "error", "-copyts", "-i", str(path), "-ss", f"{stamp_s:.6f}", "-frames:v", "1"]
    command += ["-f", "rawvideo", "-pix_fmt", "gray", "-"]
    with av.open(str(path)) as container:
        command += ["-map", "0:a", "-f", "null", os.devnull] if container.streams.audio else []
    run = subprocess.run(command, capture_output=True, check=True)
    return read_number(np.frombuffer(run.stdout[: size[0] * size[1]], np.uint8).reshape(size))


def stamps_by_ffprobe(path: Path, stream: int) -> tuple[float, list[float]]:
    """The file's start, and when each frame is shown, seconds by the file's clock."""

    def asked(*what: str) -> list[str]:
        command = [str(FFPROBE), "-v", "error", *what, "-of", "csv=p=0", str(path)]
        return subprocess.run(command, capture_output=True, check=True, text=True).stdout.split()

    start = float(asked("-show_entries", "format=start_time")[0])
    frames = asked("-select_streams", str(stream), "-show_entries", "frame=best_effort_timestamp_time")
    known = [text.strip(",") for text in frames]
    while known[-1] == "N/A":  # of the last frames of an AVI, which come when its packets are over
        known.pop()
    return start, [float(text) for text in known]


@needs_ffmpeg
@pytest.mark.parametrize("kind", KINDS)
def test_a_time_has_the_frame_that_ffmpeg_shows(tmp_path: Path, kind: str) -> None:
    path = make(tmp_path, kind)
    probe = probe_video(path)
    start, stamps = stamps_by_ffprobe(path, probe.stream_index)
    times = [stamp - start for stamp in stamps]
    assert probe.n_frames - 2 <= len(times) <= probe.n_frames
    for index in (0, len(times) // 2, len(times) - 2):
        frame = probe.axis.frame_of(int(1000 * times[index] + 0.01))
        assert frame == index
        # ffmpeg shows the first frame that begins at the time or after it: half a millisecond ahead it is this one.
        expected = shown_by_ffmpeg(path, stamps[index] - 0.0005, (probe.height, probe.width))
        assert number_at(probe, frame) == expected is not None
        until = times[index + 1] if index + 1 < len(times) else times[index] + 0.04
        for share in (0.3, 0.6):  # a time between two frames belongs to the one shown last
            assert probe.axis.frame_of(int(1000 * (times[index] + share * (until - times[index])))) == index


@pytest.mark.parametrize("kind", KINDS)
def test_every_frame_is_read_once_and_upright(tmp_path: Path, kind: str) -> None:
    probe = probe_video(make(tmp_path, kind))
    with open_source(probe, "pyav") as source:
        shown = [read_number(picture) for picture in source.frames(0, probe.n_frames)]
    first = shown[0]
    assert first is not None and (first == 0) == (kind not in FIRST_IS_LOST)
    assert shown == list(range(first, first + probe.n_frames))
    axis = probe.axis
    frames = np.arange(probe.n_frames)
    assert [axis.frame_of(position) for position in axis.positions_of(frames).tolist()] == frames.tolist()


def restamped(path: Path, source: Path, stamp: Callable[[int], int]) -> Path:
    """The packets of a video, each shown, and decoded, at what `stamp` makes of its time."""
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        for packet in old.demux(stream):
            if packet.pts is not None:
                packet.dts = None if packet.dts is None else stamp(packet.dts)
                packet.pts, packet.stream = stamp(packet.pts), copy
                new.mux(packet)
    return path


def one_stamp(path: Path, *, gop: int, bf: int = 0) -> Path:
    """Sixty pictures at 40 ms each, of which the one of number 30 has the stamp of the one before it."""
    source = write(path.with_name("plain.mkv"), How(gop=gop, bf=bf, time_base=MS, ticks=[40 * k for k in range(60)]))
    return restamped(path, source, lambda time: time - 40 * (time >= 1200))


@pytest.mark.parametrize(("gop", "bf"), [(12, 0), (15, 0), (12, 2)])
def test_of_two_frames_with_one_stamp_the_later_one_is_shown(tmp_path: Path, gop: int, bf: int) -> None:
    probe = probe_video(one_stamp(tmp_path / "a.mkv", gop=gop, bf=bf))
    assert "1 frames have the time stamp of the next one, which is shown in their place" in probe.notes()
    with open_source(probe, "pyav") as source:  # every frame is read, from wherever reading begins
        assert [read_number(picture) for picture in source.frames(0, 60)] == list(range(60))
        for start in (24, 29, 30, 31, 45):
            assert read_number(next(source.frames(start, start + 1))) == start
    axis = probe.axis
    shown = [axis.frame_of(position) for position in axis.positions_of(np.arange(60)).tolist()]
    assert shown == [30 if frame == 29 else frame for frame in range(60)]
    assert 29 not in at_rate(probe, Fraction(50)).chosen.tolist()
    assert damaged_frames(probe, 0, 60).tolist() == []


@needs_ffmpeg
@pytest.mark.parametrize("how", ["keyframe", "exact"])
def test_clips_are_cut_where_two_frames_have_one_stamp(tmp_path: Path, how: str) -> None:
    probe = probe_video(one_stamp(tmp_path / "a.mkv", gop=12))
    cut = plan_cut(probe, probe.axis.frame_of(1170), before_s=0.2, after_s=0.2, how=how)
    write_cut(probe, cut, tmp_path / "cut.mp4", how=how, with_audio=False)
    clip = probe_video(tmp_path / "cut.mp4")
    with open_source(clip, "pyav") as source:
        numbers = [read_number(picture) for picture in source.frames(0, clip.n_frames)]
    assert 30 in numbers and numbers == sorted(set(numbers) - {None})
    assert (29 in numbers) == (how == "keyframe")  # which copies all; encoded anew, only what is shown is there


@needs_ffmpeg
def test_theora_that_repeats_pictures_is_read(tmp_path: Path) -> None:
    write(tmp_path / "a.mkv", How(codec="ffv1", time_base=Fraction(3, 25)))
    repeat = ["-vf", "fps=25", "-c:v", "libtheora", "-q:v", "10"]  # empty packets for the pictures that stay
    run = subprocess.run([str(FFMPEG), "-v", "error", "-i", str(tmp_path / "a.mkv"), *repeat, str(tmp_path / "a.ogv")])
    if run.returncode:
        pytest.skip("this ffmpeg does not write Theora")
    probe = probe_video(tmp_path / "a.ogv")
    with open_source(probe, "pyav") as source:
        shown = [read_number(picture) for picture in source.frames(0, probe.n_frames)]
    assert len(set(shown)) == 60
    assert [shown[probe.axis.frame_of(120 * number + 50)] for number in range(60)] == list(range(60))


def test_a_video_of_one_stamp_alone_is_refused_with_the_command_that_mends_it(tmp_path: Path) -> None:
    path = restamped(tmp_path / "a.mkv", write(tmp_path / "b.mkv", How(codec="ffv1")), lambda time: 0)
    with pytest.raises(BallspotError, match=r"a\.mkv: all of its frames have one time stamp; .*ffmpeg -r 25 -i IN OUT"):
        probe_video(path)


def test_a_fragment_without_its_beginning_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", How(container={"movflags": "frag_keyframe+empty_moov+default_base_moof"}))
    content = path.read_bytes()
    path.write_bytes(content[content.find(b"moof") - 4 :])
    with pytest.raises(BallspotError, match=r"a fragment of an MP4 stream without its beginning.*init"):
        probe_video(path)
