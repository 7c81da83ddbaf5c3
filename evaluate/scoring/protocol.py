"""How predictions are scored: a metric of SoccerNet, or one tolerance of any width, at a frame rate."""

import math
from dataclasses import dataclass

from ...cache.errors import BallspotError

OFFICIAL_FPS = 25.0
GRID_STRIDE = 2  # the original system scored every second frame
METRIC = "at1"
METRICS: dict[str, tuple[float, ...]] = {  # tolerances in seconds, full width
    **{f"at{seconds}": (float(seconds),) for seconds in range(1, 6)},
    "tight": tuple(float(seconds) for seconds in range(1, 6)),
    "loose": tuple(float(seconds) for seconds in range(5, 61, 5)),
}
MIN_FPS, MAX_FPS = 0.1, 1000.0  # positions are whole milliseconds


@dataclass(frozen=True)
class Protocol:
    """The metric, "at1" .. "at5", "tight" (1 to 5 s) or "loose" (5 to 60 s), and the frames per second to score at.

    ``tolerance_s`` is a full width, 1.0 accepting half a second either side, which replaces the metric's. Raises
    BallspotError for a rate, a tolerance or a metric that makes no sense.
    """

    metric: str = METRIC
    fps: float = OFFICIAL_FPS
    tolerance_s: float | None = None

    def __post_init__(self) -> None:
        if not MIN_FPS <= self.fps <= MAX_FPS:
            raise BallspotError(
                f"frame rate {self.fps} is outside {MIN_FPS}..{MAX_FPS} a second; SoccerNet scores at 25"
            )
        if self.tolerance_s is not None and not (math.isfinite(self.tolerance_s) and self.tolerance_s >= 0):
            raise BallspotError(
                f"tolerance {self.tolerance_s} s is not a width of 0 seconds or more; SoccerNet's mAP@1 uses 1"
            )
        if self.metric not in METRICS:
            raise BallspotError(f"unknown metric {self.metric!r}; known are {', '.join(METRICS)}")

    @property
    def name(self) -> str:
        """The metric's name, "tolerance" where one replaces it."""
        return self.metric if self.tolerance_s is None else "tolerance"

    @property
    def tolerances_s(self) -> tuple[float, ...]:
        """The tolerances in seconds, full width, that the metric averages."""
        return METRICS[self.metric] if self.tolerance_s is None else (self.tolerance_s,)


OFFICIAL = Protocol()  # SoccerNet's mAP@1 at 25 frames a second
