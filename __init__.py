"""Ball action spotting on cached video features."""

from typing import TYPE_CHECKING, Any

from .cache.version import __version__

if TYPE_CHECKING:
    from .temporal.api import (
        BallspotError,
        Evaluation,
        Features,
        Run,
        Spot,
        compare,
        evaluate_spots,
        load_run,
        open_features,
        read_events,
        spots_of_scores,
        train,
        write_events,
        write_features,
    )

__all__ = [
    "BallspotError",
    "Evaluation",
    "Features",
    "Run",
    "Spot",
    "__version__",
    "compare",
    "evaluate_spots",
    "load_run",
    "open_features",
    "read_events",
    "spots_of_scores",
    "train",
    "write_events",
    "write_features",
]


def __getattr__(name: str) -> Any:
    """The public names, each imported when it is asked for: `import ballspot` itself takes no time."""
    if name not in __all__:
        raise AttributeError(f"module 'ballspot' has no attribute {name!r}")
    from .temporal import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted(__all__)
