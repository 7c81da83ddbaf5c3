"""The time axis, held to ffmpeg: what our frame of a time shows is what `ffmpeg -ss` shows, for many kinds of video."""

import os
import shutil
import subprocess
from pathlib import Path

import av
import numpy as np
import pytest

from ballspot.extract.video.probe import VideoProbe, probe_video
from ballspot.extract.video.sources import open_source

from ..barcoded import read_number
from ..world_videos import KINDS, make

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
    return start, [float(text) for text in (known[:-1] if known[-1] == "N/A" else known)]  # of an AVI's last frame


@needs_ffmpeg
@pytest.mark.parametrize("kind", KINDS)
def test_a_time_has_the_frame_that_ffmpeg_shows(tmp_path: Path, kind: str) -> None:
    path = make(tmp_path, kind)
    probe = probe_video(path)
    start, stamps = stamps_by_ffprobe(path, probe.stream_index)
    times = [stamp - start for stamp in stamps]
    assert probe.n_frames - 1 <= len(times) <= probe.n_frames
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
