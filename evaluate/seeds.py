"""Settings compared over their seeds: runs alike but for the seed are one setting, drawn again with the blocks.

Hierarchical bootstrap: each draw takes blocks of the matches, the same for every run, and for each setting as many of
its seeds with replacement as it has; a setting's number is the mean over the seeds drawn. Several settings against one
baseline are corrected by Holm's method.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .intervals import Interval, ap_replicates, draw_resamples, interval
from .matching import Pool
from .metrics import pooled_average_precision
from .uncertainty import SEED, Difference, holm, paired_difference


@dataclass(frozen=True)
class Setting:
    """Runs that differ in their seed only: their mean AP (0..1), its interval, and its difference to the first setting.

    ``difference`` is None for the first setting; ``p_holm`` is its p-value corrected for the number of settings.
    """

    runs: tuple[str, ...]
    n_seeds: int
    mean_ap: float
    interval: Interval
    difference: Difference | None
    p_holm: float | None

    def as_record(self) -> dict[str, Any]:
        """The setting as one JSON object."""
        difference = None if self.difference is None else {**self.difference.as_record(), "p_holm": self.p_holm}
        return {
            "runs": list(self.runs),
            "n_seeds": self.n_seeds,
            "mean_ap": self.mean_ap,
            "interval": self.interval.as_record(),
            "difference_to_first": difference,
        }


def group_by_setting(made_from: Sequence[Mapping[str, Any]]) -> list[list[int]]:
    """The places of the runs of each setting, in the order in which settings first come."""
    groups: dict[str, list[int]] = {}
    for place, settings in enumerate(made_from):
        rest = {key: value for key, value in settings.items() if key != "seed"}
        groups.setdefault(json.dumps(rest, sort_keys=True, default=str), []).append(place)
    return list(groups.values())


def compare_settings(
    names: Sequence[str],
    groups: Sequence[Sequence[int]],
    pools: Sequence[Pool],
    *,
    tolerances_s: Sequence[float],
    n_resamples: int,
    block_s: float,
    seed: int = SEED,
    min_count: int = 0,
) -> tuple[Setting, ...]:
    """Every setting's mean AP over its runs; ``names`` and ``pools`` are of the runs that ``groups`` counts.

    The mean is over the classes with at least ``min_count`` truths, 0 all; no setting when there is none.
    """
    n_truth = np.bincount(pools[0].truth_label, minlength=pools[0].n_labels)
    chosen_labels = n_truth >= min_count
    if not chosen_labels.any():
        return ()
    resamples = draw_resamples(pools, n_resamples=n_resamples, block_s=block_s, seed=seed)
    values = np.array([pooled_average_precision(pool, tolerances_s).ap[chosen_labels].mean() for pool in pools])
    drawn = np.stack([ap_replicates(pool, tolerances_s, resamples).mean(chosen_labels) for pool in pools])  # (runs, R)
    random = np.random.default_rng([seed, 1])
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
        Setting(
            runs=tuple(names[place] for place in group),
            n_seeds=len(group),
            mean_ap=means[index],
            interval=interval(draws[index]),
            difference=differences[index - 1] if index else None,
            p_holm=corrected[index - 1] if index else None,
        )
        for index, group in enumerate(groups)
    )
