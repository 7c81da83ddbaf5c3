"""Chapters: FFmpeg's metadata file, which FFmpeg puts into a video and mpv opens, and YouTube's description lines."""

from collections.abc import Sequence
from dataclasses import dataclass

from .spans import Span, one_line

CHAPTER_GAP_MS = 1000  # nobody jumps by less
YOUTUBE_GAP_MS = 10_000  # a shorter chapter, or fewer than three, and YouTube shows none
YOUTUBE_FEWEST = 3
TITLE_LETTERS = 100


@dataclass(frozen=True)
class Chapter:
    """One chapter of a video, with what happens in it for a title."""

    start_ms: int
    end_ms: int
    title: str


def chapters_of(spans: Sequence[Span], *, gap_ms: int, length_ms: int | None = None) -> tuple[Chapter, ...]:
    """Chapters that begin where spans do, each up to the next; starts nearer than ``gap_ms`` share the first's chapter.

    A title lists the classes in order of time, each once. The last chapter ends with its last span, and where it would
    be shorter than ``gap_ms`` up to the video's end it joins the one before.
    """
    groups: list[list[Span]] = []
    for span in sorted(spans, key=lambda one: (one.start_ms, one.spot.position_ms)):
        if groups and span.start_ms - groups[-1][0].start_ms < gap_ms:
            groups[-1].append(span)
        else:
            groups.append([span])
    if len(groups) > 1 and length_ms is not None and length_ms - groups[-1][0].start_ms < gap_ms:
        groups[-2] += groups.pop()
    ends = [*(group[0].start_ms for group in groups[1:]), *([max(span.end_ms for span in spans)] if spans else [])]
    return tuple(Chapter(group[0].start_ms, end, _title(group)) for group, end in zip(groups, ends, strict=True))


def ffmetadata(match: str, chapters: Sequence[Chapter]) -> str:
    """FFmpeg's metadata file (``ffmpeg -i VIDEO -i FILE -map_metadata 1 -codec copy OUT``), times in milliseconds."""
    lines = [";FFMETADATA1", f"title={ffmetadata_text(match)}"]
    for chapter in chapters:
        times = (f"START={chapter.start_ms}", f"END={chapter.end_ms}")
        lines += ["[CHAPTER]", "TIMEBASE=1/1000", *times, f"title={ffmetadata_text(chapter.title)}"]
    return "\n".join([*lines, ""])


def youtube(chapters: Sequence[Chapter]) -> str:
    """Lines for a video's description; the first is at 0:00: "Start", or a first chapter that would come too soon."""
    lines = []
    if not chapters or chapters[0].start_ms >= YOUTUBE_GAP_MS:
        lines.append("0:00 Start")
    for place, chapter in enumerate(chapters):
        start_s = 0 if place == 0 and not lines else chapter.start_ms // 1000
        lines.append(f"{_youtube_clock(start_s)} {youtube_text(chapter.title)}")
    return "\n".join([*lines, ""])


def ffmetadata_text(text: str) -> str:
    r"""One line of metadata: ``=``, ``;``, ``#`` and ``\`` behind a backslash, as FFmpeg reads them back.

    A last ``\`` becomes ``/``: FFmpeg takes any backslash at the end of a line for one before a line end.
    """
    line = one_line(text)
    line = f"{line[:-1]}/" if line.endswith("\\") else line
    return "".join(f"\\{letter}" if letter in "=;#\\" else letter for letter in line)


def youtube_text(text: str) -> str:
    """One line of a description, which may hold neither ``<`` nor ``>``."""
    return one_line(text).replace("<", "\u2039").replace(">", "\u203a")


def _title(group: Sequence[Span]) -> str:
    names = dict.fromkeys(
        span.spot.label if span.spot.team is None else f"{span.spot.label} {span.spot.team}"
        for span in sorted(group, key=lambda one: one.spot.position_ms)
    )
    title = ", ".join(names)
    return title if len(title) <= TITLE_LETTERS else f"{title[: TITLE_LETTERS - 1]}\u2026"


def _youtube_clock(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if minutes >= 60 else f"{minutes}:{rest:02d}"
