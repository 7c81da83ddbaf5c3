"""The long rounds are left out unless `-m` names them; a table of all that was tried ends the session.

    BALLSPOT_FAULTS_ROUNDS=50 BALLSPOT_FAULTS_SEED=3 BALLSPOT_FAULTS_REPORT=faults.json python -m pytest tests/faults -m faults
"""

import json
import os
from pathlib import Path

import pytest
import torch

from .harness import OTHER, REFUSED, SAME, tried

torch.set_num_threads(1)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "faults" in config.option.markexpr or os.environ.get("BALLSPOT_FAULTS"):
        return
    long = [item for item in items if item.get_closest_marker("faults")]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if not item.get_closest_marker("faults")]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    path = os.environ.get("BALLSPOT_FAULTS_REPORT")
    if path:
        table = {case: {"times": sum(counts.values()), **counts} for case, counts in sorted(tried.items())}
        Path(path).write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    if tried and (path or "faults" in terminalreporter.config.option.markexpr):
        terminalreporter.section("what was tried")
        terminalreporter.write_line(f"{'case':<60} {'times':>6} {'refused':>8} {'same':>6} {'other':>6}")
        for case, counts in sorted(tried.items()):
            numbers = [counts[outcome] for outcome in (REFUSED, SAME, OTHER)]
            terminalreporter.write_line(
                f"{case:<60} {sum(counts.values()):>6} {numbers[0]:>8} {numbers[1]:>6} {numbers[2]:>6}"
            )
