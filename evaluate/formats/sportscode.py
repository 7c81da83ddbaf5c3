"""Sportscode XML: the timeline of Hudl Sportscode, which kloppy, Nacsport, LongoMatch and others read, too.

``<file><ALL_INSTANCES>`` holds an ``<instance>`` a span of time: ID, start and end in seconds of the video, code, and
labels of a group and a text. ``<ROWS>`` gives each code its row and colour, in 16 bits a channel. A file is one video.
Which time of a span its event has is not told: `Source` says how far behind the start it lies.
"""

import math
import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

from ...cache.errors import BallspotError
from ..dataset import MAX_POSITION_MS, VISIBILITIES, Spot, brief
from .videos import AFTER_S, BEFORE_S, Source, VideoSpots, halves_losses, unheld

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

TEAM, CONFIDENCE, VISIBILITY, MATCH, NOTE = "Team", "Confidence", "Visibility", "Match", "Note"
DECLARES = re.compile(rb"<!\s*(DOCTYPE|ENTITY)", re.IGNORECASE)


@dataclass(frozen=True)
class Instance:
    """One span of a timeline, in whole milliseconds of its video, with a text for each group of labels."""

    code: str
    start_ms: int
    end_ms: int
    labels: Mapping[str, str] = field(default_factory=dict)


def timeline_xml(instances: Iterable[Instance], codes: Iterable[str]) -> str:
    """The timeline of one video; ``codes`` are the rows, in order, so that several files show the same ones alike."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', "<file>", "  <ALL_INSTANCES>"]
    for number, one in enumerate(instances, start=1):
        lines += [
            "    <instance>",
            f"      <ID>{number}</ID>",
            f"      <start>{_seconds(one.start_ms)}</start>",
            f"      <end>{_seconds(one.end_ms)}</end>",
            f"      <code>{xml_text(one.code)}</code>",
            *(
                f"      <label><group>{group}</group><text>{xml_text(text)}</text></label>"
                for group, text in one.labels.items()
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


def read_sportscode(content: bytes, source: Source) -> list[VideoSpots]:
    """The spots of a timeline, in its order, named by the label Match where all instances have the same.

    BallspotError names the file and the instance.
    """
    if DECLARES.search(content.replace(b"\0", b"")):  # none of these programs writes any; they can grow without end
        raise BallspotError(f"{source}: declares a document type, which a Sportscode timeline has none of; remove it")
    try:
        root = ElementTree.fromstring(content)
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise BallspotError(f"{source}: is not XML ({error}); export the timeline again") from error
    above = root if root.tag == "ALL_INSTANCES" else root.find("ALL_INSTANCES")
    if above is None:
        raise BallspotError(f"{source}: holds no ALL_INSTANCES; expected Sportscode's XML of a timeline")
    instances = [
        _instance(element, f"{source}: instance {number}")
        for number, element in enumerate(above.findall("instance"), start=1)
    ]
    spots = tuple(_spot(one, source) for one in instances)
    names = {one.labels.get(MATCH, "") for one in instances}
    name = next(iter(names)) if len(names) == 1 else ""
    odd = Counter(group for one in instances for group, text in one.labels.items() if not _is_kept(group, text))
    notes = tuple(f"label {group!r} of {count} instances is not kept" for group, count in sorted(odd.items()))
    return [VideoSpots(name or source.match, spots, notes=notes, remarks=_remarks(instances, source))]


def write_sportscode(videos: Sequence[VideoSpots], fps: float) -> str:
    """The timeline of one match: a span from 5 s ahead of a spot to 3 s behind; labels hold what it is beside that."""
    (video,) = videos
    instances = []
    for spot in video.spots:
        labels = {
            TEAM: spot.team,
            CONFIDENCE: None if spot.confidence is None else repr(spot.confidence),
            VISIBILITY: None if spot.visible else "not shown",
            MATCH: video.name,
            NOTE: spot.note,
        }
        start_ms = max(spot.position_ms - round(1000 * BEFORE_S), 0)
        end_ms = spot.position_ms + round(1000 * AFTER_S)
        held = {group: text for group, text in labels.items() if text is not None}
        instances.append(Instance(spot.label, start_ms, end_ms, held))
    return timeline_xml(instances, sorted({spot.label for spot in video.spots}))


def sportscode_losses(videos: Sequence[VideoSpots], fps: float) -> Counter[str]:
    """XML holds no letter that controls; a timeline has neither frame rate nor length."""
    losses = unheld(videos, texts_with_letters_that_XML_has_not=_has_unheld) + halves_losses(videos)
    losses["match names with letters that XML has not"] = sum(not all(map(_is_held, one.name)) for one in videos)
    losses["frame rates"] = sum(video.fps is not None for video in videos)
    losses["video lengths"] = sum(video.n_frames is not None for video in videos)
    losses["video lengths of matches with two halves"] = 0
    return losses


def _instance(element: ElementTree.Element, place: str) -> Instance:
    code = element.findtext("code") or ""
    if not code:
        raise BallspotError(f"{place}: has no code, which is its class; name it")
    labels: dict[str, str] = {}
    for label in element.findall("label"):
        group, text = label.findtext("group") or "", label.findtext("text") or ""
        known = next(
            (one for one in (TEAM, CONFIDENCE, VISIBILITY, MATCH, NOTE) if one.lower() == group.lower()), group
        )
        labels.setdefault(known, text)
    start_ms, end_ms = (_position_ms(element.findtext(tag), tag, place) for tag in ("start", "end"))
    if end_ms < start_ms:
        raise BallspotError(f"{place}: ends at {end_ms} ms, before its start at {start_ms} ms; correct it")
    return Instance(code, start_ms, end_ms, labels)


def _spot(one: Instance, source: Source) -> Spot:
    """The event of a span: so many seconds behind its start; where the video's beginning cut it, ahead of its end."""
    before_ms, after_ms = round(1000 * source.before_s), round(1000 * source.after_s)
    position_ms = min(one.start_ms + before_ms, one.end_ms)
    if one.start_ms == 0 and one.end_ms < before_ms + after_ms:
        position_ms = max(one.end_ms - after_ms, 0)
    visible = VISIBILITIES.get(one.labels.get(VISIBILITY, ""), True)
    confidence = _number(one.labels.get(CONFIDENCE, ""))
    note = one.labels.get(NOTE) or None
    return Spot(one.code, position_ms, 1, one.labels.get(TEAM) or None, visible, confidence, note)


def _is_kept(group: str, text: str) -> bool:
    """Whether a label goes into a spot, or names the match: others use the same groups for texts of another kind."""
    if group == CONFIDENCE:
        return _number(text) is not None
    return text in VISIBILITIES if group == VISIBILITY else group in (TEAM, MATCH, NOTE)


def _remarks(instances: Sequence[Instance], source: Source) -> tuple[str, ...]:
    """Whether the spans are as long as they were taken to be."""
    whole_ms = round(1000 * (source.before_s + source.after_s))
    odd = sum(abs(one.end_ms - one.start_ms - whole_ms) > 1 and one.start_ms > 0 for one in instances)
    if not odd:
        return ()
    return (
        f"{odd} of {len(instances)} instances do not last the {source.before_s:g} s ahead of an event and "
        f"{source.after_s:g} s behind it that were reckoned with; --before and --after say how long they do",
    )


def _position_ms(text: str | None, tag: str, place: str) -> int:
    seconds = _number(text or "")
    if seconds is None or not 0 <= seconds <= MAX_POSITION_MS / 1000:
        raise BallspotError(f"{place}: {tag} {brief(text)} is not a time in seconds from 0; correct it")
    return round(1000 * seconds)


def _number(text: str) -> float | None:
    try:
        value = float(text.strip().replace(",", "."))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _has_unheld(spot: Spot) -> bool:
    return not all(_is_held(letter) for letter in spot.label + (spot.team or "") + (spot.note or ""))


def _is_held(letter: str) -> bool:
    return letter in "\t\n\r" or " " <= letter <= "\ud7ff" or "\ue000" <= letter <= "\ufffd" or letter >= "\U00010000"


def _seconds(position_ms: int) -> str:
    return f"{position_ms // 1000}.{position_ms % 1000:03d}"
