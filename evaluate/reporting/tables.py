"""Evaluations as tables of text, average precision in percent."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..dataset import TEAMS, LabelSet
from ..diagnosis import FIXES, TIMINGS, Diagnosis
from ..results import Contest, Evaluation
from ..scoring import GRID_STRIDE, N_SIDES, frequent_ap, headline_ap
from ..uncertainty import FEW_BLOCKS, LEAST_BLOCKS, LEVEL, Difference, Interval, Replicates, interval, no_intervals

FEW_TRUTHS = 20
BOUNDS = f"{100 * LEVEL:g} %"  # the header of a column of intervals
SMALLEST = "could show"  # of one of the smallest difference that a comparison could have shown
ORIGINAL, NOT_SHOWN, READINGS = "original protocol", "not shown", ("AP visible", "AP not shown")
SHORT = 9  # letters of a class name above a column of the confusion matrix


@dataclass(frozen=True)
class TextTable:
    """Headers, rows of as many texts, and a title.

    ``name`` is what a LaTeX document refers to the table by, ``best`` the places (row, column) that stand in bold there
    and in Markdown. The last ``has_names`` headers are names of runs or settings, of any length.
    """

    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    name: str = ""
    best: frozenset[tuple[int, int]] = frozenset()
    has_names: int = 0


def evaluation_table(evaluation: Evaluation, *, min_count: int) -> TextTable:
    """A row a class with its truths and interval, then the means; the original protocol beside the official number.

    What tells the truths that are visible from those that are not stands there where a truth is not shown.
    """
    result, original, label_set = evaluation.result, evaluation.original, evaluation.label_set
    sure, teams = evaluation.uncertainty, evaluation.teams
    all_name, headline_name = mean_names(label_set)
    rows = [
        _row(
            label,
            (result.n_truth[index], result.n_not_shown[index]),
            result.ap[index],
            None if sure is None else sure.class_ap(index),
            (original.ap[index], result.ap_visible[index], result.ap_not_shown[index]),
        )
        for index, label in enumerate(label_set.labels)
    ]
    means = (original.mean_ap, result.mean_ap_visible, result.mean_ap_not_shown)
    bounds = None if sure is None else sure.mean_ap()
    rows.append(_row(all_name, (result.n_truth.sum(), result.n_not_shown.sum()), result.mean_ap, bounds, means))
    if headline_name is not None:
        bounds = None if sure is None else sure.headline_ap()
        headlines = [headline_ap(scored.ap, label_set) for scored in (result, original)]
        rows.append(_row(headline_name, (), headlines[0], bounds, headlines[1:]))
    bounds = None if sure is None else sure.frequent_ap(result.n_truth >= min_count)
    frequents = [frequent_ap(scored.ap, result.n_truth, min_count) for scored in (result, original)]
    rows.append(_row(frequent_name(result.n_truth, min_count), (), frequents[0], bounds, frequents[1:]))
    if teams is not None:
        bounds = None if sure is None or sure.teams is None else interval(sure.teams.mean())
        rows.append(_row(f"Team-{all_name}", (int(teams.n_truth.sum()),), teams.mean_ap, bounds))
    bounds = None if sure is None else interval(sure.exact.mean())
    rows.append(_row(f"exact {all_name} (area)", (), float(evaluation.exact.mean()), bounds))
    title = (
        f"AP in %, {_protocol(evaluation)}, {evaluation.fps:g} frames per second; "
        f"{count_matches(evaluation.matches)}, {evaluation.n_predictions} predictions"
    )
    headers = ["class", "truths", NOT_SHOWN, "AP", BOUNDS, f"{ORIGINAL}, {_grid(evaluation)}", *READINGS]
    left_out = {BOUNDS} if sure is None else set()
    if not result.n_not_shown.any():  # then they say nothing
        left_out |= {NOT_SHOWN, *READINGS}
    places = [place for place, header in enumerate(headers) if header not in left_out]
    headers, *rows = ([row[place] for place in places] for row in (headers, *rows))
    return TextTable(title, headers, rows)


def remarks(evaluation: Evaluation) -> list[str]:
    """What a reader must know beside the numbers, a line each: faults and their cost, few truths, few blocks."""
    lines = [pitfall.line() for pitfall in evaluation.pitfalls]
    if evaluation.unknown_labels:
        named = ", ".join(f"{label!r} ({count})" for label, count in evaluation.unknown_labels.items())
        lines.append(f"predictions left out, their labels are not in {evaluation.label_set.name}: {named}")
    result, labels = evaluation.result, evaluation.label_set.labels
    n_shared = evaluation.n_labels - int(result.n_truth.sum())
    if n_shared:
        lines.append(f"labels that share class and frame with another, and do not count: {n_shared}")
    if evaluation.n_late:
        lines.append(
            f"labels and predictions after 120 minutes: {evaluation.n_late}; SoccerNet's code puts them into their "
            "half's last frame; score longer videos in parts"
        )
    counts = dict(zip(labels, result.n_truth.tolist(), strict=True))
    absent = [label for label, count in counts.items() if not count]
    if absent:
        lines.append(f"no truths of {', '.join(absent)}: each scores 0 and counts in the mean, as in SoccerNet's code")
    few = [f"{label} ({count})" for label, count in counts.items() if 0 < count < FEW_TRUTHS]
    if few:
        lines.append(f"under {FEW_TRUTHS} truths, too few to tell systems apart by: {', '.join(few)}")
    if len(result.tolerances_s) > 1 and result.n_not_shown.any():
        lines.append("the not-shown mean over several tolerances is multiplied by 17/13, as in SoccerNet's code")
    return [*lines, *_team_remarks(evaluation), *_block_remarks(evaluation)]


def _team_remarks(evaluation: Evaluation) -> list[str]:
    teams = evaluation.teams
    if teams is None:
        return []
    absent = [label for label, n in zip(evaluation.label_set.labels, teams.n_truth.sum(axis=1), strict=True) if not n]
    lines = [f"Team-mAP leaves out {', '.join(absent)}, without truths: the official code gives NaN"] if absent else []
    if teams.n_truths_without_side:
        lines.append(f"labels of neither the left nor the right team, not in Team-mAP: {teams.n_truths_without_side}")
    return lines


def _block_remarks(evaluation: Evaluation) -> list[str]:
    sure = evaluation.uncertainty
    if sure is None or sure.resamples.blocks.size >= FEW_BLOCKS:
        return []
    n, block_s = sure.resamples.blocks.size, sure.resamples.block_s
    if n < LEAST_BLOCKS:
        return [no_intervals(n, block_s)]
    return [
        f"the intervals rest on {n} blocks of {block_s:g} s: they say little; shorter blocks (--block) give more, "
        "score more matches for better ones"
    ]


def contest_table(result: Contest, other: str) -> TextTable:
    """A row a class and mean: how much better the first predictions are."""
    all_name, headline_name = mean_names(result.label_set)
    means = [(all_name, result.mean_ap)]
    if headline_name is not None:
        means.append((headline_name, result.headline_ap))
    classes = zip(result.label_set.labels, result.per_class, strict=True)
    rows = [[name, *difference_cells(difference)] for name, difference in (*means, *classes)]
    title = f"paired difference in AP points to {other} (mAP {percent(result.other_mean_ap)})"
    return TextTable(title, ["", "difference", BOUNDS, SMALLEST, "P(better)"], rows)


def difference_cells(difference: Difference) -> list[str]:
    """A difference in points, its interval, the least that could have been shown, and the chance that it is real."""
    bounds, smallest = span(difference.interval), difference.smallest
    value = f"{100 * difference.value:+.2f}"
    return (
        [value, "-", "-", "-"] if smallest is None else [value, bounds, percent(smallest), f"{difference.p_better:.3f}"]
    )


def _protocol(evaluation: Evaluation) -> str:
    first, *more = evaluation.result.tolerances_s
    if more:
        return f"mean over tolerances of {first:g} to {more[-1]:g} s ({evaluation.metric})"
    return f"hits within {first / 2:g} s either side ({evaluation.metric})"


def _grid(evaluation: Evaluation) -> str:
    return f"{evaluation.fps / GRID_STRIDE:g} fps"


def _row(
    name: str, counts: Sequence[int], ap: float | None, bounds: Interval | None, others: Sequence[float | None] = ()
) -> list[str]:
    """A name, two counts, an AP with its interval and three other readings of it, empty where there are fewer."""
    cells = [name, *map(str, counts), *[""] * (2 - len(counts)), percent(ap), span(bounds)]
    return [*cells, *map(percent, others), *[""] * (3 - len(others))]


def mean_names(label_set: LabelSet) -> tuple[str, str | None]:
    """What the mean over all classes and the headline mean are called; None where they are the same mean."""
    n_headline = len(label_set.headline_labels)
    return f"mAP@{len(label_set)}", f"mAP@{n_headline}" if n_headline < len(label_set) else None


def frequent_name(counts: Iterable[int], min_count: int) -> str:
    """What the mean over the classes with so many truths is called."""
    return f"mAP of the {sum(int(count) >= min_count for count in counts)} with {min_count} truths or more"


def percent(ap: float | None) -> str:
    """An AP in percent, "-" for None."""
    return "-" if ap is None else f"{100 * ap:.2f}"


def span(bounds: Interval | None, *, scale: float = 100, digits: int = 1) -> str:
    """An interval in percent, or on another scale, ``12.3..15.0``."""
    if bounds is None or bounds.known is None:
        return "-"
    low, high = bounds.known
    return f"{scale * low:.{digits}f}..{scale * high:.{digits}f}"


def count_matches(names: Sequence[str]) -> str:
    """How many matches, in words."""
    return f"{len(names)} match{'' if len(names) == 1 else 'es'}"


def readings_table(evaluation: Evaluation) -> TextTable:
    """A row a class: the original protocol, the visible and the not-shown truths, the exact AP, each with interval."""
    result, original, exact, sure = evaluation.result, evaluation.original, evaluation.exact, evaluation.uncertainty
    names = [*evaluation.label_set.labels, mean_names(evaluation.label_set)[0]]
    rows = [[name] for name in names]
    headers = ["class"]

    def add(title: str, ap: np.ndarray, mean_ap: float, drawn: Replicates | None, bounds: Interval | None) -> None:
        headers.extend((title, BOUNDS))
        _add(rows, [*ap, mean_ap], None if drawn is None else [*_intervals(drawn, range(len(ap))), bounds])

    def count(title: str, counts: np.ndarray) -> None:
        headers.append(title)
        _count(rows, counts)

    if sure is None:
        drawn = means = (None,) * 4
    else:
        drawn = (sure.original, sure.visible, sure.not_shown, sure.exact)
        means = [interval(replicates.mean()) for replicates in drawn]
        means[2] = sure.mean_ap_not_shown()
    add(f"original, {_grid(evaluation)}", original.ap, original.mean_ap, drawn[0], means[0])
    count("visible", result.n_visible)
    add(READINGS[0], result.ap_visible, result.mean_ap_visible, drawn[1], means[1])
    count("not shown", result.n_not_shown)
    add(READINGS[1], result.ap_not_shown, result.mean_ap_not_shown, drawn[2], means[2])
    add("exact AP", exact, float(exact.mean()), drawn[3], means[3])
    return without_empty_bounds(TextTable("the other readings of the same predictions, AP in %", headers, rows))


def teams_table(evaluation: Evaluation) -> TextTable | None:
    """A row an action: its Team AP and that of its two sides, with their truths; None where teams are not scored."""
    teams = evaluation.teams
    if teams is None:
        return None
    sure = None if evaluation.uncertainty is None else evaluation.uncertainty.teams
    all_name = mean_names(evaluation.label_set)[0]
    scored = np.flatnonzero(teams.n_truth.sum(axis=1))
    names = [*np.array(evaluation.label_set.labels)[scored].tolist(), f"Team-{all_name}"]
    rows = [[name] for name in names]
    headers = ["action", "Team AP", BOUNDS]
    bounds = None if sure is None else [*_intervals(sure.actions, scored), interval(sure.mean())]
    _add(rows, [*teams.ap[scored], teams.mean_ap], bounds)
    for name, side in TEAMS.items():
        _count(rows, teams.n_truth[scored, side])
        bounds = None if sure is None else [*_intervals(sure.sides, N_SIDES * scored + side), None]
        _add(rows, [*teams.ap_by_side[scored, side], None], bounds)
        headers += [f"{name} truths", f"{name} AP", BOUNDS]
    title = "AP in % by the side that played; an action's two sides weigh by their truths"
    return without_empty_bounds(TextTable(title, headers, rows))


def f1_table(evaluation: Evaluation) -> TextTable | None:
    """A row a class of the player-centric task: its F1 without players; None for the classes of another task."""
    result = evaluation.f1
    if result is None:
        return None
    columns = (result.n_truth, result.n_spots, result.n_hits, result.precision, result.recall, result.f1)
    rows = [
        [label, *map(str, counts), *map(percent, shares)]
        for label, *counts, shares in zip(
            evaluation.label_set.labels,
            *(column.tolist() for column in columns[:3]),
            zip(*(column.tolist() for column in columns[3:]), strict=True),
            strict=True,
        )
    ]
    rows += [
        ["macro F1, mean of the classes", "", "", "", "", "", percent(result.macro_f1)],
        [
            "micro F1, all together",
            *(str(int(column.sum())) for column in columns[:3]),
            "",
            "",
            percent(result.micro_f1),
        ],
    ]
    groups = "classes and teams only" if result.with_sides else "classes only"
    title = f"F1 in % of the player-centric task of 2026 without its players ({groups}): confidence 0.15, 12 frames"
    return TextTable(title, ["class", "truths", "predictions", "hits", "precision", "recall", "F1"], rows)


def without_empty_bounds(table: TextTable) -> TextTable:
    """The table without its interval columns where there is no interval in any of them."""
    columns = [column for column, header in enumerate(table.headers) if header == BOUNDS]
    if any(row[column] != "-" for row in table.rows for column in columns):
        return table
    headers, *rows = (
        [cell for column, cell in enumerate(row) if column not in columns] for row in (table.headers, *table.rows)
    )
    return TextTable(table.title, headers, rows)


def _add(rows: list[list[str]], values: Sequence[float | None], bounds: Sequence[Interval | None] | None) -> None:
    """Adds a column of percents and one of intervals."""
    for row, value, of_value in zip(rows, values, bounds or [None] * len(rows), strict=True):
        row += [percent(value), span(of_value)]


def _count(rows: list[list[str]], counts: np.ndarray) -> None:
    """Adds a column of counts, of the last row their sum."""
    for row, n in zip(rows, [*counts, counts.sum()], strict=True):
        row.append(str(n))


def _intervals(drawn: Replicates, indices: Iterable[int]) -> list[Interval]:
    return [interval(drawn.of_class(index)) for index in indices]


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
            row += [
                "-" if seconds is None else f"{1000 * seconds:.0f}",
                span(_bounds(diagnosis, index, name), scale=1000, digits=0),
            ]
        rows.append(row)
    headers = ["class", "hits", "median", BOUNDS, "90 % within", BOUNDS, "bias", BOUNDS]
    title = "timing of those hits: absolute error in ms, and the median of what is late (above 0) or early"
    return without_empty_bounds(TextTable(title, headers, rows))


def mistakes_table(diagnosis: Diagnosis) -> TextTable:
    """A row a class: its hits and mistakes at its threshold, and the class it is most confused with."""
    headers = ["class", "hits", *(name.replace("_", " ") for name in FIXES), "confused with"]
    rows = []
    for label, point in zip(diagnosis.label_set.labels, diagnosis.points, strict=True):
        worst = max(point.confused_with, key=point.confused_with.__getitem__, default=None)
        named = "" if worst is None else f"{worst} ({point.confused_with[worst]})"
        rows.append([label, str(point.mistakes["hit"]), *(str(point.mistakes[kind]) for kind in FIXES), named])
    totals = [sum(point.mistakes[kind] for point in diagnosis.points) for kind in ("hit", *FIXES)]
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
        [f"{tolerance_s:g} s", percent(ap), span(of_ap)]
        for tolerance_s, ap, of_ap in zip(diagnosis.curve_s, diagnosis.curve.mean(axis=1), bounds, strict=True)
    ]
    return without_empty_bounds(TextTable("mAP against tolerance", ["full width", "mAP", BOUNDS], rows))


def calibration_table(diagnosis: Diagnosis) -> TextTable:
    """A row a range of scores: how many predictions it has, their mean score, and how many of them hit."""
    known, sure = diagnosis.calibration, diagnosis.bounds
    rows = [
        [
            f"{known.edges[index]:.1f} to {known.edges[index + 1]:.1f}",
            str(known.count[index]),
            percent(known.score[index]),
            percent(known.share[index]),
            span(None if sure is None else sure.hit_share[index]),
        ]
        for index in np.flatnonzero(known.count)
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
