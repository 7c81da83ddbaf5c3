"""Figures of a comparison for papers and theses: settings with intervals, classes, learning curves."""

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from ..results import ComparedSetting, Comparison, learning_curve
from .charts import LINE_COLOURS
from .plots import FAINT, INK, frame, paint
from .tables import frequent_name, mean_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")  # beside the colours, for print in black and white
MOST_SETTINGS = len(MARKS)  # in a figure that tells settings apart by colour
NAME = 36  # letters of a line of a setting's name
LEGEND = 0.17  # inches that a line of a legend takes
ROW = 0.34  # inches that a row of a figure takes
WIDTH = 6.3  # inches: the text of an A4 page


def draw_comparison(comparison: Comparison, folder: Path, form: str = "png") -> list[Path]:
    """Draws every figure into ``folder`` as "png", "pdf" or "svg" and gives the paths.

    Classes and learning curves show the first eight settings. Raises BallspotError when matplotlib is not installed
    (extra `plots`).
    """
    counts = comparison.n_truths
    names = (mean_names(comparison.label_set)[0], frequent_name(counts, comparison.min_count))
    pictures: dict[str, tuple[tuple[float, float], Callable[[Axes], None]]] = {}
    for name, title, settings in zip(
        ("settings", "settings-frequent"), names, (comparison.settings, comparison.frequent_settings), strict=True
    ):
        if settings:
            size = (WIDTH, 1.0 + ROW * len(settings))
            pictures[name] = size, lambda axes, found=settings, said=title: draw_settings(axes, found, said)
    n_shown = min(len(comparison.groups), MOST_SETTINGS)
    legend = LEGEND * n_shown
    size = (WIDTH, 0.8 + 0.055 * sum(count > 0 for count in counts) * (n_shown + 2) + legend)
    pictures["classes"] = size, lambda axes: draw_class_scores(axes, comparison, counts)
    if any(run.learning for run in comparison.runs):
        pictures["learning"] = (WIDTH, 3.0 + legend), lambda axes: draw_learning(axes, comparison)
    return [paint(folder / f"{name}.{form}", size, draw) for name, (size, draw) in pictures.items()]


def draw_settings(axes: "Axes", settings: Sequence[ComparedSetting], title: str) -> None:
    """A row a setting: its mean over seeds as a point on its interval; the baseline first and in bold."""
    ordered = [*settings[:1], *sorted(settings[1:], key=lambda setting: -setting.mean_ap)]
    for row, setting in enumerate(ordered):
        if setting.interval.known is not None:
            axes.plot([100 * bound for bound in setting.interval.known], [row, row], color=LINE_COLOURS[0], alpha=0.4,
                      linewidth=3)  # fmt: skip
        axes.plot(100 * setting.mean_ap, row, "o", color=LINE_COLOURS[0])
        axes.annotate(f"{100 * setting.mean_ap:.1f}", (100 * setting.mean_ap, row), (0, 5), fontsize=8, ha="center",
                      textcoords="offset points", color=INK)  # fmt: skip
    names = [fill(setting.name.replace(",", ", "), NAME, break_long_words=False) for setting in ordered]
    axes.set_yticks(range(len(ordered)), names, fontsize=8)
    axes.get_yticklabels()[0].set_fontweight("bold")
    axes.set_ylim(len(ordered) - 0.4, -0.7)
    has_intervals = any(setting.interval.known is not None for setting in ordered)
    _figure(axes).supxlabel(f"{title}, in %{', with 95 % intervals' if has_intervals else ''}", fontsize=9)
    frame(axes, grid="x")


def _figure(axes: "Axes") -> Any:
    """The whole figure that a drawing is in."""
    return axes.get_figure(root=True)


def draw_class_scores(axes: "Axes", comparison: Comparison, counts: Sequence[int]) -> None:
    """A row a class that has truths, a mark a setting; truths beside the names."""
    groups = comparison.groups[:MOST_SETTINGS]
    labels = [label for label, count in zip(comparison.label_set.labels, counts, strict=True) if count]
    rows = np.arange(len(labels), dtype=float)
    for place, group in enumerate(groups):
        values = [100 * mean(comparison.runs[run].per_class[label]["ap"] for run in group) for label in labels]
        offset = (place - (len(groups) - 1) / 2) * 0.6 / max(len(groups), 2)
        axes.plot(values, rows + offset, MARKS[place], color=LINE_COLOURS[place], label=comparison.names[place], ms=5)
    for row in rows[:-1]:
        axes.axhline(row + 0.5, color=FAINT, linewidth=0.4)
    names = [f"{label} ({count})" for label, count in zip(labels, filter(None, counts), strict=True)]
    axes.set_yticks(rows, names)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_xlim(left=-2)
    _figure(axes).supxlabel("AP in %, mean over seeds; truths in brackets", fontsize=9)
    _legend(axes)
    frame(axes, grid="x")


def draw_learning(axes: "Axes", comparison: Comparison) -> None:
    """A line a setting: mAP of the validation matches after each epoch, its band from the least to the most seed."""
    for place, group in enumerate(comparison.groups[:MOST_SETTINGS]):
        epochs, middle, low, high = learning_curve([comparison.runs[run] for run in group])
        colour, name = LINE_COLOURS[place], comparison.names[place]
        axes.plot(epochs, middle, marker=MARKS[place], ms=4, color=colour, label=name)
        axes.fill_between(epochs, low, high, color=colour, alpha=0.15, linewidth=0)
    ticks: Any = axes.xaxis.get_major_locator()
    ticks.set_params(integer=True)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("epoch", fontsize=9)
    axes.set_ylabel("validation mAP in %", fontsize=9)
    _legend(axes)
    frame(axes, grid="both")


def _legend(axes: "Axes") -> None:
    axes.legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0.0, 1.0))
