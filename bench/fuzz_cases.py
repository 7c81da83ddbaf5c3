"""Runs cases of damage in a process of their own, with a limit of time and memory each; see `fuzz_readers.py`."""

import faulthandler
import json
import mmap
import os
import random
import resource
import signal
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TextIO

import numpy as np
from fuzz_damage import Target, damage

from ballspot.cache.errors import BallspotError

GROUPS = {
    "spots": "fuzz_spots.spots_targets",
    "configs": "fuzz_runs.config_targets",
    "runs": "fuzz_runs.run_targets",
    "stores": "fuzz_stores.store_targets",
    "requests": "fuzz_stores.request_targets",
    "heads": "fuzz_tensors.head_targets",
    "features": "fuzz_tensors.feature_targets",
}
MOST_FINDINGS = 100
IDLE_S = 300.0  # of the clock: a case that waits for something that never comes


@dataclass(frozen=True)
class Limits:
    """Of one case: CPU seconds, and bytes of memory beyond what the process had before."""

    case_s: float = 20.0
    memory_bytes: int = 2**30


@dataclass(frozen=True)
class Outcome:
    """How often each reader read and how often it refused, and what else came of it, each kind of it once."""

    counts: Mapping[str, tuple[int, int]]
    findings: tuple[str, ...]


def load_targets(groups: list[str], folder: Path) -> dict[str, Target]:
    """The readers of the named groups, made in ``folder``."""
    targets: dict[str, Target] = {}
    for group in groups:
        module, _, name = GROUPS[group].partition(".")
        (folder / group).mkdir(parents=True)
        targets |= getattr(import_module(module), name)(folder / group)
    return targets


def fuzz(
    targets: Mapping[str, Target], *, seconds: float, seed: int, keep: Path, limits: Limits | None = None
) -> Outcome:
    """Gives the readers damaged files until the time is over; those that gave findings are kept in ``keep``."""
    limits, names = limits or Limits(), list(targets)
    shared = np.frombuffer(mmap.mmap(-1, 8 * (1 + 2 * len(names))), np.int64)  # the last case, and counts
    keep.mkdir(parents=True, exist_ok=True)
    found_path, trace_path = keep / "findings.jsonl", keep / "trace.txt"
    found_path.touch()
    findings: dict[str, str] = {}
    end = time.monotonic() + seconds
    while time.monotonic() < end and len(findings) < MOST_FINDINGS:
        child = os.fork()
        if child == 0:
            try:
                with found_path.open("a", encoding="utf-8") as found, trace_path.open("w", encoding="utf-8") as trace:
                    _work(targets, seed, end, shared, found, trace, keep, limits)
            except BaseException:  # noqa: BLE001  whatever it is, the child must not go on as its parent
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        ended_by = _watch(child, shared)
        for line in found_path.read_text(encoding="utf-8").splitlines():
            key, text = json.loads(line)
            findings.setdefault(key, text)
        if ended_by:
            case = int(shared[0])
            name, content = case_of(targets, seed, case)
            _keep(keep, seed, case, targets[name], content)
            frames = trace_path.read_text(encoding="utf-8")
            findings.setdefault(
                f"{name} {ended_by} {_frame(frames)}", f"{name}, case {seed}/{case}: {ended_by}\n{frames}"
            )
    counts = {name: (int(shared[1 + 2 * at]), int(shared[2 + 2 * at])) for at, name in enumerate(names)}
    return Outcome(counts, tuple(findings.values()))


def case_of(targets: Mapping[str, Target], seed: int, case: int) -> tuple[str, bytes]:
    """The reader of a case and the damaged file that it gets; the same for the same numbers."""
    draw = random.Random(f"{seed}/{case}")
    name = draw.choice(list(targets))
    others = [sample for target in targets.values() for sample in target.samples]
    target = targets[name]
    return name, damage(draw, draw.choice(target.samples), others, target.packing)


def _work(
    targets: Mapping[str, Target],
    seed: int,
    end: float,
    shared: np.ndarray,
    found: TextIO,
    trace: TextIO,
    keep: Path,
    limits: Limits,
) -> None:
    """The child's work, from the case after the last one."""
    names, seen = list(targets), set()
    limit_memory(limits.memory_bytes)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    faulthandler.enable(trace)
    faulthandler.register(signal.SIGPROF, trace, chain=True)  # says where it was, then ends the process
    while time.monotonic() < end and len(seen) < MOST_FINDINGS:
        shared[0] += 1
        case = int(shared[0])
        name, content = case_of(targets, seed, case)
        signal.setitimer(signal.ITIMER_PROF, limits.case_s)
        what = read_damaged(targets[name], content)
        signal.setitimer(signal.ITIMER_PROF, 0)
        if what is None or isinstance(what, BallspotError):
            shared[1 + 2 * names.index(name) + (what is not None)] += 1
            continue
        key, text = described(name, what)
        if key not in seen:
            seen.add(key)
            found.write(json.dumps([key, f"{name}, case {seed}/{case}:\n{text}"]) + "\n")
            found.flush()
            _keep(keep, seed, case, targets[name], content)


def read_damaged(target: Target, content: bytes) -> BaseException | None:
    """What reading ``content`` ended in: None, a refusal of one line, or what is a finding."""
    target.place.parent.mkdir(parents=True, exist_ok=True)
    target.place.write_bytes(content)
    try:
        target.read(target.place)
    except BallspotError as error:
        if len(str(error).splitlines()) != 1:
            return ValueError(f"not one line: {error!r}").with_traceback(error.__traceback__)
        return error
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001  whatever else comes is what this looks for; a panic is no Exception
        return error
    return None


def limit_memory(n_bytes: int) -> None:
    """Lets this process take that much memory beyond what it has; no limit where the system does not say."""
    state = Path("/proc/self/statm")
    if state.is_file():
        limit = int(state.read_text().split()[0]) * resource.getpagesize() + n_bytes
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _watch(child: int, shared: np.ndarray) -> str:
    """Waits for the child: what ended it before its time, "" for nothing."""
    last, since = -1, time.monotonic()
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            if os.WIFSIGNALED(status):
                by = signal.Signals(os.WTERMSIG(status)).name
                return "takes too long" if by == "SIGPROF" else f"ended by {by}"
            return f"ended with {os.WEXITSTATUS(status)}" if os.WEXITSTATUS(status) else ""
        if int(shared[0]) != last:
            last, since = int(shared[0]), time.monotonic()
        elif time.monotonic() - since > IDLE_S:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return "waits without end"
        time.sleep(0.05)


def described(name: str, error: BaseException) -> tuple[str, str]:
    """What tells one fault of a reader from another, by the last place in the package that it passed; its traceback."""
    frames = [one for one in traceback.extract_tb(error.__traceback__) if "/bench/" not in one.filename]
    places = [one for one in frames if "site-packages" not in one.filename and "/lib/python" not in one.filename]
    where = f"{Path(places[-1].filename).name}:{places[-1].lineno}" if places else "outside"
    return f"{name} {type(error).__name__} {where}", "".join(traceback.format_exception(error))


def _frame(trace: str) -> str:
    return next((line.strip() for line in trace.splitlines() if line.startswith("  File")), "")


def _keep(keep: Path, seed: int, case: int, target: Target, content: bytes) -> None:
    (keep / f"{seed}-{case}-{target.place.name}").write_bytes(content)
