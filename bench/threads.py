"""What a training step costs on a quiet and on a busy machine, by how its threads wait and how many they are.

    python bench/threads.py --load 0 --load 2 --load 8

The named baseline is torch as it comes: a thread a core, and threads that wait for one another by spinning. Beside it
stand threads that sleep while they wait (OMP_WAIT_POLICY=PASSIVE), at once or after 10,000 turns (GOMP_SPINCOUNT, which
`ballspot` sets), and a single thread. The load is so many processes that compute without end. Each measurement is a
process of its own, and the ways take turns, round by round; medians of the milliseconds a step of the preset `best` on
cached features. Prints a Markdown table.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from statistics import median

SLEEPING = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}
WAYS = {
    "a thread a core, spinning": {"OMP_WAIT_POLICY": "", "GOMP_SPINCOUNT": ""},
    "a thread a core, sleeping at once": SLEEPING,
    "a thread a core, sleeping after 10,000 turns": {**SLEEPING, "GOMP_SPINCOUNT": "10000"},
    "one thread": {**SLEEPING, "OMP_NUM_THREADS": "1"},
}
STEPS = 6
LOAD = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: sum(range(10**6))"  # ends with its parent


def step_s() -> float:
    """Median seconds of a step of `best`, over three short epochs after a first one."""
    sys.path.insert(0, str(Path(__file__).parent))
    from train import cached_epochs

    return median(islice(cached_epochs("unet", batch_clips=16, n_steps=STEPS, preset="best"), 1, 4))


@contextmanager
def busy(n_processes: int) -> Iterator[None]:
    """So many processes that compute until the end."""
    others = [subprocess.Popen([sys.executable, "-c", LOAD]) for _ in range(n_processes)]
    try:
        yield
    finally:
        for process in others:
            process.kill()
            process.wait()


def measured(environment: dict[str, str]) -> float:
    """The seconds of a step in a process with these variables; an empty one is left out."""
    whole = {name: text for name, text in {**os.environ, **environment}.items() if text}
    if "OMP_NUM_THREADS" not in environment:
        whole.pop("OMP_NUM_THREADS", None)
    words = [sys.executable, __file__, "--one"]
    return json.loads(subprocess.run(words, env=whole, capture_output=True, check=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--load", type=int, action="append", help="Other processes; may be repeated.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(step_s()))
        return
    loads = arguments.load or [0, 2, 8]
    print(f"| threads | {' | '.join(f'ms a step, load {load}' for load in loads)} |")
    print(f"|---|{'---|' * len(loads)}")
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    for load in loads:
        with busy(load):
            rounds = [
                {way: measured(environment) for way, environment in WAYS.items()} for _ in range(arguments.rounds)
            ]
        for way, times in found.items():
            times.append(1000 * median(turn[way] for turn in rounds))
    for way, times in found.items():
        print(f"| {way} | {' | '.join(f'{ms:.0f}' for ms in times)} |")


if __name__ == "__main__":
    main()
