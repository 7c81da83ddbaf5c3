import pytest
import torch
from torch import nn

from ballspot.temporal.heads.dropout import Dropout


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_the_wanted_share_is_dropped_and_the_mean_is_kept(probability: float) -> None:
    torch.manual_seed(0)
    given = torch.ones(1000, 1001)
    made = Dropout(probability)(given)
    dropped = float((made == 0).float().mean())
    deviation = (probability * (1 - probability) / given.numel()) ** 0.5
    assert abs(dropped - probability) < 5 * deviation + 2**-17
    assert float(made.mean()) == pytest.approx(1.0, abs=5 * deviation / (1 - probability))
    torch.testing.assert_close(made.max(), torch.tensor(1 / (1 - probability)), rtol=1e-4, atol=0)


def test_neighbours_are_dropped_independently() -> None:
    # Four numbers share one random word: none of its parts may follow from another.
    torch.manual_seed(1)
    dropped = (Dropout(0.5)(torch.ones(400_000)) == 0).float().view(-1, 4)
    joint = (dropped.T @ dropped) / len(dropped)
    expected = torch.full((4, 4), 0.25) + torch.eye(4) * 0.25
    torch.testing.assert_close(joint, expected, rtol=0, atol=0.01)


def test_the_gradient_passes_where_the_number_passed() -> None:
    torch.manual_seed(2)
    given = torch.randn(64, 33, requires_grad=True)
    made = Dropout(0.3)(given)
    made.sum().backward()
    assert given.grad is not None
    torch.testing.assert_close(given.grad, made.detach() / given.detach())


def test_the_same_seed_gives_the_same_mask() -> None:
    masks = []
    for _ in range(2):
        torch.manual_seed(3)
        masks.append(Dropout(0.2)(torch.ones(7, 5)))
    assert torch.equal(*masks)


def test_nothing_is_dropped_in_evaluation_or_with_probability_zero_and_all_with_one() -> None:
    given = torch.randn(5, 7)
    assert Dropout(0.5).eval()(given) is given
    assert Dropout(0.0)(given) is given
    assert not Dropout(1.0)(given).any()


def test_it_has_no_weights_and_stands_where_nn_dropout_stood() -> None:
    assert Dropout(0.5).state_dict() == nn.Dropout(0.5).state_dict() == {}
