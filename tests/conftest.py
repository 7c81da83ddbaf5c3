"""Settings of all tests, and drawn matches, made once: ten seconds each, 64x96 pixels, 25 frames a second."""

import gc
import os
import random
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: as many processes as cores share the machine
# What ballspot remembers of own code lies in the home folder; a test leaves that alone.
os.environ["XDG_STATE_HOME"] = os.environ.get("BALLSPOT_TEST_STATE") or tempfile.mkdtemp(prefix="ballspot-state-")
os.environ["BALLSPOT_TEST_STATE"] = os.environ["XDG_STATE_HOME"]  # the workers of pytest-xdist share it

os.environ["PYTHONDONTWRITEBYTECODE"] = ""  # else each process that a test starts compiles the package; Git ignores it

import av
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import HealthCheck, settings

import ballspot
from ballspot.cache.code import places, trust
from ballspot.cli import main
from ballspot.extract.data_root.synth import synthesize

from . import measured

with suppress(ImportError):
    # submitit sets logging up when it is imported, and closes all handlers that there are. One of absl, which OpenVINO
    # brings, then closes the stream that pytest reads. So submitit comes first.
    import submitit  # noqa: F401  for what importing it does

sys.dont_write_bytecode = False  # of this process, which may have been started otherwise

# The repository's root is the package. pytest imports it once more by the name of its folder, or, where that is no
# Python name ("ballspot-main"), as a module "__init__", in which no relative import works: here it finds the package.
sys.modules.setdefault("__init__", ballspot)

# The tests' own servers are on this machine: no proxy of a company or a CI leads to them.
for name in ("NO_PROXY", "no_proxy"):
    os.environ[name] = ",".join(filter(None, [os.environ.get(name), "127.0.0.1", "localhost"]))

# No test cuts the power, and a process that is killed loses nothing that the system has: syncs of some 10 ms each show
# nothing. Whether a file is synced is tested where the calls are watched.
os.fsync = lambda descriptor: None

if "COVERAGE_PROCESS_CONFIG" in os.environ:  # which coverage sets for the processes of a measured one
    measured.decoders_end_by_themselves()

# A busy machine is no failure: speed is measured by the scripts in bench/, never by a test.
# Examples are random for a person, and the same every time in continuous integration: no chance decides there.
settings.register_profile(
    "ballspot",
    deadline=None,
    max_examples=int(os.environ.get("BALLSPOT_EXAMPLES", "40")),  # where a test asks for no number of its own
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("ballspot")

LONGEST = (  # files whose tests take longest come first, so that no core is left with one of them at the end
    "test_plan.py", "finetune/test_run.py", "viewer/test_browser.py", "test_robustness.py", "test_on_ray.py",
    "on_video/test_predict.py", "test_engines.py", "house/test_gpu.py", "test_kills.py", "test_clusters.py",
    "test_edit_page.py", "test_pretended.py", "test_pool.py", "test_official.py", "test_demo.py", "test_on_a_gpu.py",
    "test_frame_rates.py", "test_techniques.py", "test_optuna_search.py", "adopted/test_use.py", "test_extraction.py",
    "test_tutorials.py", "test_onnx.py", "test_bundle_finetuned.py",
)  # fmt: skip


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The longest files first, in that order; pytest-xdist gives them out in the order of collection.

    Rounds marked `faults` are left out, wherever they stand, unless `-m` names them.
    """
    if "faults" not in config.option.markexpr and not os.environ.get("BALLSPOT_FAULTS"):
        long = [item for item in items if item.get_closest_marker("faults")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if not item.get_closest_marker("faults")]
    items.sort(key=lambda item: next((n for n, file in enumerate(LONGEST) if item.path.as_posix().endswith(file)), 99))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Modules and tests stay to the end: the garbage collector need not look through all these objects again and again.

    Each full search of theirs takes 0.2 seconds.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


N_FRAMES = 250
torch.set_num_threads(1)  # decord and torch share a process here: torch first, or its libraries break


@pytest.fixture
def nothing_named(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A user who has named no code of his own yet, whatever other tests named in this process."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
    monkeypatch.setattr(trust, "_seen", set())
    monkeypatch.setattr(places, "_held", {})


@pytest.fixture(autouse=True)
def same_draws() -> None:
    """Every test draws the same numbers, whichever tests ran before it in its process."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(autouse=True, scope="module")
def kept_backbones(request: pytest.FixtureRequest) -> Iterator[None]:
    """Backbones are loaded, and decoders are started, in a fraction of the time."""
    from .kept import keeping  # not where pytest-xdist only hands out tests: it takes seconds to import

    with keeping(request.path.relative_to(Path(__file__).parent)):
        yield


@pytest.fixture(scope="session")
def drawn(ten_seconds: Path) -> Path:
    """A data root with three drawn matches; not to be written to."""
    return ten_seconds


@pytest.fixture(scope="session")
def ten_seconds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same in a folder whose `drawn` is another one."""
    out = tmp_path_factory.mktemp("drawn") / "data"
    synthesize(out, n_matches=3, minutes=N_FRAMES / 25 / 60, fps=Fraction(25), size=(64, 96), seed=1)
    return out


@pytest.fixture(scope="session")
def video(drawn: Path) -> Path:
    """One drawn match's video: 250 frames, a key frame every 12, B-frames between."""
    return drawn / "synth" / "drawn" / "match-01" / "64p.mp4"


@pytest.fixture(scope="session")
def brief(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same matches but of four seconds, for tests that read them again and again; not to be written to."""
    out = tmp_path_factory.mktemp("brief") / "data"
    synthesize(out, n_matches=3, minutes=4 / 60, fps=Fraction(25), size=(64, 96), seed=1)
    return out


@pytest.fixture(scope="session")
def faststart(video: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same video with its index in front, as files from the web have it: it opens even when its end is missing."""
    path = tmp_path_factory.mktemp("faststart") / "a.mp4"
    with av.open(str(video)) as old, av.open(str(path), "w", options={"movflags": "+faststart"}) as new:
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        for packet in old.demux(stream):
            if packet.size:
                packet.stream = copy
                new.mux(packet)
    return path


@dataclass(frozen=True)
class Shared:
    """A small head on drawn matches: data root, its features, smaller ones made of them, a run on each."""

    data: Path
    plain: Path
    components: Path
    plain_run: Path
    components_runs: Path


@pytest.fixture(scope="session")
def shared(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Shared:
    """Trained once by the commands that a user would give; not to be written to."""
    root = tmp_path_factory.mktemp("shared")
    small = ("kind=gru", "width=16", "clip_frames=20", "n_epochs=1", "warmup_epochs=0", "epoch_frames=400")

    def ballspot(*words: object) -> None:
        result = CliRunner().invoke(main, [str(word) for word in words])
        assert result.exit_code == 0, result.output + result.stderr

    def train(features: Path, run: Path, *more: object) -> None:
        settings = [word for one in small for word in ("--set", one)]
        ballspot("train", features, "--data", drawn, "--run", run, "--device", "cpu", *settings, *more)

    sets = root / "features"
    extract = ("extract", drawn, "--out", sets, "--set", "seen", "--size", "64x96", "--workers", 1, "--device", "cpu")
    ballspot(*extract, "--weights", "random:3")
    ballspot("cache", "pca", sets / "seen", "--dim", 12, "--data", drawn)
    train(sets / "seen", root / "runs" / "plain", "--set", "scaling=train")
    train(sets / "seen-pca12", root / "runs" / "components", "--seeds", 2)
    return Shared(drawn, sets / "seen", sets / "seen-pca12", root / "runs" / "plain", root / "runs" / "components")
