"""What a machine with a GPU does, part by part, beside what it could do: ten minutes, one command.

    python bench/gpu.py                                  on the GPU; the table is gpu.md
    python bench/gpu.py --out OUT/gpu.md --wheels DIR    without a network: packages from wheels in a folder
    python bench/gpu.py --toy --device cpu               the same at toy size in a minute, to try the script itself

Sections run in order, each within its seconds, and the table is on the disk after each of them: a run that is cut off
leaves what it has measured. A section that lacks a package, or a GPU, says so, and the others go on; so torch, timm and
NumPy are enough to begin with. The package need not be installed: that of this checkout is taken. At the end stand the
decisions that the numbers ask for.
"""

import argparse
import importlib.util
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import ZipFile

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bench"))
LENIENCE = 1.5  # times its seconds, after which a section is stopped


@dataclass(frozen=True)
class Row:
    """One measured thing: a number with its unit, the most it could be, and why; or words."""

    section: str
    what: str
    value: float | str
    unit: str = ""
    ceiling: float | None = None
    why: str = ""

    def line(self) -> str:
        """The row as Markdown."""
        share = ""
        if isinstance(self.value, float) and self.ceiling:
            share = f"{shown(self.ceiling)} ({100 * self.value / self.ceiling:.0f} %)"
        cells = (self.section, self.what, shown(self.value), self.unit, share, self.why)
        return f"| {' | '.join(str(cell).replace('|', '/') for cell in cells)} |"


@dataclass
class Check:
    """What the sections share: where they compute, how large, and what has been measured so far."""

    device: Any
    is_toy: bool
    folder: Path
    videos: Path | None
    rows: list[Row] = field(default_factory=list)
    ends: float = 0.0
    section: str = ""
    note: Callable[[Row], None] = lambda row: None

    def add(
        self, what: str, value: float | str, unit: str = "", *, ceiling: float | None = None, why: str = ""
    ) -> None:
        """Writes a row down."""
        self.rows.append(Row(self.section, what, value, unit, ceiling, why))
        self.note(self.rows[-1])

    def found(self, what: str, *, section: str | None = None) -> float | None:
        """A number that an earlier row holds, None without it."""
        for row in self.rows:
            if row.what == what and section in (None, row.section) and isinstance(row.value, float):
                return row.value
        return None

    @property
    def on_gpu(self) -> bool:
        """Whether this is the real thing."""
        return self.device.type == "cuda"

    @property
    def left_s(self) -> float:
        """The seconds that the section still has."""
        return self.ends - time.monotonic()

    def wait(self) -> None:
        """Waits for the device."""
        if self.on_gpu:
            import torch

            torch.cuda.synchronize()

    def seconds(self, call: Callable[[], object], *, at_most_s: float = 3.0, warm: int = 3) -> float:
        """Seconds of one call, the mean of as many as `at_most_s` allows, two at least."""
        for _ in range(1 if self.is_toy else warm):
            call()
        self.wait()
        started, n = time.monotonic(), 0
        limit = 0.02 if self.is_toy else min(at_most_s, max(self.left_s, 0.2))
        while n < 2 or time.monotonic() - started < limit:
            call()
            n += 1
            if n % 8 == 0:
                self.wait()  # what is queued but not done is no rate
        self.wait()
        return (time.monotonic() - started) / n


def shown(value: float | str) -> str:
    """A number with three digits that count."""
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raises TimeoutError in the main thread when so many seconds are over; what is in native code ends first."""

    def stop(number: int, frame: Any) -> None:
        raise TimeoutError(f"stopped after {seconds:.0f} s")

    if not hasattr(signal, "SIGALRM"):
        yield
        return
    before, began = signal.signal(signal.SIGALRM, stop), time.monotonic()
    left, _ = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if left:  # of a limit that was there before
            signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - began), 0.01))


def make_importable(wheels: Path | None) -> None:
    """Has this process and all it starts find the package of this checkout and those in wheels."""
    folder = Path(tempfile.mkdtemp(prefix="ballspot-gpu-"))
    if importlib.util.find_spec("ballspot") is None:
        (folder / "ballspot").symlink_to(ROOT)
    for wheel in sorted(wheels.glob("*.whl")) if wheels else ():
        with ZipFile(wheel) as packed:
            packed.extractall(folder)
    if any(folder.iterdir()):
        sys.path.insert(0, str(folder))
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH", "")]))
    else:
        folder.rmdir()


def write_table(path: Path, rows: list[Row], ends: list[str]) -> None:
    """The whole table, written beside its place, synced and renamed."""
    head = ["| section | what | measured | unit | ceiling (share) | remark |", "|---|---|---|---|---|---|"]
    text = "\n".join([*head, *(row.line() for row in rows), "", *ends, ""])
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.writing")
    with beside.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def decisions(check: Check) -> list[str]:
    """What the numbers ask for, a line each."""
    questions = (
        ("half weights and a graph", "half + graph, batch 64", "autocast, batch 64", "backbone", 2.0,
         "worth it: keep them the default", "not worth it"),
        ("NVDEC at 720p", "NVDEC 720p, best", "PyAV 720p, best", "decoding", 2.0,
         "worth it above 360 lines", "not worth it: decode on the cores"),
        ("eight stacked heads", "one head, eager", "8 stacked, one step of all", "head step", 1 / 3,
         "stack runs of one shape", "several processes instead"),
    )  # fmt: skip
    lines = ["## Decisions", ""]
    for name, ours, theirs, section, least, yes, no in questions:
        one, other = check.found(ours, section=section), check.found(theirs, section=section)
        if one is None or other is None:
            lines.append(f"- {name}: not measured here")
            continue
        verdict = yes if one >= least * other else no
        lines.append(f"- {name}: {shown(one)} against {shown(other)}, {one / other:.2f} times ({verdict})")
    return lines


def run(check: Check, sections: dict[str, tuple[float, Callable[[Check], None]]], out: Path) -> list[str]:
    """All sections; the table is written after each. Gives the names of those that failed in a way nobody foresaw."""
    began, failed = time.monotonic(), []
    for name, (seconds, function) in sections.items():
        check.section, started = name, time.monotonic()
        check.ends = started + seconds
        try:
            with limited(LENIENCE * seconds):
                function(check)
        except ImportError as error:
            check.add("not run", f"needs {error.name or error}")
        except TimeoutError as error:
            check.add("not finished", str(error))
        except Exception as error:  # noqa: BLE001 - the other sections are measured all the same
            check.add("failed", f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:160]}")
            failed.append(name)
            traceback.print_exc()
        check.add("seconds of the section", round(time.monotonic() - started, 1), "s", ceiling=seconds)
        write_table(out, check.rows, [f"{time.monotonic() - began:.0f} s so far"])
    write_table(out, check.rows, decisions(check))
    return failed


def main(words: list[str] | None = None) -> int:
    """Runs the check and prints where the table is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("gpu.md"), help="the table")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--toy", action="store_true", help="toy sizes: tries the script, measures nothing of use")
    parser.add_argument("--wheels", type=Path, help="a folder of wheels to take packages from")
    parser.add_argument("--videos", type=Path, help="a data root whose videos are decoded; else some are drawn")
    parser.add_argument("--only", nargs="*", help="names of sections")
    given = parser.parse_args(words)
    make_importable(given.wheels)
    import torch
    from gpu_sections import SECTIONS

    device = torch.device(given.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        print("no GPU that torch can use; --toy --device cpu tries the script", file=sys.stderr)
        return 2
    chosen = {name: one for name, one in SECTIONS.items() if given.only is None or name in given.only}
    with tempfile.TemporaryDirectory(prefix="ballspot-gpu-") as folder:
        check = Check(device, given.toy, Path(folder), given.videos, note=lambda row: print(row.line(), flush=True))
        failed = run(check, chosen, given.out)
    with suppress(OSError):
        print(given.out.read_text().partition("## Decisions")[2])
    print(f"table: {given.out}" + (f"; failed: {', '.join(failed)}" if failed else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
