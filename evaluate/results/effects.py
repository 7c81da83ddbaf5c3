"""What one key of a sweep does, all else alike: the mean difference over pairs of settings that differ in it alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..uncertainty import Difference, paired_difference
from .settings import Setting


@dataclass(frozen=True)
class Effect:
    """How much better the settings with ``key`` at ``value`` are than their twins with it at ``reference``.

    ``n_pairs`` twins are averaged; differences are of mean AP in 0..1, on the same draws of blocks and seeds.
    """

    key: str
    value: Any
    reference: Any
    n_pairs: int
    difference: Difference

    def as_record(self) -> dict[str, Any]:
        """The effect as one JSON object."""
        return {
            "key": self.key,
            "value": self.value,
            "reference": self.reference,
            "n_pairs": self.n_pairs,
            "difference": self.difference.as_record(),
        }


def effects_of(settings: Sequence[Setting], values: Sequence[Mapping[str, Any]]) -> tuple[Effect, ...]:
    """The effect of every value of every key against the value that the first setting has.

    ``values`` maps the keys that are not alike in all settings to the value of each setting. A value without a pair
    of settings that differ in that key alone has no effect to show. Of settings with equal values the first counts.
    """
    effects = []
    for key in dict.fromkeys(key for one in values for key in one):
        reference = values[0].get(key)
        twins: dict[str, int] = {}
        for place, one in enumerate(values):
            if one.get(key) == reference:
                twins.setdefault(_rest(one, key), place)
        pairs: dict[str, list[tuple[int, int]]] = {}
        shown: dict[str, Any] = {}
        for place, one in enumerate(values):
            if one.get(key) != reference and _rest(one, key) in twins:
                pairs.setdefault(repr(one.get(key)), []).append((place, twins[_rest(one, key)]))
                shown[repr(one.get(key))] = one.get(key)
        for text, found in pairs.items():
            ours, theirs = ([settings[pair[side]] for pair in found] for side in (0, 1))
            difference = paired_difference(
                float(np.mean([one.mean_ap for one in ours]) - np.mean([one.mean_ap for one in theirs])),
                np.mean([one.draws for one in ours], axis=0),
                np.mean([one.draws for one in theirs], axis=0),
            )
            effects.append(Effect(key, shown[text], reference, len(found), difference))
    return tuple(effects)


def _rest(values: Mapping[str, Any], key: str) -> str:
    return repr(sorted((name, repr(value)) for name, value in values.items() if name != key))
