"""What all cases share: running a command, judging how it ended, and the table of what was tried."""

import json
import os
import shutil
import signal
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from click.testing import CliRunner

from ballspot.cli import main

from ..processes import Ended

ROUNDS = int(os.environ.get("BALLSPOT_FAULTS_ROUNDS", "20"))
SEED = int(os.environ.get("BALLSPOT_FAULTS_SEED", "1"))
REPORT = os.environ.get("BALLSPOT_FAULTS_REPORT")
REFUSED, SAME, OTHER = "refused clearly", "same result", "another result"
VOLATILE = ("started", "finished", "train_s", "peak_memory_mb", "epoch_s", "command_line")

tried: dict[str, Counter[str]] = {}  # by case: how often each outcome came


class HungError(BaseException):
    """What no code that is tried can take for its own trouble."""


def sized(short: int, long: int | None = None) -> Any:
    """Runs a test with ``n_rounds`` = ``short``, and, marked `faults`, with ``long`` or as many as are asked for."""
    many = pytest.param(long or ROUNDS, marks=pytest.mark.faults, id="long")
    return pytest.mark.parametrize("n_rounds", [pytest.param(short, id="short"), many])


def spread(every: Iterable[Any], *short: Any) -> list[Any]:
    """All values for a parameter, those that are not ``short`` marked `faults`."""
    return [one if one in short else pytest.param(one, marks=pytest.mark.faults) for one in every]


def ballspot(*words: object, limit_s: float = 120.0) -> Ended:
    """The command in this process. Raises HungError for one that takes longer than ``limit_s``."""
    with alarm(limit_s):
        result = CliRunner().invoke(main, [str(word) for word in words])
    trace = ""
    if result.exc_info is not None and not isinstance(result.exception, (SystemExit, type(None))):
        trace = "".join(traceback.format_exception(*result.exc_info))
    return Ended(result.exit_code, result.stdout, result.stderr, trace)


def judged(case: str, ended: Ended, result: Callable[[], Any], expected: Any, *, may_differ: bool = False) -> str:
    """Whether a command refused in one line or gave the result it gives undisturbed; noted under ``case``.

    With ``may_differ`` another result will do, where nothing on disk could have told it from the right one.
    """
    if ended.code == 0 and not ended.trace:
        outcome = SAME if result() == expected else OTHER
        assert outcome == SAME or may_differ, f"{case}: another result, and no word of it\n{ended.stdout}{ended.stderr}"
    else:
        require_refusal(case, ended)
        outcome = REFUSED
    note_outcome(case, outcome)
    return outcome


def require_refusal(case: str, ended: Ended) -> str:
    """The line of a refusal; fails for a traceback, several lines, another exit code than 1."""
    assert not ended.trace and "Traceback" not in ended.stderr, f"{case}\n{ended.stderr}\n{ended.trace}"
    assert ended.code == 1, f"{case}: exit code {ended.code}\n{ended.stderr}"
    assert ended.error.startswith("Error: ") and len(ended.error) > 20, f"{case}\n{ended.stderr}"
    assert ended.stderr.count("Error: ") == 1, f"{case}\n{ended.stderr}"
    return ended.error


def note_outcome(case: str, outcome: str) -> None:
    """Counts one more time that ``case`` was tried and ended so; in the report at once, should the session be ended."""
    tried.setdefault(case, Counter())[outcome] += 1
    if REPORT:
        with Path(REPORT).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"case": case, "outcome": outcome}) + "\n")


def contents(folder: Path, *, with_temporary: bool = False) -> dict[str, Any]:
    """Every file below a folder; of JSON and logs what does not hang on the clock and the machine."""
    return {
        path.relative_to(folder).as_posix(): _content(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and (with_temporary or not is_temporary(path))
    }


def is_temporary(path: Path) -> bool:
    """Whether a file is one that was still to be renamed."""
    return path.name.startswith(".") and path.name.endswith(".tmp")


def _content(path: Path) -> Any:
    if path.name in ("run.json", "metrics.json"):
        return _lasting(json.loads(path.read_text(encoding="utf-8")))
    if path.name == "log.jsonl":
        with suppress(ValueError):  # a torn last line
            return [_lasting(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
    if path.suffix == ".safetensors":
        return _without_seconds(path.read_bytes())
    return path.read_bytes()


def _lasting(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name not in VOLATILE}


def _without_seconds(content: bytes) -> Any:
    """A checkpoint's header without the seconds that training took, and its tensors' bytes."""
    n_bytes = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + n_bytes])
    said = header.get("__metadata__", {}).get("ballspot")
    if said is not None:
        said = json.loads(said)
        said.get("progress", {}).pop("train_s", None)
    return header | {"__metadata__": said}, content[8 + n_bytes :]


def restored(base: Path, place: Path) -> Path:
    """``place`` as a fresh copy of ``base``."""
    if place.exists():
        shutil.rmtree(place)
    shutil.copytree(base, place)
    return place


@contextmanager
def alarm(limit_s: float) -> Iterator[None]:
    """Raises HungError in the block when it takes more of the processor: what hangs is a fault, a busy machine none."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise HungError(f"no end after {limit_s} s of the processor")

    before = signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, limit_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
