"""What a head of a user's own must do, tried on random features one thing after another.

Every trial builds the head anew, in the shapes that training and prediction use, and gives one finding.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ...cache.errors import BallspotError
from ...evaluate.dataset import LabelSet
from ..clips import TokenTargets
from ..config import Config, is_sigmoid
from ..heads import HeadDescription, HeadOutput, Progress, SpottingHead, WholeHead, n_parameters, read_checkpoint
from ..heads import write_checkpoint as write
from ..training import loss_means

BATCH = 3
LENGTHS, STRIDES = (1, 7, 50, 101), (1, 2, 4)
CLOSE = 1e-4  # relative to the largest number: sums in another order
FINGERPRINT = "0" * 64


@dataclass(frozen=True)
class Finding:
    """One trial: its name, what was found in plain words, and whether it is as it must be."""

    name: str
    text: str
    is_good: bool


def check_head(config: Config, *, dim: int, n_labels: int, device: torch.device) -> Iterator[Finding]:
    """The findings on the head that the configuration names, for features of ``dim`` numbers and ``n_labels`` labels.

    Each is given as soon as it is known. A head that cannot be made, or not be used, gets one finding that says so.
    """
    trials = Trials(config, dim, n_labels, device)
    for name, trial in (
        ("made", trials.made),
        ("shapes", trials.shapes),
        ("batches", trials.batches),
        ("gradients", trials.gradients),
        ("repeats", trials.repeats),
        ("save and load", trials.saved),
        ("number types", trials.dtypes),
    ):
        try:
            with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
                torch.manual_seed(0)
                problem, text = trial()
        except BallspotError as error:
            problem, text = str(error), ""
        yield Finding(name, problem or text, not problem)
        if problem and name == "made":
            return


Trial = tuple[str, str]  # what is wrong, "" for nothing; and what is to be said where nothing is


@dataclass(frozen=True)
class Trials:
    """The trials of one head; each gives what is wrong with it, "" for nothing, and what to say where nothing is."""

    config: Config
    dim: int
    n_labels: int
    device: torch.device

    def made(self) -> Trial:
        """Whether it can be made and has something to train."""
        head, clip_frames = self._head(), self.config.clips.clip_frames
        if not n_parameters(head):
            return "has no parameter that training could adjust; make its layers attributes of the module", ""
        kind = "a whole head" if isinstance(head, WholeHead) else "a trunk under ballspot's layers"
        return "", f"{kind}, {n_parameters(head):,} parameters, clips of {clip_frames} frames of {self.dim} numbers"

    def shapes(self) -> Trial:
        """Whether clips of several lengths and strides give what they must; the head is made for each length."""
        for stride in STRIDES:
            for length in LENGTHS:
                head = self._head(clip_frames=length, stride=stride)
                problem = self._unfit(head.eval()(self._clips(length)))
                if problem:
                    return f"clips of {length} frames at temporal_stride {stride}: {problem}", ""
        lengths, strides = (", ".join(map(str, values)) for values in (LENGTHS, STRIDES))
        return "", f"clips of {lengths} frames at temporal_stride {strides}"

    def batches(self) -> Trial:
        """Whether a clip is judged by itself, whatever it is batched with."""
        head, clips = _moved(self._head()).eval(), self._clips(self.config.clips.clip_frames)
        together = head(clips).class_logits
        alone = torch.cat([head(clip[None]).class_logits for clip in clips])
        difference = _difference(together, alone)
        if difference > CLOSE:
            return (
                f"a clip's scores hang on the clips beside it (by {difference:.1e}): keep the first dimension apart, "
                "and give nn.GRU and nn.MultiheadAttention batch_first=True"
            ), ""
        if _difference(together[:1], together[1:2]) == 0.0:
            return "different clips get the same scores: its output does not hang on the features", ""
        return "", f"a clip scores the same alone and among {BATCH}"

    def gradients(self) -> Trial:
        """Whether the training loss reaches every parameter, and is finite."""
        head = self._head().train()
        loss = self._loss(head(self._clips(self.config.clips.clip_frames)))
        try:
            loss.backward()
        except RuntimeError as error:
            return f"its gradient cannot be taken: {' '.join(str(error).split())[:160]}; change nothing in place", ""
        found = {name: one.grad for name, one in head.named_parameters() if one.requires_grad}
        lost = [_spoken(name) for name, gradient in found.items() if gradient is None]
        if lost:
            more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
            return (
                f"the loss does not reach {lost[0]}{more}: use it in forward, without detach() or no_grad(), or make "
                "it a buffer"
            ), ""
        bad = [
            _spoken(name) for name, gradient in found.items() if gradient is not None and not gradient.isfinite().all()
        ]
        if bad:
            return f"the gradient of {bad[0]} is not finite: look for divisions by 0, logs and roots", ""
        return "", f"the loss reaches all {len(found)} tensors"

    def repeats(self) -> Trial:
        """Whether the same features get the same scores in evaluation, and the same seed the same head."""
        head, clips = self._head().eval(), self._clips(self.config.clips.clip_frames)
        if _difference(head(clips).class_logits, head(clips).class_logits) > 0.0:
            return (
                "the same features get other scores the second time, in evaluation too: use nn.Dropout, which stops "
                "then, and keep nothing from one call to the next"
            ), ""
        torch.manual_seed(1)
        first = self._head().state_dict()
        torch.manual_seed(1)
        again = self._head().state_dict()
        other = [name for name in first if not torch.equal(first[name], again[name])]
        if other:
            return f"two heads of one seed differ in {_spoken(other[0])}: draw numbers from torch alone", ""
        return "", "equal scores twice in evaluation, equal heads of one seed"

    def saved(self) -> Trial:
        """Whether a head that was written and read again scores the same."""
        head, clips = _moved(self._head()), self._clips(self.config.clips.clip_frames)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "head.safetensors"
            write(path, description=self._description(), head=head, progress=Progress(), scaling=None)
            loaded = read_checkpoint(path).load(self.device)
        head.eval()
        difference = _difference(head(clips).class_logits, loaded(clips).class_logits)
        if difference > 0.0:
            return (
                f"scores otherwise after it was saved and loaded (by {difference:.1e}): what decides its scores must "
                "be a parameter or a buffer (register_buffer)"
            ), ""
        return "", f"{len(head.state_dict())} tensors, the same scores after loading"

    def dtypes(self) -> Trial:
        """Whether features that were stored as float16, and mixed precision, give finite float scores."""
        head, clips = self._head().eval(), self._clips(self.config.clips.clip_frames)
        for name, given in (("rows stored as float16", clips.half().float()), ("features of zeros", clips * 0.0)):
            if not head(given).class_logits.isfinite().all():
                return f"{name} give scores that are not finite", ""
        with torch.autocast(self.device.type, torch.bfloat16):
            output = head(clips)
        if not output.class_logits.isfinite().all():
            return "mixed precision (amp) gives scores that are not finite", ""
        return "", "float32, rows stored as float16, and bfloat16 by autocast"

    def _head(self, *, clip_frames: int | None = None, stride: int | None = None) -> SpottingHead:
        return self._description(clip_frames, stride).build().to(self.device)

    def _description(self, clip_frames: int | None = None, stride: int | None = None) -> HeadDescription:
        config = self.config
        if clip_frames is not None:
            clips = config.clips.model_copy(update={"clip_frames": clip_frames, "pad_frames": 0})
            config = config.model_copy(update={"clips": clips})
        if stride is not None:
            config = config.model_copy(update={"head": config.head.model_copy(update={"temporal_stride": stride})})
        labels = LabelSet("check", tuple(f"label {index}" for index in range(self.n_labels)), ())
        return HeadDescription(config, labels, (self.dim,), FINGERPRINT)

    def _clips(self, length: int) -> Tensor:
        return torch.randn(BATCH, length, self.dim, generator=torch.Generator().manual_seed(length)).to(self.device)

    def _loss(self, output: HeadOutput) -> Tensor:
        """The training loss against drawn targets."""
        shape, config = tuple(output.class_logits.shape[:2]), self.config
        n_classes = output.class_logits.shape[2] - 1
        index = torch.randint(0, 1 + n_classes, shape, device=self.device)
        labels = torch.nn.functional.one_hot(index, 1 + n_classes)[..., 1:].float()
        wanted = TokenTargets(
            class_index=index,
            strength=torch.ones(shape, device=self.device),
            labels=labels if is_sigmoid(config.loss.class_loss) else None,
            offset=torch.randn(shape, device=self.device),
            team=torch.randint(0, 2, shape, device=self.device).float(),
            n_collisions=torch.zeros(shape[0], dtype=torch.int64, device=self.device),
        )
        class_part, offset_part, team_part = loss_means(
            output, wanted, None, torch.ones(1 + n_classes, device=self.device), config
        )
        return class_part + offset_part + team_part

    def _unfit(self, output: HeadOutput) -> str:
        """Which output is not finite, "" for none; outputs of another shape are refused where the head gives them."""
        named = (
            ("class logits", output.class_logits),
            ("offsets", output.offsets),
            ("team logits", output.team_logits),
        )
        bad = (name for name, value in named if value is not None and not value.isfinite().all())
        return next((f"{name} that are not finite" for name in bad), "")


def _moved(head: SpottingHead) -> SpottingHead:
    """The head a little away from where it begins, as training moves it: a layer may begin with zeros."""
    with torch.no_grad():
        for value in head.parameters():
            if value.is_floating_point():
                value.add_(torch.randn_like(value) * 0.01)
    return head


def _spoken(name: str) -> str:
    """A tensor's name as its author knows it."""
    return name.removeprefix("trunk.").removeprefix("own.").removeprefix("module.")


def _difference(first: Tensor, second: Tensor) -> float:
    scale = max(float(first.detach().abs().max()), 1e-12)
    return float((first - second).detach().abs().max()) / scale
