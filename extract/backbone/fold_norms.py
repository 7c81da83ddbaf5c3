"""Batch norms multiplied into the convolutions before them: the same numbers in fewer steps."""

import torch
from torch import Tensor, nn

FOLD_TOLERANCE = 1e-4


def channels_last(model: nn.Module) -> nn.Module:
    """The model with the weights of its two-dimensional convolutions laid out channels last, in place."""
    for parameter in model.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return model


def fold_batch_norms(model: nn.Module, *, size: tuple[int, int]) -> nn.Module:
    """The same model with every batch norm that directly follows a convolution multiplied into it; changed in place.

    Which norm follows which convolution is seen by running a picture through. The result is compared with the model
    before: should a model use a convolution's output elsewhere too, it is given back as it was.
    """
    images = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0)) * 4 - 2
    with torch.inference_mode():
        expected = model(images)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    replaced: list[tuple[nn.Module, str, nn.Module]] = []
    added: list[nn.Conv2d] = []
    places = {module: (parent, name) for parent in model.modules() for name, module in parent.named_children()}
    for conv, norm in _conv_norm_pairs(model, images):
        if conv.bias is None:
            conv.bias = nn.Parameter(torch.zeros(conv.out_channels))
            added.append(conv)
        _fold(conv, norm)
        parent, name = places[norm]
        replaced.append((parent, name, norm))
        setattr(parent, name, _rest_of(norm))
    with torch.inference_mode():
        difference = (model(images) - expected).abs().max() / expected.abs().max().clamp_min(1e-12)
    if not difference <= FOLD_TOLERANCE:
        for parent, name, norm in replaced:
            setattr(parent, name, norm)
        for conv in added:
            conv.bias = None
        model.load_state_dict(before)
    return model


def _fold(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    """W' = W g / sqrt(v + eps), b' = (b - m) g / sqrt(v + eps) + beta, in double precision."""
    if norm.running_mean is None or norm.running_var is None or conv.bias is None:
        return
    one, zero = torch.ones_like(norm.running_mean), torch.zeros_like(norm.running_mean)
    gain = (norm.weight if norm.affine else one).double() / torch.sqrt(norm.running_var.double() + norm.eps)
    beta = (norm.bias if norm.affine else zero).double()
    with torch.no_grad():
        bias = (conv.bias.double() - norm.running_mean.double()) * gain + beta
        conv.weight.copy_((conv.weight.double() * gain.view(-1, 1, 1, 1)).to(conv.weight.dtype))
        conv.bias.copy_(bias.to(conv.bias.dtype))


def _rest_of(norm: nn.BatchNorm2d) -> nn.Module:
    """What a norm does after normalising: timm's carries the activation."""
    from timm.layers.norm_act import BatchNormAct2d  # takes seconds to import

    return nn.Sequential(*norm.children()) if isinstance(norm, BatchNormAct2d) else nn.Identity()


def _conv_norm_pairs(model: nn.Module, images: Tensor) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Convolutions whose output a batch norm reads, both called once in one run of the model."""
    from timm.layers.conv2d_same import Conv2dSame  # takes seconds to import
    from timm.layers.norm_act import BatchNormAct2d

    outputs: list[tuple[Tensor, nn.Conv2d]] = []
    inputs: list[tuple[Tensor, nn.BatchNorm2d]] = []
    hooks = []

    def written(module: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(module, nn.Conv2d):
            outputs.append((output, module))

    def read(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        if isinstance(module, nn.BatchNorm2d):
            inputs.append((args[0], module))

    for module in model.modules():
        # Exactly these classes: a subclass may do something else with its weight.
        if type(module) in (nn.Conv2d, Conv2dSame):
            hooks.append(module.register_forward_hook(written))
        elif type(module) in (nn.BatchNorm2d, BatchNormAct2d):
            hooks.append(module.register_forward_pre_hook(read))
    try:
        with torch.inference_mode():
            model(images)
    finally:
        for hook in hooks:
            hook.remove()
    convs, norms = [conv for _, conv in outputs], [norm for _, norm in inputs]
    return [
        (conv, norm)
        for given, norm in inputs
        for made, conv in outputs
        if given is made and convs.count(conv) == 1 and norms.count(norm) == 1 and norm.running_var is not None
    ]
