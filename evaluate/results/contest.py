"""Two sets of predictions on the same matches: paired differences of means and class APs, from the same draws."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..dataset import LABELS_FILE, LabelSet
from ..scoring import OFFICIAL_FPS, headline_ap, pooled_average_precision, read_pairing
from ..uncertainty import (
    BLOCK_S,
    N_RESAMPLES,
    SEED,
    Difference,
    ap_replicates,
    check_settings,
    draw_resamples,
    paired_difference,
)


@dataclass(frozen=True)
class Contest:
    """How much better the first predictions are than the second, in AP (0..1)."""

    label_set: LabelSet
    mean_ap: Difference
    headline_ap: Difference
    per_class: tuple[Difference, ...]
    other_mean_ap: float

    def as_record(self) -> dict[str, Any]:
        """The differences as one JSON object."""
        return {
            "other_mean_ap": self.other_mean_ap,
            "mean_ap": self.mean_ap.as_record(),
            "headline_ap": self.headline_ap.as_record(),
            "per_class": {
                label: one.as_record() for label, one in zip(self.label_set.labels, self.per_class, strict=True)
            },
        }


def contest(
    path: Path,
    other: Path,
    *,
    data_root: Path,
    label_set: LabelSet,
    matches: Iterable[str] | None = None,
    fps: float = OFFICIAL_FPS,
    metric: str = "at1",
    tolerance_s: float | None = None,
    labels_file: str = LABELS_FILE,
    n_resamples: int = N_RESAMPLES,
    block_s: float = BLOCK_S,
    seed: int = SEED,
) -> Contest:
    """The predictions in ``path`` against those in ``other``; settings and errors as `evaluate_predictions`."""
    tolerances_s = check_settings(fps=fps, metric=metric, tolerance_s=tolerance_s, block_s=block_s)
    names = None if matches is None else list(matches)
    pools = [
        read_pairing(one, data_root=data_root, label_set=label_set, matches=names, labels_file=labels_file).pool(fps)
        for one in (path, other)
    ]
    results = [pooled_average_precision(pool, tolerances_s) for pool in pools]
    resamples = draw_resamples(pools, n_resamples=n_resamples, block_s=block_s, seed=seed)
    ours, theirs = (ap_replicates(pool, tolerances_s, resamples) for pool in pools)
    headline = np.array([label not in label_set.headline_excludes for label in label_set.labels])
    headlines = [headline_ap(result.ap, label_set) for result in results]
    gain = results[0].ap - results[1].ap
    return Contest(
        label_set=label_set,
        mean_ap=paired_difference(results[0].mean_ap - results[1].mean_ap, ours.mean(), theirs.mean()),
        headline_ap=paired_difference(headlines[0] - headlines[1], ours.mean(headline), theirs.mean(headline)),
        per_class=tuple(
            paired_difference(float(gain[index]), ours.of_class(index), theirs.of_class(index))
            for index in range(len(label_set))
        ),
        other_mean_ap=results[1].mean_ap,
    )
