"""What a sweep shows: its plan and its results."""

import json
from collections.abc import Sequence
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

from ...cache.terminal import clock, print_table, say

if TYPE_CHECKING:
    from .cost import Cost
    from .plan import PlannedRun
    from .space import Sweep


def show_plan(
    sweep: "Sweep",
    planned: Sequence["PlannedRun"],
    costs: Sequence["Cost"],
    n_jobs: int,
    *,
    retry_failed: bool,
    as_json: bool,
) -> None:
    """Prints the settings with the state, the expected time and the disk of their runs."""
    rows, total_s, total_bytes = [], 0.0, 0
    for place, (setting, cost) in enumerate(zip(sweep.settings, costs, strict=True)):
        states = [run.state for run in planned if run.setting == place]
        n_left = sum(state != "done" and (retry_failed or state != "failed") for state in states)
        total_s += n_left * cost.seconds
        total_bytes += n_left * cost.n_bytes
        rows.append((setting, states, n_left, cost))
    if as_json:
        entries = [
            {
                "name": setting.name,
                "varied": dict(setting.varied),
                "n_runs": len(states),
                "n_left": n_left,
                "run_s": round(cost.seconds, 3),
                "run_bytes": cost.n_bytes,
                "from_finished_runs": cost.measured,
            }
            for setting, states, n_left, cost in rows
        ]
        found = {"title": sweep.title, "n_jobs": n_jobs, "cpu_s": round(total_s, 3), "bytes": total_bytes}
        say(json.dumps({**found, "settings": entries}, indent=1, ensure_ascii=False))
        return
    print_table(
        ("setting", "runs", "left", "s a run", "MB a run", "known from"),
        [
            (
                setting.name,
                str(len(states)),
                str(n_left),
                f"{cost.seconds:.0f}",
                f"{cost.n_bytes / 1e6:.1f}",
                "finished runs" if cost.measured else "a few steps",
            )
            for setting, states, n_left, cost in rows
        ],
    )
    n_left = sum(n for _, _, n, _ in rows)
    say(
        f"\n{sweep.title}: {n_left} of {len(planned)} runs left, about {clock(total_s / n_jobs)} with {n_jobs} at a "
        f"time, {total_bytes / 1e6:.0f} MB; with validation"
    )


def show_results(sweep: "Sweep", planned: Sequence["PlannedRun"], *, as_json: bool) -> None:
    """Prints every setting's mean over its finished runs, and the deviation over its seeds.

    With folds a seed's value is the mean over its folds, of seeds whose folds are all done: folds have other matches,
    which are no luck of a training.
    """
    from ...cache.runs import RunFolder

    entries: list[dict[str, Any]] = []
    for place, setting in enumerate(sweep.settings):
        of_setting = [run for run in planned if run.setting == place]
        done = [RunFolder(run.job.run) for run in of_setting if run.state == "done"]
        values = [run.metric("mean_ap") for run in done]
        by_seed = _seeds_that_ended(of_setting)
        entries.append(
            {
                "name": setting.name,
                "n_done": len(values),
                "n_failed": sum(run.state == "failed" for run in of_setting),
                "mean_ap": mean(values) if values else None,
                "sd": stdev(by_seed) if len(by_seed) > 1 else None,
                "train_s": mean(run.metric("train_s") for run in done) if done else None,
            }
        )
    if as_json:
        say(json.dumps({"title": sweep.title, "settings": entries}, indent=1, ensure_ascii=False))
        return
    print_table(
        ("setting", "runs done", "valid mAP@1", "sd of seeds", "s a run"),
        [
            (
                entry["name"],
                str(entry["n_done"]),
                "-" if entry["mean_ap"] is None else f"{100 * entry['mean_ap']:.2f}",
                "-" if entry["sd"] is None else f"{100 * entry['sd']:.2f}",
                "-" if entry["train_s"] is None else f"{entry['train_s']:.0f}",
            )
            for entry in entries
        ],
    )


def _seeds_that_ended(of_setting: Sequence["PlannedRun"]) -> list[float]:
    """The mean over its folds of each seed of a setting whose runs are all done."""
    from ...cache.runs import RunFolder

    by_seed: dict[str, list[PlannedRun]] = {}
    for run in of_setting:
        by_seed.setdefault(run.job.run.name, []).append(run)
    return [
        mean(RunFolder(run.job.run).metric("mean_ap") for run in runs)
        for runs in by_seed.values()
        if all(run.state == "done" for run in runs)
    ]
