"""Frames between those that are wanted are decoded, and made no pictures."""

from pathlib import Path

import pytest

from ballspot.extract.video import pyav
from ballspot.extract.video.probe import probe_video
from ballspot.extract.video.sources import open_source


def test_only_wanted_frames_are_converted(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    converted = []
    made = pyav.VideoReformatter

    class Counted:  # PyAV's cannot be derived from
        def __init__(self) -> None:
            self.made = made()

        def reformat(self, frame, *args, **options):
            converted.append(frame.pts)
            return self.made.reformat(frame, *args, **options)

    monkeypatch.setattr(pyav, "VideoReformatter", Counted)
    pictures = list(open_source(probe_video(video), "pyav").frames(7, 47, 2))
    assert len(pictures) == len(converted) == 20
