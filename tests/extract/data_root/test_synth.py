import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ballspot.cache.errors import BallspotError
from ballspot.cache.times.axis import frame_of
from ballspot.evaluate.dataset.labels import read_labels
from ballspot.evaluate.dataset.labelsets import load_label_set
from ballspot.evaluate.dataset.matches import find_matches
from ballspot.evaluate.dataset.splits import load_splits
from ballspot.extract.data_root.synth import (
    EVENTS_A_SECOND,
    N_BITS,
    SN_BAS_COUNTS,
    DrawnEvent,
    draw_events,
    draw_frame,
    draw_number,
    label_document,
    split_names,
    synthesize,
    write_video,
)

from ..barcoded import read_number


@given(number=st.integers(0, 2**N_BITS - 1), height=st.integers(64, 300), width=st.integers(80, 400))
def test_a_drawn_number_is_read_back(number: int, height: int, width: int) -> None:
    luma = np.full((height, width), 90, dtype=np.uint8)
    draw_number(luma, number)
    assert read_number(luma) == number
    assert read_number(np.repeat(luma[..., None], 3, axis=2)) == number


@given(number=st.integers(0, 2**N_BITS - 1), seed=st.integers(0, 99))
def test_noise_and_less_contrast_do_not_hide_the_number(number: int, seed: int) -> None:
    luma = np.zeros((64, 96), dtype=np.uint8)
    draw_number(luma, number)
    noise = np.random.default_rng(seed).normal(0, 25, luma.shape)
    assert read_number(np.clip(40 + 0.6 * luma + noise, 0, 255).astype(np.uint8)) == number


def test_pictures_without_a_number_are_told() -> None:
    luma = np.zeros((64, 96), dtype=np.uint8)
    assert read_number(luma) is None
    draw_number(luma, 7)
    luma[0:4, 0:9] = luma[8:12, 0:9] = 128  # the first block no longer differs from its complement
    assert read_number(luma) is None


@pytest.mark.parametrize("number", [-1, 2**N_BITS])
def test_numbers_out_of_range_are_refused(number: int) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        draw_number(np.zeros((64, 96), dtype=np.uint8), number)


def test_a_long_match_has_the_proportions_of_sn_bas() -> None:
    events = draw_events(1_000_000, Fraction(25), rng=np.random.default_rng(0))
    total = sum(SN_BAS_COUNTS.values())
    assert total == 12_058  # the twelve counts of the data set
    assert len(events) == round(EVENTS_A_SECOND * 40_000)
    for label, count in SN_BAS_COUNTS.items():
        share = sum(event.label == label for event in events) / len(events)
        assert share == pytest.approx(count / total, abs=0.015)
    frames = [event.frame_index for event in events]
    assert frames == sorted(set(frames))


def test_an_event_lights_its_own_field_most_at_its_frame() -> None:
    marks = {frame: [(3, strength)] for frame, strength in ((9, 0.8), (10, 1.0), (11, 0.8))}
    brightness = [draw_frame(frame, (64, 96), marks)[50:, 24:32].mean() for frame in (8, 9, 10, 11, 12)]
    assert brightness[0] == brightness[4] < brightness[1] == brightness[3] < brightness[2]


@pytest.mark.parametrize("fps", [Fraction(25), Fraction(30000, 1001), Fraction(50)])
def test_label_times_read_back_as_the_frames_they_were_drawn_at(fps: Fraction) -> None:
    events = [DrawnEvent(frame, "PASS", "left") for frame in range(0, 100_000, 37)]
    document = json.loads(json.dumps(label_document("m", events, fps)))
    frames = [frame_of(int(entry["position"]), fps) for entry in document["annotations"]]
    assert frames == [event.frame_index for event in events]


def test_a_drawn_data_root_is_read_by_the_rest_of_the_program(drawn: Path) -> None:
    matches = find_matches(drawn)
    assert [match.name for match in matches] == [f"synth/drawn/match-0{n}" for n in (1, 2, 3)]
    splits = load_splits(drawn, matches)
    assert (len(splits.train), len(splits.valid), len(splits.test)) == (1, 1, 1)
    for match in matches:
        assert match.labels_path is not None
        assert len(read_labels(match.labels_path, load_label_set())) == round(EVENTS_A_SECOND * 10)


def test_a_seed_decides_the_whole_data_root(tmp_path: Path) -> None:
    contents = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        synthesize(tmp_path / name, n_matches=1, minutes=0.05, fps=Fraction(25), size=(64, 80), seed=seed)
        files = sorted(file for file in (tmp_path / name).rglob("*") if file.is_file())
        contents.append([file.read_bytes() for file in files])
    assert contents[0] == contents[1] != contents[2]


@given(n_matches=st.integers(1, 60))
def test_every_match_is_in_one_part_and_training_has_most(n_matches: int) -> None:
    names = [f"m{n}" for n in range(n_matches)]
    parts = split_names(names)
    assert [name for part in parts.values() for name in part] == names
    assert len(parts["train"]) >= 1
    assert all(parts.values()) or n_matches < 3
    assert split_names(names[:7])["test"] == names[5:7] or n_matches < 7


def test_a_folder_that_holds_something_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    with pytest.raises(BallspotError, match="not empty"):
        synthesize(tmp_path, n_matches=1, minutes=0.1, fps=Fraction(25), size=(64, 96), seed=0)
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("size", [(63, 96), (64, 97), (32, 80), (64, 40)])
def test_sizes_that_cannot_be_coded_are_refused(tmp_path: Path, size: tuple[int, int]) -> None:
    with pytest.raises(BallspotError, match=f"--size {size[0]}x{size[1]}"):
        write_video(tmp_path / "a.mp4", 5, fps=Fraction(25), size=size, events=[])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("minutes", "size"), [(0.1, (65, 97)), (1e-9, (64, 96)), (1e6, (64, 96))])
def test_what_cannot_be_drawn_leaves_the_folder_free_for_what_can(
    tmp_path: Path, minutes: float, size: tuple[int, int]
) -> None:
    with pytest.raises(BallspotError, match="must be"):
        synthesize(tmp_path / "drawn", n_matches=1, minutes=minutes, fps=Fraction(25), size=size, seed=0)
    assert list(tmp_path.iterdir()) == []
