"""What is handed out: the source distribution, the wheel made of it, and the pages that speak of a release."""

import re
import runpy
import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from email.parser import Parser
from pathlib import Path

import pytest

import ballspot

from .test_packaging import ROOT, tracked

IN_NO_ARCHIVE = {".ci", ".gitignore"}  # of use in a clone only
BUILD = "import sys, setuptools.build_meta as build; getattr(build, 'build_' + sys.argv[1])(sys.argv[2])"
needs_git = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="only a clone knows which files are its own")


@dataclass(frozen=True)
class Built:
    sdist: Path
    wheel: Path

    def source_files(self) -> set[str]:
        with tarfile.open(self.sdist) as archive:
            return {name.partition("/")[2] for name in archive.getnames()}

    def installed_files(self) -> set[str]:
        with zipfile.ZipFile(self.wheel) as archive:
            return set(archive.namelist())

    def metadata(self):
        with zipfile.ZipFile(self.wheel) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
            return Parser().parsestr(archive.read(name).decode())


def build(kind: str, tree: Path, out: Path) -> Path:
    before = set(out.iterdir())
    subprocess.run([sys.executable, "-c", BUILD, kind, str(out)], cwd=tree, capture_output=True, check=True)
    (made,) = set(out.iterdir()) - before
    return made


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The sdist of a copy of the tracked files, and the wheel of what that sdist unpacks to."""
    pytest.importorskip("setuptools", minversion="77", reason="the build backend is not installed")
    root = tmp_path_factory.mktemp("built")
    for path in tracked():
        (root / "tree" / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, root / "tree" / path)
    (root / "dist").mkdir()
    sdist = build("sdist", root / "tree", root / "dist")
    with tarfile.open(sdist) as archive:
        archive.extractall(root / "unpacked", filter="data")
    (unpacked,) = (root / "unpacked").iterdir()
    return Built(sdist, build("wheel", unpacked, root / "dist"))


@needs_git
def test_the_source_distribution_holds_every_file_but_those_of_a_clone(built: Built):
    expected = {str(path) for path in tracked() if path.parts[0] not in IN_NO_ARCHIVE}
    assert expected - built.source_files() == set()


@needs_git
def test_the_wheel_made_of_the_sdist_holds_the_package_and_nothing_else(built: Built):
    outside = {"tests", "bench", "docs", "examples", ".ci"}
    inside = {path for path in tracked() if len(path.parts) > 1 and path.parts[0] not in outside}
    expected = {f"ballspot/{path}" for path in [*inside, "__init__.py", "cli.py", "py.typed"]}
    found = {name for name in built.installed_files() if ".dist-info/" not in name}
    assert found == expected


@needs_git
def test_the_wheel_says_its_version_licence_and_command(built: Built):
    about = built.metadata()
    assert (about["Version"], about["License-Expression"]) == (ballspot.__version__, "MIT")
    assert "# ballspot" in about.get_payload()
    assert built.wheel.name == f"ballspot-{ballspot.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(built.wheel) as archive:
        points = next(name for name in archive.namelist() if name.endswith("entry_points.txt"))
        assert "ballspot = ballspot.cli:main" in archive.read(points).decode()


@needs_git
def test_every_python_of_the_classifiers_is_allowed_by_requires_python(built: Built):
    about = built.metadata()
    lowest = int(re.fullmatch(r">=3\.(\d+)", about["Requires-Python"])[1])
    named = [int(one.rpartition(".")[2]) for one in about.get_all("Classifier") if re.search(r":: 3\.\d+$", one)]
    assert named[0] == lowest
    assert named == list(range(lowest, lowest + len(named)))


def test_the_citation_is_of_this_version_and_names_no_person():
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation)  # all that version 1.2.0 requires
    assert (citation["version"], citation["license"]) == (ballspot.__version__, "MIT")
    assert all(set(author) == {"name"} for author in citation["authors"])


def test_the_release_check_finds_the_version_without_importing_the_package():
    said = runpy.run_path(str(ROOT / "bench" / "release.py"))["stated_version"]()
    assert said == ballspot.__version__


def test_the_changelog_has_this_version_with_the_date_of_the_citation():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    day = re.search(r'date-released: "([\d-]+)"', citation)[1]
    assert f"\n## {ballspot.__version__} - {day}\n" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_page_of_licences_names_every_dependency_and_agrees_with_what_is_installed():
    done = subprocess.run(
        [sys.executable, "bench/licences.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
