"""Which predictions an export takes: of which matches, classes and team, and from which confidence up."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ...cache.disk import nearest_name
from ...cache.errors import BallspotError
from ..dataset import BUILT_IN, SPOTS_FILE, Predictions, Spot, resolve_match, rounded_down
from ..formats import VideoSpots

THRESHOLD = 0.5


@dataclass(frozen=True)
class Selection:
    """Predictions from confidence ``threshold`` up, of ``classes`` (none: all) and ``team`` (None: any, or without)."""

    threshold: float = THRESHOLD
    classes: tuple[str, ...] = ()
    team: str | None = None

    def takes(self, spot: Spot) -> bool:
        """Whether a spot is taken."""
        is_sure = spot.confidence is not None and spot.confidence >= self.threshold
        is_asked_for = not self.classes or spot.label in self.classes
        return is_sure and is_asked_for and self.team in (None, spot.team)


@dataclass(frozen=True)
class Chosen:
    """The matches with the spots that were taken, in order of time, and every class that the predictions know.

    ``highest`` is the highest confidence of the classes and team that were asked for; None where there is no such spot.
    """

    videos: tuple[VideoSpots, ...]
    classes: tuple[str, ...]
    highest: float | None = None

    @property
    def n_spots(self) -> int:
        """How many spots were taken, of all matches."""
        return sum(len(video.spots) for video in self.videos)


def choose_spots(
    predictions: Predictions, selection: Selection, *, matches: Iterable[str] | None = None, named: Sequence[str] = ()
) -> Chosen:
    """The spots of ``predictions`` that a selection takes, sorted by half, time, class, team and falling confidence.

    ``matches`` are the matches there are (None: all that have predictions), ``named`` those of them to take (none:
    all). Raises BallspotError for a match, class or team that there is not, naming the nearest, and a malformed file.
    """
    names = predictions.matches() if matches is None else list(matches)
    if not names:
        raise BallspotError(f"{predictions.path}: no <match>/{SPOTS_FILE} below it; give what `ballspot predict` wrote")
    if named:
        names = list(dict.fromkeys(resolve_match(one, names, which="to take") for one in named))
    videos = [VideoSpots(name, predictions.spots(name)) for name in names]
    labels = {spot.label for video in videos for spot in video.spots}
    known = labels | {label for one in BUILT_IN.values() for label in one.labels}
    for label in selection.classes:
        if label not in known:
            near = nearest_name(label, known)
            hint = f"did you mean {near!r}?" if near else f"there are {', '.join(sorted(labels)) or 'none'}"
            raise BallspotError(f"{predictions.path}: no class {label!r} in --classes; {hint}")
    teams = sorted({spot.team for video in videos for spot in video.spots if spot.team is not None})
    if selection.team is not None and selection.team not in teams:
        hint = f"there are {', '.join(teams)}" if teams else "the predictions name no teams; leave --team out"
        raise BallspotError(f"{predictions.path}: no prediction is of team {selection.team!r}; {hint}")
    taken = (replace(video, spots=tuple(sorted(filter(selection.takes, video.spots), key=_order))) for video in videos)
    among_all = replace(selection, threshold=-math.inf)
    scores = [spot.confidence for video in videos for spot in filter(among_all.takes, video.spots)]
    highest = max((score for score in scores if score is not None), default=None)
    return Chosen(tuple(taken), tuple(sorted(labels)), highest)


def threshold_remark(chosen: Chosen, threshold: float) -> str | None:
    """What to say where no spot reaches the threshold: the highest confidence, and a threshold that it reaches."""
    if chosen.n_spots or chosen.highest is None or chosen.highest >= threshold:
        return None
    highest = chosen.highest
    said = f"no spot reaches --threshold {threshold:g}: the highest score is {rounded_down(highest, 2):g}"
    return f"{said}; give --threshold {rounded_down(highest, 1):g}"


def classes_of(text: str | None, known: Iterable[str] = ()) -> tuple[str, ...]:
    """The class names in a text with commas; a ``known`` name with a comma in it can be given alone."""
    if text is None or text in set(known):
        return () if text is None else (text,)
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def _order(spot: Spot) -> tuple[int, int, str, str, float]:
    return spot.half, spot.position_ms, spot.label, spot.team or "", -(spot.confidence or 0.0)
