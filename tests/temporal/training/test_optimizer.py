import pytest
import torch
from torch import nn

from ballspot.temporal.config.load import load_config
from ballspot.temporal.training.optimizer import WeightAverage, descend, make_optimizer


def one_weight(value: float) -> nn.Module:
    head = nn.Linear(1, 1, bias=False)
    nn.init.constant_(head.weight, value)
    return head


def stepped(head: nn.Module, **settings) -> float:
    """The weight after one plain step of rate 1 down w^3."""
    optimizer = torch.optim.SGD(head.parameters(), lr=1.0)
    loss = descend(head, optimizer, lambda: head.weight.pow(3).sum(), **settings)
    assert loss.requires_grad is False
    return float(head.weight.detach())


def test_a_plain_step_goes_down_the_gradient():
    assert stepped(one_weight(0.5)) == pytest.approx(0.5 - 3 * 0.25)


def test_a_sharpness_aware_step_takes_the_gradient_uphill():
    # Uphill by 0.1 along the sign of the gradient: 3 * 0.6^2, from 0.5.
    assert stepped(one_weight(0.5), sam_rho=0.1) == pytest.approx(0.5 - 3 * 0.36, abs=1e-6)


def test_a_sharpness_aware_step_leaves_from_exactly_where_the_weights_stood():
    head = nn.Linear(40, 40)
    before = head.weight.detach().clone()
    still = torch.optim.SGD(head.parameters(), lr=0.0)
    descend(head, still, lambda: head(torch.ones(1, 40)).pow(3).sum(), sam_rho=0.3)
    assert torch.equal(head.weight, before)


def test_the_optimizer_takes_the_steps_of_adamw():
    # Loshchilov and Hutter 2019, with torch's betas 0.9 and 0.999; gradients 2 and then 4.
    config = load_config("original", ["learning_rate=0.1", "weight_decay=0.5"])
    head = one_weight(1.0)
    optimizer = make_optimizer(head, config)
    assert optimizer.defaults["fused"]
    weight, mean, square = 1.0, 0.0, 0.0
    for step, gradient in enumerate((2.0, 4.0), start=1):
        descend(head, optimizer, lambda gradient=gradient: gradient * head.weight.sum())
        mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
        weight -= 0.1 * 0.5 * weight
        weight -= 0.1 * (mean / (1 - 0.9**step)) / ((square / (1 - 0.999**step)) ** 0.5 + 1e-8)
        assert float(head.weight.detach()) == pytest.approx(weight, abs=1e-6)


def test_a_clipped_gradient_keeps_its_norm_below_the_bound():
    assert stepped(one_weight(0.5), gradient_clip=0.2) == pytest.approx(0.5 - 0.2, abs=1e-5)


def test_an_average_forgets_its_first_weights_quickly_and_then_follows_its_decay():
    head = one_weight(0.0)
    average = WeightAverage(head, 0.9)
    nn.init.constant_(head.weight, 1.0)
    average.update(head, n_steps_done=0)  # decay (1 + 0) / (10 + 0)
    assert float(average.weights["weight"]) == pytest.approx(0.9)
    nn.init.constant_(head.weight, 2.0)
    average.update(head, n_steps_done=10_000)
    assert float(average.weights["weight"]) == pytest.approx(0.9 * 0.9 + 0.1 * 2.0)


def test_an_average_goes_on_from_what_was_kept():
    head = one_weight(3.0)
    average = WeightAverage(head, 0.5, kept={"weight": torch.tensor([[1.0]])})
    average.update(head, n_steps_done=100)
    assert float(average.weights["weight"]) == pytest.approx(2.0)
