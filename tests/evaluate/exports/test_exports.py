"""Timelines, subtitles and chapters read back by the programs and parsers that people load them into."""

import html
import io
import re
import xml.etree.ElementTree as ElementTree
from datetime import timedelta
from itertools import pairwise

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ballspot.evaluate.dataset.labels import Spot
from ballspot.evaluate.exports.chapters import chapters_of, ffmetadata, youtube
from ballspot.evaluate.exports.family import RESERVED, safe_names
from ballspot.evaluate.exports.spans import Span, caption, clock, one_line, spans_of
from ballspot.evaluate.exports.sportscode import sportscode_xml
from ballspot.evaluate.exports.subtitles import srt, webvtt

texts = st.one_of(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=12),
    st.sampled_from(
        ["a --> b", "<b>x</b>", "&amp;", "\"q\" 'r'", "a\n\nb", "a\r\nb", "{\\an8}x", "=;#\\", "\x00", " x "]
    ),
)
spots = st.builds(
    Spot,
    label=texts,
    position_ms=st.integers(0, 20_000_000),
    team=st.one_of(st.none(), texts),
    confidence=st.floats(0, 1),
)
spans = st.lists(spots, max_size=5).map(
    lambda some: spans_of(sorted(some, key=lambda spot: spot.position_ms), before_s=5, after_s=3)
)
SIMPLE = spans_of(
    [
        Spot("PASS", 1160, team="left", confidence=0.871),
        Spot("HIGH PASS", 61_000, team="right", confidence=0.5),
        Spot('SHOT & "GOAL" <x>', 3_723_004, confidence=1.0),
    ],
    before_s=5,
    after_s=3,
)


def test_a_span_begins_at_zero_at_the_earliest_and_ends_with_the_video():
    inside, beyond = spans_of([Spot("PASS", 1160), Spot("PASS", 9000)], before_s=5, after_s=3, length_ms=4000)
    assert (inside.start_ms, inside.end_ms) == (0, 4000)
    assert (beyond.start_ms, beyond.end_ms) == (4000, 12_000)
    (point,) = spans_of([Spot("PASS", 1160)], before_s=0, after_s=0)
    assert (point.start_ms, point.end_ms) == (1160, 1161)


def test_kloppy_reads_the_codes_times_and_labels_of_a_timeline():
    sportscode = pytest.importorskip("kloppy.sportscode", reason="kloppy is not installed")
    xml = sportscode_xml("league/m & n", SIMPLE, codes=["HIGH PASS", "PASS", 'SHOT & "GOAL" <x>'])
    read = sportscode.load(io.BytesIO(xml.encode()))
    assert [(one.code_id, one.code) for one in read.codes] == [
        ("1", "PASS"),
        ("2", "HIGH PASS"),
        ("3", 'SHOT & "GOAL" <x>'),
    ]
    times = [(0, 4160), (56_000, 64_000), (3_718_004, 3_726_004)]  # by hand: 5 s ahead, 3 s behind
    assert [(one.start_timestamp, one.end_timestamp) for one in read.codes] == [
        tuple(timedelta(milliseconds=ms) for ms in pair) for pair in times
    ]
    assert [one.labels for one in read.codes] == [
        {"Team": "left", "Confidence": 0.87, "Match": "league/m & n"},
        {"Team": "right", "Confidence": 0.5, "Match": "league/m & n"},
        {"Confidence": 1.0, "Match": "league/m & n"},
    ]


def test_the_rows_of_a_timeline_have_an_order_and_16_bit_colours():
    root = ElementTree.fromstring(sportscode_xml("m", SIMPLE, codes=["HIGH PASS", "PASS"]))
    rows = [[child.text for child in row] for row in root.iterfind("ROWS/row")]
    assert rows == [["1", "HIGH PASS", "0", "29298", "45746"], ["2", "PASS", "59110", "40863", "0"]]  # 257 * 114, ...
    assert [child.tag for child in root.find("ROWS/row") or ()] == ["sort_order", "code", "R", "G", "B"]


@settings(max_examples=80)
@given(some=spans, match=texts)
def test_any_text_survives_xml_but_for_signs_that_it_cannot_hold(some: tuple[Span, ...], match: str):
    xml = sportscode_xml(match, some, codes=sorted({span.spot.label for span in some}))
    instances = ElementTree.fromstring(xml.encode()).findall("ALL_INSTANCES/instance")
    held = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
    assert [one.findtext("code") for one in instances] == [held.sub("\ufffd", span.spot.label) for span in some]
    for one, span in zip(instances, some, strict=True):
        labels = {label.findtext("group"): label.findtext("text") for label in one.iterfind("label")}
        wanted = {"Team": span.spot.team, "Confidence": f"{span.confidence:.2f}", "Match": match}
        assert labels == {key: held.sub("\ufffd", text) for key, text in wanted.items() if text is not None}


@settings(max_examples=80)
@given(some=spans, match=texts)
def test_any_text_survives_webvtt_but_for_line_ends(some: tuple[Span, ...], match: str):
    blocks = webvtt(match, some).rstrip("\n").split("\n\n")
    assert blocks[0] == "WEBVTT" and blocks[1].startswith("NOTE ") and "-->" not in blocks[1]
    assert len(blocks) == 2 + len(some)
    for number, (block, span) in enumerate(zip(blocks[2:], some, strict=True), start=1):
        name, times, text = block.split("\n")
        assert (name, times) == (str(number), f"{clock(span.start_ms)} --> {clock(span.end_ms)}")
        assert "<" not in text and ">" not in text
        assert html.unescape(text.replace("\ufffd", "")) == one_line(caption(span)).replace("\ufffd", "")


@settings(max_examples=80)
@given(some=spans)
def test_srt_has_three_lines_a_cue_and_no_sign_of_a_tag(some: tuple[Span, ...]):
    cues = [block for block in srt(some).split("\n\n") if block]
    assert len(cues) == len(some)
    for number, (cue, span) in enumerate(zip(cues, some, strict=True), start=1):
        name, times, text = cue.rstrip("\n").split("\n")
        assert (name, times) == (str(number), f"{clock(span.start_ms, mark=',')} --> {clock(span.end_ms, mark=',')}")
        assert not set(text) & set("<>{}\\\r")
        assert len(text) == len(caption(span))


def test_ffmpeg_reads_the_times_and_texts_of_srt_cues():
    some = [*SIMPLE, *spans_of([Spot("<b>x</b> --> {y}", 3_800_000, confidence=0.25)], before_s=0, after_s=1.5)]
    with av.open(io.BytesIO(srt(some).encode()), format="srt") as read:
        cues = [(p.pts, p.duration, bytes(p).decode()) for p in read.demux(subtitles=0) if p.size]
    texts = [
        "PASS left 0.87",
        "HIGH PASS right 0.50",
        'SHOT & "GOAL" \u2039x\u203a 1.00',
        "\u2039b\u203ax\u2039/b\u203a --\u203a (y) 0.25",
    ]
    assert cues == [(s.start_ms, s.end_ms - s.start_ms, text) for s, text in zip(some, texts, strict=True)]


def test_a_clock_goes_on_past_99_hours():
    assert [clock(ms) for ms in (0, 3_723_004, 360_000_000)] == ["00:00:00.000", "01:02:03.004", "100:00:00.000"]


def test_a_browser_shows_the_cues_of_a_webvtt_file_with_their_times_and_texts(browser):
    odd = [
        Spot(text, 1000 * k, confidence=0.25) for k, text in enumerate(["a --> b", "<b>x</b> &lt;", "q\"'", "a\n\nb"])
    ]
    some = [*SIMPLE, *spans_of(odd, before_s=0, after_s=1.5)]
    page_text = "<video><track default kind=subtitles src='/a.vtt'></video>"
    files = {"/": (page_text, "text/html"), "/a.vtt": (webvtt("m --> <n>", some), "text/vtt")}

    def serve(route):
        path = "/" + route.request.url.partition("ballspot.test/")[2]
        body, kind = files.get(path, ("", "text/plain"))
        route.fulfill(body=body.encode(), content_type=f"{kind}; charset=utf-8")

    with browser.new_page() as page:
        page.route("**/*", serve)
        page.goto("http://ballspot.test/")
        page.wait_for_function("document.querySelector('track').readyState === 2")
        cues = page.evaluate(
            "[...document.querySelector('track').track.cues].map(c => [c.id, c.startTime, c.endTime, "
            "c.getCueAsHTML().textContent])"
        )
    assert sorted(cues, key=lambda cue: int(cue[0])) == [
        [str(number), span.start_ms / 1000, span.end_ms / 1000, one_line(caption(span))]
        for number, span in enumerate(some, start=1)
    ]


@settings(max_examples=60)
@given(some=spans, match=texts)
def test_ffmpeg_reads_chapters_as_they_are_meant(some: tuple[Span, ...], match: str):
    chapters = chapters_of(some, gap_ms=1000)
    with av.open(io.BytesIO(ffmetadata(match, chapters).encode()), format="ffmetadata") as read:
        found = [(one["start"], one["end"], one["metadata"].get("title", "")) for one in read.chapters()]
    titles = [re.sub(r"\\$", "/", one_line(one.title)) for one in chapters]
    assert found == [(one.start_ms, one.end_ms, title) for one, title in zip(chapters, titles, strict=True)]
    assert all(before[1] == after[0] for before, after in pairwise(found))
    assert all(one.end_ms - one.start_ms >= 1000 for one in chapters)


def test_youtube_lines_begin_at_zero_and_are_ten_seconds_apart():
    seconds = (16, 20, 26.5, 40, 3700)
    some = [Spot(label, round(1000 * at)) for label, at in zip(("A", "B", "A", "<C>", "D"), seconds, strict=True)]
    spans = spans_of(some, before_s=5, after_s=3)
    lines = youtube(chapters_of(spans, gap_ms=10_000)).splitlines()
    assert lines == ["0:00 Start", "0:11 A, B", "0:21 A", "0:35 \u2039C\u203a", "1:01:35 D"]
    lines = youtube(chapters_of(spans, gap_ms=10_000, length_ms=3_701_000)).splitlines()
    assert lines[-1] == "0:35 \u2039C\u203a, D"  # the last would have been of 6 s
    early = spans_of([Spot("A", 9000), Spot("B", 20_000)], before_s=5, after_s=3)
    assert youtube(chapters_of(early, gap_ms=10_000)) == "0:00 A\n0:15 B\n"
    assert youtube(()) == "0:00 Start\n"


@given(st.lists(st.one_of(texts, st.sampled_from(["con", "NUL.txt", "a/b", "a", "A", "a ", "..", "x/../y", "/", ""]))))
def test_file_names_differ_and_suit_every_system(some: list[str]):
    names = safe_names(some)
    assert set(names) == set(some)
    assert len({name.casefold() for name in names.values()}) == len(set(some))
    for name in names.values():
        for part in name.split("/"):
            assert part not in ("", ".", "..") and not part.endswith((".", " ")) and not RESERVED.fullmatch(part)
            assert not set(part) & set('<>:"\\|?*\n\r\x00') and len(part.encode()) < 200
