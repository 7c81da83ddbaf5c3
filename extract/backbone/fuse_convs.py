"""A model's convolutions with what follows them, in oneDNN's own kernels: on a CPU about a fifth faster.

A convolution, the sum with a shortcut and the activation become one call, and weights lie as the kernel wants them.
These are the operators that torch's compiler uses when it freezes a model; here no compiler has to be installed.
The normalisation of the pictures becomes part of the first convolution.
"""

import copy
import operator
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp

FUSION_TOLERANCE = 1e-5
HALF_FUSION_TOLERANCE = 5e-2  # of bfloat16, whose last bit is 1/256


class FusedConv(nn.Module):
    """A convolution, then, where asked, the sum with a second input, then an activation."""

    def __init__(self, conv: nn.Conv2d, shape: torch.Size, *, activation: str, bounds: list[float], adds: bool) -> None:
        super().__init__()
        self.where = (list(conv.padding), list(conv.stride), list(conv.dilation), conv.groups)
        self.activation, self.bounds, self.adds = activation, bounds, adds
        weight = torch.ops.mkldnn._reorder_convolution_weight(conv.weight.detach(), *self.where, list(shape))
        self.weight: Tensor = weight
        self.bias = None if conv.bias is None else conv.bias.detach()

    def forward(self, images: Tensor, other: Tensor | None = None) -> Tensor:
        if self.adds:
            after = None if self.activation == "none" else self.activation
            call = torch.ops.mkldnn._convolution_pointwise.binary
            return call(images, other, self.weight, self.bias, *self.where, "add", 1.0, after, self.bounds, "")
        call = torch.ops.mkldnn._convolution_pointwise
        return call(images, self.weight, self.bias, *self.where, self.activation, self.bounds, "")


class Normalised(nn.Module):
    """Pictures (B, H, W, 3) of 0..255, uint8 or float32 -> what `model` gives for (B, 3, H, W) normalised ones.

    They are normalised in float32, and given to the model in numbers of the type `number`.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, model: nn.Module, scale: Tensor, shift: Tensor, *, number: torch.dtype = torch.float32) -> None:
        """`scale` and `shift` are float32 (1, 3, 1, 1): a picture x is normalised to scale x + shift."""
        super().__init__()
        self.model, self.number = model, number
        self.register_buffer("scale", scale)
        self.register_buffer("shift", shift)

    def forward(self, pictures: Tensor) -> Tensor:
        images = pictures.permute(0, 3, 1, 2).float()  # (B, H, W, 3) -> (B, 3, H, W), channels last in memory
        seen = torch.addcmul(self.shift, images, self.scale)
        return self.model(seen if self.number == torch.float32 else seen.to(self.number))


class Framed(nn.Module):
    """Pictures (B, H, W, 3) -> float32 (B, 3, H + 2 P, W + 2 Q) in a frame of the values that are normalised to zero.

    A convolution that has the normalisation in its weights cannot pad with zeros: black is not zero. The same memory
    is given each time.
    """

    def __init__(self, shape: torch.Size, padding: tuple[int, int], zero: Tensor) -> None:
        """`shape` is (B, H, W, 3); `zero` float32 (1, 3, 1, 1)."""
        super().__init__()
        n, height, width, channels = shape
        rows, columns = padding
        framed = zero.expand(n, channels, height + 2 * rows, width + 2 * columns)
        self.images = framed.clone(memory_format=torch.channels_last)
        self.inside = self.images[:, :, rows : rows + height, columns : columns + width]

    def forward(self, pictures: Tensor) -> Tensor:
        self.inside.copy_(pictures.permute(0, 3, 1, 2))
        return self.images


def fuse_convolutions(normalised: Normalised, pictures: Tensor) -> nn.Module:
    """The same model for pictures of exactly that shape, fused; `normalised` itself where it cannot be or differs.

    `pictures` is uint8 or float32 (B, H, W, 3) on the CPU; the fused model takes both types. It computes in the numbers
    that `normalised` does.
    """
    if not torch.backends.mkldnn.is_available() or pictures.device.type != "cpu":
        return normalised
    try:
        with torch.inference_mode():
            fused = _fused(copy.deepcopy(normalised), pictures)
            expected = normalised(pictures).float()
            difference = (fused(pictures).float() - expected).abs().max() / expected.abs().max().clamp_min(1e-12)
    except Exception:  # noqa: BLE001  whatever a model does that cannot be traced or fused; the engine's spec tells it
        return normalised
    limit = FUSION_TOLERANCE if normalised.number == torch.float32 else HALF_FUSION_TOLERANCE
    return fused if difference <= limit else normalised


def _fused(normalised: Normalised, pictures: Tensor) -> nn.Module:
    graph = fx.symbolic_trace(normalised.model)
    _fold_normalisation(graph, normalised, pictures)
    ShapeProp(graph).propagate(pictures)
    for node in list(graph.graph.nodes):
        if isinstance(_module(graph, node), (nn.Identity, nn.Dropout)):
            node.replace_all_uses_with(node.args[0])
            graph.graph.erase_node(node)
    graph.graph.eliminate_dead_code()
    for number, node in enumerate(list(graph.graph.nodes)):
        conv = _module(graph, node)
        if type(conv) is nn.Conv2d and conv.padding_mode == "zeros" and not isinstance(conv.padding, str):
            _fuse_one(graph, node, conv, f"fused_{number}")
    graph.graph.eliminate_dead_code()
    graph.graph.lint()
    graph.recompile()
    return graph


def _fold_normalisation(graph: fx.GraphModule, normalised: Normalised, pictures: Tensor) -> None:
    """Makes the graph read pictures: by its first convolution where that alone reads them, else by a step of its own.

    W (scale x + shift) + b is (W scale) x + (b + sum of W shift), where x is padded with -shift / scale. In bfloat16
    that would lose digits, as x and its shift nearly cancel: there pictures are normalised before, in float32.
    """
    given = next(node for node in graph.graph.nodes if node.op == "placeholder")
    first = _only_user(given)
    conv = None if first is None else _module(graph, first)
    scale, shift = normalised.scale.double(), normalised.shift.double()
    if (
        normalised.number == torch.float32
        and type(conv) is nn.Conv2d
        and conv.padding_mode == "zeros"
        and not isinstance(conv.padding, str)
        and conv.groups == 1
    ):
        bias = 0 if conv.bias is None else conv.bias.double()
        conv.bias = nn.Parameter((bias + (conv.weight.double() * shift).sum((1, 2, 3))).float(), requires_grad=False)
        conv.weight = nn.Parameter((conv.weight.double() * scale).float(), requires_grad=False)
        rows, columns = (int(value) for value in conv.padding)
        conv.padding = (0, 0)
        graph.add_submodule("framed", Framed(pictures.shape, (rows, columns), (-shift / scale).float()))
    else:
        framed = Normalised(nn.Identity(), normalised.scale, normalised.shift, number=normalised.number)
        graph.add_submodule("framed", framed)
    with graph.graph.inserting_after(given):
        framed = graph.graph.call_module("framed", (given,))
    given.replace_all_uses_with(framed, delete_user_cb=lambda user: user is not framed)


def _fuse_one(graph: fx.GraphModule, node: Any, conv: nn.Conv2d, name: str) -> None:
    """Puts one call in the place of the last of convolution, sum and activation that follow one another alone."""
    order = {other: place for place, other in enumerate(graph.graph.nodes)}
    chain, other = [node], None
    after = _only_user(node)
    if after is not None and after.op == "call_function" and after.target in (operator.add, operator.iadd, torch.add):
        first, second = after.args[0], after.args[1] if len(after.args) > 1 else None
        partner = second if first is node else first
        if (
            isinstance(partner, fx.Node)
            and partner is not node
            and partner.meta["tensor_meta"].shape == (node.meta["tensor_meta"].shape)
        ):
            chain, other = [node, after], partner
    activation, bounds = "none", []
    after = _only_user(chain[-1])
    if after is not None and order[after] > order[chain[-1]]:
        found = _activation(_module(graph, after))
        if found is not None:
            chain.append(after)
            activation, bounds = found
    last = chain[-1]
    shape = node.args[0].meta["tensor_meta"].shape
    graph.add_submodule(name, FusedConv(conv, shape, activation=activation, bounds=bounds, adds=other is not None))
    with graph.graph.inserting_before(last):
        call = graph.graph.call_module(name, (node.args[0],) if other is None else (node.args[0], other))
    call.meta = dict(last.meta or node.meta)
    call.meta["tensor_meta"] = node.meta["tensor_meta"]
    last.replace_all_uses_with(call)
    for replaced in reversed(chain):  # none but the next in the chain read it
        graph.graph.erase_node(replaced)


def _module(graph: fx.GraphModule, node: Any) -> nn.Module | None:
    return graph.get_submodule(str(node.target)) if node.op == "call_module" else None


def _only_user(node: Any) -> Any:
    return next(iter(node.users)) if len(node.users) == 1 else None


def _activation(module: nn.Module | None) -> tuple[str, list[float]] | None:
    if type(module) is nn.ReLU:
        return "relu", []
    if isinstance(module, nn.Hardtanh):  # ReLU6 is one
        return "hardtanh", [float(module.min_val), float(module.max_val)]
    return None
