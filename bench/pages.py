"""What pages of 2 MB, and freed memory that is kept, bring to a step of fine-tuning on a CPU.

    python bench/pages.py [--backbone regnety_002] [--threads 1]

The named baseline in the same run is the same step with the system's own pages of 4 kB, given back when they are free.
Each is a process of its own, and they take turns, round by round; medians. A step: 200 pictures of 112x200 through the
backbone, forward and backward, and AdamW. `finetune` has both, the last row. Prints a Markdown table.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from statistics import median

FIRST_STEPS, STEPS = 2, 3
WAYS = {"4 kB": ("0", False), "2 MB": ("1", False), "4 kB, kept": ("0", True), "2 MB, kept": ("1", True)}


def step_s(name: str, n_threads: int, *, is_kept: bool) -> dict[str, float]:
    """Median seconds of a step after the first two, system seconds and page faults of it, peak memory, the loss."""
    import timm
    import torch

    from ballspot.cache.machine import keep_freed_memory

    if is_kept:
        keep_freed_memory()
    torch.set_num_threads(n_threads)
    torch.manual_seed(0)
    backbone = timm.create_model(name, num_classes=0).train()
    optimizer = torch.optim.AdamW(backbone.parameters(), lr=1e-4)
    pictures = torch.randn(200, 3, 112, 200)
    times, loss, before = [], torch.zeros(()), resource.getrusage(resource.RUSAGE_SELF)
    for step in range(FIRST_STEPS + STEPS):
        if step == FIRST_STEPS:
            before = resource.getrusage(resource.RUSAGE_SELF)
        started = time.perf_counter()
        loss = backbone(pictures).square().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        times.append(time.perf_counter() - started)
    after = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "s": median(times[FIRST_STEPS:]),
        "system_s": (after.ru_stime - before.ru_stime) / STEPS,
        "faults": (after.ru_minflt - before.ru_minflt) / STEPS,
        "mb": after.ru_maxrss / 1024,
        "loss": loss.item(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--backbone", default="regnety_002")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(step_s(given.backbone, given.threads, is_kept=WAYS[given.one][1])))
        return
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for _ in range(given.rounds):
        for way, rounds in found.items():
            environment = {**os.environ, "THP_MEM_ALLOC_ENABLE": WAYS[way][0]}
            words = [sys.executable, __file__, *sys.argv[1:], "--one", way]
            rounds.append(json.loads(subprocess.run(words, env=environment, capture_output=True, check=True).stdout))
    print("| pages | s a step | 4 kB / this | system s | page faults | peak MB | loss |")
    print("|---|---|---|---|---|---|---|")
    for way, rounds in found.items():
        middle = {key: median(one[key] for one in rounds) for key in rounds[0]}
        ratio = median(small["s"] / one["s"] for small, one in zip(found["4 kB"], rounds, strict=True))
        print(
            f"| {way} | {middle['s']:.2f} | {ratio:.2f} | {middle['system_s']:.2f} | {middle['faults']:,.0f} | "
            f"{middle['mb']:.0f} | {middle['loss']!r} |"
        )


if __name__ == "__main__":
    main()
