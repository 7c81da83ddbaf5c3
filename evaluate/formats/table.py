"""CSV: a row a spot, with a header; the one format here that holds every field of a spot.

Columns: ``video`` (or ``match``), ``half``, ``position_ms`` (or ``time``: seconds, or h:mm:ss.fff), ``label``,
``team``, ``visibility``, ``confidence`` (or ``score``), and ``note`` where there is one. Only video, label and a time
must be there. Tables are read as spreadsheets of every country save them: with commas, semicolons or tabs between
fields, with a decimal comma where commas do not part fields, in UTF-8, UTF-16 or, where it is neither, in the Windows
code page 1252.
"""

import csv
import io
import math
from collections import Counter
from collections.abc import Sequence

from ...cache.disk import decode_text, is_utf8
from ...cache.errors import BallspotError
from ..dataset import MAX_POSITION_MS, VISIBILITIES, Spot, brief
from .videos import Source, VideoSpots

COLUMNS = ("video", "half", "position_ms", "label", "team", "visibility", "confidence")
OTHER_NAMES = {"match": "video", "score": "confidence"}
NOTE = "note"
KNOWN = frozenset({*COLUMNS, *OTHER_NAMES, "time", NOTE})
DECIMALS = ("time", "confidence")
DELIMITERS = (",", ";", "\t")
CODE_PAGE = "cp1252"
POINT_ZERO = ".0"  # behind whole numbers where pandas has seen an empty field; "12.000" may be twelve thousand


def read_csv(content: bytes, source: Source) -> list[VideoSpots]:
    """The matches of a CSV file in the order in which they first come. BallspotError names the file and line."""
    text = decode_text(content, source.path, fallback=CODE_PAGE)
    remarks = () if is_utf8(content) else (f"not UTF-8, so read as {CODE_PAGE}; look at its accents",)
    delimiter, skipped, text = _delimiter(text)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter)
    videos: dict[str, list[Spot]] = {}
    try:
        header = next(reader, None)
        columns = _columns(header, source.path)
        for row in reader:
            if not row:
                continue
            place = f"{source}: line {reader.line_num + skipped}"
            if len(row) != len(columns):
                raise BallspotError(f"{place}: has {len(row)} fields, the header {len(columns)}; correct it")
            fields = dict(zip(columns, row, strict=True))
            if not fields["video"] or not fields["label"]:
                raise BallspotError(f"{place}: video or label is empty; correct it")
            if delimiter != ",":
                fields |= {key: fields[key].replace(",", ".") for key in DECIMALS if key in fields}
            videos.setdefault(fields["video"], []).append(_spot(fields, place))
    except csv.Error as error:
        raise BallspotError(
            f"{source}: line {reader.line_num + skipped} is not CSV ({error}); save the table again"
        ) from error
    odd = sorted(set(columns) - {*COLUMNS, "time", NOTE})
    notes = (f"columns {', '.join(map(repr, odd))} are not kept",) if odd else ()
    return [VideoSpots(video, tuple(spots), notes=notes, remarks=remarks) for video, spots in videos.items()]


def _delimiter(text: str) -> tuple[str, int, str]:
    """What parts the fields, the lines before the header, and the text from the header on.

    A first line ``sep=;`` says it, as Excel writes it; else it is what parts the header into the most known columns.
    """
    first, _, rest = text.partition("\n")
    said = first.strip(' "\r')
    if said.lower().startswith("sep=") and said[4:] in (*DELIMITERS, "|"):
        return said[4], 1, rest
    known = [sum(name.strip(' "\r').lower() in KNOWN for name in first.split(one)) for one in DELIMITERS]
    return DELIMITERS[known.index(max(known))], 0, text


def write_csv(videos: Sequence[VideoSpots], fps: float) -> str:
    """All matches as one table; an empty field is an unknown team or confidence."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\r\n")  # RFC 4180; a lone one of the two is then quoted too
    has_notes = any(spot.note is not None for video in videos for spot in video.spots)
    writer.writerow((*COLUMNS, NOTE) if has_notes else COLUMNS)
    for video in videos:
        for spot in video.spots:
            confidence = "" if spot.confidence is None else repr(spot.confidence)
            visibility = "visible" if spot.visible else "not shown"
            row = (video.name, spot.half, spot.position_ms, spot.label, spot.team or "", visibility, confidence)
            writer.writerow((*row, spot.note or "") if has_notes else row)
    return stream.getvalue()


def csv_losses(videos: Sequence[VideoSpots], fps: float) -> Counter[str]:
    """A table has no row for a match without spots, and no frame rate or length."""
    losses: Counter[str] = Counter()
    losses["matches without spots"] = sum(not video.spots for video in videos)
    losses["frame rates"] = sum(video.fps is not None for video in videos)
    losses["video lengths"] = sum(video.n_frames is not None for video in videos)
    return losses


def _columns(header: list[str] | None, source: str) -> list[str]:
    if header is None:
        raise BallspotError(f"{source}: is empty; it needs a header that names video, label, and position_ms or time")
    names = [OTHER_NAMES.get(name.strip().lower(), name.strip().lower()) for name in header]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise BallspotError(f"{source}: the header names {brief(twice)} twice; keep one")
    if not {"video", "label"} <= set(names) or not {"position_ms", "time"} & set(names):
        raise BallspotError(
            f"{source}: the header must name video, label, and position_ms or time; it is {brief(header)}"
        )
    return names


def _spot(fields: dict[str, str], place: str) -> Spot:
    half, visibility = fields.get("half", "") or "1", fields.get("visibility", "") or "visible"
    half = half.removesuffix(POINT_ZERO)
    if half not in ("1", "2"):
        raise BallspotError(f"{place}: half {brief(half)} is neither 1 nor 2; correct it")
    if visibility not in VISIBILITIES:
        raise BallspotError(f'{place}: visibility {brief(visibility)} is not "visible" or "not shown"; correct it')
    confidence = None
    if fields.get("confidence", ""):
        confidence = _number(fields["confidence"])
        if confidence is None:
            raise BallspotError(f"{place}: confidence {brief(fields['confidence'])} is not a finite number; correct it")
    position_ms = _position_ms(fields)
    if position_ms is None or not 0 <= position_ms <= MAX_POSITION_MS:
        value = fields.get("position_ms") or fields.get("time", "")
        raise BallspotError(f"{place}: {brief(value)} is not a time from 0 (ms, or seconds, or h:mm:ss); correct it")
    team = fields.get("team", "") or None
    note = fields.get(NOTE, "") or None
    return Spot(fields["label"], position_ms, int(half), team, VISIBILITIES[visibility], confidence, note)


def _position_ms(fields: dict[str, str]) -> int | None:
    if fields.get("position_ms", ""):
        text = fields["position_ms"].strip().removesuffix(POINT_ZERO)
        return int(text) if text.isascii() and text.isdigit() and len(text) < 14 else None
    texts = fields.get("time", "").split(":")
    parts = [value for text in texts if (value := _number(text)) is not None and value >= 0]
    if len(parts) != len(texts) or len(parts) > 3:
        return None
    if any(part >= 60 for part in parts[1:]) or any(part % 1 for part in parts[:-1]):  # 1:75 or 1.5:00
        return None
    seconds = 0.0
    for part in parts:
        seconds = 60 * seconds + part
    return round(1000 * seconds) if seconds < MAX_POSITION_MS else None


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
