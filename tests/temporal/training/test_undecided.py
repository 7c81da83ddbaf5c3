"""What nobody has decided teaches nothing: no gradient of any loss, no count, and no byte of the head."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from ballspot.cache.errors import BallspotError
from ballspot.evaluate.dataset import DataSelection, LabelSet, Match, Spot
from ballspot.temporal.clips import TokenTargets
from ballspot.temporal.config import load_config
from ballspot.temporal.features import open_source
from ballspot.temporal.heads import HeadOutput
from ballspot.temporal.training import (
    BEST,
    Experiment,
    epoch_clips,
    loss_means,
    loss_totals,
    train_seeds,
    training_side,
)
from ballspot.temporal.training.losses import class_weights
from ballspot.temporal.training.material import load_both

LABELS = LabelSet("three", ("PASS", "DRIVE", "SHOT"), ("SHOT",))
SHAPE = (3, 6)
SETTINGS = {
    "cross-entropy": [],
    "soft": ["label_sd=1.0", "focal_gamma=0.0", "offset_loss=huber"],
    "sigmoid": ["class_loss=sigmoid", "offset_loss=mse"],
}


def drawn(kind: str, known: torch.Tensor | None, *, seed: int = 0) -> tuple[HeadOutput, TokenTargets]:
    """What a head of three classes says, and what it should: some offsets and teams have no target."""
    draws = torch.Generator().manual_seed(seed)
    values = [torch.randn(*SHAPE, *more, generator=draws).requires_grad_() for more in ((4,), (), ())]
    index = torch.randint(0, 4, SHAPE, generator=draws)
    offset = torch.where(index > 0, torch.rand(SHAPE, generator=draws), torch.nan)
    team = torch.where(index > 1, (index > 2).float(), torch.nan)
    labels = torch.nn.functional.one_hot(index, 4)[..., 1:].float() if kind == "sigmoid" else None
    strength = torch.rand(SHAPE, generator=draws)
    return HeadOutput(*values), TokenTargets(index, strength, labels, offset, team, index.sum(1), known)


OTHER = torch.tensor([1, 2, 0])
SHARE = torch.tensor([0.5, 0.7, 1.0])


def means_of(kind: str, known: torch.Tensor | None, *, is_mixed: bool = False):
    """What a head says, the losses, their totals, and which tokens are known: of clips, or of mixtures of two each."""
    config = load_config("best", SETTINGS[kind])
    output, wanted = drawn(kind, known)
    share = None
    if is_mixed:
        wanted, share = wanted.taken_by(OTHER), torch.cat([SHARE, 1.0 - SHARE])
    weights = torch.tensor([0.5, 5.0, 6.0, 7.0])
    means, totals = loss_means(output, wanted, share, weights, config), loss_totals(wanted, share, weights, config)
    return output, torch.stack(means), totals, None if wanted.known is None else wanted.known[:3]


MASKS = st.lists(st.booleans(), min_size=18, max_size=18).map(lambda values: torch.tensor(values).view(SHAPE))


@settings(max_examples=40)
@given(MASKS, st.sampled_from(sorted(SETTINGS)), st.booleans())
def test_unknown_tokens_have_no_gradient_at_all(known, kind, is_mixed):
    output, means, totals, taught = means_of(kind, known, is_mixed=is_mixed)
    assert torch.equal(taught, known & known[OTHER] if is_mixed else known)
    means.sum().backward()
    for values in output:
        assert not values.grad.view(*SHAPE, -1)[~taught].any()
    assert torch.equal(output.class_logits.grad.any(-1), taught)
    assert (means.any(), totals[0] > 0) == (taught.any(), taught.any())


@settings(max_examples=30)
@given(MASKS.filter(torch.any), st.sampled_from(sorted(SETTINGS)))
def test_means_and_totals_are_those_of_the_known_tokens_alone(known, kind):
    """Tokens as clips of one token each: those that are known, by themselves, have the same loss and total."""
    config = load_config("best", SETTINGS[kind])
    _, means, totals, _ = means_of(kind, known)
    output, wanted = drawn(kind, None)
    alone = HeadOutput(*(values.flatten(0, 1)[known.flatten()][:, None] for values in output))
    columns = {
        name: None if value is None else value.flatten(0, 1)[known.flatten()][:, None]
        for name, value in vars(wanted).items()
        if name != "n_collisions"
    }
    own, weights = TokenTargets(**columns, n_collisions=wanted.n_collisions), torch.tensor([0.5, 5.0, 6.0, 7.0])
    torch.testing.assert_close(means, torch.stack(loss_means(alone, own, None, weights, config)))
    torch.testing.assert_close(totals, loss_totals(own, None, weights, config))


@pytest.mark.parametrize("kind", SETTINGS)
def test_where_all_is_known_the_losses_are_as_without_a_mask(kind):
    everything = torch.ones(SHAPE, dtype=torch.bool)
    for is_mixed in (False, True):
        _, means, totals, _ = means_of(kind, everything, is_mixed=is_mixed)
        _, plain, of_plain, _ = means_of(kind, None, is_mixed=is_mixed)
        torch.testing.assert_close(means, plain)
        torch.testing.assert_close(totals, of_plain)


def test_a_token_of_two_mixed_clips_is_known_where_both_know_it():
    known = torch.tensor([[True, True, False], [True, False, True]])
    nothing = torch.zeros(2, 3)
    wanted = TokenTargets(nothing.long(), nothing, None, nothing, nothing, torch.zeros(2), known)
    both = wanted.taken_by(torch.tensor([1, 0]))
    assert both.known is not None and both.known.tolist() == [[True, False, False]] * 4
    assert both.part(1, 3).known.tolist() == [[True, False, False]] * 2


def test_an_own_loss_of_tokens_counts_the_known_ones_and_one_of_clips_is_refused(tmp_path: Path):
    (tmp_path / "own.py").write_text(
        "from torch.nn import functional as F\n\n\n"
        "def tokens(logits, class_index):\n"
        "    return F.cross_entropy(logits.transpose(1, 2), class_index, reduction='none')\n\n\n"
        "def clips(logits, class_index):\n"
        "    return tokens(logits, class_index).mean(1)\n"
    )
    known = torch.zeros(SHAPE, dtype=torch.bool)
    known[0, 2] = known[2, :3] = True
    output, wanted = drawn("cross-entropy", known)
    weights = torch.ones(4)
    config = load_config("best", [f"class_loss={tmp_path / 'own.py'}:tokens"])
    mean, *_ = loss_means(output, wanted, None, weights, config)
    by_hand = -output.class_logits.log_softmax(-1).gather(-1, wanted.class_index[..., None])[..., 0][known].mean()
    torch.testing.assert_close(mean, by_hand)
    mean.backward()
    assert not output.class_logits.grad[~known].any()
    config = load_config("best", [f"class_loss={tmp_path / 'own.py'}:clips"])
    with pytest.raises(BallspotError, match="one for every token"):
        loss_means(output, wanted, None, weights, config)


def experiment(season, *how: str, **more) -> Experiment:
    small = ["kind=tcn", "width=8", "clip_frames=20", "n_epochs=1", "warmup_epochs=0", "epoch_frames=600", *how]
    return Experiment(
        config=load_config("best", small),
        source=open_source(season.features),
        seed=0,
        shuffle_labels=False,
        device=torch.device("cpu"),
        **{"data": DataSelection(season.data, LABELS), **more},
    )


def trained(given: Experiment, path: Path) -> dict[str, bytes]:
    """The bytes of the numbers of the head; the file says beside them how long each epoch took."""
    list(train_seeds(given, [path], track=False))
    return {name: value.numpy().tobytes() for name, value in load_file(path / BEST).items()}


def with_spots(season, spots: list[Spot]) -> "Corrected":
    """The season's data with further labels of the first training match."""
    return Corrected(season.data, LABELS, more=tuple(spots), match=season.names[0])


@dataclass(frozen=True)
class Corrected(DataSelection):
    more: tuple[Spot, ...] = ()
    match: str = ""

    def _spots(self, match: Match, where: str, remedy: str) -> tuple[Spot, ...]:
        spots = super()._spots(match, where, remedy)
        return (*spots, *self.more) if match.name == self.match else spots


@pytest.mark.parametrize("how", [[], ["sampling=class-balanced", "class_loss=sigmoid", "teams=head"]])
def test_a_head_is_the_same_byte_for_byte_whatever_happens_where_nobody_has_decided(season, tmp_path, how):
    decided = {season.names[0]: ((0, 9000), (20_000, 22_000))}
    elsewhere = [Spot("PASS", ms, team="left") for ms in range(9100, 20_000, 130)]
    heads = {
        name: trained(experiment(season, *how, data=with_spots(season, spots), decided=stretches), tmp_path / name)
        for name, spots, stretches in (
            ("truth", [], decided),
            ("other", elsewhere, decided),
            ("whole", elsewhere, {}),
        )
    }
    assert heads["truth"] == heads["other"] != heads["whole"]


def test_counts_and_clips_are_of_decided_frames(season):
    given = experiment(season, decided={season.names[0]: ((4000, 6000),)})
    features = load_both(given, spill=season.features).training
    material = training_side(given, features, report=str)
    whole = training_side(replace(given, decided={}), features, report=str)
    inside = [one for one in given.spots("train")[season.names[0]] if 4000 <= one.position_ms < 6000]
    others = len(given.spots("train")[season.names[1]])
    assert int(material.events.counts.sum()) == len(inside) + others < int(whole.events.counts.sum())
    assert whole.decided is None and whole.anchors is None
    assert material.decided is not None and int(material.decided.rows.sum()) == 50 + 700  # 25 rows a second
    n_background = 375 - int(material.events.counts.sum())  # frames of the clip grid, which takes every second row
    assert torch.equal(material.weights, class_weights(material.events.counts, n_background))
    clips = epoch_clips(material, given.config, 200, generator=torch.Generator().manual_seed(0))
    of_first = clips.start_row[clips.match_index == 0]
    assert len(of_first) and (of_first < 150).all() and (of_first + 40 > 100).all()  # 20 frames, every second row


def test_the_key_of_a_run_knows_what_was_decided(season):
    plain, other = (experiment(season, decided=one) for one in ({}, {season.names[0]: ((0, 1000),)}))
    assert plain.key() != other.key()
    assert plain.key() == experiment(season).key()
