"""A contact sheet: per class a row of pictures of its hits and worst mistakes, each with time, score and kind."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from ...cache.disk import whole_file
from ...cache.errors import BallspotError
from ...evaluate.dataset import Match, Spot
from ...evaluate.diagnosis import ClassMistakes, Mistake
from ...evaluate.exports import one_line
from ...evaluate.formats import VideoSpots
from ...evaluate.reporting import COLOURS, FAINT, INK
from ..video import VideoProbe, open_source
from .spot_clips import probe_match

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 100
MARGIN, GAP, TITLE, CAPTION = 12, 8, 26, 56  # pixels
LETTER = 5.6  # pixels that a letter of a caption takes
DAY = re.compile(r"^\d{4}-\d{2}-\d{2} - (?=.)")
Place = tuple[str, int]  # match and frame index


def draw_sheet(
    worst: Sequence[ClassMistakes], matches: Sequence[Match], path: Path, *, width: int, columns: tuple[int, int, int]
) -> int:
    """Draws the sheet as a PNG file, whole or not at all; ``columns`` are those of hits, false and missed.

    The pictures' number comes back. A spot beyond the end of its video has a grey field. Raises BallspotError when
    matplotlib is not installed (extra `plots`), for a match without a video, and a frame that cannot be decoded.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise BallspotError("pictures need matplotlib; install it with: pip install 'ballspot[plots]'") from error
    by_name = {match.name: match for match in matches}
    worst = [_in_recordings(row, by_name) for row in worst]
    shown = [one for row in worst for one in (*row.hits, *row.false, *row.missed)]
    spots = {name: tuple(one.spot for one in shown if one.match == name) for name in sorted({m.match for m in shown})}
    probes = {name: probe_match(VideoSpots(name, of_match), by_name) for name, of_match in spots.items()}
    pictures = read_pictures(probes, ((one.match, one.spot) for one in shown))
    ratio = max((probe.height / probe.width for probe in probes.values()), default=9 / 16)
    height, n_columns = round(width * ratio), sum(columns)
    row_height = TITLE + height + CAPTION
    size = (
        2 * MARGIN + n_columns * (width + GAP) + 2 * (sum(n > 0 for n in columns) - 1) * GAP - GAP,
        2 * MARGIN + len(worst) * row_height,
    )
    figure = Figure(figsize=(size[0] / DPI, size[1] / DPI), dpi=DPI, facecolor="white")
    for number, row in enumerate(worst):
        top = MARGIN + number * row_height
        _text(figure, size, MARGIN, top, _title(row), 9.5, INK, weight="bold")
        for left, mistake in _placed(row, columns, width):
            box = (left, top + TITLE, width, height)
            frame = probes[mistake.match].axis.frame_of(mistake.spot.position_ms)
            _picture(figure, size, box, pictures.get((mistake.match, frame)), COLOURS[mistake.kind])
            lines = _caption(mistake, several=len(probes) > 1)
            for line, text in enumerate(lines):
                colour = COLOURS[mistake.kind] if line == 1 else INK
                y = top + TITLE + height + 3 + 14 * line
                _text(figure, size, left, y, _fitted(text, width), 8, colour, weight="bold" if line == 1 else "normal")
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=DPI, format="png", metadata={"Software": None}, pil_kwargs={"optimize": True})
    return len(pictures)


def read_pictures(probes: Mapping[str, VideoProbe], spots: Iterable[tuple[str, Spot]]) -> dict[Place, np.ndarray]:
    """The very frame of each spot, uint8 (height, width, 3), by match and index; none for one beyond a video's end."""
    places = sorted({(match, probes[match].axis.frame_of(spot.position_ms)) for match, spot in spots})
    pictures = {}
    for match, frame in places:
        if frame < probes[match].n_frames:
            with open_source(probes[match], "pyav") as source:
                pictures[match, frame] = next(iter(source.frames(frame, frame + 1)))
    return pictures


def _placed(row: ClassMistakes, columns: tuple[int, int, int], width: int) -> Iterator[tuple[int, Mistake]]:
    """What a row shows and the pixels to its left; groups stand apart."""
    left = MARGIN
    for n_columns, group in zip(columns, (row.hits, row.false, row.missed), strict=True):
        for column, one in enumerate(group):
            yield left + column * (width + GAP), one
        left += n_columns * (width + GAP) + (2 * GAP if n_columns else 0)


def _title(row: ClassMistakes) -> str:
    since = "all predictions" if row.threshold is None else f"from {row.threshold:.2f} up"
    found = f"{row.n_false} of {row.n_predictions} predictions false"
    return f"{one_line(row.label)}   {since}: {found}; {row.n_missed} of {row.n_truth} truths missed"


def _caption(mistake: Mistake, *, several: bool) -> list[str]:
    """Three lines: where, what, and about which truth."""
    seconds, ms = divmod(mistake.spot.position_ms, 1000)
    time = f"{seconds // 60}:{seconds % 60:02d}.{ms // 10:02d}"
    where = f"{time}  {_short_name(mistake.match)}" if several else time
    kind = mistake.kind.replace("_", " ")
    if mistake.kind == "missed":
        best = "no prediction" if mistake.score is None else f"best {mistake.score:.2f}"
        return [one_line(where), f"missed   {best}", "" if mistake.spot.visible else "not shown"]
    about = ""
    if mistake.truth is not None and mistake.late_s is not None:
        side = "after" if mistake.late_s >= 0 else "before"
        about = f"{abs(mistake.late_s):.2f} s {side} {one_line(mistake.truth.label)}"
    return [one_line(where), f"{mistake.score:.2f}   {kind}", about]


def _short_name(match: str) -> str:
    """The match's own folder, without the day that SN-BAS begins its names with: all of a season begin alike."""
    return DAY.sub("", PurePosixPath(match).name)


def _fitted(text: str, width: int) -> str:
    n_letters = int(width / LETTER)
    return text if len(text) <= n_letters else f"{text[: n_letters - 1]}\u2026"


def _picture(
    figure: "Figure", size: tuple[int, int], box: tuple[int, int, int, int], picture: np.ndarray | None, colour: str
) -> None:
    left, top, width, height = box
    axes = figure.add_axes((left / size[0], 1 - (top + height) / size[1], width / size[0], height / size[1]))
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(color=colour, linewidth=2)
    if picture is None:
        axes.set_facecolor(FAINT)
        axes.text(0.5, 0.5, "beyond the video's end", ha="center", va="center", fontsize=8, transform=axes.transAxes)
    else:
        axes.imshow(picture, interpolation="antialiased")


def _in_recordings(row: ClassMistakes, by_name: Mapping[str, Match]) -> ClassMistakes:
    """The mistakes by the recordings that they are seen in: each half's own where a match has two videos."""
    groups = ((_in_recording(one, by_name) for one in group) for group in (row.false, row.missed, row.hits))
    false, missed, hits = map(tuple, groups)
    return replace(row, false=false, missed=missed, hits=hits)


def _in_recording(mistake: Mistake, by_name: Mapping[str, Match]) -> Mistake:
    name = f"{mistake.match}/{mistake.spot.half}"
    if mistake.match in by_name or name not in by_name:
        return mistake
    return replace(mistake, match=name, spot=replace(mistake.spot, half=1))


def _text(
    figure: "Figure", size: tuple[int, int], left: int, top: int, text: str, points: float, colour: str, **more: Any
) -> None:
    figure.text(
        left / size[0], 1 - top / size[1], text, fontsize=points, color=colour, va="top", parse_math=False, **more
    )
