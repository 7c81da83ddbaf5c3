"""Two sets of predictions on the same matches: paired differences of means and class APs, from the same draws."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..dataset import DataSelection, LabelSet
from ..scoring import OFFICIAL, Protocol, headline_ap, pooled_average_precision, read_pairing
from ..uncertainty import BOOTSTRAP, Bootstrap, Difference, ap_replicates, paired_difference


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
                label: difference.as_record()
                for label, difference in zip(self.label_set.labels, self.per_class, strict=True)
            },
        }


def contest(
    path: Path,
    other: Path,
    data: DataSelection,
    matches: Sequence[str] | None = None,
    *,
    protocol: Protocol = OFFICIAL,
    bootstrap: Bootstrap = BOOTSTRAP,
) -> Contest:
    """The predictions in ``path`` against those in ``other``; settings and errors as `evaluate_predictions`."""
    pools = [read_pairing(side, data, matches).pool(protocol.fps) for side in (path, other)]
    results = [pooled_average_precision(pool, protocol.tolerances_s) for pool in pools]
    resamples = bootstrap.draw(pools)
    ours, theirs = (ap_replicates(pool, protocol.tolerances_s, resamples) for pool in pools)
    in_headline = np.array(data.label_set.in_headline)
    headlines = [headline_ap(result.ap, data.label_set) for result in results]
    gain = results[0].ap - results[1].ap
    return Contest(
        label_set=data.label_set,
        mean_ap=paired_difference(results[0].mean_ap - results[1].mean_ap, ours.mean(), theirs.mean()),
        headline_ap=paired_difference(headlines[0] - headlines[1], ours.mean(in_headline), theirs.mean(in_headline)),
        per_class=tuple(
            paired_difference(float(gain[index]), ours.of_class(index), theirs.of_class(index))
            for index in range(len(data.label_set))
        ),
        other_mean_ap=results[1].mean_ap,
    )
