"""Tables that stand beside an evaluation's first one: its other readings with their intervals, and the two teams."""

from collections.abc import Iterable, Sequence

import numpy as np

from .evaluation import GRID_STRIDE, Evaluation
from .intervals import LEVEL, Interval, Replicates, interval
from .labels import TEAMS
from .tables import TextTable, mean_names, percent, span
from .teams import N_SIDES

BOUNDS = f"{100 * LEVEL:g} %"


def readings_table(evaluation: Evaluation) -> TextTable:
    """A row a class: the original protocol, the visible and the not-shown truths, the exact AP, each with interval."""
    result, sure = evaluation.result, evaluation.uncertainty
    columns: list[tuple[str, np.ndarray, float, tuple[Replicates, Interval] | None]] = [
        (
            f"original, {evaluation.fps / GRID_STRIDE:g} fps",
            evaluation.original.ap,
            evaluation.original.mean_ap,
            None if sure is None else (sure.original, interval(sure.original.mean())),
        ),
        (
            "AP visible",
            result.ap_visible,
            result.mean_ap_visible,
            None if sure is None else (sure.visible, interval(sure.visible.mean())),
        ),
        (
            "AP not shown",
            result.ap_not_shown,
            result.mean_ap_not_shown,
            None if sure is None else (sure.not_shown, sure.mean_ap_not_shown()),
        ),
        (
            "exact AP",
            evaluation.exact,
            float(evaluation.exact.mean()),
            None if sure is None else (sure.exact, interval(sure.exact.mean())),
        ),
    ]
    names = [*evaluation.label_set.labels, mean_names(evaluation.label_set)[0]]
    rows = [[name] for name in names]
    for _, ap, mean_ap, drawn in columns:
        bounds = _none(names) if drawn is None else [*_intervals(drawn[0], range(len(ap))), drawn[1]]
        _add(rows, [*ap, mean_ap], bounds)
    counts = zip(
        [*result.n_visible, result.n_visible.sum()], [*result.n_not_shown, result.n_not_shown.sum()], strict=True
    )
    for row, (n_visible, n_not_shown) in zip(rows, counts, strict=True):
        row.insert(5, str(n_not_shown))
        row.insert(3, str(n_visible))
    (original, visible, hidden, exact) = (title for title, *_ in columns)
    headers = ["class", original, BOUNDS, "visible", visible, BOUNDS, "not shown", hidden, BOUNDS, exact, BOUNDS]
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
    bounds = None if sure is None else [*_intervals(sure.actions, scored), interval(sure.mean())]
    _add(rows, [*teams.ap[scored], teams.mean_ap], bounds or _none(names))
    headers = ["action", "Team AP", BOUNDS]
    for name, side in TEAMS.items():
        n_truth = teams.n_truth[scored, side]
        for row, n in zip(rows, [*n_truth, n_truth.sum()], strict=True):
            row.append(str(n))
        bounds = None if sure is None else [*_intervals(sure.sides, N_SIDES * scored + side), None]
        _add(rows, [*teams.ap_by_side[scored, side], None], bounds or _none(names))
        headers += [f"{name} truths", f"{name} AP", BOUNDS]
    title = "AP in % by the side that played; an action's two sides weigh by their truths"
    return without_empty_bounds(TextTable(title, headers, rows))


def without_empty_bounds(table: TextTable) -> TextTable:
    """The table without its interval columns where there is no interval in any of them."""
    columns = [place for place, header in enumerate(table.headers) if header == BOUNDS]
    if any(row[place] != "-" for row in table.rows for place in columns):
        return table
    kept = [place for place in range(len(table.headers)) if place not in columns]
    rows = [[row[place] for place in kept] for row in table.rows]
    return TextTable(table.title, [table.headers[place] for place in kept], rows)


def _add(rows: list[list[str]], values: Sequence[float | None], bounds: Sequence[Interval | None]) -> None:
    """Adds a column of percents and one of intervals."""
    for row, value, one in zip(rows, values, bounds, strict=True):
        row += [percent(value), span(one)]


def _intervals(drawn: Replicates, places: Iterable[int]) -> list[Interval]:
    return [interval(drawn.of_class(index)) for index in places]


def _none(names: Sequence[str]) -> list[Interval | None]:
    return [None] * len(names)
