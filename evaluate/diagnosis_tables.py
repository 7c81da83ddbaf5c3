"""A diagnosis as tables of text."""

import numpy as np

from .diagnosis import Diagnosis, OperatingPoint
from .tables import TextTable, percent

MISTAKES = ("duplicate", "confusion", "near_miss", "background", "missed")
SHORT = 9  # letters of a class name above a column of the confusion matrix


def diagnosis_tables(diagnosis: Diagnosis) -> list[TextTable]:
    """Operating points, mistakes, what fixing them would give, the tolerance curve and the confusion matrix."""
    return [
        points_table(diagnosis),
        mistakes_table(diagnosis),
        fixes_table(diagnosis),
        curve_table(diagnosis),
        confusion_table(diagnosis),
    ]


def points_table(diagnosis: Diagnosis) -> TextTable:
    """A row a class: its best threshold and precision, recall, F1 and timing there."""
    headers = ["class", "truths", "threshold", "precision", "recall", "F1", "timing error, median", "90 %", "bias"]
    rows = [
        [label, str(point.n_truth), *_point_cells(point)]
        for label, point in zip(diagnosis.label_set.labels, diagnosis.points, strict=True)
    ]
    title = f"each class at its best F1, hits within {diagnosis.tolerance_s / 2:g} s either side; timing of hits in ms"
    return TextTable(title, headers, rows)


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
    """A row a kind of mistake: what mAP would be without it."""
    rows = [
        [kind.replace("_", " "), percent(ap), f"{100 * (ap - diagnosis.mean_ap):+.2f}"]
        for kind, ap in sorted(diagnosis.fixed.items(), key=lambda item: -item[1])
    ]
    title = f"mAP is {percent(diagnosis.mean_ap)}; were one kind of mistake put right, at every threshold:"
    return TextTable(title, ["kind", "mAP", "gain"], rows)


def curve_table(diagnosis: Diagnosis) -> TextTable:
    """One row: mAP at each tolerance."""
    headers = ["tolerance, full width", *(f"{one:g} s" for one in diagnosis.curve_s)]
    error = diagnosis.calibration.error
    known = "" if np.isnan(error) else f"; scores are off by {100 * error:.1f} points on average (calibration error)"
    return TextTable(f"mAP against tolerance{known}", headers, [["mAP", *map(percent, diagnosis.curve.mean(axis=1))]])


def confusion_table(diagnosis: Diagnosis) -> TextTable:
    """Truths in rows, what they were found as in columns."""
    labels = diagnosis.label_set.labels
    headers = ["truth \\ found as", *(label[:SHORT] for label in labels), "missed"]
    rows = [
        [name, *("." if not count else str(count) for count in row)]
        for name, row in zip([*labels, "no truth"], diagnosis.confusion.tolist(), strict=True)
    ]
    return TextTable("confusion matrix at those thresholds", headers, rows)


def _point_cells(point: OperatingPoint) -> list[str]:
    if point.threshold is None or point.timing_median_s is None:
        return ["-"] * 7
    timing = (point.timing_median_s, point.timing_p90_s, point.timing_bias_s)
    shares = (point.precision, point.recall, point.f1)
    return [f"{point.threshold:.3f}", *map(percent, shares), *(f"{1000 * (one or 0.0):.0f}" for one in timing)]
