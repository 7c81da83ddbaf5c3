"""Sportscode XML: the timeline that Hudl Sportscode imports, and kloppy, Nacsport, LongoMatch and others read.

``<file><ALL_INSTANCES>`` holds an ``<instance>`` a spot: ID, start and end in seconds of the video, code, and labels of
a group and a text. ``<ROWS>`` gives each code its row and colour, in 16 bits a channel.
"""

from collections.abc import Iterable, Sequence
from xml.sax.saxutils import escape

from .spans import Span

COLOURS = (  # told apart by all common kinds of colour vision in pairs of neighbours (after Okabe and Ito), 8 bits
    (0, 114, 178),
    (230, 159, 0),
    (0, 158, 115),
    (204, 121, 167),
    (86, 180, 233),
    (213, 94, 0),
    (240, 228, 66),
    (120, 120, 120),
    (0, 75, 118),
    (150, 103, 0),
    (0, 104, 75),
    (136, 60, 103),
)


def sportscode_xml(match: str, spans: Sequence[Span], *, codes: Iterable[str]) -> str:
    """The timeline of one video; ``codes`` are the rows, in order, so that several files show the same ones alike.

    Labels are Team (where it is known), Confidence (two places: labels are counted by their text) and Match.
    """
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', "<file>", "  <ALL_INSTANCES>"]
    for number, span in enumerate(spans, start=1):
        labels = {"Team": span.spot.team, "Confidence": f"{span.confidence:.2f}", "Match": match}
        lines += [
            "    <instance>",
            f"      <ID>{number}</ID>",
            f"      <start>{_seconds(span.start_ms)}</start>",
            f"      <end>{_seconds(span.end_ms)}</end>",
            f"      <code>{xml_text(span.spot.label)}</code>",
            *(
                f"      <label><group>{group}</group><text>{xml_text(text)}</text></label>"
                for group, text in labels.items()
                if text is not None
            ),
            "    </instance>",
        ]
    lines += ["  </ALL_INSTANCES>", "  <ROWS>"]
    for place, code in enumerate(codes):
        red, green, blue = (257 * value for value in COLOURS[place % len(COLOURS)])
        lines.append(
            f"    <row><sort_order>{place + 1}</sort_order><code>{xml_text(code)}</code>"
            f"<R>{red}</R><G>{green}</G><B>{blue}</B></row>"
        )
    return "\n".join([*lines, "  </ROWS>", "</file>", ""])


def xml_text(text: str) -> str:
    """The text as an element's content: what XML 1.0 cannot hold becomes U+FFFD, all else reads back as it was."""
    held = "".join(letter if _is_held(letter) else "\ufffd" for letter in text)
    return escape(held, {"\r": "&#13;"})  # a bare one would be read as a line end


def _is_held(letter: str) -> bool:
    return letter in "\t\n\r" or " " <= letter <= "\ud7ff" or "\ue000" <= letter <= "\ufffd" or letter >= "\U00010000"


def _seconds(position_ms: int) -> str:
    return f"{position_ms // 1000}.{position_ms % 1000:03d}"
