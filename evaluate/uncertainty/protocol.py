"""How predictions are scored: which numbers a metric takes, and their limits."""

import math

from ...cache.errors import BallspotError
from ..scoring import tolerances_of
from .bootstrap import BLOCK_S

MIN_FPS, MAX_FPS = 0.1, 1000.0  # positions are whole milliseconds


def check_settings(
    *, fps: float, metric: str = "at1", tolerance_s: float | None = None, block_s: float = BLOCK_S
) -> tuple[float, ...]:
    """The tolerances to score at. Raises BallspotError for a rate, tolerance or block that makes no sense."""
    if not MIN_FPS <= fps <= MAX_FPS:
        raise BallspotError(f"frame rate {fps} is outside {MIN_FPS}..{MAX_FPS} a second; SoccerNet scores at 25")
    if tolerance_s is not None and not (math.isfinite(tolerance_s) and tolerance_s >= 0):
        raise BallspotError(f"tolerance {tolerance_s} s is not a width of 0 seconds or more; SoccerNet's mAP@1 uses 1")
    if not 1 <= block_s <= 7200:
        raise BallspotError(f"blocks of {block_s} s are outside 1..7200 seconds; 300 suit whole matches")
    return tolerances_of(metric) if tolerance_s is None else (tolerance_s,)
