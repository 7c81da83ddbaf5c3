"""Proves a release: builds it, installs it as a user would, and runs a short session, for every Python there is.

    python bench/release.py [--python python3.11 python3.12 ...] [--floors] [--tests PATH ...]

In a folder for temporary files (TMPDIR), outside the checkout: the sdist of the tracked files, and the wheel of that
sdist, with the same content as the wheel of the checkout. Then for each Python a new environment with the wheel and its
dependencies, the session below, and once more with the package built from the sdist. An environment takes 1 to 7 GB and
is removed before the next is made. A Python that cannot be run is named and passed over; those of pyenv are found.

With --floors instead: the lowest version of every direct dependency and extra that pyproject.toml allows, chosen by uv
(`--resolution lowest-direct`), on the first Python; the session; then pytest on the paths of --tests, in a copy of the
checkout.
"""

import argparse
import os
import re
import shlex
import shutil
import subprocess
import tarfile
import tempfile
import time
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHONS = ("python3.11", "python3.12", "python3.13")
# The first is no finding; decord's wheel calls itself one of Python 3.6, and is loaded by ctypes from any.
PASSED_OVER = ("No broken requirements", "decord 0.6.0 is not supported on this platform")
SET = "features/regnety_002-random0-64x96"
SESSION = (
    "ballspot --help",
    "ballspot data synth drawn --matches 4 --minutes 0.3 --size 64x96",
    "ballspot data check drawn",
    "ballspot extract drawn --out features --weights random:0 --size 64x96 --workers 1 --device cpu",
    f"ballspot cache verify {SET}",
    f"ballspot train {SET} --data drawn --run runs/a --device cpu --set kind=gru --set width=16 --set n_epochs=2 "
    "--set warmup_epochs=1 --set epoch_frames=2000",
    f"ballspot predict runs/a {SET} --data drawn --split test --device cpu",
    "ballspot evaluate runs/a/predictions/test --data drawn --split test",
    "ballspot export runs/a --format bundle --out a.ballspot",
    "ballspot predict a.ballspot drawn/synth/drawn/match-04/64p.mp4 --out spots --device cpu",
)


class Failure(SystemExit):
    """Something does not work; the message says what and shows what was printed."""


def run(words: list[str], folder: Path, **environment: str) -> str:
    """What a command prints. Raises Failure with its last lines when it fails."""
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | environment
    done = subprocess.run(words, cwd=folder, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failure(f"{shlex.join(words)}: exit code {done.returncode}\n{(done.stdout + done.stderr)[-3000:]}")
    return done.stdout


def log(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)


def find_python(name: str) -> str | None:
    """An interpreter of that name that really starts (a shim of pyenv may name one that is not chosen), else None."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for candidate in [name, *map(str, versions.glob(f"*/bin/{name}"))]:
        try:
            if subprocess.run([candidate, "-c", ""], capture_output=True, check=False).returncode == 0:
                return candidate
        except OSError:
            continue
    return None


def stated_version() -> str:
    """The version that the checkout says; the script itself runs without the package."""
    return (ROOT / "cache" / "version.py").read_text(encoding="utf-8").partition('__version__ = "')[2].partition('"')[0]


def version_of(python: str) -> str:
    return run([python, "-c", "import platform; print(platform.python_version())"], ROOT).strip()


def make_environment(python: str, folder: Path) -> Path:
    """A new environment's interpreter."""
    run([python, "-m", "venv", str(folder)], folder.parent)
    return folder / "bin" / "python"


def copy_tracked(target: Path) -> Path:
    """A copy of what git tracks."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in listed.splitlines():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, target / name)
    return target


def build(python: str, work: Path) -> tuple[Path, Path]:
    """The sdist, and the wheel built of it; the same wheel comes of the checkout."""
    tools = make_environment(python, work / "tools")
    run([str(tools), "-m", "pip", "install", "--quiet", "build"], work)
    tree = copy_tracked(work / "tree")
    run([str(tools), "-m", "build", "--outdir", str(work / "dist"), str(tree)], work)
    run([str(tools), "-m", "build", "--wheel", "--outdir", str(work / "direct"), str(tree)], work)
    (sdist,), (wheel,), (direct,) = (
        list((work / folder).glob(name)) for folder, name in (("dist", "*.gz"), ("dist", "*.whl"), ("direct", "*.whl"))
    )
    contents = [{one.filename: one.CRC for one in zipfile.ZipFile(path).infolist()} for path in (wheel, direct)]
    if contents[0] != contents[1]:
        raise Failure("the wheel of the sdist and that of the checkout differ")
    with tarfile.open(sdist) as archive:
        n_source = sum(one.isfile() for one in archive)
    log(f"{sdist.name} ({n_source} files), {wheel.name} ({len(contents[0])} files, the same of sdist and checkout)")
    return sdist, wheel


def session(python: Path, work: Path, expected: str) -> None:
    """Runs the commands in a new folder outside the checkout; the package must be the installed one."""
    folder = Path(tempfile.mkdtemp(dir=work, prefix="session-"))
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    place = run([str(python), "-c", "import ballspot; print(ballspot.__file__)"], folder).strip()
    if not Path(place).is_relative_to(python.parent.parent):
        raise Failure(f"{place}: not the installed package")
    said = run(["ballspot", "--version"], folder, PATH=path).strip()
    if not said.endswith(f" {expected}"):
        raise Failure(f"ballspot --version says {said!r}, not {expected}")
    begun = time.monotonic()
    for command in SESSION:
        run(shlex.split(command), folder, PATH=path)
    check = subprocess.run([str(python), "-m", "pip", "check"], cwd=folder, capture_output=True, text=True, check=False)
    found = [line for line in check.stdout.splitlines() if line and not line.startswith(PASSED_OVER)]
    if found:
        raise Failure(f"pip check: {'; '.join(found)}")
    log(f"  {said}: {len(SESSION)} commands in {time.monotonic() - begun:.0f} s; pip check finds nothing")
    shutil.rmtree(folder)


def prove_python(python: str, work: Path, sdist: Path, wheel: Path, expected: str) -> None:
    """Wheel, then sdist, in one new environment that is removed in the end."""
    log(f"Python {version_of(python)}")
    environment = work / "environment"
    try:
        inside = make_environment(python, environment)
        pip = [str(inside), "-m", "pip", "install", "--quiet", "--no-cache-dir"]
        run([*pip, str(wheel)], work)
        size = sum(file.lstat().st_size for file in environment.rglob("*")) / 1e9
        log(f"  wheel installed, {size:.1f} GB with its dependencies")
        session(inside, work, expected)
        run([*pip, "--no-deps", "--force-reinstall", str(sdist)], work)
        log("  built and installed from the sdist")
        session(inside, work, expected)
    finally:
        shutil.rmtree(environment, ignore_errors=True)


def prove_floors(python: str, work: Path, wheel: Path, expected: str, tests: list[str]) -> None:
    """The lowest versions that are allowed, together, in one new environment that is removed in the end."""
    tools = work / "tools" / "bin" / "python"
    run([str(tools), "-m", "pip", "install", "--quiet", "uv"], work)
    chosen = run(
        [str(tools), "-m", "uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate", "--all-extras",
         "--resolution", "lowest-direct", "--python", python, str(work / "tree" / "pyproject.toml")],
        work,
    )  # fmt: skip
    pins = [line for line in chosen.splitlines() if not line.startswith("ballspot")]
    (work / "floors.txt").write_text("\n".join(pins) + "\n", encoding="utf-8")
    log(f"floors on Python {version_of(python)}: {', '.join(direct_pins(pins))}")
    environment = work / "environment"
    try:
        inside = make_environment(python, environment)
        install = [str(tools), "-m", "uv", "pip", "install", "--quiet", "--no-cache", "--python", str(inside)]
        run([*install, "--requirement", str(work / "floors.txt")], work)
        run([*install, "--no-deps", str(wheel)], work)
        session(inside, work, expected)
        if tests:
            (work / "tree" / ".typing").mkdir()
            (work / "tree" / ".typing" / "ballspot").symlink_to("..")
            done = subprocess.run(
                [str(inside), "-m", "pytest", "-q", *tests],
                cwd=work / "tree",
                env={**os.environ, "PYTHONPATH": str(work / "tree" / ".typing")},
                check=False,
            )
            if done.returncode:
                raise Failure(f"tests at the floors: exit code {done.returncode}")
    finally:
        shutil.rmtree(environment, ignore_errors=True)


def direct_pins(pins: list[str]) -> list[str]:
    """Those of the pins that pyproject.toml itself names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *(one for group in project["optional-dependencies"].values() for one in group)]
    names = {re.split(r"[\[<>=!~;\s]", one, maxsplit=1)[0].lower().replace("_", "-") for one in wanted}
    return [pin.partition(" ;")[0] for pin in pins if pin.partition("==")[0].lower() in names]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", nargs="+", default=list(PYTHONS), help=f"interpreters ({' '.join(PYTHONS)})")
    parser.add_argument("--floors", action="store_true", help="the lowest versions instead of the newest")
    parser.add_argument("--tests", nargs="*", default=[], help="with --floors: what pytest runs there")
    options = parser.parse_args()
    found = {name: find_python(name) for name in options.python}
    for name in (name for name, python in found.items() if python is None):
        log(f"{name}: cannot be started here, passed over")
    pythons = [python for python in found.values() if python is not None]
    if not pythons:
        raise Failure("no Python to prove the release with; give --python")
    expected = stated_version()
    with tempfile.TemporaryDirectory(prefix="release-") as folder:
        work = Path(folder)
        sdist, wheel = build(pythons[0], work)
        if options.floors:
            prove_floors(pythons[0], work, wheel, expected, options.tests)
        for python in [] if options.floors else pythons:
            prove_python(python, work, sdist, wheel, expected)
    log("all of it works")


if __name__ == "__main__":
    main()
