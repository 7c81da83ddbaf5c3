"""The time around a spot that an export shows, in whole milliseconds of its video."""

from collections.abc import Iterable
from dataclasses import dataclass

from ..dataset import Spot


@dataclass(frozen=True)
class Span:
    """One spot and the time from ``start_ms`` to ``end_ms`` that holds it."""

    spot: Spot
    start_ms: int
    end_ms: int

    @property
    def confidence(self) -> float:
        """The spot's confidence; predictions always have one."""
        return 0.0 if self.spot.confidence is None else self.spot.confidence


def spans_of(
    spots: Iterable[Spot], *, before_s: float, after_s: float, length_ms: int | None = None
) -> tuple[Span, ...]:
    """A span a spot, from ``before_s`` ahead of it to ``after_s`` behind, in the order of the spots.

    A span begins at 0 at the earliest and ends at ``length_ms``, the video's, at the latest; that of a spot at or
    beyond the video's end is not cut there. Each lasts a millisecond at least.
    """
    spans = []
    for spot in spots:
        start_ms = max(spot.position_ms - round(1000 * before_s), 0)
        end_ms = spot.position_ms + round(1000 * after_s)
        if length_ms is not None and spot.position_ms < length_ms:
            end_ms = min(end_ms, length_ms)
        spans.append(Span(spot, start_ms, max(end_ms, start_ms + 1)))
    return tuple(spans)


def clock(position_ms: int, *, mark: str = ".") -> str:
    """Hours, minutes and seconds as ``01:02:03.004``, with any mark before the milliseconds."""
    seconds, ms = divmod(position_ms, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{mark}{ms:03d}"


def caption(span: Span) -> str:
    """What a viewer reads at a spot: class, team where there is one, confidence: ``PASS left 0.87``."""
    team = "" if span.spot.team is None else f" {span.spot.team}"
    return f"{span.spot.label}{team} {span.confidence:.2f}"


def one_line(text: str) -> str:
    """A text without line ends (a space stands for them) and other letters that control instead of showing."""
    return "".join(
        " " if letter in "\t\n\r\x0b\x0c\x85\u2028\u2029" else "\ufffd" if _controls(letter) else letter
        for letter in text
    )


def _controls(letter: str) -> bool:
    return letter < " " or "\x7f" <= letter <= "\x9f" or "\ud800" <= letter <= "\udfff" or letter in "\ufffe\uffff"
