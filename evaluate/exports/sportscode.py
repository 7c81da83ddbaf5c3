"""Predictions as a Sportscode timeline; the format itself is `formats.sportscode`."""

from collections.abc import Iterable, Sequence

from ..formats import Instance, timeline_xml
from .spans import Span


def sportscode_xml(match: str, spans: Sequence[Span], *, codes: Iterable[str]) -> str:
    """The timeline of one video; ``codes`` are the rows, in order, so that several files show the same ones alike.

    Labels are Team (where it is known), Confidence (two places: labels are counted by their text) and Match.
    """
    return timeline_xml((_instance(span, match) for span in spans), codes)


def _instance(span: Span, match: str) -> Instance:
    labels = {"Team": span.spot.team, "Confidence": f"{span.confidence:.2f}", "Match": match}
    held = {group: text for group, text in labels.items() if text is not None}
    return Instance(span.spot.label, span.start_ms, span.end_ms, held)
