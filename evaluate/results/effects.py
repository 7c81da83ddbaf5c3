"""What one key of a sweep does, all else alike: the mean difference over pairs of settings that differ in it alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..uncertainty import Difference, paired_difference
from .settings import ComparedSetting


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


def effects_of(settings: Sequence[ComparedSetting], values: Sequence[Mapping[str, Any]]) -> tuple[Effect, ...]:
    """The effect of every value of every key against the value that the first setting has.

    ``values`` maps the keys that are not alike in all settings to the value of each setting. A value without a pair
    of settings that differ in that key alone has no effect to show. Of settings with equal values the first counts.
    """
    effects = []
    for key in dict.fromkeys(key for keys in values for key in keys):
        reference = values[0].get(key)
        twins: dict[str, ComparedSetting] = {}
        for setting, keys in zip(settings, values, strict=True):
            if keys.get(key) == reference:
                twins.setdefault(_rest(keys, key), setting)
        pairs: dict[str, list[tuple[ComparedSetting, ComparedSetting]]] = {}
        shown: dict[str, Any] = {}
        for setting, keys in zip(settings, values, strict=True):
            value, twin = keys.get(key), twins.get(_rest(keys, key))
            if value != reference and twin is not None:
                pairs.setdefault(repr(value), []).append((setting, twin))
                shown[repr(value)] = value
        for text, of_value in pairs.items():
            ours, theirs = zip(*of_value, strict=True)
            difference = paired_difference(
                float(_mean_ap(ours) - _mean_ap(theirs)), _mean_draws(ours), _mean_draws(theirs)
            )
            effects.append(Effect(key, shown[text], reference, len(of_value), difference))
    return tuple(effects)


def _mean_ap(settings: Sequence[ComparedSetting]) -> np.floating:
    return np.mean([setting.mean_ap for setting in settings])


def _mean_draws(settings: Sequence[ComparedSetting]) -> np.ndarray:
    return np.mean([setting.draws for setting in settings], axis=0)


def _rest(values: Mapping[str, Any], key: str) -> str:
    return repr(sorted((name, repr(value)) for name, value in values.items() if name != key))
