"""Questions in the order in which they are to be asked, as many as fit in a budget."""

import heapq
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from zlib import crc32

from .questions import Question

CELL_MS = 60_000
DISCOUNT = 0.7  # of what another question of the class in the same minute is worth


@dataclass(frozen=True)
class Budget:
    """How much is asked: so many spots, and so many minutes of answering; None is no bound.

    A stretch counts as the events that it is likely to hold, one at least.
    """

    n_spots: int | None = None
    minutes: float | None = None

    def holds(self, n_spots: float, seconds: float) -> bool:
        """Whether questions about ``n_spots`` spots that take so many seconds are within it."""
        return (self.n_spots is None or n_spots <= self.n_spots) and (
            self.minutes is None or seconds <= 60 * self.minutes
        )

    def effort(self, question: Question) -> float:
        """What a question takes of it: seconds where it bounds the minutes, else spots."""
        return question.n_expected if self.minutes is None else question.cost_s


def ranked(questions: Iterable[Question], budget: Budget) -> list[Question]:
    """The questions that teach most for what answering takes (`Budget.effort`), best first.

    Answers nearby are much alike: each question that is taken lowers the worth of those of its class in the same
    minute of the match, and a stretch that of other stretches there. Stretches of the same worth are taken from all
    over the matches. A stretch decides the spots in it, which are passed over then. A question that no longer fits in
    the budget is passed over for a shorter one. ``value`` of those that are given is what was left of it.
    """
    asked: Counter[tuple[object, ...]] = Counter()
    stretches: dict[tuple[str, int], list[Question]] = {}
    heap = [(-one.value / budget.effort(one), _lot(one), place, 0, one) for place, one in enumerate(questions)]
    heapq.heapify(heap)
    taken: list[Question] = []
    n_spots = seconds = 0.0
    while heap and budget.holds(n_spots + 1, seconds):
        worth, lot, place, seen, one = heapq.heappop(heap)
        if any(other.covers(one) for other in stretches.get((one.match, one.half), ())):
            continue
        cell = (one.match, one.half, one.position_ms // CELL_MS, one.label)
        if asked[cell] > seen:  # worth less since it was put in
            left = -one.value * DISCOUNT ** asked[cell] / budget.effort(one)
            heapq.heappush(heap, (left, lot, place, asked[cell], one))
            continue
        if not budget.holds(n_spots + one.n_expected, seconds + one.cost_s):
            continue
        asked[cell] += 1
        n_spots += one.n_expected
        seconds += one.cost_s
        if one.end_ms is not None:
            stretches.setdefault((one.match, one.half), []).append(one)
        taken.append(replace(one, value=-worth * budget.effort(one)))
    return taken


def _lot(question: Question) -> int:
    """Where a question comes among those of the same worth: stretches by chance, the same at every call."""
    return 0 if question.end_ms is None else crc32(f"{question.match} {question.half} {question.position_ms}".encode())
