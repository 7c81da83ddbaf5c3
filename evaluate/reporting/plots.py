"""Pictures of an evaluation: AP with intervals, mistakes, tolerances, timing of scores, confusions."""

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...cache.disk import whole_file
from ...cache.errors import BallspotError
from ..diagnosis import KINDS, NONE, Diagnosis
from ..results import Evaluation
from ..uncertainty import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DPI = 220  # of PNG files: sharp on paper up to the width of a page
INK, FAINT = "#1f2933", "#9aa5b1"
COLOURS = {  # told apart by all common kinds of colour vision (Okabe and Ito), and by order and legend
    "hit": "#009e73",
    "duplicate": "#56b4e9",
    "confusion": "#d55e00",
    "near_miss": "#e69f00",
    "background": "#999999",
    "missed": "#cc79a7",
}


def draw_evaluation(evaluation: Evaluation, folder: Path, form: str = "png") -> list[Path]:
    """Draws every picture of an evaluation that has a diagnosis into ``folder`` and gives the paths.

    ``form`` is "png", "pdf" or "svg". Raises BallspotError when matplotlib is not installed (extra `plots`).
    """
    if evaluation.diagnosis is None:
        raise ValueError("an evaluation without a diagnosis cannot be drawn")
    diagnosis = evaluation.diagnosis
    pictures: dict[str, tuple[tuple[float, float], Callable[[Any], None]]] = {
        "average-precision": ((8, 5), lambda axes: draw_classes(axes, evaluation)),
        "mistakes": ((8.5, 5), lambda axes: draw_mistakes(axes, diagnosis)),
        "fixes": ((7, 3.2), lambda axes: draw_fixes(axes, diagnosis)),
        "tolerance": ((8.5, 4.2), lambda axes: draw_tolerances(axes, diagnosis)),
        "confusion": ((8.5, 6.5), lambda axes: draw_confusion(axes, diagnosis)),
        "calibration": ((5.5, 4.8), lambda axes: draw_calibration(axes, diagnosis)),
    }
    return [paint(folder / f"{name}.{form}", size, draw) for name, (size, draw) in pictures.items()]


def require_matplotlib() -> None:
    """Raises BallspotError when matplotlib is not installed (extra `plots`)."""
    if find_spec("matplotlib") is None:
        raise BallspotError("pictures need matplotlib; install it with: pip install 'ballspot[plots]'")


def paint(path: Path, size: tuple[float, float], draw: "Callable[[Axes], None]") -> Path:
    """Draws a figure of ``size`` in inches to a file whose name ends in its form, whole or not at all.

    Letters of PDF and SVG files stay letters, so that they can be searched and set in another font; a name with dollar
    signs is no formula; the same figure gives the same bytes. Raises BallspotError when matplotlib is not installed
    (extra `plots`).
    """
    require_matplotlib()
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    form = path.suffix.removeprefix(".")
    nobody = {"png": {"Software": None}, "pdf": {"CreationDate": None, "Producer": None, "Creator": None}}
    known: Any = {"text.parse_math": False, "pdf.fonttype": 42, "svg.fonttype": "none", "svg.hashsalt": "ballspot"}
    with rc_context(known), whole_file(path) as temporary:
        figure: Figure = Figure(figsize=size, layout="constrained")
        draw(figure.subplots())
        figure.savefig(temporary, dpi=DPI, format=form, metadata=nobody.get(form, {"Date": None}))
    return path


def draw_classes(axes: "Axes", evaluation: Evaluation) -> None:
    """AP of each class and the means as points with their intervals, truths beside the names."""
    labels, result, sure = evaluation.label_set.labels, evaluation.result, evaluation.uncertainty
    names = [*(f"{label} ({n})" for label, n in zip(labels, result.n_truth, strict=True)), f"mAP@{len(labels)}"]
    values = 100 * np.append(result.ap, result.mean_ap)
    bounds = None if sure is None else [*(sure.class_ap(index) for index in range(len(labels))), sure.mean_ap()]
    rows = np.arange(len(names))[::-1]
    for row, value, span in zip(rows, values, bounds or [None] * len(names), strict=True):
        colour = COLOURS["confusion"] if row == 0 else COLOURS["hit"]
        if span is not None and span.known is not None:
            axes.plot([100 * bound for bound in span.known], [row, row], color=colour, linewidth=3, alpha=0.35)
        axes.plot(value, row, "o", color=colour)
        axes.annotate(f"{value:.1f}", (value, row), (0, 5), textcoords="offset points", ha="center", fontsize=8)
    axes.set_yticks(rows, names)
    has_intervals = any(span is not None and span.known is not None for span in bounds or ())
    axes.set_xlabel(f"average precision in %{', with 95 % intervals' if has_intervals else ''}; truths in brackets")
    frame(axes, grid="x")
    axes.set_xlim(left=-0.05 * axes.get_xlim()[1])


def draw_mistakes(axes: "Axes", diagnosis: Diagnosis) -> None:
    """Two bars a class: its predictions from the best threshold up by kind, and its truths by found or missed."""
    labels = diagnosis.label_set.labels
    rows = np.arange(len(labels))[::-1] * 1.0
    left = np.zeros(len(labels))
    for kind in KINDS:
        counts = np.array([point.mistakes[kind] for point in diagnosis.points])
        axes.barh(rows + 0.2, counts, 0.36, left=left, color=COLOURS[kind], label=kind.replace("_", " "))
        left += counts
    hits = np.array([point.mistakes["hit"] for point in diagnosis.points])
    missed = np.array([point.mistakes["missed"] for point in diagnosis.points])
    axes.barh(rows - 0.2, hits, 0.36, color=COLOURS["hit"], alpha=0.45)
    axes.barh(rows - 0.2, missed, 0.36, left=hits, color=COLOURS["missed"], label="missed truths")
    axes.set_yticks(rows, labels)
    axes.set_xlabel("upper bar: predictions from the class's best threshold up; lower bar: its truths")
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    frame(axes, grid="x")


def draw_fixes(axes: "Axes", diagnosis: Diagnosis) -> None:
    """What mAP would be were one kind of mistake put right; the thin line is the paired interval of the gain."""
    fixed = sorted(diagnosis.fixed.items(), key=lambda item: item[1])
    ends: list[float] = []
    for row, (kind, ap) in enumerate(fixed):
        axes.barh(row, 100 * ap, 0.6, color=COLOURS[kind])
        gain, end = f"{100 * ap:.1f} ({100 * (ap - diagnosis.mean_ap):+.1f})", 100 * ap
        bounds = NONE if diagnosis.bounds is None else diagnosis.bounds.gain[kind]
        if bounds.known is not None:
            reach = [100 * (diagnosis.mean_ap + bound) for bound in bounds.known]
            axes.plot(reach, [row, row], color=INK, linewidth=1.2, marker="|", markersize=7)
            end = max(end, reach[1])
        ends.append(end)
        axes.annotate(gain, (end, row), (6, 0), textcoords="offset points", va="center", fontsize=9)
    axes.axvline(100 * diagnosis.mean_ap, color=INK, linewidth=1)
    axes.set_yticks(range(len(fixed)), [kind.replace("_", " ") for kind, _ in fixed])
    axes.set_xlabel(f"mAP in % were this kind put right; the line is mAP as it is, {100 * diagnosis.mean_ap:.1f}")
    axes.set_xlim(right=1.2 * max(ends) + 1e-9)
    frame(axes, grid="x")


def draw_tolerances(axes: "Axes", diagnosis: Diagnosis) -> None:
    """AP against tolerance, the classes with the most truths and the mean."""
    counts = [point.n_truth for point in diagnosis.points]
    for index in np.argsort(counts)[::-1][:5]:
        label = f"{diagnosis.label_set.labels[index]} ({counts[index]})"
        axes.plot(diagnosis.curve_s, 100 * diagnosis.curve[:, index], linewidth=1.2, alpha=0.8, label=label)
    mean = 100 * diagnosis.curve.mean(axis=1)
    axes.plot(diagnosis.curve_s, mean, "o-", color=INK, linewidth=2.2, label="mAP, all classes")
    if diagnosis.bounds is not None:
        low, high = _band(diagnosis.bounds.curve_mean)
        axes.fill_between(diagnosis.curve_s, low, high, color=INK, alpha=0.12, linewidth=0, label="its 95 % interval")
    axes.axvline(diagnosis.tolerance_s, color=FAINT, linewidth=1, linestyle="--")
    axes.set_xlabel("tolerance in seconds, full width; the dashed line is the one diagnosed")
    axes.set_ylabel("average precision in %")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    frame(axes, grid="both")


def draw_confusion(axes: "Axes", diagnosis: Diagnosis) -> None:
    """The confusion matrix as shares of each row, with counts; truths without a prediction in the last column."""
    labels = diagnosis.label_set.labels
    counts = diagnosis.confusion
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for row, column in np.argwhere(counts > 0):
        dark = shares[row, column] > 0.55
        axes.text(
            column, row, str(counts[row, column]), ha="center", va="center", fontsize=8, color="w" if dark else INK
        )
    axes.set_xticks(range(len(labels) + 1), [*labels, "missed"], rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(labels) + 1), [*labels, "no truth"])
    axes.set_ylabel("truth")
    axes.set_xlabel("found as; shade: share of the row")
    frame(axes, grid="")


def draw_calibration(axes: "Axes", diagnosis: Diagnosis) -> None:
    """How often predictions of a score hit, beside what the score says; counts beside the points."""
    known = diagnosis.calibration
    filled = known.count > 0
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle="--", label="as often as the score says")
    if diagnosis.bounds is not None:
        low, high = _band(diagnosis.bounds.hit_share)
        axes.vlines(known.score, low / 100, high / 100, color=COLOURS["hit"], linewidth=3, alpha=0.35)
    axes.plot(known.score[filled], known.share[filled], "o-", color=COLOURS["hit"], label="share of hits")
    for score, share, count in zip(known.score[filled], known.share[filled], known.count[filled], strict=True):
        offset = (6, 5) if share < 0.1 else (6, -10)  # above the axis and its numbers
        axes.annotate(str(count), (score, share), offset, textcoords="offset points", fontsize=8)
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(-0.03, 1.08)
    axes.set_xlabel("mean score of the bin; predictions in it beside each point")
    axes.set_ylabel("share that hit a truth")
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    frame(axes, grid="both")


def _band(bounds: Sequence[Interval]) -> tuple[np.ndarray, np.ndarray]:
    """The lower and upper bounds in percent, NaN where there is no interval."""
    low, high = (
        np.array([getattr(interval, name) for interval in bounds], dtype=np.float64) for name in ("low", "high")
    )
    return 100 * low, 100 * high


def frame(axes: "Axes", *, grid: str) -> None:
    """The look that all figures share; ``grid`` is along "x", "y", "both" or neither axis."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(colors=INK, labelsize=9, length=0)
    if grid in ("x", "y", "both"):
        axes.grid(axis=grid, color="#e4e7eb", linewidth=0.8)  # pyright: ignore[reportArgumentType]
        axes.set_axisbelow(True)
