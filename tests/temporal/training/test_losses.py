import math

import pytest
import torch
from torch.nn import functional as F

from ballspot.temporal.config import TrainingSection
from ballspot.temporal.training.losses import class_loss, class_weights, offset_loss, sigmoid_loss, team_loss
from ballspot.temporal.training.optimizer import scheduled_rate

nan = float("nan")


def test_class_weights_by_hand():
    # Frequencies 100 (background), 4, 25, 9: median (9 + 25) / 2 = 17; roots of 17 / f: 0.41231, 2.06155, 0.82462,
    # 1.37437; mean 1.16821; ratios 0.35294, 1.76471, 0.70588, 1.17647, clamped to 1; plus 0.5 and 5.
    weights = class_weights(torch.tensor([4, 25, 9]), 100)
    torch.testing.assert_close(weights, torch.tensor([0.85294, 6.0, 5.70588, 6.0]), atol=1e-5, rtol=0)


def test_a_class_that_never_occurs_weighs_as_one_that_occurs_once():
    torch.testing.assert_close(class_weights(torch.tensor([50, 0]), 900), class_weights(torch.tensor([50, 1]), 900))


def test_class_weights_of_the_method_are_between_the_constants_and_one_more():
    counts = [4703, 4067, 685, 778, 590, 320, 392, 190, 220, 73, 26, 14]
    weights = class_weights(torch.tensor(counts), 487942)
    assert 0.5 < weights[0] < 0.52  # background is 1500 times the median: its root is 0.026 of it
    assert bool(((weights[1:] > 5) & (weights[1:] <= 6)).all())
    assert bool(
        (weights[1:].diff()[[0, 2]].sign() == torch.tensor([1.0, -1.0])).all()
    )  # DRIVE > PASS, HIGH PASS < HEADER


def test_weights_of_kind_none_are_ones():
    assert class_weights(torch.tensor([4, 25]), 100, kind="none").tolist() == [1.0, 1.0, 1.0]


def test_without_focal_factor_the_class_loss_is_torchs_weighted_cross_entropy():
    torch.manual_seed(0)
    logits, target, weights = torch.randn(3, 7, 5), torch.randint(5, (3, 7)), torch.rand(5) + 0.5
    expected = F.cross_entropy(logits.flatten(0, 1), target.flatten(), weight=weights)
    torch.testing.assert_close(class_loss(logits, target, weights=weights), expected)


def test_the_focal_factor_by_hand():
    # p = 0.75 and 0.25 for the true class: losses 0.25 * -ln 0.75 and 0.75 * -ln 0.25, weights 1 and 3.
    logits = torch.tensor([[[math.log(3), 0.0], [math.log(3), 0.0]]])
    loss = class_loss(logits, torch.tensor([[0, 1]]), weights=torch.tensor([1.0, 3.0]), focal_gamma=1.0)
    expected = (0.25 * -math.log(0.75) + 3 * 0.75 * -math.log(0.25)) / 4
    torch.testing.assert_close(loss, torch.tensor(expected))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_certain_answers_leave_finite_slopes(gamma):
    logits = torch.tensor([[[200.0, 0.0], [-200.0, 0.0]]], requires_grad=True)
    class_loss(logits, torch.tensor([[0, 0]]), weights=torch.ones(2), focal_gamma=gamma).backward()
    assert logits.grad is not None
    assert bool(logits.grad.isfinite().all())


def test_the_offset_loss_is_smooth_l1_over_unmasked_tokens_only():
    offsets = torch.tensor([[0.5, 9.0, 3.0]], requires_grad=True)
    loss = offset_loss(offsets, torch.tensor([[0.0, nan, 1.0]]))
    torch.testing.assert_close(loss, torch.tensor((0.5 * 0.25 + 1.5) / 2))
    loss.backward()
    assert offsets.grad is not None
    assert float(offsets.grad[0, 1]) == 0.0
    assert bool(offsets.grad.isfinite().all())


def test_the_offset_loss_without_any_target_is_zero_and_so_are_its_slopes():
    offsets = torch.randn(2, 4, requires_grad=True)
    loss = offset_loss(offsets, torch.full((2, 4), nan))
    assert float(loss.detach()) == 0.0
    loss.backward()
    assert offsets.grad is not None
    assert float(offsets.grad.abs().sum()) == 0.0


def rate(step: int) -> float:
    section = TrainingSection(n_epochs=1, learning_rate=1e-4, final_learning_rate=1e-5, warmup_epochs=20 / 101)
    return scheduled_rate(section, step, n_steps=101)


def test_the_rate_starts_at_one_percent_reaches_its_peak_and_ends_at_the_final_rate():
    assert rate(0) == pytest.approx(1e-6)
    assert rate(10) == pytest.approx(1e-4 * (0.01 + 0.99 / 2))
    assert rate(20) == pytest.approx(1e-4)
    assert rate(60) == pytest.approx(1e-5 + 0.5 * 9e-5)  # half way down the cosine
    assert rate(100) == pytest.approx(1e-5)
    assert all(rate(step) < rate(step + 1) for step in range(20))
    assert all(rate(step) > rate(step + 1) for step in range(20, 100))


def test_a_schedule_without_warm_up_starts_at_its_peak_even_for_a_single_step():
    section = TrainingSection(n_epochs=1, learning_rate=1e-3, warmup_epochs=0)
    assert scheduled_rate(section, 0, n_steps=1) == pytest.approx(1e-3)


def test_a_soft_label_of_full_strength_is_a_hard_one_and_of_none_is_background():
    torch.manual_seed(0)
    logits, classes = torch.randn(2, 3, 4), torch.tensor([[1, 2, 3], [0, 3, 1]])
    weights = torch.tensor([0.5, 2.0, 3.0, 4.0])
    settings = {"weights": weights, "focal_gamma": 1.0}
    ones = torch.ones(2, 3)
    torch.testing.assert_close(
        class_loss(logits, classes, strength=ones, **settings), class_loss(logits, classes, **settings)
    )
    background = class_loss(logits, torch.zeros_like(classes), **settings)
    torch.testing.assert_close(class_loss(logits, classes, strength=0 * ones, **settings), background)


def test_shares_weigh_clips_and_a_share_of_zero_leaves_one_out():
    torch.manual_seed(0)
    logits, classes = torch.randn(2, 3, 4), torch.tensor([[1, 2, 3], [0, 3, 1]])
    offsets, wanted = torch.randn(2, 3), torch.tensor([[1.0, nan, 2.0], [nan, 0.0, 1.0]])
    weights, first = torch.tensor([0.5, 2.0, 3.0, 4.0]), torch.tensor([1.0, 0.0])
    torch.testing.assert_close(
        class_loss(logits, classes, weights=weights, share=first),
        class_loss(logits[:1], classes[:1], weights=weights),
    )
    torch.testing.assert_close(offset_loss(offsets, wanted, share=first), offset_loss(offsets[:1], wanted[:1]))
    torch.testing.assert_close(team_loss(offsets, wanted.clamp(max=1), share=first),
                               team_loss(offsets[:1], wanted[:1].clamp(max=1)))  # fmt: skip


def test_sigmoid_loss_by_hand():
    # One token, two classes with p 0.8 (present, weight 3) and 0.4 (absent, weight 0.5), gamma 1:
    # (-ln 0.8 * 0.2 * 3 - ln 0.6 * 0.4 * 0.5) / 3.5 * 2 classes.
    logits = torch.logit(torch.tensor([[[0.8, 0.4]]]))
    expected = (-math.log(0.8) * 0.2 * 3 - math.log(0.6) * 0.4 * 0.5) / 3.5 * 2
    found = sigmoid_loss(logits, torch.tensor([[[1.0, 0.0]]]), weights=torch.tensor([0.5, 3.0, 9.0]), focal_gamma=1.0)
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_offset_losses_by_hand():
    offsets, wanted = torch.tensor([[0.0, 0.0, 0.0]]), torch.tensor([[3.0, 0.2, nan]])
    assert float(offset_loss(offsets, wanted, kind="mse")) == pytest.approx((9 + 0.04) / 2)
    # Huber with 0.5: 0.5 * (3 - 0.25) and 0.2^2 / 2.
    assert float(offset_loss(offsets, wanted, kind="huber")) == pytest.approx((1.375 + 0.02) / 2)


def test_team_loss_counts_tokens_of_known_team_only():
    logits, teams = torch.tensor([[0.0, 2.0, 5.0]]), torch.tensor([[1.0, 0.0, nan]])
    expected = (math.log(2) + math.log(1 + math.exp(2))) / 2
    assert float(team_loss(logits, teams)) == pytest.approx(expected)
    assert float(team_loss(logits, torch.full((1, 3), nan))) == 0.0


def test_constant_weights_are_the_constants():
    weights = class_weights(torch.tensor([4, 25]), 100, kind="constant", background_constant=1.0, action_constant=5.0)
    assert weights.tolist() == [1, 5, 5]


def test_a_batch_without_an_event_whose_background_weighs_nothing_costs_nothing():
    weights = torch.tensor([0.0, 5.0])
    logits = torch.zeros(1, 3, 2, requires_grad=True)
    loss = class_loss(logits, torch.zeros(1, 3, dtype=torch.int64), weights=weights)
    loss.backward()
    assert loss.item() == 0.0 and logits.grad is not None and float(logits.grad.abs().sum()) == 0.0
