"""What pages of 2 MB, which torch asks for when `ballspot` runs it, bring to a step of fine-tuning on a CPU.

    python bench/pages.py

The named baseline in the same run is the same step with the system's own pages of 4 kB. Each is a process of its own
with one thread, and they take turns, round by round; medians. A step: 200 pictures of 112x200 through regnety_002,
forward and backward, and AdamW. Prints a Markdown table.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from statistics import median

STEPS = 3


def step_s() -> dict[str, float]:
    """Median seconds of a step after a first one, system seconds and page faults of a step, peak memory, the loss."""
    import timm
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    backbone = timm.create_model("regnety_002", num_classes=0).train()
    optimizer = torch.optim.AdamW(backbone.parameters(), lr=1e-4)
    pictures = torch.randn(200, 3, 112, 200)
    times, loss, before = [], torch.zeros(()), resource.getrusage(resource.RUSAGE_SELF)
    for step in range(1 + STEPS):
        if step == 1:
            before = resource.getrusage(resource.RUSAGE_SELF)
        started = time.perf_counter()
        loss = backbone(pictures).square().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        times.append(time.perf_counter() - started)
    after = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "s": median(times[1:]),
        "system_s": (after.ru_stime - before.ru_stime) / STEPS,
        "faults": (after.ru_minflt - before.ru_minflt) / STEPS,
        "mb": after.ru_maxrss / 1024,
        "loss": loss.item(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(step_s()))
        return
    found: dict[str, list[dict[str, float]]] = {"0": [], "1": []}
    for _ in range(arguments.rounds):
        for pages, rounds in found.items():
            environment = {**os.environ, "THP_MEM_ALLOC_ENABLE": pages}
            words = [sys.executable, __file__, "--one"]
            rounds.append(json.loads(subprocess.run(words, env=environment, capture_output=True, check=True).stdout))
    print("| pages | s a step | system s | page faults | peak MB | loss |")
    print("|---|---|---|---|---|---|")
    for pages, rounds in found.items():
        middle = {key: median(one[key] for one in rounds) for key in rounds[0]}
        print(
            f"| {'2 MB' if pages == '1' else '4 kB'} | {middle['s']:.2f} | {middle['system_s']:.2f} | "
            f"{middle['faults']:,.0f} | {middle['mb']:.0f} | {middle['loss']!r} |"
        )
    ratios = [small["s"] / large["s"] for small, large in zip(found["0"], found["1"], strict=True)]
    print(f"\n4 kB / 2 MB, median of {arguments.rounds} rounds: {median(ratios):.2f}")


if __name__ == "__main__":
    main()
