"""The root of the repository is the package: these tests keep that arrangement true."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import ballspot

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
NOT_PACKAGES = {"tests", "bench", "docs", "examples", "build", "dist"}


pytestmark = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="only a clone knows which files are its own")


def tracked(*patterns: str) -> list[Path]:
    line = ["git", "ls-files", *patterns]
    listed = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [Path(line) for line in listed.splitlines()]


def tracked_sources() -> list[Path]:
    paths = tracked("*.py")
    assert len(paths) > 20
    return paths


def test_every_folder_with_source_is_in_the_packages_list():
    folders = {path.parent for path in tracked_sources() if path.parts[0] not in NOT_PACKAGES}
    expected = {".".join(["ballspot", *folder.parts]) for folder in folders}
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == expected


def test_the_root_holds_no_module_but_the_package_and_the_command():
    assert {path.name for path in tracked_sources() if len(path.parts) == 1} == {"__init__.py", "cli.py"}


def test_the_imported_package_is_this_folder():
    assert Path(ballspot.__file__).resolve().parent == ROOT


def test_a_bare_import_does_not_reach_the_folders_from_elsewhere(tmp_path):
    code = (
        "import importlib.util, sys; sys.exit(any(importlib.util.find_spec(n) for n in ('temporal', 'extract', 'cli')))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False).returncode == 0


def test_presets_are_shipped_as_package_data():
    assert PROJECT["tool"]["setuptools"]["package-data"]["ballspot.temporal.config.presets"] == ["*.toml"]
    assert list((ROOT / "temporal" / "config" / "presets").glob("*.toml"))


def test_no_tracked_text_holds_an_absolute_path_of_a_machine():
    pattern = "/(root|home|work|tmp|Users)/[A-Za-z]"
    found = subprocess.run(
        ["git", "grep", "-nIE", pattern, "--", ".", f":!{Path(__file__).relative_to(ROOT)}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.stdout == ""
