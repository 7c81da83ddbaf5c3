"""From which confidence up predictions count: one number for all classes, decided in one place for every command.

It is the number that is asked for. Else it is the one that was chosen on the validation matches, which training, `tune`
and `predict` leave beside their predictions in `threshold.json`. Else, for predictions of anybody, it is 0.5, or where
fewer than one spot a minute reaches that, the confidence of the twentieth strongest spot a match.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal
from pathlib import Path

from ...cache.disk import read_json, write_json
from ...cache.errors import BallspotError
from .given import Given, run_of_predictions

THRESHOLD_FILE = "threshold.json"
USUAL = 0.5
STRONGEST_A_MATCH = 20
Scored = Sequence[tuple[float, Sequence[float]]]


@dataclass(frozen=True)
class Threshold:
    """The lowest confidence that counts, and where it is from in a few words."""

    value: float
    why: str

    def remark(self) -> str:
        """What a command says of it."""
        return f"predictions count from {self.value:g} up: {self.why}"


def decided_threshold(given: Given, asked: float | None, *, matches: Sequence[str] | None = None) -> Threshold:
    """The threshold of predictions, as the module says. Raises BallspotError for a garbled record, and as `spots`.

    ``matches`` are those that are meant, None all that have predictions.
    """
    if asked is not None:
        return Threshold(asked, "as asked for")
    recorded = recorded_threshold(given)
    if recorded is not None:
        return recorded
    predictions = given.opened()
    scored = []
    for name in predictions.matches() if matches is None else matches:
        spots = predictions.spots(name)
        minutes = (
            sum(max((spot.position_ms for spot in spots if spot.half == half), default=0) for half in (1, 2)) / 6e4
        )
        scored.append((minutes, [spot.confidence or 0.0 for spot in spots]))
    return usual_threshold(scored)


def usual_threshold(scored: Scored) -> Threshold:
    """The threshold where none was chosen, by the minutes and confidences of each match."""
    confidences = sorted((one for _, of_match in scored for one in of_match), reverse=True)
    minutes = sum(max(of_match, 1.0) for of_match, _ in scored)
    if not confidences or sum(one >= USUAL for one in confidences) >= minutes:
        return Threshold(USUAL, "the usual number, since none was chosen on validation matches")
    nth = min(STRONGEST_A_MATCH * len(scored), len(confidences))
    return Threshold(
        min(rounded_down(confidences[nth - 1], 2), USUAL),
        f"the {nth} strongest, since fewer than one a minute reaches {USUAL} and none was chosen",
    )


def recorded_threshold(given: Given) -> Threshold | None:
    """The threshold that lies beside predictions, or else in the run that they are of; None where there is none."""
    run = given.run or run_of_predictions(given.path)
    for folder in (given.path, run):
        value = None if folder is None else read_threshold(folder)
        if value is not None:
            return Threshold(value, "the best F1 of all classes together on the validation matches")
    return None


def read_threshold(folder: Path) -> float | None:
    """The threshold that was chosen for what lies in ``folder``. Raises BallspotError for a garbled record."""
    path = folder / THRESHOLD_FILE
    if not path.is_file():
        return None
    return threshold_in(read_json(path), path)


def threshold_in(record: object, path: Path) -> float | None:
    """What a record says of the threshold, None where it says nothing. Raises BallspotError for no finite number."""
    value = record.get("threshold") if isinstance(record, dict) else math.nan
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise BallspotError(f"{path}: its threshold is not a number; remove the file and give --threshold")
    return float(value)


def write_threshold(folder: Path, value: float | None) -> None:
    """Leaves the threshold of what lies in ``folder`` there, whole or not at all; nothing where none was found."""
    if value is not None and read_threshold(folder) != value:
        write_json(folder / THRESHOLD_FILE, {"threshold": value})


def rounded_down(number: float, n_digits: int) -> float:
    """The number with so many digits from its first one on, never more than it is."""
    if number == 0:
        return 0.0
    one = Decimal(repr(number))
    unit = Decimal(1).scaleb(one.adjusted() - n_digits + 1)
    return float(one.quantize(unit, rounding=ROUND_FLOOR))
