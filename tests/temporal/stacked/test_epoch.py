"""Runs that are trained at once have the numbers that each has by itself."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from ballspot.cache.errors import BallspotError
from ballspot.evaluate.dataset.labels import LabelArrays
from ballspot.temporal.clips import ClipStarts, event_anchors, event_table
from ballspot.temporal.config import ClipGrid, load_config
from ballspot.temporal.features import from_arrays
from ballspot.temporal.heads import build_head
from ballspot.temporal.stacked.epoch import Runs, in_steps, train_stacked_epoch
from ballspot.temporal.stacked.fit import shape_key, why_alone
from ballspot.temporal.stacked.stack import Stack
from ballspot.temporal.training.epoch import TrainingMaterial, epoch_seed, train_epoch, training_material
from ballspot.temporal.training.optimizer import Learner, WeightAverage, make_optimizer

DIM, N_LABELS, N_ROWS = 12, 3, 400
SEEDS = (3, 0, 11)
SMALL = ["width=16", "n_layers=1", "unet_levels=1", "unet_kernel=3", "n_attention_heads=2", "clip_frames=20"]
SMALL += ["n_epochs=3", "batch_clips=4", "epoch_frames=140"]  # 7 clips: the last step has three
SMALL += ["warmup_epochs=1", "learning_rate=0.003"]
CASES = {
    "best": ["preset=best"],
    "original-fixed": ["preset=original-fixed"],
    "tcn, clipped, frames switched and dropped": [
        "preset=fast",
        "gradient_clip=0.01",
        "frame_switch=0.3",
        "temporal_drop=0.5",
    ],
    "transformer, SAM, jitter, sigmoid": [
        "preset=fast",
        "kind=transformer",
        "sam_rho=0.05",
        "index_jitter=0.4",
        "class_loss=sigmoid",
        "ema_decay=0",
    ],
    "multires, teams, near actions": ["preset=fast", "kind=multires", "teams=head", "sampling=near-actions"],
    "tdeed, sided, class balanced": ["preset=best", "kind=tdeed", "teams=labels", "sampling=class-balanced"],
    "mstcn, no offsets": ["preset=fast", "kind=mstcn", "n_stages=2", "offsets=false"],
    "asformer": ["preset=fast", "kind=asformer", "n_stages=2", "label_sd=1"],
}


def config_of(settings: list[str]):
    preset = settings[0].removeprefix("preset=")
    return load_config(preset, [*SMALL, *settings[1:]])


def material_of(config) -> TrainingMaterial:
    random = np.random.default_rng(1)
    matches = {name: random.standard_normal((N_ROWS, DIM)).astype(np.float32) for name in ("a", "b")}
    features = from_arrays(matches)
    labels = []
    for _ in matches:
        frames = np.sort(random.choice(N_ROWS, 30, replace=False)).astype(np.int64)
        sides = random.integers(-1, 2, size=30).astype(np.int8)
        labels.append(LabelArrays(frames, random.integers(0, N_LABELS, size=30), sides, np.ones(30, bool), 0, 0))
    events = event_table(labels, n_labels=N_LABELS, sided=config.head.teams == "labels")
    anchors = None
    if config.training.sampling != "uniform":
        anchors = event_anchors(events, ClipGrid.of(config, 1), config.training)
    return training_material(features, events, config, anchors=anchors)


def learner_of(config, seed: int) -> Learner:
    torch.manual_seed(epoch_seed(seed, 0))
    head = build_head(config.head, dims=(DIM,), n_labels=N_LABELS, clip_frames=config.clips.clip_frames)
    learner = Learner(head, make_optimizer(head, config))
    if config.training.ema_decay:
        learner.average = WeightAverage(head, config.training.ema_decay)
    return learner


def by_themselves(configs, material, *, n_epochs: int):
    learners = [learner_of(config, seed) for config, seed in zip(configs, SEEDS, strict=True)]
    summaries = []
    for learner, config, seed in zip(learners, configs, SEEDS, strict=True):
        own = [train_epoch(learner, material, config, epoch=epoch, seed=seed) for epoch in range(1, n_epochs + 1)]
        summaries.append(own[-1])
    return learners, summaries


def at_once(configs, material, *, n_epochs: int):
    learners = [learner_of(config, seed) for config, seed in zip(configs, SEEDS, strict=True)]
    stack = Stack(learners, [config.training for config in configs])
    runs = Runs(material, tuple(configs), SEEDS)
    for epoch in range(1, n_epochs + 1):
        outcomes = train_stacked_epoch(stack, runs, epoch=epoch)
    return learners, outcomes


def assert_alike(ours: Learner, theirs: Learner) -> None:
    """To float tolerance, but for the bias of attention's keys: softmax takes it away, so that its gradient is nothing
    but rounding, which Adam makes as large as any other.
    """
    for name, value in ours.kept_weights.items():
        expected = theirs.kept_weights[name]
        if name.endswith("query_key_value.bias"):
            (query, _, value), (their_query, _, their_value) = value.chunk(3), expected.chunk(3)
            value, expected = torch.cat([query, value]), torch.cat([their_query, their_value])
        torch.testing.assert_close(value, expected, rtol=2e-3, atol=2e-5, msg=lambda found, n=name: f"{n}: {found}")
    for mine, other in zip(ours.model.parameters(), theirs.model.parameters(), strict=True):
        state, kept = ours.optimizer.state[mine], theirs.optimizer.state[other]
        assert state["step"].item() == kept["step"].item()
        torch.testing.assert_close(state["exp_avg"], kept["exp_avg"], rtol=5e-2, atol=2e-6)


@pytest.mark.parametrize("case", CASES)
def test_each_run_is_what_it_is_by_itself(case: str) -> None:
    config = config_of(CASES[case])
    assert not why_alone(config)
    material = material_of(config)
    alone, expected = by_themselves([config] * 3, material, n_epochs=1)
    together, found = at_once([config] * 3, material, n_epochs=1)
    losses = [one.loss for one in found]
    assert losses == pytest.approx([one.loss for one in expected], rel=1e-4)
    assert len(set(losses)) == 3  # by chance of their own
    assert [one.n_token_collisions for one in found] == [one.n_token_collisions for one in expected]
    assert [one.learning_rate for one in found] == [one.learning_rate for one in expected]
    for ours, theirs in zip(together, alone, strict=True):
        assert_alike(ours, theirs)


def test_runs_may_differ_in_rate_and_decay() -> None:
    rates = (["learning_rate=0.01"], ["weight_decay=0.5", "warmup_epochs=0"], [])
    configs = [config_of([*CASES["tcn, clipped, frames switched and dropped"], *own]) for own in rates]
    assert len({str(shape_key(config)) for config in configs}) == 1
    material = material_of(configs[0])
    alone, _ = by_themselves(configs, material, n_epochs=2)
    together, found = at_once(configs, material, n_epochs=2)
    assert len({one.learning_rate for one in found}) == 3
    for ours, theirs in zip(together, alone, strict=True):
        assert_alike(ours, theirs)


def test_a_stack_goes_on_from_what_others_left() -> None:
    """A second stack of two of the runs, made after an epoch, leads where three epochs by themselves lead."""
    config = config_of(CASES["original-fixed"])
    material = material_of(config)
    alone, _ = by_themselves([config] * 3, material, n_epochs=2)
    together, _ = at_once([config] * 3, material, n_epochs=1)
    kept = [together[2], together[0]]
    runs = Runs(material, (config, config), (SEEDS[2], SEEDS[0]))
    train_stacked_epoch(Stack(kept, [config.training] * 2), runs, epoch=2)
    assert_alike(together[2], alone[2])
    assert_alike(together[0], alone[0])


def test_runs_of_one_rate_go_on_beside_one_of_another() -> None:
    """Two runs whose steps one optimizer counted are stacked anew with a third: each then counts its own."""
    config = config_of(CASES["original-fixed"])
    configs = [config, config, config_of([*CASES["original-fixed"], "learning_rate=0.01"])]
    material = material_of(config)
    alone, _ = by_themselves(configs, material, n_epochs=2)
    together = [learner_of(one, seed) for one, seed in zip(configs, SEEDS, strict=True)]
    for places, epoch in (((2,), 1), ((0, 1), 1), ((0, 1, 2), 2)):
        now = [configs[place] for place in places]
        stack = Stack([together[place] for place in places], [one.training for one in now])
        train_stacked_epoch(stack, Runs(material, tuple(now), tuple(SEEDS[place] for place in places)), epoch=epoch)
    for ours, theirs in zip(together, alone, strict=True):
        assert_alike(ours, theirs)


def test_a_run_whose_loss_is_not_finite_ends_alone() -> None:
    config = config_of(CASES["best"])
    material = material_of(config)
    learners = [learner_of(config, seed) for seed in SEEDS]
    spoilt = copy.deepcopy(learners[1].model.state_dict())
    learners[1].model.load_state_dict({name: value * torch.nan for name, value in spoilt.items()})
    alone, expected = by_themselves([config] * 3, material, n_epochs=1)
    found = train_stacked_epoch(Stack(learners, [config.training] * 3), Runs(material, (config,) * 3, SEEDS), epoch=1)
    assert isinstance(found[1], BallspotError) and "lower learning_rate" in str(found[1])
    for place in (0, 2):
        assert found[place].loss == pytest.approx(expected[place].loss, rel=1e-4)
        assert_alike(learners[place], alone[place])


def test_the_outer_chance_is_not_touched() -> None:
    config = config_of(CASES["best"])
    torch.manual_seed(5)
    learners = [learner_of(config, seed) for seed in SEEDS]
    material = material_of(config)
    before = torch.get_rng_state()
    train_stacked_epoch(Stack(learners, [config.training] * 3), Runs(material, (config,) * 3, SEEDS), epoch=1)
    assert torch.equal(torch.get_rng_state(), before)


def test_clips_of_a_step_lie_side_by_side() -> None:
    drawn = [ClipStarts(torch.arange(5) + 10 * run, torch.arange(5) + 100 * run) for run in range(2)]
    clips = in_steps(drawn, size=2)
    assert clips.match_index.tolist() == [0, 1, 10, 11, 2, 3, 12, 13, 4, 14]
    assert clips.start_row.tolist() == [0, 1, 100, 101, 2, 3, 102, 103, 4, 104]
    viewed = in_steps([replace(one, view_index=one.start_row) for one in drawn], size=5)
    assert viewed.view_index is not None and viewed.view_index.tolist() == viewed.start_row.tolist()


@pytest.mark.parametrize("kind", ["gru", "spot-gru", "adaspot"])
def test_recurrent_heads_are_left_alone(kind: str) -> None:
    assert kind in why_alone(load_config("fast", [f"kind={kind}"]))


def test_own_code_is_left_alone(tmp_path) -> None:
    (tmp_path / "mine.py").write_text("def errors(offsets, targets):\n    return (offsets - targets).abs()\n")
    config = load_config("fast", [f"offset_loss={tmp_path / 'mine.py'}:errors"])
    assert "own code" in why_alone(config)


@pytest.mark.parametrize("setting", ["n_epochs=4", "batch_clips=5", "width=32", "ema_decay=0.5", "dropout=0.2"])
def test_what_changes_shapes_or_draws_is_not_stacked(setting: str) -> None:
    assert shape_key(config_of(CASES["best"])) != shape_key(config_of([*CASES["best"], setting]))
