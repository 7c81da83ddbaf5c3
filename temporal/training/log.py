"""The log of a run: what an epoch leaves in log.jsonl, and the line that is said of it."""

import time
from collections.abc import Mapping
from typing import Any

from ...evaluate.dataset import LabelSet
from ...evaluate.scoring import APResult, headline_ap

Line = dict[str, Any]


def timestamp() -> str:
    """Now, as local time with its offset from UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


def log_line(
    epoch: int, summary: Mapping[str, Any], result: APResult | None, label_set: LabelSet, epoch_s: float
) -> Line:
    """One epoch as a JSON object: the ``summary`` of its training, and of its validation, where there was one."""
    line = {"epoch": epoch, **summary}
    if result is not None:
        line["valid_mean_ap"] = result.mean_ap
        line["valid_headline_ap"] = headline_ap(result.ap, label_set)
        line["valid_per_class"] = {
            label: {"ap": float(ap), "n_truth": int(n_truth)}
            for label, ap, n_truth in zip(label_set.labels, result.ap, result.n_truth, strict=True)
        }
    return {**line, "epoch_s": round(epoch_s, 3)}


def spoken(line: Mapping[str, Any], n_epochs: int) -> str:
    """The line as it is told while training runs."""
    text = f"epoch {line['epoch']}/{n_epochs}  loss {line['loss']:.4f}  rate {line['learning_rate']:.2e}"
    if "valid_mean_ap" in line:
        text += f"  valid mAP@1 {100 * line['valid_mean_ap']:.2f}"
    return f"{text}  {line['epoch_s']:.1f} s"
