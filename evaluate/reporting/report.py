"""A comparison as one page of HTML that loads nothing: rankings, effects, classes, curves, cost, provenance."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader

from ...cache.disk import whole_file
from ..diagnosis import CURVE_S
from ..results import ComparedRun, ComparedSetting, Comparison, learning_curve
from ..scoring import pooled_average_precision
from ..uncertainty import LEVEL
from .charts import Series, colour, dash, line_chart, point_chart, ticks
from .comparison_tables import shown
from .tables import SMALLEST, mean_names, percent

TEMPLATE = "report.html.j2"
MOST_LINES = 8  # settings in a chart of lines: the best ones, and the baseline
MOST_KEYS = 12  # that settings differ in, in a table
MOST_VALUES = 4  # of one line of the provenance; the others are counted
MOST_NAMED, SHORT_NAME = 6, 22  # settings and letters up to which names head the table of classes
PALE, DEEP = np.array([255, 255, 255]), np.array([0, 94, 150])


@dataclass(frozen=True)
class Entry:
    """One setting as the page shows it: its runs, mean AP and intervals, over all and the frequent classes.

    ``index`` counts the settings from 0, the baseline.
    """

    index: int
    name: str
    runs: tuple[ComparedRun, ...]
    mean_ap: float
    setting: ComparedSetting | None
    frequent: ComparedSetting | None

    @property
    def is_baseline(self) -> bool:
        """Whether others are compared with it."""
        return self.index == 0


def write_report(comparison: Comparison, path: Path, *, title: str) -> Path:
    """Writes the page, whole or not at all. Raises BallspotError where it cannot be written."""
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True)
    text = environment.get_template(TEMPLATE).render(page_of(comparison, title))
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def page_of(comparison: Comparison, title: str) -> dict[str, Any]:
    """All that the template shows, as plain values; settings are in the order of their mean AP."""
    entries = _entries(comparison)
    n, part = len(comparison.matches), "" if comparison.split == "all" else f"{comparison.part} "
    matches = f"{n} {part}match{'' if n == 1 else 'es'}"
    return {
        "title": title,
        "subtitle": (
            f"{len(entries)} settings, {len(comparison.runs)} runs; SoccerNet's average precision ({comparison.metric} "
            f"at {comparison.fps:g} frames per second) on {matches}. The baseline is in bold."
        ),
        "warnings": comparison.warnings,
        "rankings": _rankings(comparison, entries),
        "tables": [_settings_table(entries), _made_table(comparison, entries)],
        "effects": _effects(comparison),
        "heat": _heat(comparison, entries),
        "charts": _charts(comparison, entries),
        "provenance": _provenance(comparison),
    }


def _entries(comparison: Comparison) -> list[Entry]:
    entries = []
    for index, group in enumerate(comparison.groups):
        setting, frequent = (
            settings[index] if settings else None for settings in (comparison.settings, comparison.frequent_settings)
        )
        runs = tuple(comparison.runs[run] for run in group)
        value = mean(run.mean_ap for run in runs)
        entries.append(Entry(index, comparison.names[index], runs, value, setting, frequent))
    return sorted(entries, key=lambda entry: -entry.mean_ap)


def _rankings(comparison: Comparison, entries: Sequence[Entry]) -> list[dict[str, Any]]:
    n_frequent = sum(count >= comparison.min_count for count in comparison.n_truths)
    names = (
        mean_names(comparison.label_set)[0],
        f"mAP of the {n_frequent} classes with {comparison.min_count} truths or more",
    )
    interval = f", with its {100 * LEVEL:g} % interval over blocks of the matches and over seeds"
    rankings = []
    for name, settings in zip(names, (comparison.settings, comparison.frequent_settings), strict=True):
        if settings:
            bars = [
                Bar(setting.name, setting is settings[0], setting.mean_ap, setting.interval.known)
                for setting in sorted(settings, key=lambda setting: -setting.mean_ap)
            ]
            note = f"Mean over seeds, in %{interval if any(bar.bounds for bar in bars) else ''}."
            rankings.append({"title": name, "note": note, **_bars(bars, zero=False)})
    if not rankings:
        bars = [Bar(entry.name, entry.is_baseline, entry.mean_ap, None) for entry in entries]
        rankings.append({"title": names[0], "note": "Mean over seeds, in %.", **_bars(bars, zero=False)})
    return rankings


@dataclass(frozen=True)
class Bar:
    """A number, in 0..1, with its bounds where they are known."""

    name: str
    is_baseline: bool
    value: float
    bounds: tuple[float, float] | None


def _bars(bars: Sequence[Bar], *, zero: bool) -> dict[str, Any]:
    """Rows of bars on one scale, in percent of its width; with ``zero`` that line is drawn and signs shown."""
    known = [100 * value for bar in bars for value in (bar.value, *(bar.bounds or ()))] + ([0.0] if zero else [])
    low, high = min(known), max(known)
    marks = ticks(low, high, about=4)
    low, high = marks[0], marks[-1]

    def at(value: float) -> float:
        return round(100 * (100 * value - low) / (high - low), 2)

    rows, sign = [], "+" if zero else ""
    for bar in bars:
        row: dict[str, Any] = {
            "name": bar.name,
            "base": bar.is_baseline,
            "at": at(bar.value),
            "low": None,
            "width": None,
        }
        row |= {"zero": at(0.0) if zero else None, "number": f"{100 * bar.value:{sign}.1f}"}
        if bar.bounds is not None:
            lower, upper = bar.bounds
            row["number"] += f" [{100 * lower:{sign}.1f}, {100 * upper:{sign}.1f}]"
            row |= {"low": at(lower), "width": round(at(upper) - at(lower), 2)}
        rows.append(row)
    return {
        "rows": rows,
        "scale": [{"at": at(value / 100), "text": f"{value:{sign if value else ''}g}"} for value in marks],
    }


def _settings_table(entries: Sequence[Entry]) -> dict[str, Any]:
    """Every setting against the baseline."""
    rows = []
    for number, entry in enumerate(entries, start=1):
        frequent = entry.frequent
        cells = [str(number), entry.name, str(len(entry.runs)), percent(entry.mean_ap)]
        cells += [*_difference_cells(entry.setting), percent(None if frequent is None else frequent.mean_ap)]
        cells += _difference_cells(frequent)[:2]
        rows.append({"cells": cells, "base": entry.is_baseline})
    headers = ["no.", "setting", "seeds", "mAP", "difference", SMALLEST, "P(better)", "p, Holm"]
    headers += ["mAP, frequent", "difference", SMALLEST]
    n_compared = len(entries) - 1
    note = (
        "Differences to the baseline are paired: the same blocks are drawn for every setting. "
        f"{SMALLEST.capitalize()}: the smallest difference that the comparison could have shown, half the width of its "
        f"interval. p is corrected for {n_compared} comparison{'s' * (n_compared != 1)} (Holm)."
    )
    return {"title": "Settings against the baseline", "note": note, "headers": headers, "rows": rows}


def _made_table(comparison: Comparison, entries: Sequence[Entry]) -> dict[str, Any]:
    """What the settings differ in and what they cost."""
    varied = comparison.varied()
    keys = list(varied[0]) if varied and len(varied[0]) <= MOST_KEYS else []
    rows = []
    for number, entry in enumerate(entries, start=1):
        cells = [str(number), entry.name]
        cells += [_mean_cost(entry.runs, key) for key in ("train_s", "peak_memory_mb", "n_parameters")]
        cells += [shown(varied[entry.index][key]) for key in keys]
        rows.append({"cells": cells, "base": entry.is_baseline})
    headers = ["no.", "setting", "train s", "peak MB", "parameters", *(key.rpartition(".")[2] for key in keys)]
    note = "Cost is the mean over runs."
    return {"title": "What the settings are, and their cost", "note": note, "headers": headers, "rows": rows}


def _difference_cells(setting: ComparedSetting | None) -> list[str]:
    if setting is None or setting.difference is None or setting.p_holm is None:
        return ["-"] * 4
    difference, known = setting.difference, setting.difference.interval.known
    if known is None:
        return [f"{100 * difference.value:+.2f}", "-", "-", "-"]
    bounds = f" [{100 * known[0]:+.1f}, {100 * known[1]:+.1f}]"
    told = [percent(difference.smallest), f"{difference.p_better:.3f}", f"{setting.p_holm:.3f}"]
    return [f"{100 * difference.value:+.2f}{bounds}", *told]


def _mean_cost(runs: Sequence[Any], key: str) -> str:
    values = [float(run.cost[key]) for run in runs if run.cost.get(key)]
    return f"{mean(values):,.0f}" if values else "-"


def _effects(comparison: Comparison) -> dict[str, Any] | None:
    groups: dict[str, list[Any]] = {}
    for effect in comparison.effects():
        groups.setdefault(effect.key, []).append(effect)
    if not groups:
        return None
    blocks = []
    for key, effects in groups.items():
        bars = []
        for effect in effects:
            pairs = f"{effect.n_pairs} pair{'' if effect.n_pairs == 1 else 's'}"
            gain = effect.difference
            bars.append(Bar(f"{shown(effect.value)} ({pairs})", False, gain.value, gain.interval.known))
        reference = shown(effects[0].reference)
        blocks.append({"key": key.rpartition(".")[2], "reference": reference, **_bars(bars, zero=True)})
    note = "Mean difference in mAP, in points, over the pairs of settings that differ in this key alone."
    return {"note": note, "groups": blocks}


def _heat(comparison: Comparison, entries: Sequence[Entry]) -> dict[str, Any]:
    labels = comparison.label_set.labels
    values = np.array(
        [[mean(run.per_class[label]["ap"] for run in entry.runs) for label in labels] for entry in entries]
    )
    rows = []
    for label, count, of_class in zip(labels, comparison.n_truths, values.T, strict=True):
        most = float(of_class.max())
        cells = []
        for value in of_class.tolist():
            share = value / most if most else 0.0
            red, green, blue = (PALE + 0.85 * share * (DEEP - PALE)).astype(int).tolist()
            ink = "#fff" if share > 0.6 else "#1f2933"
            cells.append({"text": f"{100 * value:.1f}", "colour": f"rgb({red}, {green}, {blue})", "ink": ink})
        rows.append({"name": f"{label.capitalize()} ({count})", "cells": cells})
    is_short = len(entries) <= MOST_NAMED and all(len(entry.name) <= SHORT_NAME for entry in entries)
    headers = [
        {"text": entry.name if is_short else str(number), "name": entry.name}
        for number, entry in enumerate(entries, start=1)
    ]
    numbers = "" if is_short else " Settings have their numbers from the tables above."
    note = f"Mean over seeds, in %; truths in brackets. Each class is shaded from 0 to its best value.{numbers}"
    return {"headers": headers, "rows": rows, "note": note}


def _charts(comparison: Comparison, entries: Sequence[Entry]) -> list[dict[str, Any]]:
    chosen = list(entries[:MOST_LINES])
    if not any(entry.is_baseline for entry in chosen):
        chosen = [*chosen[: MOST_LINES - 1], next(entry for entry in entries if entry.is_baseline)]
    few = f" The best {MOST_LINES} settings, the baseline among them." if len(entries) > MOST_LINES else ""
    charts = []
    learning = [series for entry in chosen if (series := _learning(entry)) is not None]
    if learning:
        charts.append(
            {
                "title": "Learning curves",
                "note": f"mAP of the validation matches after each epoch, in %: mean over seeds, least to most.{few}",
                "legend": _legend(learning),
                "svg": line_chart(learning, x_label="epoch", y_label="valid mAP, %", counts=True),
            }
        )
    if comparison.pools:
        curves = [_tolerance(comparison, entry) for entry in chosen]
        charts.append(
            {
                "title": "AP and tolerance",
                "note": f"mAP, in %, where a hit may lie half the tolerance to either side; mean over seeds.{few}",
                "legend": _legend(curves),
                "svg": line_chart(curves, x_label="tolerance, s", y_label="mAP, %"),
            }
        )
    points = []
    for number, entry in sorted(enumerate(entries, start=1), key=lambda one: one[1].index):
        seconds = [float(run.cost["train_s"]) for run in entry.runs if run.cost.get("train_s")]
        if seconds:
            points.append((number, entry.name, mean(seconds), 100 * entry.mean_ap))
    if points:
        charts.append(
            {
                "title": "Cost and mAP",
                "note": "Seconds of training with validation, mean over seeds; the baseline is filled. Numbers, where "
                "they stand for names, are those of the tables above.",
                "legend": None,
                "svg": point_chart(points, x_label="seconds a run", y_label="mAP, %"),
            }
        )
    return charts


def _learning(entry: Entry) -> Series | None:
    epochs, middle, low, high = learning_curve(entry.runs)
    return Series(entry.name, epochs, middle, (low, high)) if epochs else None


def _tolerance(comparison: Comparison, entry: Entry) -> Series:
    pools = [comparison.pools[run] for run in comparison.groups[entry.index]]
    values = [100 * mean(pooled_average_precision(pool, (width_s,)).mean_ap for pool in pools) for width_s in CURVE_S]
    return Series(entry.name, CURVE_S, values)


def _legend(series: Sequence[Series]) -> list[dict[str, str]]:
    return [{"name": line.name, "colour": colour(index), "dash": dash(index)} for index, line in enumerate(series)]


def _provenance(comparison: Comparison) -> list[tuple[str, list[str]]]:
    """What the runs were made of, a name and one line or, for commands, several."""
    records = [record for run in comparison.runs for record in run.records]
    features = [found for record in records if isinstance(found := record.get("features"), dict)]
    started, finished = _texts(records, "started"), _texts(records, "finished")
    of_others = [Path(run.made_from["predictions"]).name for run in comparison.runs if not run.records]
    commands = list(dict.fromkeys(str(_without_places(found)) for one in records if (found := one.get("command_line"))))
    more = [f"and {len(commands) - MOST_VALUES} more"] if len(commands) > MOST_VALUES else []
    rows = [
        ("matches", ", ".join(comparison.matches)),
        ("classes", f"{comparison.label_set.name}: {', '.join(comparison.label_set.labels)}"),
        ("feature sets", _distinct(found.get("set") for found in features)),
        ("features' fingerprints", _distinct(str(found.get("fingerprint"))[:12] for found in features)),
        ("ballspot", _distinct(record.get("version") for record in records)),
        ("commit", _distinct(record.get("git_commit") for record in records)),
        ("torch", _distinct(record.get("torch") for record in records)),
        ("device", _distinct(record.get("device") for record in records)),
        ("trained", f"{min(started)} to {max(finished)}" if records else "-"),
        *([("predictions of others", _distinct(of_others))] if of_others else []),
    ]
    return [*((name, [value]) for name, value in rows), ("commands", [*commands[:MOST_VALUES], *more] or ["-"])]


def _without_places(command: Any) -> Any:
    """A command line whose absolute paths are cut to their last names: the page is for others."""
    try:
        words = shlex.split(command) if isinstance(command, str) else []
    except ValueError:  # a quotation without an end
        words = []
    if not any("/" in word for word in words):
        return command
    return shlex.join([re.sub(r"^((?:--?[\w-]+|[\w.]+)=)?/(?:.*/)?(?=[^/])", r"\1", word) for word in words])


def _texts(records: Sequence[Any], key: str) -> list[str]:
    return [str(record.get(key, "-")) for record in records]


def _distinct(values: Any) -> str:
    found = list(dict.fromkeys(str(value) for value in values if value is not None))
    more = f" and {len(found) - MOST_VALUES} more" if len(found) > MOST_VALUES else ""
    return ", ".join(found[:MOST_VALUES]) + more if found else "-"
