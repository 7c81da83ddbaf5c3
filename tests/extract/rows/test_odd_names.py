"""Videos whose names no text can hold are extracted like any other."""

import os
import shutil
from pathlib import Path

from click.testing import CliRunner

from ballspot.cache.stores import FeatureStore
from ballspot.cli import main

from ..world_videos import How, write

SETTINGS = ["--weights", "random:0", "--size", "32x48", "--set", "s"]


def test_a_name_that_is_not_utf_8_and_one_with_a_line_break(tmp_path: Path) -> None:
    video = write(tmp_path / "a.mp4", How(ticks=range(3)))
    names = {"bytes": b"a\xff.mp4", "line": b"a\nb.mp4"}
    for match, name in names.items():
        (tmp_path / "data" / match).mkdir(parents=True)
        shutil.copy(video, os.fsencode(tmp_path / "data" / match) + b"/" + name)
    result = CliRunner().invoke(main, ["extract", str(tmp_path / "data"), "--out", str(tmp_path / "f"), *SETTINGS])
    assert result.exit_code == 0, result.output
    for match, name in {"bytes": "a\\udcff.mp4", "line": "a\nb.mp4"}.items():
        with FeatureStore.open(tmp_path / "f" / "s" / f"{match}.h5") as store:
            assert store.n_rows == 3 and store.header.video_name == name
        verified = CliRunner().invoke(main, ["cache", "verify", str(tmp_path / "f" / "s")])
        assert verified.exit_code == 0, verified.output
