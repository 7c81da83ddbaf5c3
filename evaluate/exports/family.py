"""Every export by its name, and writing one file a match."""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ...cache.disk import is_begun, is_temporary, write_texts
from ...cache.errors import BallspotError
from ..dataset import Predictions
from ..formats import DEFAULT_FPS, VideoSpots, split_halves, write_csv
from .chapters import CHAPTER_GAP_MS, YOUTUBE_FEWEST, YOUTUBE_GAP_MS, chapters_of, ffmetadata, youtube
from .selection import Chosen
from .spans import Span, spans_of
from .sportscode import sportscode_xml
from .subtitles import srt, webvtt


@dataclass(frozen=True)
class Scene:
    """One video to be written: its name, its spans, its length where it is known, and the classes of all videos."""

    video: VideoSpots
    spans: tuple[Span, ...]
    length_ms: int | None
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Export:
    """One kind of file: its ending, its text, and the seconds around a spot where none are asked for.

    One without such seconds holds the spots alone, both halves of a match in one file.
    """

    suffix: str
    write: Callable[[Scene], str]
    around_s: tuple[float, float] | None


def _ffmetadata(scene: Scene) -> str:
    return ffmetadata(scene.video.name, chapters_of(scene.spans, gap_ms=CHAPTER_GAP_MS, length_ms=scene.length_ms))


def _youtube(scene: Scene) -> str:
    return youtube(chapters_of(scene.spans, gap_ms=YOUTUBE_GAP_MS, length_ms=scene.length_ms))


EXPORTS: dict[str, Export] = {
    "sportscode": Export(
        ".xml", lambda scene: sportscode_xml(scene.video.name, scene.spans, codes=scene.classes), (5.0, 3.0)
    ),
    "vtt": Export(".vtt", lambda scene: webvtt(scene.video.name, scene.spans), (0.0, 1.5)),
    "srt": Export(".srt", lambda scene: srt(scene.spans), (0.0, 1.5)),
    "chapters": Export(".ffmeta", _ffmetadata, (5.0, 3.0)),
    "youtube": Export(".txt", _youtube, (5.0, 3.0)),
    "csv": Export(".csv", lambda scene: write_csv([scene.video], DEFAULT_FPS), None),
}


@dataclass(frozen=True)
class Written:
    """The files of an export and what its maker should know."""

    paths: tuple[Path, ...]
    n_spots: int
    notes: tuple[str, ...]


def write_exports(
    out: Path,
    form: str,
    chosen: Chosen,
    *,
    predictions: Predictions,
    before_s: float | None = None,
    after_s: float | None = None,
) -> Written:
    """Writes a file for each video of ``chosen`` into folder ``out``, whole or not at all; the same bytes every time.

    A match with two halves has two videos, ``<match>/1`` and ``<match>/2``. ``before_s`` and ``after_s`` are seconds
    around a spot, None those of the format. An export that was killed is gone on with. Raises BallspotError when
    ``out`` holds anything else already.
    """
    kind = EXPORTS[form]
    videos = list(chosen.videos) if kind.around_s is None else split_halves(chosen.videos)
    whole = {video.name for video in chosen.videos}
    names = safe_names(video.name for video in videos)
    before, after = kind.around_s or (0.0, 0.0)
    before, after = before if before_s is None else before_s, after if after_s is None else after_s
    texts: dict[Path, str] = {}
    n_beyond = n_few = 0
    for video in videos:
        length_ms = _length_ms(predictions, video.name) if video.name in whole else None
        spans = spans_of(video.spots, before_s=before, after_s=after, length_ms=length_ms)
        n_beyond += sum(length_ms is not None and spot.position_ms >= length_ms for spot in video.spots)
        text = kind.write(Scene(video, spans, length_ms, chosen.classes))
        n_few += form == "youtube" and text.count("\n") < YOUTUBE_FEWEST
        texts[out / f"{names[video.name]}{kind.suffix}"] = text
    _require_room(out, texts)
    write_texts(texts)
    said = (
        (n_beyond, "spots lie beyond the end of their video; they are written all the same"),
        (n_few, f"files have fewer than {YOUTUBE_FEWEST} chapters, which YouTube does not show"),
        (sum(not video.spots for video in videos), "files hold no spot; try a lower --threshold"),
    )
    return Written(tuple(texts), chosen.n_spots, tuple(f"{n} {text}" for n, text in said if n))


def _require_room(out: Path, texts: Mapping[Path, str]) -> None:
    """Raises BallspotError when ``out`` is a file, or holds anything but the beginning of the very same export."""
    there = {path for path in out.rglob("*") if path.is_file() and not is_temporary(path)} if out.is_dir() else set()
    is_ours = not there or (there <= texts.keys() and is_begun(texts))
    if out.exists() and not (out.is_dir() and is_ours):
        raise BallspotError(f"{out}: exists and is not empty; choose another --out")


def _length_ms(predictions: Predictions, match: str) -> int | None:
    length_s = predictions.video_length(match, fps=DEFAULT_FPS)
    return None if length_s is None else round(1000 * length_s)


MAX_LETTERS = 80
FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]')  # Windows, and what shows as nothing
RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9\u00b9\u00b2\u00b3]|lpt[0-9\u00b9\u00b2\u00b3])(\..*)?", re.IGNORECASE)


def safe_part(text: str) -> str:
    """One part of a path: no letter that Windows forbids, no device's name, no dot or space at an end, 80 letters."""
    name = FORBIDDEN.sub("_", text)[:MAX_LETTERS].strip(" .").replace(" ", "_")
    while len(name.encode()) > 2 * MAX_LETTERS:
        name = name[:-1]
    return f"_{name}" if not name or RESERVED.fullmatch(name) else name


def safe_names(texts: Iterable[str]) -> dict[str, str]:
    """A different name for each text: its parts between ``/`` made safe; a digest is added where two would be one.

    Letters of either case count as one, since they do on Windows and macOS.
    """
    unique = sorted(set(texts))
    names = {text: "/".join(safe_part(part) for part in text.strip("/").split("/")) for text in unique}
    shared = Counter(name.casefold() for name in names.values())
    return {
        text: name if shared[name.casefold()] == 1 else f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
        for text, name in names.items()
    }
