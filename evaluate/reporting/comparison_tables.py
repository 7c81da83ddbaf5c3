"""Comparisons as tables: runs where they are few, settings where they are many, and what differs among them."""

from collections.abc import Sequence
from statistics import mean
from typing import Any

from ..results import ComparedSetting, Comparison
from .tables import (
    BOUNDS,
    SMALLEST,
    TextTable,
    count_matches,
    difference_cells,
    frequent_name,
    mean_names,
    percent,
    span,
)

MOST_COLUMNS = 6


def comparison_tables(comparison: Comparison) -> list[TextTable]:
    """Classes of every run, or of every setting where runs are many, then settings, then what differs.

    Where settings are many too, their classes are left to CSV, JSON and the report, and a setting is a row of its
    differences.
    """
    tables = settings_tables(comparison)
    if len(comparison.runs) <= MOST_COLUMNS:
        return [scores_table(comparison), *tables, differences_table(comparison)]
    if len(comparison.groups) <= MOST_COLUMNS:
        return [mean_scores_table(comparison), *tables, settings_differences_table(comparison)]
    return [*(tables or [means_table(comparison)]), settings_differences_table(comparison)]


def scores_table(comparison: Comparison) -> TextTable:
    """A column a run: the means first, then every class with its truths."""
    runs = comparison.runs
    return _scores(comparison, [run.name for run in runs], [[run] for run in range(len(runs))], "")


def mean_scores_table(comparison: Comparison) -> TextTable:
    """A column a setting, the mean over its seeds: the means over classes first, then every class with its truths."""
    return _scores(comparison, comparison.names, comparison.groups, ", mean over seeds")


def _scores(comparison: Comparison, names: Sequence[str], groups: Sequence[Sequence[int]], how: str) -> TextTable:
    runs, label_set = comparison.runs, comparison.label_set

    def row(name: str, count: str, values: Sequence[float | None]) -> list[str]:
        return [name, count, *(percent(_mean([values[run] for run in group])) for group in groups)]

    counts = comparison.n_truths
    all_name, headline_name = mean_names(label_set)
    rows = [row(all_name, str(sum(counts)), [run.mean_ap for run in runs])]
    if headline_name is not None:
        rows.append(row(headline_name, "", [run.headline_ap for run in runs]))
    rows.append(row(frequent_name(counts, comparison.min_count), "", [run.frequent_ap for run in runs]))
    if any(run.original_ap is not None for run in runs):
        rows.append(row(f"{all_name}, original protocol", "", [run.original_ap for run in runs]))
    if any(run.macro_f1 is not None for run in runs):
        rows.append(row("macro F1 of 2026, without players", "", [run.macro_f1 for run in runs]))
    for label, count in zip(label_set.labels, counts, strict=True):
        rows.append(row(label, str(count), [run.per_class[label]["ap"] for run in runs]))
    title = (
        f"AP in %{how}, {comparison.metric} at {comparison.fps:g} frames per second, {comparison.part}: "
        f"{count_matches(comparison.matches)}"
    )
    best = frozenset((at, column + 2) for at, cells in enumerate(rows) for column in highest(cells[2:]))
    return TextTable(title, ["", "truths", *names], rows, "scores", best, len(names))


def highest(cells: Sequence[str]) -> list[int]:
    """The places of the highest of some numbers as they are shown; none where all are alike."""
    known = {place: float(cell) for place, cell in enumerate(cells) if cell != "-"}
    if len(set(known.values())) < 2:
        return []
    return [place for place, value in known.items() if value == max(known.values())]


def settings_tables(comparison: Comparison) -> list[TextTable]:
    """Two tables, over all classes and over the frequent ones: the mean over a setting's seeds and its difference.

    The baseline stands first, the others by their mean.
    """
    measures = (mean_names(comparison.label_set)[0], frequent_name(comparison.n_truths, comparison.min_count))
    tables = []
    names = ("settings", "settings-frequent")
    of_measures = (comparison.settings, comparison.frequent_settings)
    for measure, settings, name in zip(measures, of_measures, names, strict=True):
        ordered = [*settings[:1], *sorted(settings[1:], key=lambda setting: -setting.mean_ap)]
        rows = [_setting_row(setting) for setting in ordered]
        headers = ["setting", "seeds", "mean", BOUNDS, "difference", BOUNDS, SMALLEST, "P(better)", "p, Holm"]
        title = f"{measure} over seeds; differences to the first setting, on the same resampled blocks"
        best = frozenset((at, 2) for at in highest([row[2] for row in rows]))
        tables += [TextTable(title, headers, rows, name, best)] if rows else []
    return tables


def means_table(comparison: Comparison) -> TextTable:
    """The mean of every setting alone, where there are no intervals."""
    rows = [
        [name, str(len(group)), percent(mean(comparison.runs[run].mean_ap for run in group))]
        for name, group in zip(comparison.names, comparison.groups, strict=True)
    ]
    title = f"{mean_names(comparison.label_set)[0]} over seeds, {comparison.part}"
    best = frozenset((at, 2) for at in highest([row[2] for row in rows]))
    return TextTable(title, ["setting", "seeds", "mean"], rows, "settings", best)


def differences_table(comparison: Comparison) -> TextTable:
    """A column a run, a row for each setting that is not the same in all of them."""
    rows = [[key, *(shown(value) for value in values)] for key, values in comparison.differs.items()]
    title = "what differs in how the runs were made" if rows else "nothing differs in how the runs were made"
    return TextTable(
        title, ["setting", *(run.name for run in comparison.runs)], rows, "differences", has_names=len(comparison.runs)
    )


def settings_differences_table(comparison: Comparison) -> TextTable:
    """A row a setting, a column for each key that is not the same in all; the other way about where keys are more."""
    varied = comparison.varied()
    keys = list(varied[0]) if varied else []
    if not keys:
        return TextTable("nothing differs in how the settings were made", ["setting"], [])
    if len(keys) > len(comparison.names):  # a table is rather long than wide
        rows = [[key, *(shown(values[key]) for values in varied)] for key in keys]
        title = "what differs in how the settings were made"
        return TextTable(title, ["key", *comparison.names], rows, "differences", has_names=len(comparison.names))
    rows = [
        [name, *(shown(values[key]) for key in keys)] for name, values in zip(comparison.names, varied, strict=True)
    ]
    return TextTable("what differs in how the settings were made", ["setting", *keys], rows, "differences")


def settings_rows(comparison: Comparison) -> tuple[list[str], list[list[Any]]]:
    """Headers and a row a setting with all its numbers, AP in 0..1, None where one is not known."""
    varied, labels = comparison.varied(), comparison.label_set.labels
    keys = list(varied[0]) if varied else []
    headers = ["setting", "n_seeds", "mean_ap", "low", "high", "difference", "difference_low", "difference_high"]
    headers += ["smallest_shown", "p_better", "p_value", "p_holm", "frequent_ap", "train_s", *keys, *labels]
    rows: list[list[Any]] = []
    for index, (name, group) in enumerate(zip(comparison.names, comparison.groups, strict=True)):
        runs = [comparison.runs[run] for run in group]
        cells: list[Any] = [name, len(runs), mean(run.mean_ap for run in runs)]
        cells += _numbers(comparison.settings[index] if comparison.settings else None)
        cells += [_mean([run.frequent_ap for run in runs]), _mean([run.cost.get("train_s") for run in runs])]
        cells += [shown(varied[index][key]) for key in keys]
        cells += [mean(run.per_class[label]["ap"] for run in runs) for label in labels]
        rows.append(cells)
    return headers, rows


def _numbers(setting: ComparedSetting | None) -> list[Any]:
    if setting is None:
        return [None] * 9
    bounds = setting.interval.as_record()
    if setting.difference is None:
        return [*bounds, *[None] * 7]
    gain = setting.difference
    told = (gain.smallest, gain.p_better, gain.p_value, setting.p_holm)
    return [*bounds, gain.value, *gain.interval.as_record(), *told]


def _setting_row(setting: ComparedSetting) -> list[str]:
    cells = ["-"] * 5
    if setting.difference is not None:
        p_holm = "-" if setting.difference.interval.known is None else f"{setting.p_holm:.3f}"
        cells = [*difference_cells(setting.difference), p_holm]
    return [setting.name, str(setting.n_seeds), percent(setting.mean_ap), span(setting.interval), *cells]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [float(value) for value in values if value is not None]
    return mean(known) if known and len(known) == len(values) else None


def shown(value: Any) -> str:
    """A setting's value in few signs; "-" where there is none."""
    if isinstance(value, (list, tuple)):
        return ", ".join(map(shown, value))
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
