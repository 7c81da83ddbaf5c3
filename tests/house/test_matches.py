"""The seven short matches that come with the repository."""

import json
from pathlib import Path

import av
import numpy as np
import pytest

from ballspot.evaluate.dataset.labels import read_labels
from ballspot.evaluate.dataset.labelsets import load_label_set
from ballspot.evaluate.dataset.matches import find_matches
from ballspot.evaluate.dataset.splits import load_splits

ROOT = Path(__file__).resolve().parents[2]
SHORT = ROOT / "tests" / "matches"
RENDERED = ROOT.parent / "shared" / "data"
N_FRAMES = 1500


def pictures(path: Path, wanted: set[int]) -> dict[int, np.ndarray]:
    """The wanted frames as grey pictures, float (H, W)."""
    found = {}
    with av.open(str(path)) as video:
        for index, frame in enumerate(video.decode(video=0)):
            if index in wanted:
                found[index] = frame.to_ndarray(format="gray").astype(float)
            if index >= max(wanted):
                break
    return found


def test_there_are_seven_in_a_split_of_four_one_and_two():
    splits = load_splits(SHORT, find_matches(SHORT))
    assert [len(splits.part(name)) for name in ("train", "valid", "test")] == [4, 1, 2]


def test_each_has_1500_frames_and_labels_within_them():
    for match in find_matches(SHORT):
        assert match.video is not None
        assert match.labels_path is not None
        with av.open(str(match.video)) as video:
            assert sum(packet.size > 0 for packet in video.demux(video=0)) == N_FRAMES
        spots = read_labels(match.labels_path, load_label_set())
        assert len(spots) > 10
        assert all(0 <= spot.position_ms < N_FRAMES * 40 for spot in spots)


@pytest.mark.skipif(not RENDERED.is_dir(), reason="the three-minute originals are not in ../shared/data")
def test_frame_i_of_a_cut_is_frame_i_of_its_original():
    at = [7, 701, N_FRAMES - 2]
    for match in find_matches(SHORT)[:2]:
        assert match.video is not None
        cut = pictures(match.video, set(at))
        whole = pictures(RENDERED / match.name / "224p.mp4", {i + d for i in at for d in (-1, 0, 1)})
        for index in at:
            distance = {d: float(np.abs(cut[index] - whole[index + d]).mean()) for d in (-1, 0, 1)}
            assert min(distance, key=distance.__getitem__) == 0, (match.name, index, distance)


@pytest.mark.skipif(not RENDERED.is_dir(), reason="the three-minute originals are not in ../shared/data")
def test_the_labels_of_a_cut_are_the_first_minute_of_its_original():
    for match in find_matches(SHORT):
        assert match.labels_path is not None
        cut = json.loads(match.labels_path.read_text())["annotations"]
        whole = json.loads((RENDERED / match.name / "Labels-ball.json").read_text())["annotations"]
        assert cut == [entry for entry in whole if int(entry["position"]) < 60_000]
