"""A script for `run_pretended`: epochs of heads on a GPU that is not there; prints what each waited for, as JSON."""

import json
import sys
from dataclasses import replace

import numpy as np
import torch
from pretend import CUDA, PretendedTensor, pretended_cuda

from ballspot.evaluate.dataset.labels import LabelArrays
from ballspot.temporal.clips import event_anchors, event_table
from ballspot.temporal.config import ClipGrid, load_config
from ballspot.temporal.features import from_arrays
from ballspot.temporal.heads import build_head
from ballspot.temporal.prediction import score_match
from ballspot.temporal.stacked import Stack, train_stacked_epoch
from ballspot.temporal.stacked.epoch import Runs
from ballspot.temporal.training import Learner, WeightAverage, make_optimizer, train_epoch, training_material

DIM, N_LABELS, N_ROWS = 16, 3, 60
SMALL = ["width=16", "n_layers=1", "n_attention_heads=2", "clip_frames=12", "n_epochs=2", "batch_clips=4"]
SMALL += ["epoch_frames=96", "warmup_epochs=0", "unet_levels=1", "unet_kernel=3"]


def material_of(config, *, resident: bool, device):
    random = np.random.default_rng(1)
    n_views = len(config.clips.views)
    features = from_arrays({name: random.standard_normal((N_ROWS, DIM)).astype(np.float32) for name in ("a", "b")})
    rows = torch.cat([features.rows] * n_views)
    features = replace(features, rows=rows.to(device) if resident else rows, device=device, views=config.clips.views)
    labels = []
    for _ in "ab":
        frames = np.sort(random.choice(N_ROWS, 10, replace=False)).astype(np.int64)
        sides = random.integers(-1, 2, size=10).astype(np.int8)
        labels.append(LabelArrays(frames, random.integers(0, N_LABELS, size=10), sides, np.ones(10, bool), 0, 0))
    events = event_table(labels, n_labels=N_LABELS, sided=config.head.teams == "labels", device=device)
    anchors = None
    if config.training.sampling != "uniform":
        anchors = event_anchors(events, ClipGrid.of(config, 1), config.training)
    return training_material(features, events, config, anchors=anchors)


def learner_of(config, device) -> Learner:
    torch.manual_seed(0)
    head = build_head(config.head, dims=(DIM,), n_labels=N_LABELS, clip_frames=config.clips.clip_frames).to(device)
    learner = Learner(head, make_optimizer(head, config))
    if config.training.ema_decay:
        learner.average = WeightAverage(head, config.training.ema_decay)
    return learner


def tried(case: dict) -> dict:
    """An epoch of a step, one of two that is counted, and a match scored, on the pretended GPU."""
    settings = [*SMALL, *case["settings"]]
    config = load_config(case.get("preset", "fast"), settings)
    one_step = config.training.model_copy(update={"epoch_frames": 4 * config.clips.clip_frames})
    short = config.model_copy(update={"training": one_step})  # what is brought to the device once is brought in it
    with pretended_cuda() as counts:
        material = material_of(config, resident=case["resident"], device=CUDA)
        if case.get("stacked"):
            learners = [learner_of(config, CUDA) for _ in range(2)]
            stack, runs = Stack(learners, [config.training] * 2), Runs(material, (config, config), (0, 1))
            train_stacked_epoch(stack, replace(runs, configs=(short, short)), epoch=1)
            counts.clear()
            losses = [one.loss for one in train_stacked_epoch(stack, runs, epoch=2)]
        else:
            learners = [learner_of(config, CUDA)]
            train_epoch(learners[0], material, short, epoch=1, seed=0)
            counts.clear()
            losses = [train_epoch(learners[0], material, config, epoch=2, seed=0).loss]
        found = dict(counts)
        head = learners[0].model
        assert all(isinstance(one.data, PretendedTensor) for one in head.parameters())
        if not case.get("stacked"):
            scored = score_match(head, material.features.only(0), 0, config)
            assert np.isfinite(scored.scores).all()
    return {"losses": losses, **found}


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.stdout.write(json.dumps([tried(case) for case in json.loads(sys.argv[1])]))
