"""A head of a user's own: a trunk under our layers, or a whole head with outputs of its own."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ...cache.code import blamed, called, is_memory, load_code, parse_reference, wanted_names
from ...cache.errors import BallspotError
from ..config import HeadSection

OUTPUTS = ("class_logits", "offsets", "team_logits")


def head_offer(section: HeadSection, *, dim: int, n_classes: int, clip_frames: int) -> dict[str, Any]:
    """What the constructor of a head can ask for by the names of its parameters.

    ``dim`` numbers a frame, ``n_classes`` class logits beside background, ``clip_frames``, ``temporal_stride``, and
    every other key of the section `head` by its own name.
    """
    keys = {name: getattr(section, name) for name in type(section).model_fields if name != "kind"}
    return {"dim": dim, "n_classes": n_classes, "clip_frames": clip_frames, **keys}


class OwnModule(nn.Module):
    """A user's module, made and called so that whatever is wrong with it is told in one line.

    (B, T, D) -> what the module gives for it. A class that does not ask for ``temporal_stride`` sees the kept frames
    alone, (B, N, D), and gives one token for each; one that does sees all T and gives ceil(T / temporal_stride).
    ``width`` is the module's own, None for a whole head.
    """

    def __init__(self, section: HeadSection, *, dim: int, n_classes: int, clip_frames: int) -> None:
        super().__init__()
        self.text, self.temporal_stride = section.kind, section.temporal_stride
        self.sees_all = "temporal_stride" in wanted_names(self.text, load_code(self.text))
        n_tokens = -(-clip_frames // section.temporal_stride)
        offer = head_offer(
            section, dim=dim, n_classes=n_classes, clip_frames=clip_frames if self.sees_all else n_tokens
        )
        module = called(self.text, offer)
        if not isinstance(module, nn.Module):
            raise self.wrong(f"gives {type(module).__name__}, no torch.nn.Module; let it be a class of nn.Module")
        self.module = module
        self.width = self._width()
        self._require_tensors()

    def forward(self, frames: Tensor) -> Any:
        """frames (B, T, D) -> the module's own output for them."""
        given = frames if self.sees_all else frames[:, :: self.temporal_stride]
        try:
            output = self.module(given)
        except BallspotError:
            raise
        except Exception as error:
            if is_memory(error):
                raise
            raise blamed(self.text, error, f"given features {tuple(given.shape)}") from error
        if self.width is None:
            return output
        return self.shaped(output, frames, (self.width,), "tokens")

    def shaped(self, value: Any, frames: Tensor, last: tuple[int, ...], what: str) -> Tensor:
        """The value itself. Raises BallspotError unless it is a tensor (B, N, *last) of real numbers."""
        n_frames = frames.shape[1]
        wanted = (frames.shape[0], -(-n_frames // self.temporal_stride), *last)
        if not isinstance(value, Tensor):
            raise self.wrong(f"its forward gives {type(value).__name__} as {what}, no tensor {wanted}")
        if tuple(value.shape) != wanted:
            hint = ""
            if value.ndim == len(wanted) and self.sees_all and value.shape[1] == n_frames != wanted[1]:
                hint = f": keep one of {self.temporal_stride} frames, x[:, ::temporal_stride], or do not ask for it"
            raise self.wrong(
                f"gives {what} {tuple(value.shape)} for {n_frames} frames at temporal_stride {self.temporal_stride}, "
                f"not {wanted}{hint}"
            )
        if not value.is_floating_point():
            raise self.wrong(f"gives {what} as {value.dtype}, no floating-point numbers")
        return value

    def wrong(self, what: str) -> BallspotError:
        """The error that names the code and says what is wrong."""
        return BallspotError(f"{parse_reference(self.text).short}: {what}; see docs/reference/own-code.md")

    def _width(self) -> int | None:
        width = getattr(self.module, "width", None)
        if width is not None and (type(width) is not int or width < 1):
            raise self.wrong(f"its width is {width!r}, no whole number above 0")
        return width

    def _require_tensors(self) -> None:
        lazy = [name for name, one in self.module.named_parameters() if isinstance(one, nn.UninitializedParameter)]
        if lazy:
            raise self.wrong(f"parameter {lazy[0]!r} has no shape before it is used; make it of `dim`")
        for name, value in self.module.state_dict().items():
            if not isinstance(value, Tensor):
                raise self.wrong(f"keeps {type(value).__name__} {name!r} in its state; keep tensors alone")


class OwnHead(nn.Module):
    """A whole head of a user's own: its outputs, checked and named.

    The module gives class logits (B, N, 1 + K), background first, or a tuple or mapping of class_logits, offsets
    (B, N) and team_logits (B, N), None or left out where it has none.
    """

    def __init__(self, module: OwnModule, *, n_classes: int, offsets: bool, teams: bool) -> None:
        super().__init__()
        self.own = module
        self.n_classes, self.wants_offsets, self.wants_teams = n_classes, offsets, teams

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """frames (B, T, D) -> class_logits (B, N, 1 + K), offsets (B, N), team_logits (B, N)."""
        given = self._named(self.own(frames))
        logits = self.own.shaped(given.get("class_logits"), frames, (1 + self.n_classes,), "class_logits")
        if self.training and torch.is_grad_enabled() and not logits.requires_grad:
            raise self.own.wrong("its class_logits hang on none of its parameters; leave out detach() and no_grad()")
        offsets = given.get("offsets") if self.wants_offsets else None
        team_logits = given.get("team_logits") if self.wants_teams else None
        if offsets is not None:
            offsets = self.own.shaped(offsets, frames, (), "offsets")
        if self.wants_teams:
            team_logits = self.own.shaped(team_logits, frames, (), "team_logits (teams = 'head')")
        return logits, offsets, team_logits

    def _named(self, output: Any) -> Mapping[str, Any]:
        if isinstance(output, Mapping):
            unknown = [name for name in output if name not in OUTPUTS]
            if unknown:
                raise self.own.wrong(f"gives {unknown[0]!r}, which is none of {', '.join(OUTPUTS)}")
            return output
        values = output if isinstance(output, tuple) else (output,)
        if len(values) > len(OUTPUTS):
            raise self.own.wrong(f"gives {len(values)} values, more than {', '.join(OUTPUTS)}")
        return dict(zip(OUTPUTS, values, strict=False))


@torch.no_grad()
def tried(head: nn.Module, *, dim: int, clip_frames: int) -> Any:
    """What a new head says of one clip of zeros; it is left as it was. Raises BallspotError where it cannot."""
    was_training = head.training
    head.eval()
    with torch.random.fork_rng(devices=[]):
        output = head(torch.zeros(1, clip_frames, dim))
    head.train(was_training)
    return output
