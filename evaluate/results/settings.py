"""Settings compared over their seeds: runs alike but for the seed are one setting, drawn again with the blocks.

Hierarchical bootstrap: each draw takes blocks of the matches, the same for every run, and for each setting as many of
its seeds with replacement as it has; a setting's number is the mean over the seeds drawn. Several settings against one
baseline are corrected by Holm's method.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...cache.runs import seed_of
from ..scoring import Pool, pooled_average_precision
from ..uncertainty import Bootstrap, Difference, Interval, ap_replicates, holm, interval, paired_difference
from .scored_run import first_distinct, tails


@dataclass(frozen=True)
class ComparedSetting:
    """Runs that differ in their seed only: their mean AP (0..1), its interval, and its difference to the first setting.

    ``difference`` is None for the first setting; ``p_holm`` is its p-value corrected for the number of settings.
    ``draws`` (R,) is the mean AP in every draw of blocks and seeds, of the same blocks for every setting.
    """

    name: str
    runs: tuple[str, ...]
    n_seeds: int
    mean_ap: float
    interval: Interval
    difference: Difference | None
    p_holm: float | None
    draws: np.ndarray = field(repr=False, compare=False)

    def as_record(self) -> dict[str, Any]:
        """The setting as one JSON object."""
        difference = None if self.difference is None else {**self.difference.as_record(), "p_holm": self.p_holm}
        return {
            "name": self.name,
            "runs": list(self.runs),
            "n_seeds": self.n_seeds,
            "mean_ap": self.mean_ap,
            "interval": self.interval.as_record(),
            "difference_to_first": difference,
        }


def group_by_setting(made_from: Sequence[Mapping[str, Any]]) -> list[list[int]]:
    """Which runs are of each setting, counted from 0, in the order in which settings first come."""
    groups: dict[str, list[int]] = {}
    for index, settings in enumerate(made_from):
        rest = {key: value for key, value in settings.items() if key != "seed"}
        groups.setdefault(json.dumps(rest, sort_keys=True, default=str), []).append(index)
    return list(groups.values())


def setting_names(groups: Sequence[Sequence[int]], paths: Sequence[Path]) -> list[str]:
    """What each setting is called: what its runs are seeds of, the folder where these are `seed-N`, else its first run.

    Settings that would have one name are told apart by folders above, or by their first runs where one folder holds
    seeds of several.
    """
    firsts = [paths[group[0]] for group in groups]
    folders = [
        path.parent if path.name.startswith("seed-") else seed_of(path)[0] if len(group) > 1 else path
        for path, group in zip(firsts, groups, strict=True)
    ]
    shortest = [
        next((name for name, others in of_path if others.count(name) == 1), str(folder))
        for folder, of_path in zip(folders, _named(tails(folders)), strict=True)
    ]
    return first_distinct(shortest, [str(folder) for folder in folders], [str(path) for path in firsts])


def _named(tails_of: Sequence[Sequence[str]]) -> list[list[tuple[str, Sequence[str]]]]:
    """For each path its tails, the shortest first, each beside those of all paths."""
    return [[(names[index], names) for names in tails_of] for index in range(len(tails_of[0]))]


def compare_settings(
    names: Sequence[str],
    groups: Sequence[Sequence[int]],
    pools: Sequence[Pool],
    *,
    tolerances_s: Sequence[float],
    bootstrap: Bootstrap,
    min_counts: Sequence[int] = (0,),
    called: Sequence[str] | None = None,
) -> list[tuple[ComparedSetting, ...]]:
    """Every setting's mean AP over its runs, once for each of ``min_counts``.

    ``names`` and ``pools`` are of the runs that ``groups`` counts, ``called`` the settings' names, those of their first
    runs unless given. A mean is over the classes with at least ``min_count`` truths, 0 all; no setting when there is
    none.
    """
    resamples = bootstrap.draw(pools)
    results = [pooled_average_precision(pool, tolerances_s) for pool in pools]
    replicates = [ap_replicates(pool, tolerances_s, resamples) for pool in pools]
    n_truth = np.bincount(pools[0].truth_label, minlength=pools[0].n_labels)
    called = called or [names[group[0]] for group in groups]
    compared = []
    for min_count in min_counts:
        chosen = n_truth >= min_count
        if not chosen.any():
            compared.append(())
            continue
        values = np.array([result.ap[chosen].mean() for result in results])
        drawn = np.stack([run.mean(chosen) for run in replicates])  # (runs, R)
        random = np.random.default_rng([bootstrap.seed, 1])
        compared.append(_settings(called, names, groups, values, drawn, random))
    return compared


def _settings(
    called: Sequence[str],
    names: Sequence[str],
    groups: Sequence[Sequence[int]],
    values: np.ndarray,
    drawn: np.ndarray,
    random: np.random.Generator,
) -> tuple[ComparedSetting, ...]:
    """The settings from the mean AP of each run, (runs,), and in every draw, (runs, R); ``random`` draws the seeds."""
    n_resamples = drawn.shape[1]
    means, draws = [], []
    for group in groups:
        chosen = random.integers(0, len(group), (n_resamples, len(group)))
        draws.append(drawn[np.array(group)[chosen], np.arange(n_resamples)[:, None]].mean(axis=1))
        means.append(float(values[list(group)].mean()))
    differences = [
        paired_difference(mean - means[0], draw, draws[0]) for mean, draw in zip(means[1:], draws[1:], strict=True)
    ]
    corrected = holm([difference.p_value for difference in differences])
    return tuple(
        ComparedSetting(
            name=called[index],
            runs=tuple(names[run] for run in group),
            n_seeds=len(group),
            mean_ap=means[index],
            interval=interval(draws[index]),
            difference=differences[index - 1] if index else None,
            p_holm=corrected[index - 1] if index else None,
            draws=draws[index],
        )
        for index, group in enumerate(groups)
    )
