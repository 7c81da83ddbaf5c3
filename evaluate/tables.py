"""Evaluations as tables of text, average precision in percent."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .against import Contest
from .evaluation import GRID_STRIDE, Evaluation
from .intervals import FEW_BLOCKS, LEVEL, Interval, interval
from .labelsets import LabelSet
from .metrics import frequent_ap, headline_ap
from .uncertainty import Difference

FEW_TRUTHS = 20


@dataclass(frozen=True)
class TextTable:
    """Headers, rows of as many texts, and a title."""

    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[str]]


def evaluation_table(evaluation: Evaluation, *, min_count: int) -> TextTable:
    """A row a class with its truths and interval, then the means; the original protocol beside the official number."""
    result, original, label_set = evaluation.result, evaluation.original, evaluation.label_set
    sure = evaluation.uncertainty
    rows = []
    for index, label in enumerate(label_set.labels):
        bounds = None if sure is None else sure.class_ap(index)
        aps = (original.ap[index], result.ap_visible[index], result.ap_not_shown[index])
        rows.append(_row(label, result.n_truth[index], result.n_not_shown[index], result.ap[index], bounds, aps))
    all_name, headline_name = mean_names(label_set)
    means = (original.mean_ap, result.mean_ap_visible, result.mean_ap_not_shown)
    bounds = None if sure is None else sure.mean_ap()
    rows.append(_row(all_name, result.n_truth.sum(), result.n_not_shown.sum(), result.mean_ap, bounds, means))
    if headline_name is not None:
        bounds = None if sure is None else sure.headline_ap()
        headlines = [headline_ap(one.ap, label_set) for one in (result, original)]
        rows.append(_row(headline_name, None, None, headlines[0], bounds, headlines[1:]))
    bounds = None if sure is None else sure.frequent_ap(result.n_truth >= min_count)
    frequents = [frequent_ap(one.ap, result.n_truth, min_count) for one in (result, original)]
    rows.append(_row(frequent_name(result.n_truth, min_count), None, None, frequents[0], bounds, frequents[1:]))
    if evaluation.teams is not None:
        bounds = None if sure is None or sure.teams is None else interval(sure.teams.mean())
        n_truth = int(evaluation.teams.n_truth.sum())
        rows.append(_row(f"Team-{all_name}", n_truth, None, evaluation.teams.mean_ap, bounds, ()))
    bounds = None if sure is None else interval(sure.exact.mean())
    rows.append(_row(f"exact {all_name} (area)", None, None, float(evaluation.exact.mean()), bounds, ()))
    title = (
        f"AP in %, {_protocol(evaluation)}, {evaluation.fps:g} frames per second; "
        f"{count_matches(evaluation.matches)}, {evaluation.n_predictions} predictions"
    )
    grid = f"original protocol, {evaluation.fps / GRID_STRIDE:g} fps"
    headers = ["class", "truths", "not shown", "AP", f"{100 * LEVEL:g} %", grid, "AP visible", "AP not shown"]
    if sure is None:
        headers, *rows = ([*row[:4], *row[5:]] for row in (headers, *rows))
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
    if n < 2:
        one = "one" if n else "no"
        return [f"no intervals: the matches make {one} block of {block_s:g} s; shorter ones (--block) give more"]
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
    rows = [[name, *difference_cells(one)] for name, one in (*means, *classes)]
    title = f"paired difference in AP points to {other} (mAP {percent(result.other_mean_ap)})"
    return TextTable(title, ["", "difference", f"{100 * LEVEL:g} %", "P(better)"], rows)


def difference_cells(difference: Difference) -> list[str]:
    """A difference in points, its interval, and the chance that it is one for the better."""
    bounds = span(difference.interval)
    return [f"{100 * difference.value:+.2f}", bounds, "-" if bounds == "-" else f"{difference.p_better:.3f}"]


def _protocol(evaluation: Evaluation) -> str:
    first, *more = evaluation.result.tolerances_s
    if more:
        return f"mean over tolerances of {first:g} to {more[-1]:g} s ({evaluation.metric})"
    return f"hits within {first / 2:g} s either side ({evaluation.metric})"


def _row(
    name: str,
    n_truth: int | None,
    n_not_shown: int | None,
    ap: float | None,
    bounds: Interval | None,
    more: Sequence[float | None],
) -> list[str]:
    counts = ["" if count is None else str(count) for count in (n_truth, n_not_shown)]
    return [name, *counts, percent(ap), span(bounds), *(percent(one) for one in more), *[""] * (3 - len(more))]


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


def span(bounds: Interval | None) -> str:
    """An interval in percent, ``12.3..15.0``."""
    if bounds is None or bounds.low is None or bounds.high is None:
        return "-"
    return f"{100 * bounds.low:.1f}..{100 * bounds.high:.1f}"


def count_matches(names: Sequence[str]) -> str:
    """How many matches, in words."""
    return f"{len(names)} match{'' if len(names) == 1 else 'es'}"
