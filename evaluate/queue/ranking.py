"""Questions in the order in which they are to be asked, as many as fit in a budget."""

import heapq
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from .questions import Question

CELL_MS = 60_000
DISCOUNT = 0.7  # of what another question of the class in the same minute is worth


@dataclass(frozen=True)
class Budget:
    """How much is asked: so many questions, and so many minutes of answering; None is no bound."""

    n_questions: int | None = None
    minutes: float | None = None

    def holds(self, n: int, seconds: float) -> bool:
        """Whether ``n`` questions that take so many seconds are within it."""
        return (self.n_questions is None or n <= self.n_questions) and (
            self.minutes is None or seconds <= 60 * self.minutes
        )


def ranked(questions: Iterable[Question], budget: Budget) -> list[Question]:
    """The questions that teach most for a second of answering, best first.

    Answers nearby are much alike: each question that is taken lowers the worth of those of its class in the same
    minute of the match. One that no longer fits in the budget is passed over for a shorter one. ``value`` of those
    that are given is what was left of it.
    """
    asked: Counter[tuple[object, ...]] = Counter()
    heap = [(-one.value / one.cost_s, place, 0, one) for place, one in enumerate(questions)]
    heapq.heapify(heap)
    taken: list[Question] = []
    seconds = 0.0
    while heap:
        worth, place, seen, one = heapq.heappop(heap)
        cell = (one.match, one.half, one.position_ms // CELL_MS, one.label)
        if asked[cell] > seen:  # worth less since it was put in
            left = -one.value * DISCOUNT ** asked[cell] / one.cost_s
            heapq.heappush(heap, (left, place, asked[cell], one))
            continue
        if not budget.holds(len(taken) + 1, seconds + one.cost_s):
            if budget.n_questions is not None and len(taken) >= budget.n_questions:
                break
            continue
        asked[cell] += 1
        seconds += one.cost_s
        taken.append(replace(one, value=-worth * one.cost_s))
    return taken
