"""The queue as a file: what `ballspot queue` writes and the page walks."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...cache.disk import read_json, write_json
from ...cache.errors import BallspotError
from ..dataset import MAX_POSITION_MS, LabelSet, brief, is_text
from .questions import Question

FORMAT = "ballspot-queue-1"
WORDS = ("disagreement", "doubt", "rare", "coverage")


@dataclass(frozen=True)
class Queue:
    """Questions, best first, and the names of the heads whose scores they hold."""

    questions: tuple[Question, ...]
    heads: tuple[str, ...] = ()


def write_queue(path: Path, queue: Queue) -> None:
    """Writes the queue, whole or not at all."""
    items = [
        {
            "match": one.match,
            "half": one.half,
            "position_ms": one.position_ms,
            **({} if one.end_ms is None else {"end_ms": one.end_ms}),
            "label": one.label,
            "scores": [round(score, 4) for score in one.scores],
            "value": round(one.value, 4),
            "why": one.why,
        }
        for one in queue.questions
    ]
    write_json(path, {"format": FORMAT, "heads": list(queue.heads), "items": items})


def read_queue(path: Path, label_set: LabelSet) -> Queue:
    """The queue in a file. Raises BallspotError naming the item that is none, or of a class that the set has not."""
    document = read_json(path)
    items = document.get("items") if isinstance(document, dict) and document.get("format") == FORMAT else None
    if not isinstance(items, list):
        raise BallspotError(f"{path}: is not a queue; give a file that `ballspot queue` wrote")
    heads = document.get("heads")
    names = tuple(map(str, heads)) if isinstance(heads, list) else ()
    return Queue(tuple(_question(one, f"{path}: item {n}", label_set) for n, one in enumerate(items, start=1)), names)


def _question(item: Any, place: str, label_set: LabelSet) -> Question:
    if not isinstance(item, dict) or not is_text(item.get("match")) or item.get("half") not in (1, 2):
        raise BallspotError(f"{place}: names no match and half; make the queue again")
    label, why = item.get("label"), item.get("why")
    times = [item.get("position_ms"), *([item["end_ms"]] if "end_ms" in item else [])]
    if any(type(ms) is not int or not 0 <= ms <= MAX_POSITION_MS for ms in times) or times != sorted(times):
        raise BallspotError(f"{place}: {brief(times)} are not times in ms; make the queue again")
    if label is not None and (not is_text(label) or label not in label_set):
        said = label_set.unknown(label) if is_text(label) else f"label {brief(label)} is not text"
        raise BallspotError(f"{place}: {said}; give --labels")
    if why not in WORDS:
        raise BallspotError(f"{place}: why is {brief(why)}, none of {', '.join(WORDS)}; make the queue again")
    scores, value = _numbers(item.get("scores"), place), _numbers([item.get("value")], place)[0]
    end_ms = times[1] if len(times) > 1 else None
    return Question(item["match"], item["half"], times[0], label, scores, value, why, end_ms)


def _numbers(values: Any, place: str) -> tuple[float, ...]:
    if not isinstance(values, Sequence) or not all(type(one) in (int, float) and one == one for one in values):
        raise BallspotError(f"{place}: {brief(values)} are not numbers; make the queue again")
    return tuple(map(float, values))
