"""What the runs of a sweep cost: seconds and disk, from a few steps of each and one validation of a short match."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import mean

import numpy as np
import torch

from ...cache.runs import RunFolder
from ...evaluate.dataset import LabelArrays
from ..clips import event_table
from ..config import as_table
from ..decoding import decode_as_configured
from ..features import from_arrays, read_layout
from ..heads import HeadDescription, n_parameters
from ..prediction import score_match
from ..training import Experiment, Learner, clips_an_epoch, is_validated, make_optimizer, train_epoch, training_material
from .plan import PlannedRun

PROBE_STEPS = 6
PROBE_ROWS = 2000


@dataclass(frozen=True)
class Cost:
    """What a setting's run is expected to take: seconds with validation, bytes on disk, and if runs have shown it."""

    seconds: float
    n_bytes: int
    measured: bool


def costs(planned: Sequence[PlannedRun], experiments: Sequence[Experiment]) -> list[Cost]:
    """What a run of each setting will cost: as its finished runs did, else from a few steps of training made now."""
    found: list[Cost] = []
    probed: dict[str, Cost] = {}
    for place, experiment in enumerate(experiments):
        done = [RunFolder(run.job.run) for run in planned if run.setting == place and run.state == "done"]
        if done:
            seconds = mean(run.metric("train_s") for run in done)
            n_bytes = max(sum(file.stat().st_size for file in run.path.rglob("*") if file.is_file()) for run in done)
            found.append(Cost(seconds, n_bytes, measured=True))
            continue
        alike = repr((as_table(experiment.config), experiment.source.fingerprint, experiment.splits.part("train")))
        if alike not in probed:
            probed[alike] = _probe(experiment)
        found.append(probed[alike])
    return found


def _probe(experiment: Experiment) -> Cost:
    """Steps of training on random features of the right shape; disk for two checkpoints and the validation scores."""
    layout = read_layout(experiment.rows, experiment.splits.part("train"))
    valid = read_layout(experiment.rows, experiment.splits.part("valid"))
    config, n_labels = experiment.config, len(experiment.label_set)
    n_clips = PROBE_STEPS * config.training.batch_clips
    training = config.training.model_copy(update={"epoch_frames": n_clips * config.clips.clip_frames})
    short = config.model_copy(update={"training": training})
    random = np.random.default_rng(0)
    rows = random.standard_normal((PROBE_ROWS, sum(layout.dims)), dtype=np.float32)
    features = replace(from_arrays({"": rows}), dims=layout.dims, frame_spacing=layout.frame_spacing)
    frames = np.arange(0, PROBE_ROWS, 40)
    nobody = np.full(len(frames), -1, dtype=np.int8)
    labels = LabelArrays(frames, np.arange(len(frames)) % n_labels, nobody, np.ones(len(frames), dtype=bool), 0, 0)
    events = event_table([labels], n_labels=n_labels, sided=config.head.teams == "labels")
    with torch.random.fork_rng(devices=[]):
        head = HeadDescription(config, experiment.label_set, layout.dims, "").build()
        material, learner = training_material(features, events, short), Learner(head, make_optimizer(head, short))
        train_epoch(learner, material, short, epoch=1, seed=0)  # warms up
        started = time.perf_counter()
        train_epoch(learner, material, short, epoch=1, seed=0)
        a_clip_s = (time.perf_counter() - started) / n_clips
        started = time.perf_counter()
        scored = score_match(head, features, 0, config)
        decode_as_configured(scored.scores, config.prediction)
        a_row_s = (time.perf_counter() - started) / PROBE_ROWS
    n_valid_rows = sum(match.n_rows for match in valid.matches)
    n_validations = sum(is_validated(epoch + 1, config.training) for epoch in range(config.training.n_epochs)) + 1
    seconds = a_clip_s * clips_an_epoch(layout, config) * config.training.n_epochs
    seconds += a_row_s * n_valid_rows * n_validations  # the best head predicts them once more
    n_scores = sum(match.n_video_frames for match in valid.matches) * n_labels
    return Cost(seconds, 2 * 4 * n_parameters(head) + 4 * n_scores, measured=False)
