"""A diagnosis as tables of text."""

import numpy as np

from .bounds import TIMINGS
from .class_tables import BOUNDS, without_empty_bounds
from .diagnosis import Diagnosis
from .intervals import Interval
from .tables import TextTable, percent, span

MISTAKES = ("duplicate", "confusion", "near_miss", "background", "missed")
SHORT = 9  # letters of a class name above a column of the confusion matrix


def diagnosis_tables(diagnosis: Diagnosis) -> list[TextTable]:
    """Operating points, timing, mistakes, what fixing them would give, tolerances, calibration and confusions."""
    return [
        points_table(diagnosis),
        timing_table(diagnosis),
        mistakes_table(diagnosis),
        fixes_table(diagnosis),
        curve_table(diagnosis),
        calibration_table(diagnosis),
        confusion_table(diagnosis),
    ]


def points_table(diagnosis: Diagnosis) -> TextTable:
    """A row a class: its best threshold and precision, recall and F1 there."""
    rows = []
    for index, (label, point) in enumerate(zip(diagnosis.label_set.labels, diagnosis.points, strict=True)):
        threshold = "-" if point.threshold is None else f"{point.threshold:.3f}"
        row = [label, str(point.n_truth), threshold]
        for name in ("precision", "recall", "f1"):
            row += [percent(getattr(point, name)), span(_bounds(diagnosis, index, name))]
        rows.append(row)
    headers = ["class", "truths", "threshold", "precision", BOUNDS, "recall", BOUNDS, "F1", BOUNDS]
    title = f"each class at its best F1, hits within {diagnosis.tolerance_s / 2:g} s either side"
    return without_empty_bounds(TextTable(title, headers, rows))


def timing_table(diagnosis: Diagnosis) -> TextTable:
    """A row a class that is hit: how far its hits at that threshold are off."""
    rows = []
    for index, (label, point) in enumerate(zip(diagnosis.label_set.labels, diagnosis.points, strict=True)):
        if point.timing_median_s is None:
            continue
        row = [label, str(point.mistakes["hit"])]
        for name in TIMINGS:
            seconds = getattr(point, name)
            row += ["-" if seconds is None else f"{1000 * seconds:.0f}", _ms(_bounds(diagnosis, index, name))]
        rows.append(row)
    headers = ["class", "hits", "median", BOUNDS, "90 % within", BOUNDS, "bias", BOUNDS]
    title = "timing of those hits: absolute error in ms, and the median of what is late (above 0) or early"
    return without_empty_bounds(TextTable(title, headers, rows))


def mistakes_table(diagnosis: Diagnosis) -> TextTable:
    """A row a class: its hits and mistakes at its threshold, and the class it is most confused with."""
    headers = ["class", "hits", *(name.replace("_", " ") for name in MISTAKES), "confused with"]
    rows = []
    for label, point in zip(diagnosis.label_set.labels, diagnosis.points, strict=True):
        worst = max(point.confused_with, key=point.confused_with.__getitem__, default=None)
        named = "" if worst is None else f"{worst} ({point.confused_with[worst]})"
        rows.append([label, str(point.mistakes["hit"]), *(str(point.mistakes[kind]) for kind in MISTAKES), named])
    totals = [sum(point.mistakes[kind] for point in diagnosis.points) for kind in ("hit", *MISTAKES)]
    return TextTable("mistakes at those thresholds", headers, [*rows, ["all", *map(str, totals), ""]])


def fixes_table(diagnosis: Diagnosis) -> TextTable:
    """A row a kind of mistake: what mAP would be without it, and what is gained on the same draws."""
    known = diagnosis.bounds
    rows = [
        [
            kind.replace("_", " "),
            percent(ap),
            span(None if known is None else known.fixed[kind]),
            f"{100 * (ap - diagnosis.mean_ap):+.2f}",
            span(None if known is None else known.gain[kind]),
        ]
        for kind, ap in sorted(diagnosis.fixed.items(), key=lambda item: -item[1])
    ]
    title = f"mAP is {percent(diagnosis.mean_ap)}; were one kind of mistake put right, at every threshold:"
    return without_empty_bounds(TextTable(title, ["kind", "mAP", BOUNDS, "gain", BOUNDS], rows))


def curve_table(diagnosis: Diagnosis) -> TextTable:
    """A row a tolerance: mAP there; the AP of each class is in the JSON object and the picture."""
    bounds = [None] * len(diagnosis.curve_s) if diagnosis.bounds is None else diagnosis.bounds.curve_mean
    rows = [
        [f"{tolerance_s:g} s", percent(ap), span(one)]
        for tolerance_s, ap, one in zip(diagnosis.curve_s, diagnosis.curve.mean(axis=1), bounds, strict=True)
    ]
    return without_empty_bounds(TextTable("mAP against tolerance", ["full width", "mAP", BOUNDS], rows))


def calibration_table(diagnosis: Diagnosis) -> TextTable:
    """A row a range of scores: how many predictions it has, their mean score, and how many of them hit."""
    known, sure = diagnosis.calibration, diagnosis.bounds
    rows = [
        [
            f"{known.edges[place]:.1f} to {known.edges[place + 1]:.1f}",
            str(known.count[place]),
            percent(known.score[place]),
            percent(known.share[place]),
            span(None if sure is None else sure.hit_share[place]),
        ]
        for place in np.flatnonzero(known.count)
    ]
    title = "no prediction has a score"
    if rows:
        bounds = span(None if sure is None else sure.calibration_error)
        interval = "" if bounds == "-" else f" ({BOUNDS}: {bounds})"
        title = f"calibration error: scores are off by {100 * known.error:.1f} points on average{interval}"
    headers = ["scores", "predictions", "mean score, %", "hits, %", BOUNDS]
    return without_empty_bounds(TextTable(title, headers, rows))


def confusion_table(diagnosis: Diagnosis) -> TextTable:
    """Truths in rows, what they were found as in columns."""
    labels = diagnosis.label_set.labels
    headers = ["truth \\ found as", *(label[:SHORT] for label in labels), "missed"]
    rows = [
        [name, *("." if not count else str(count) for count in row)]
        for name, row in zip([*labels, "no truth"], diagnosis.confusion.tolist(), strict=True)
    ]
    return TextTable("confusion matrix at those thresholds", headers, rows)


def _bounds(diagnosis: Diagnosis, index: int, name: str) -> Interval | None:
    return None if diagnosis.bounds is None else diagnosis.bounds.points[index].get(name)


def _ms(bounds: Interval | None) -> str:
    if bounds is None or bounds.low is None or bounds.high is None:
        return "-"
    return f"{1000 * bounds.low:.0f}..{1000 * bounds.high:.0f}"
