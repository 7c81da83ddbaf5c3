"""A table of all that was tried ends the session; the long rounds run where `-m` names them.

BALLSPOT_FAULTS_ROUNDS=50 BALLSPOT_FAULTS_SEED=3 BALLSPOT_FAULTS_REPORT=faults.jsonl pytest tests/faults -m faults
"""

from collections import Counter
from typing import Any

import pytest
import torch

from .harness import OTHER, REFUSED, REPORT, SAME, tried

torch.set_num_threads(1)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker of pytest-xdist hands over what it has tried."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["tried"] = {case: dict(counts) for case, counts in tried.items()}


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    for case, counts in getattr(node, "workeroutput", {}).get("tried", {}).items():
        tried.setdefault(case, Counter()).update(counts)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if tried and (REPORT or "faults" in terminalreporter.config.option.markexpr):
        groups: dict[str, Counter[str]] = {}
        for case, counts in tried.items():
            groups.setdefault(case.partition(":")[0], Counter()).update(counts)
        terminalreporter.section("what was tried")
        terminalreporter.write_line(f"| what | times | {REFUSED} | {SAME} | {OTHER} |\n|---|---|---|---|---|")
        for group, counts in groups.items():
            numbers = (sum(counts.values()), counts[REFUSED], counts[SAME], counts[OTHER])
            terminalreporter.write_line(f"| {group} | {' | '.join(map(str, numbers))} |")
