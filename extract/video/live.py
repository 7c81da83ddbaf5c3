"""The frames of a video while it is being made: a file that grows, a named pipe, or standard input."""

import sys
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import FFmpegError

from ...cache.errors import BallspotError
from ...cache.times import is_same_rate
from ..container import turn_of, turned, video_streams
from .derived import moving
from .probe import REPAIR, codec_of
from .process import Batch

POLL_S = 0.2


class GrowingFile:
    """A file that another program still writes: its end is only an end when nothing has come for ``patience_s``."""

    def __init__(self, path: Path, *, patience_s: float, sleep: Callable[[float], None] = time.sleep) -> None:
        self._file, self._patience_s, self._sleep = path.open("rb"), patience_s, sleep

    def read(self, size: int = -1) -> bytes:
        """The next bytes, once there are any; none when nothing has come for so long."""
        waited_s = 0.0
        while True:
            content = self._file.read(size)
            if content or waited_s >= self._patience_s:
                return content or b""
            self._sleep(POLL_S)
            waited_s += POLL_S


class Pipe:
    """Standard input or a named pipe; without `seek`, so that FFmpeg does not try."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        """The next bytes, as many as have come by then, none at the end."""
        read = getattr(self._stream, "read1", self._stream.read)  # `read` would wait until it has all of `size`
        return read(size) or b""


def open_live(source: str, *, patience_s: float) -> GrowingFile | Pipe:
    """The bytes of a growing file, of a named pipe, or of standard input for ``-``."""
    if source == "-":
        if sys.stdin is None:  # closed by whoever started this process
            raise BallspotError("-: standard input is closed; give a file that grows or a named pipe")
        return Pipe(sys.stdin.buffer)
    path = Path(source)
    if not path.exists():
        raise BallspotError(f"{source}: no such file; --live takes a file that grows, a named pipe, or - for stdin")
    try:
        return Pipe(path.open("rb")) if path.is_fifo() else GrowingFile(path, patience_s=patience_s)
    except OSError as error:
        raise BallspotError(f"{source}: cannot be read ({error.strerror}); check its rights") from error


class LiveFrames:
    """The frames of a stream in the order of showing, as they are decoded, at ``fps`` a second.

    That is the stream's own rate, or the ``rate`` that is wanted: then the frame of each moment is the nearest one.
    """

    def __init__(
        self, stream: GrowingFile | Pipe, source: str, *, fps: Fraction | None = None, rate: Fraction | None = None
    ) -> None:
        """Raises BallspotError when there is no video in the stream, or it cannot be read before it has ended."""
        self.source = source
        try:
            self._container = av.open(stream, mode="r")
            self._video = video_streams(self._container)[0]
        except (FFmpegError, IndexError, OSError) as error:
            raise BallspotError(
                f"{source}: no video can be read from it yet ({error}); a file that grows must be MPEG-TS, Matroska or "
                "fragmented MP4 (ffmpeg -movflags frag_keyframe+empty_moov)"
            ) from error
        codec_of(self._video, Path(source))
        self._video.thread_type = "SLICE"  # threads over frames would hold several back
        found = fps or self._video.average_rate or self._video.guessed_rate
        if not found or not 0 < found <= 240:
            raise BallspotError(f"{source}: says no frame rate; give it with --fps")
        self.own_fps = Fraction(found)
        self.fps = self.own_fps if rate is None or is_same_rate(self.own_fps, rate) else rate
        self.height, self.width = int(self._video.height), int(self._video.width)

    def __iter__(self) -> Iterator[np.ndarray]:
        turn = None
        try:
            for number, frame in enumerate(self._container.decode(self._video)):
                if (frame.height, frame.width) != (self.height, self.width):
                    raise BallspotError(
                        f"{self.source}: frame {number}: the picture's size changes to {frame.height}x{frame.width}; "
                        "start another process for what follows"
                    )
                turn = turn_of(frame) if turn is None else turn
                yield turned(frame.to_ndarray(format="rgb24"), turn)
        except FFmpegError as error:
            raise BallspotError(f"{self.source}: damaged after what was read ({error}); {REPAIR}") from error

    def batches(self, *, batch_rows: int, stride: int, motion: int = 0) -> Iterator[Batch]:
        """Every ``stride``-th frame in batches of one shape; the last is filled up with its last picture.

        With ``motion`` pictures are of three moments, so many frames apart.
        """
        pictures, first = [], 0
        frames = self._chosen((1 if motion else stride) * self.own_fps / self.fps)
        if motion:
            frames = (picture for _, picture in moving(enumerate(frames), away=motion, step=stride))
        for picture in frames:
            pictures.append(picture)
            if len(pictures) == batch_rows:
                yield self._batch(pictures, first, batch_rows, stride)
                first, pictures = first + len(pictures), []
        if pictures:
            yield self._batch(pictures, first, batch_rows, stride)

    def _chosen(self, step: Fraction) -> Iterator[np.ndarray]:
        """The frames nearest to the multiples of ``step`` frames, the earlier of two equally near ones."""
        n_given = 0
        for number, picture in enumerate(self):
            while n_given * step <= number + Fraction(1, 2):
                yield picture
                n_given += 1

    def _batch(self, pictures: list[np.ndarray], first: int, batch_rows: int, stride: int) -> Batch:
        index = np.arange(first, first + len(pictures), dtype=np.int64) * stride
        filled = np.stack([*pictures, *pictures[-1:] * (batch_rows - len(pictures))])
        return Batch(index, filled, np.empty(0, np.int64))

    def close(self) -> None:
        """Closes the stream."""
        self._container.close()
