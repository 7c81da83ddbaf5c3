"""TensorBoard files in a run's folder (extra `track`): every number of its log, and its settings beside its result."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from ...cache.errors import BallspotError
from ...cache.runs import RunFolder, flatten

FOLDER = "tensorboard"


class Tracker:
    """Writes what a run logs below ``RUN/tensorboard``, from the first epoch that it is given on.

    Epochs that a killed run had written after its last checkpoint are hidden by those that are trained again.
    """

    def __init__(self, run: RunFolder) -> None:
        self.folder = run.path / FOLDER
        self.writer: Any = None

    def epoch(self, line: Mapping[str, Any]) -> None:
        """Writes the numbers of one line of the log at its epoch, the AP of each class below ``class/``."""
        writer = self._writer(line["epoch"])
        for name, value in line.items():
            if name == "valid_per_class":
                for label, found in value.items():
                    writer.add_scalar(f"class/{label}", found["ap"], line["epoch"])
            elif name != "epoch" and isinstance(value, (int, float)):
                writer.add_scalar(name, value, line["epoch"])
        writer.flush()

    def end(self, config: Mapping[str, Any], seed: int, metrics: Mapping[str, Any]) -> None:
        """Writes the settings and the best validation mAP, for TensorBoard's HPARAMS page, and closes."""
        settings = {
            name: value if isinstance(value, (bool, int, float, str)) else str(value)
            for name, value in flatten({**config, "seed": seed}).items()
        }
        writer = self._writer(metrics["n_epochs"] + 1)
        writer.add_hparams(settings, {"best/valid_mean_ap": float(metrics["mean_ap"])}, run_name=".")
        writer.close()

    def _writer(self, step: int) -> Any:
        if self.writer is None:
            self.writer = require_tracker()(log_dir=str(self.folder), purge_step=step)
        return self.writer


def require_tracker() -> Any:
    """TensorBoard's writer. Raises BallspotError where it is not installed."""
    try:
        return import_module("torch.utils.tensorboard").SummaryWriter
    except ImportError as error:
        raise BallspotError("--track: TensorBoard is not installed; pip install 'ballspot[track]'") from error
