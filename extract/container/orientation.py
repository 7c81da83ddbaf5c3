"""How players turn the pictures of a video before they show them, and the same done to arrays of pixels."""

import math
import struct
from fractions import Fraction
from typing import Any

import numpy as np
from av.filter import Graph
from av.sidedata.sidedata import Type as SideDataType
from av.video.frame import VideoFrame

TICK = Fraction(1, 1000)

# By what a display matrix does to a step to the right and to one down: (right, down) of where each goes.
TURNS: dict[tuple[int, int, int, int], str] = {
    (1, 0, 0, 1): "",
    (0, 1, -1, 0): "turned 90 degrees clockwise",
    (-1, 0, 0, -1): "turned by 180 degrees",
    (0, -1, 1, 0): "turned 90 degrees counterclockwise",
    (-1, 0, 0, 1): "mirrored left to right",
    (1, 0, 0, -1): "mirrored top to bottom",
    (0, 1, 1, 0): "mirrored along the main diagonal",
    (0, -1, -1, 0): "mirrored along the other diagonal",
}

FILTERS = {  # FFmpeg's filters that do the same
    "turned 90 degrees clockwise": ("transpose=clock",),
    "turned by 180 degrees": ("hflip", "vflip"),
    "turned 90 degrees counterclockwise": ("transpose=cclock",),
    "mirrored left to right": ("hflip",),
    "mirrored top to bottom": ("vflip",),
    "mirrored along the main diagonal": ("transpose=cclock_flip",),
    "mirrored along the other diagonal": ("transpose=clock_flip",),
}


def turn_of(frame: VideoFrame) -> str:
    """What players do to a video's pictures by the display matrix of a decoded one, "" for nothing.

    A matrix that is no multiple of a quarter turn is taken for nothing: of that, pictures would get black corners.
    """
    # By its type: what going through side data gives differs between versions of PyAV.
    every: Any = frame.side_data  # PyAV's types know names as keys alone
    found = every.get(SideDataType.DISPLAYMATRIX)
    matrix = b"" if found is None else bytes(found)
    if len(matrix) < 36:
        return ""
    a, b, _, c, d, *_ = struct.unpack("=9i", matrix[:36])  # 16.16: x' = a x + c y, y' = b x + d y
    size = max(math.hypot(a, b), math.hypot(c, d))
    if not size:
        return ""
    steps = [value / size for value in (a, b, c, d)]
    nearest = tuple(round(value) for value in steps)
    is_near = all(abs(value - whole) < 0.02 for value, whole in zip(steps, nearest, strict=True))
    return TURNS.get((nearest[0], nearest[1], nearest[2], nearest[3]), "") if is_near else ""


class FrameTurner:
    """Turns decoded frames by FFmpeg's own filters, in whatever pixel format they are."""

    def __init__(self, turn: str) -> None:
        self._names = FILTERS.get(turn, ())
        self._graph: Graph | None = None

    def __call__(self, frame: VideoFrame) -> VideoFrame:
        """The frame as players show it; time stamps are lost."""
        if not self._names:
            return frame
        if self._graph is None:
            graph = Graph()
            parts = [graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=TICK)]
            for name in self._names:
                kind, _, argument = name.partition("=")
                parts.append(graph.add(kind, argument or None))
            graph.link_nodes(*parts, graph.add("buffersink")).configure()
            self._graph = graph
        frame.pts, frame.time_base = None, TICK
        self._graph.push(frame)
        shown = self._graph.pull()
        if not isinstance(shown, VideoFrame):
            raise TypeError("a filter of pictures gave something else")
        return shown


def swaps_sides(turn: str) -> bool:
    """Whether width and height change places."""
    return "90" in turn or "diagonal" in turn


def turned(picture: np.ndarray, turn: str) -> np.ndarray:
    """A picture (height, width, 3) as players show it, contiguous."""
    if not turn:
        return picture
    ways: dict[str, Any] = {
        "turned 90 degrees clockwise": lambda: np.rot90(picture, -1),
        "turned by 180 degrees": lambda: picture[::-1, ::-1],
        "turned 90 degrees counterclockwise": lambda: np.rot90(picture),
        "mirrored left to right": lambda: picture[:, ::-1],
        "mirrored top to bottom": lambda: picture[::-1],
        "mirrored along the main diagonal": lambda: picture.swapaxes(0, 1),
        "mirrored along the other diagonal": lambda: picture[::-1, ::-1].swapaxes(0, 1),
    }
    return np.ascontiguousarray(ways[turn]())
