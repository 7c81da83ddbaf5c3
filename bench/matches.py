"""mAP against the number of training matches, as a figure: sweeps of `train_matches`, one line a sweep.

::

    ballspot sweep matches features/lite0 --data DATA --out runs/matches-lite0
    python bench/matches.py --line ImageNet runs/matches-lite0 --block 60 --out docs/pictures/matches.svg
    python bench/matches.py --line motion runs/amount/features=motion,* --out docs/pictures/amount.svg
"""

import argparse
from pathlib import Path

from matplotlib.figure import Figure

from ballspot.evaluate.results import ComparedSetting, Comparison, compare_runs
from ballspot.evaluate.uncertainty import Bootstrap


def points(comparison: Comparison, settings: tuple[ComparedSetting, ...]) -> list[tuple[int, ComparedSetting]]:
    """The settings by their number of training matches, the mean over folds, fewest first."""
    numbers = []
    for group in comparison.groups:
        n_trained = [len(record["splits"]["train"]) for run in group for record in comparison.runs[run].records]
        numbers.append(round(sum(n_trained) / len(n_trained)))
    return sorted(zip(numbers, settings, strict=True), key=lambda point: point[0])


def draw(lines: dict[str, Comparison], out: Path) -> None:
    """Two panels, all classes and the frequent ones, a line with 95 % intervals for every sweep."""
    figure = Figure(figsize=(8.5, 3.6), layout="constrained")
    panels = figure.subplots(1, 2)
    first = next(iter(lines.values()))
    titles = ("mAP@1 of all classes", f"mAP@1 of classes with {first.min_count} truths or more")
    for place, (panel, title) in enumerate(zip(panels, titles, strict=True)):
        for line, (name, comparison) in enumerate(lines.items()):
            found = points(comparison, (comparison.settings, comparison.frequent_settings)[place])
            x = [number * 1.03**line for number, _ in found]  # side by side where intervals would hide one another
            y = [100 * setting.mean_ap for _, setting in found]
            bounds = [setting.interval.known or (setting.mean_ap, setting.mean_ap) for _, setting in found]
            below = [value - 100 * low for value, (low, _) in zip(y, bounds, strict=True)]
            above = [100 * high - value for value, (_, high) in zip(y, bounds, strict=True)]
            errors = [[max(0.0, one) for one in side] for side in (below, above)]
            panel.errorbar(x, y, yerr=errors, marker="o", capsize=3, label=name)
        panel.set(title=title, xlabel="training matches of three minutes", xscale="log", ylim=(0, None))
        numbers = sorted({number for one in lines.values() for number, _ in points(one, one.settings)})
        panel.set_xticks(numbers, [str(number) for number in numbers])
        panel.minorticks_off()
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("%, out of fold")
    panels[1].legend()
    figure.savefig(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--line",
        nargs="+",
        action="append",
        required=True,
        metavar=("NAME", "SWEEP"),
        help="what a line is called, and the folders of its sweep: a whole one, or some of its settings",
    )
    parser.add_argument("--block", type=float, default=60.0, help="seconds of a block that is drawn again")
    parser.add_argument("--out", type=Path, required=True, help="the figure, SVG or PNG")
    given = parser.parse_args()
    lines = {}
    for name, *folders in given.line:
        lines[name] = compare_runs([Path(one) for one in folders], bootstrap=Bootstrap(block_s=given.block))
    draw(lines, given.out)


if __name__ == "__main__":
    main()
