"""Evaluations and comparisons as tables of text, average precision in percent."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from .comparison import Comparison
from .evaluation import GRID_STRIDE, Evaluation
from .labelsets import LabelSet
from .metrics import frequent_ap, headline_ap


@dataclass(frozen=True)
class TextTable:
    """Headers, rows of as many texts, and a title."""

    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[str]]


def evaluation_table(evaluation: Evaluation, *, min_count: int) -> TextTable:
    """A row a class with its truths, then the means; the original protocol beside the official number."""
    result, original, label_set = evaluation.result, evaluation.original, evaluation.label_set
    rows = []
    for index, label in enumerate(label_set.labels):
        aps = (result.ap[index], original.ap[index], result.ap_visible[index], result.ap_not_shown[index])
        rows.append(_row(label, result.n_truth[index], result.n_not_shown[index], aps))
    all_name, headline_name = _mean_names(label_set)
    means = (result.mean_ap, original.mean_ap, result.mean_ap_visible, result.mean_ap_not_shown)
    rows.append(_row(all_name, result.n_truth.sum(), result.n_not_shown.sum(), means))
    if headline_name is not None:
        headlines = [headline_ap(one.ap, label_set) for one in (result, original)]
        rows.append(_row(headline_name, None, None, headlines))
    frequents = [frequent_ap(one.ap, result.n_truth, min_count) for one in (result, original)]
    rows.append(_row(_frequent_name(result.n_truth, min_count), None, None, frequents))
    title = (
        f"AP in %, {_protocol(evaluation)}, {evaluation.fps:g} frames per second; "
        f"{_matches(evaluation.matches)}, {evaluation.n_predictions} predictions"
    )
    grid = f"original protocol, {evaluation.fps / GRID_STRIDE:g} fps"
    return TextTable(title, ["class", "truths", "not shown", "AP", grid, "AP visible", "AP not shown"], rows)


def remarks(evaluation: Evaluation) -> list[str]:
    """What the official code passes over in silence, a line each."""
    lines = []
    if evaluation.unknown_labels:
        named = ", ".join(f"{label!r} ({count})" for label, count in evaluation.unknown_labels.items())
        lines.append(f"predictions left out, their labels are not in {evaluation.label_set.name}: {named}")
    if evaluation.n_scores_outside:
        lines.append(
            f"{evaluation.n_scores_outside} predictions have a confidence outside 0..1: below 0 they never count, "
            "above 1 they share the top threshold"
        )
    n_shared = evaluation.n_labels - int(evaluation.result.n_truth.sum())
    if n_shared:
        lines.append(f"labels that share class and frame with another, and do not count: {n_shared}")
    labels = evaluation.label_set.labels
    absent = [label for label, count in zip(labels, evaluation.result.n_truth, strict=True) if not count]
    if absent:
        lines.append(f"no truths of {', '.join(absent)}: each scores 0 and counts in the mean, as in SoccerNet's code")
    if len(evaluation.result.tolerances_s) > 1 and evaluation.result.n_not_shown.any():
        lines.append("the not-shown mean over several tolerances is multiplied by 17/13, as in SoccerNet's code")
    return lines


def scores_table(comparison: Comparison) -> TextTable:
    """A column a run: the means first, then every class with its truths."""
    runs, label_set = comparison.runs, comparison.label_set
    counts = [int(runs[0].per_class[label]["n_truth"]) for label in label_set.labels]
    all_name, headline_name = _mean_names(label_set)
    rows = [[all_name, str(sum(counts)), *(_percent(run.mean_ap) for run in runs)]]
    if headline_name is not None:
        rows.append([headline_name, "", *(_percent(run.headline_ap) for run in runs)])
    rows.append([_frequent_name(counts, comparison.min_count), "", *(_percent(run.frequent_ap) for run in runs)])
    if any(run.original_ap is not None for run in runs):
        rows.append([f"{all_name}, original protocol", "", *(_percent(run.original_ap) for run in runs)])
    for label, count in zip(label_set.labels, counts, strict=True):
        rows.append([label, str(count), *(_percent(run.per_class[label]["ap"]) for run in runs)])
    title = (
        f"AP in %, {comparison.metric} at {comparison.fps:g} frames per second, {comparison.split}: "
        f"{_matches(comparison.matches)}"
    )
    return TextTable(title, ["", "truths", *(run.name for run in runs)], rows)


def differences_table(comparison: Comparison) -> TextTable:
    """A column a run, a row for each setting that is not the same in all of them."""
    rows = [[key, *(_shown(value) for value in values)] for key, values in comparison.differs.items()]
    title = "what differs in how the runs were made" if rows else "nothing differs in how the runs were made"
    return TextTable(title, ["setting", *(run.name for run in comparison.runs)], rows)


def _protocol(evaluation: Evaluation) -> str:
    first, *more = evaluation.result.tolerances_s
    if more:
        return f"mean over tolerances of {first:g} to {more[-1]:g} s ({evaluation.metric})"
    return f"hits within {first / 2:g} s either side ({evaluation.metric})"


def _row(name: str, n_truth: int | None, n_not_shown: int | None, aps: Sequence[float | None]) -> list[str]:
    counts = ["" if count is None else str(count) for count in (n_truth, n_not_shown)]
    return [name, *counts, *(_percent(ap) for ap in aps), *[""] * (4 - len(aps))]


def _mean_names(label_set: LabelSet) -> tuple[str, str | None]:
    """What the mean over all classes and the headline mean are called; None where they are the same mean."""
    n_headline = len(label_set.headline_labels)
    return f"mAP@{len(label_set)}", f"mAP@{n_headline}" if n_headline < len(label_set) else None


def _frequent_name(counts: Iterable[int], min_count: int) -> str:
    return f"mAP of the {sum(int(count) >= min_count for count in counts)} with {min_count} truths or more"


def _percent(ap: float | None) -> str:
    return "-" if ap is None else f"{100 * ap:.2f}"


def _matches(names: Sequence[str]) -> str:
    return f"{len(names)} match{'' if len(names) == 1 else 'es'}"


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
