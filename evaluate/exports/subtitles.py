"""Subtitles, a cue a spot: WebVTT for browsers, SRT for every player."""

from collections.abc import Sequence

from .spans import Span, caption, clock, one_line

SRT_SIGNS = str.maketrans({"<": "\u2039", ">": "\u203a", "{": "(", "}": ")", "\\": "/"})  # tags, to most players


def webvtt(match: str, spans: Sequence[Span]) -> str:
    """A WebVTT file; names are escaped, so that a cue shows them as they are, but for line ends."""
    cues = [f"NOTE {vtt_text(match)}"]
    for number, span in enumerate(spans, start=1):
        cues.append(f"{number}\n{clock(span.start_ms)} --> {clock(span.end_ms)}\n{vtt_text(caption(span))}")
    return "WEBVTT\n\n" + "\n\n".join(cues) + "\n"


def srt(spans: Sequence[Span]) -> str:
    """A SubRip file, UTF-8. It knows no escapes: signs that players take for tags are replaced by similar ones."""
    cues = []
    for number, span in enumerate(spans, start=1):
        times = f"{clock(span.start_ms, mark=',')} --> {clock(span.end_ms, mark=',')}"
        cues.append(f"{number}\n{times}\n{srt_text(caption(span))}\n")
    return "\n".join(cues)


def vtt_text(text: str) -> str:
    """One line of WebVTT text: ``&``, ``<`` and ``>`` as entities, so that no tag and no arrow is left."""
    return one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def srt_text(text: str) -> str:
    """One line of SubRip text without signs of tags or arrows."""
    return one_line(text).translate(SRT_SIGNS)
