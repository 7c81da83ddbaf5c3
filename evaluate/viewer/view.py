"""What `ballspot view` shows: the matches of one or two sets of predictions, and each as one JSON object."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...cache.errors import BallspotError
from ..dataset import (
    ALONE_OF_HALF_2,
    OF_HALF,
    PREFERRED_VIDEOS,
    VIDEO_SUFFIXES,
    DataSelection,
    Given,
    LabelSet,
    Match,
    Predictions,
    SpotColumns,
    columns_of,
    given_predictions,
    read_labels,
    resolve_match,
)
from .curves import Curves, read_curves

MAX_UNKNOWN = 5  # unknown labels that are named; the others are counted


@dataclass(frozen=True)
class Side:
    """One set of predictions and what the page calls it; None where labels alone are shown."""

    name: str
    predictions: Predictions | None


@dataclass(frozen=True)
class ViewedMatch:
    """A match that at least one side has predictions of.

    ``files`` says where each side's predictions lie in its folder or zip, None where it has none; ``videos`` holds the
    video of each half that has one; ``labels_path`` is None where there is no truth. ``labels_at`` is where labels are
    or would be, None for a match of no folder.
    """

    name: str
    files: tuple[str | None, ...]
    videos: dict[int, Path]
    labels_path: Path | None
    labels_at: Path | None = None


@dataclass(frozen=True)
class View:
    """Everything that the page can ask for; ``threshold`` is what the first side's predictions count from, if known."""

    sides: tuple[Side, ...]
    matches: tuple[ViewedMatch, ...]
    label_set: LabelSet
    fps: float
    threshold: float | None = None


def open_sides(paths: Sequence[Path], *, split: str | None) -> tuple[Side, ...]:
    """The predictions that each of the paths stands for, as `given_predictions` finds them."""
    return sides_of(given_predictions(paths, split))


def sides_of(given: Sequence[Given]) -> tuple[Side, ...]:
    """The same of predictions that are found already."""
    names = distinct_names([one.argument for one in given])
    return tuple(Side(name, one.opened()) for name, one in zip(names, given, strict=True))


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """What tells the paths apart, at most: their last two parts, or all from where they differ."""
    parts = [path.resolve().parts for path in paths]
    if len(parts) < 2:
        return ["/".join(one[-2:]) for one in parts]
    same = 0
    while all(len(one) > same for one in parts) and len({one[same] for one in parts}) == 1:
        same += 1
    return ["/".join(one[same:] or one[-1:]) for one in parts]


def find_view(
    sides: Sequence[Side],
    data: DataSelection,
    names: Iterable[str] | None = None,
    *,
    fps: float,
    wanted: Sequence[str] = (),
) -> View:
    """The matches of ``names`` (None: of the data root, then those that only have predictions) that a side predicts.

    Where a side has several files of a match in other folders (``valid/m1`` and ``test/m1``), each is shown by its own
    name, beside the match's labels and videos.
    Without ``sides`` they are all matches, for their labels alone.
    ``wanted`` keeps only these, by whole name or last folder. Raises BallspotError when none is left, or one of
    ``wanted`` is not among them.
    """
    found = data.matches
    if not sides:
        return _labels_view(data, found if names is None else names, fps=fps, wanted=wanted)
    sides = [replace(side, predictions=_predictions(side).among(found)) for side in sides]
    viewed = [_viewed(name, data, sides) for name in (found if names is None else names)]
    viewed = [match for match in viewed if any(match.files)]
    if names is None:
        claimed = [{match.files[side] for match in viewed} for side in range(len(sides))]
        alone: dict[str, Match | None] = {}
        for side, taken in zip(sides, claimed, strict=True):
            own = _predictions(side)
            for name in own.matches():
                if own.find(name) not in taken:
                    alone[name] = _one_of_several(name, own, found) or alone.get(name)
        others = (_viewed(name, data, sides, alone[name]) for name in sorted(alone))
        viewed += [match for match in others if any(match.files)]
    if not viewed:
        paths = " and ".join(str(_predictions(side).path) for side in sides)
        raise BallspotError(
            f"{paths}: no predictions of the matches in {data.data_root}; check both paths, or the split"
        )
    return View(tuple(sides), _wanted(viewed, wanted, "with predictions"), data.label_set, fps)


def _labels_view(data: DataSelection, names: Iterable[str], *, fps: float, wanted: Sequence[str]) -> View:
    """The matches of ``names`` with their labels, where there are no predictions."""
    nobody = Side("labels", None)
    viewed = [_viewed(name, data, (nobody,)) for name in names]
    return View((nobody,), _wanted(viewed, wanted, "to show"), data.label_set, fps)


def _wanted(viewed: Sequence[ViewedMatch], wanted: Sequence[str], which: str) -> tuple[ViewedMatch, ...]:
    shown = [match.name for match in viewed]
    chosen = {resolve_match(name, shown, which=which) for name in wanted}
    return tuple(match for match in viewed if not chosen or match.name in chosen)


def _predictions(side: Side) -> Predictions:
    if side.predictions is None:
        raise ValueError(f"side {side.name} has no predictions")
    return side.predictions


def match_record(view: View, match: ViewedMatch) -> dict[str, Any]:
    """One match as the page reads it; what cannot be read stands there as an error instead."""
    record: dict[str, Any] = {"name": match.name, "truth": None, "notes": []}
    if match.labels_path is not None:
        try:
            spots = read_labels(match.labels_path, view.label_set, in_file_order=True)
            record["truth"] = columns_record(columns_of(spots), view.label_set)
        except BallspotError as error:
            record["notes"].append(f"labels not shown: {error}")
    record["runs"] = [_side_record(view, match, place) for place in range(len(view.sides))]
    return record


def columns_record(columns: SpotColumns, label_set: LabelSet) -> dict[str, Any]:
    """The spots whose labels are known, in their order, a list a field; a missing score is None."""
    label = columns.label_index(label_set)
    known = label >= 0
    score = columns.confidence[known]
    return {
        "label": label[known].tolist(),
        "ms": columns.position_ms[known].tolist(),
        "half": columns.half[known].tolist(),
        "team": columns.team[known].tolist(),
        "teams": list(columns.teams),
        "visible": columns.visible[known].astype(int).tolist(),
        "score": [None if one != one else one for one in score.tolist()],
    }


def curves_of(view: View, match: ViewedMatch, place: int) -> Curves | None:
    """The scores beside one side's predictions; None where there are none (in a zip file they are not looked for)."""
    predictions = view.sides[place].predictions
    path = None if predictions is None else predictions.scores_path(match.name)
    return None if path is None else read_curves(path)


def videos_of(match: Match, labels_at: Path | None = None) -> dict[int, Path]:
    """The video of each half: those named ``1_...`` and ``2_...``; an only one is of half 1 unless named ``2_...``.

    A video that lies elsewhere was predicted by itself, as half 1 whatever its name; and so is a loose one, which has
    a label file of its own (``labels_at`` is its name with another ending).
    """
    if match.video is not None and (
        match.video.parent != match.folder or labels_at == match.video.with_suffix(".json")
    ):
        return {1: match.video}
    if match.video is not None:
        return {2 if ALONE_OF_HALF_2.match(match.video.name) else 1: match.video}
    files = sorted(path for path in match.folder.iterdir() if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file())
    of_half = {half: [path for path in files if OF_HALF[half].match(path.name)] for half in (1, 2)}
    sizes = [Path(name).stem for name in PREFERRED_VIDEOS]
    return {
        half: next((path for size in sizes for path in own if size in path.stem), own[0])
        for half, own in of_half.items()
        if own
    }


def _one_of_several(name: str, predictions: Predictions, found: Mapping[str, Match]) -> Match | None:
    """The match that ``name`` ends with, where the predictions have several files of it and so none as its own."""
    parts = name.split("/")
    match = next((found[one] for n in range(1, len(parts)) if (one := "/".join(parts[n:])) in found), None)
    return match if match is not None and predictions.find(match.name) is None else None


def _viewed(name: str, data: DataSelection, sides: Sequence[Side], match: Match | None = None) -> ViewedMatch:
    """A match as it is shown: that of the name in ``data``, or ``match``."""
    match = match or data.matches.get(name)
    files = tuple(None if side.predictions is None else side.predictions.find(name) for side in sides)
    if match is None:
        return ViewedMatch(name, files, {}, None)
    labels_at = data.labels_at(match)
    return ViewedMatch(name, files, videos_of(match, labels_at), match.labels_path, labels_at)


def _side_record(view: View, match: ViewedMatch, place: int) -> dict[str, Any]:
    record: dict[str, Any] = {"spots": None, "notes": [], "curves": None}
    predictions = view.sides[place].predictions
    if predictions is None:
        return record
    if match.files[place] is None:
        return {**record, "notes": ["no predictions of this match"]}
    try:
        columns = predictions.read(match.name).columns
    except BallspotError as error:
        return {**record, "notes": [str(error)]}
    record["spots"] = columns_record(columns, view.label_set)
    record["notes"] += _unknown_labels(columns, view.label_set)
    try:
        curves = curves_of(view, match, place)
    except BallspotError as error:
        record["notes"].append(str(error))
        return record
    if curves is not None:
        record["curves"] = {
            "first_frame": curves.first_frame,
            "step": curves.step,
            "fps": curves.fps,
            "labels": [label in curves.labels for label in view.label_set.labels],
        }
    return record


def _unknown_labels(columns: SpotColumns, label_set: LabelSet) -> list[str]:
    counts = columns.unknown_labels(label_set)
    if not counts:
        return []
    most = sorted(counts, key=lambda label: (-counts[label], label))
    named = ", ".join(f"{label} ({counts[label]})" for label in most[:MAX_UNKNOWN])
    more = f" and {len(most) - MAX_UNKNOWN} more labels" if len(most) > MAX_UNKNOWN else ""
    n_spots = int(np.sum(list(counts.values())))
    return [f"{n_spots} predictions left out, their labels are not in {label_set.name}: {named}{more}"]
