"""timm models as feature extractors: pooled, with weights of a known digest, batch norms folded for speed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import timm
import torch
from timm.layers.conv2d_same import Conv2dSame
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn

from ..cache.errors import BallspotError
from ..cache.layout import ORIGINAL
from .foreign import recognise
from .pooling import POOLED, with_pooling
from .shift import Clips, ShiftSpec, insert_shift, parse_backbone, reach_of, split_at_shift
from .transforms import INTERPOLATIONS, views_settings
from .weights import (
    OFFLINE_BACKBONE,
    WeightsSpec,
    cached_hub_file,
    first_line,
    hub_error,
    load_into,
    offline_state_dict,
    read_state_dict,
    require_hub,
    weights_digest,
)

FOLD_TOLERANCE = 1e-4
EARLY_ROWS, LATE_ROWS = 64, 128  # that a window keeps: with shift from the first stages, large maps wait in memory


@dataclass(frozen=True)
class Shifted:
    """What a backbone with temporal shift needs beside its model.

    `front` is its part before the first shift, float (B, 3, H, W) -> maps of single frames, which the model reads as
    clips of `clips.n_frames`. Frames up to `reach` away decide a feature. Windows keep `window_rows` rows each.
    """

    front: nn.Module
    clips: Clips
    reach: int
    window_rows: int


@dataclass(frozen=True)
class Backbone:
    """A model in evaluation mode that turns float (B, 3, H, W) into features (B, dim), and what its features hang on.

    `mean`, `std` and `interpolation` are those its weights were trained with. With `shifted`, `model` reads maps.
    """

    name: str
    model: nn.Module
    dim: int
    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str
    weights_sha256: str
    layers: tuple[str, ...] = (POOLED,)
    grid: tuple[int, int] = (1, 1)
    shifted: Shifted | None = None

    def extraction(
        self, *, stride: int, dtype: str = "float16", views: Sequence[str] = (ORIGINAL,), margin: int = 0
    ) -> dict[str, Any]:
        """All that decides a feature, for the store: see docs/store-format.md.

        `margin` is that of the windows of a backbone with temporal shift; below its reach their length decides, too.
        """
        windows: dict[str, Any] = {}
        if self.shifted is not None:
            windows = {"margin": margin, "reach": self.shifted.reach}
            windows |= {"window": self.shifted.window_rows} if margin < self.shifted.reach else {}
        return {
            "backbone": self.name,
            "weights_sha256": self.weights_sha256,
            "size": list(self.size),
            "mean": list(self.mean),
            "std": list(self.std),
            "interpolation": f"{self.interpolation}-antialias",
            "stride": stride,
            "dtype": dtype,
            "layers": list(self.layers),
            "grid": list(self.grid),
            **({"views": views_settings(views)} if tuple(views) != (ORIGINAL,) else {}),
            **({"shift": windows} if windows else {}),
        }


def load_backbone(
    name: str,
    weights: WeightsSpec,
    *,
    size: tuple[int, int],
    device: torch.device,
    layers: Sequence[str] = (POOLED,),
    grid: tuple[int, int] = (1, 1),
) -> Backbone:
    """The timm model `name` with the given weights, batch norms folded, on `device`; `size` is (height, width).

    Its features are those of `layers`, over the cells of `grid`: see `GridPooling`. `name` may say a temporal shift,
    `regnety_002+gsf:s3,s4`; a checkpoint of another system brings its own, which then becomes part of the name.
    Raises BallspotError for a model timm does not know (naming the nearest), weights that cannot be had or do not fit,
    and a model that gives no pooled features for pictures of that size.
    """
    base, shift = parse_backbone(name)
    pretrained_cfg = _pretrained_cfg(base)
    if weights.kind == "offline" and base.split(".")[0] != OFFLINE_BACKBONE:
        raise BallspotError(f"--weights offline: there are none for {base}; use --backbone {OFFLINE_BACKBONE}")
    loaded = _with_weights(base, shift, weights, pretrained_cfg, size)
    name, model = loaded.name, loaded.model.eval()
    digest = weights_digest(model.state_dict())
    model = channels_last(fold_batch_norms(model, size=size).to(device))
    shifted = None
    if loaded.shift is not None and loaded.clips is not None:
        reach, is_late = reach_of(model, loaded.shift), loaded.shift.stages[0] in ("s3", "s4")
        front, model = split_at_shift(model, loaded.shift)
        shifted = Shifted(front.eval().requires_grad_(False), loaded.clips, reach, LATE_ROWS if is_late else EARLY_ROWS)
    before = None if shifted is None else shifted.front
    model = with_pooling(model, backbone=name, layers=layers, grid=grid, size=size, before=before).eval()
    interpolation = str(pretrained_cfg.get("interpolation"))
    return Backbone(
        name=name,
        model=model.requires_grad_(False),
        dim=_feature_dim(name, model, size, device, before=before),
        size=size,
        mean=tuple(map(float, pretrained_cfg["mean"])),
        std=tuple(map(float, pretrained_cfg["std"])),
        interpolation=interpolation if interpolation in INTERPOLATIONS else "bilinear",
        weights_sha256=digest,
        layers=tuple(layers),
        grid=grid,
        shifted=shifted,
    )


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
    return nn.Sequential(*norm.children()) if isinstance(norm, BatchNormAct2d) else nn.Identity()


def _conv_norm_pairs(model: nn.Module, images: Tensor) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Convolutions whose output a batch norm reads, both called once in one run of the model."""
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


def _pretrained_cfg(name: str) -> Mapping[str, Any]:
    base = name.split(".")[0]
    cfg = timm.get_pretrained_cfg(name) if timm.is_model(base) else None
    if cfg is None:
        near = get_close_matches(base, timm.list_models(), n=1, cutoff=0.0)[0]
        raise BallspotError(f"--backbone {name}: timm {timm.__version__} has no such model; did you mean {near}?")
    return cfg.to_dict()


@dataclass(frozen=True)
class Loaded:
    """A model with its weights; with a shift, what sets its clips' length."""

    name: str
    model: nn.Module
    shift: ShiftSpec | None
    clips: Clips | None


def _with_weights(
    name: str, shift: ShiftSpec | None, weights: WeightsSpec, cfg: Mapping[str, Any], size: tuple[int, int]
) -> Loaded:
    classifier = cfg.get("classifier") or ()
    names = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    state, source, has_shift = None, "", False
    if weights.kind == "offline":
        state, source = offline_state_dict(), "--weights offline"
    elif weights.kind == "file" and weights.path is not None:
        state, source = read_state_dict(weights.path), str(weights.path)
        found = recognise(state, source=source)
        if found is not None:
            theirs = parse_backbone(found.backbone)
            if name != theirs[0] or (shift is not None and shift != theirs[1]):
                asked = name if shift is None else f"{name}+{shift}"
                raise BallspotError(f"{source}: holds {found.backbone}, not --backbone {asked}; leave --backbone out")
            state, shift = found.state, theirs[1]
        has_shift = shift is not None and any(".conv1.net." in key for key in state)
    elif weights.kind == "hub" and cached_hub_file(cfg) is None:
        require_hub(name)
    whole = name if shift is None else f"{name}+{shift}"
    clips = None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(weights.seed)
        model = _create(name, size, cfg, pretrained=weights.kind == "hub")
        if shift is not None and has_shift:
            clips = insert_shift(model, shift, backbone=whole)
        if state is not None:
            load_into(model, state, source=source, classifier=names)
        elif weights.kind == "random":
            _open_residuals(model)
        if shift is not None and clips is None:  # new shifts in a backbone that was trained without
            clips = insert_shift(model, shift, backbone=whole)
    return Loaded(whole, model, shift, clips)


def _create(name: str, size: tuple[int, int], cfg: Mapping[str, Any], *, pretrained: bool) -> nn.Module:
    options: dict[str, Any] = {"img_size": size} if cfg.get("fixed_input_size") else {}
    cached = cached_hub_file(cfg) if pretrained else None
    if cached is not None:
        options["pretrained_cfg_overlay"] = {"file": str(cached)}
    try:
        return timm.create_model(name, pretrained=pretrained, num_classes=0, **options)
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        if pretrained:
            raise hub_error(name, first_line(error)) from error
        raise BallspotError(f"--backbone {name}: cannot be made for {size} ({first_line(error)})") from error


def _open_residuals(model: nn.Module) -> None:
    """Sets norm gains that start at zero to one: an untrained model would else skip all its residual branches."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d) and module.affine and not module.weight.any():
            nn.init.ones_(module.weight)


def _feature_dim(
    name: str, model: nn.Module, size: tuple[int, int], device: torch.device, *, before: nn.Module | None
) -> int:
    try:
        with torch.inference_mode():
            images = torch.zeros(1, 3, *size, device=device)
            features = model(images if before is None else before(images))
    except (RuntimeError, AssertionError, TypeError, ValueError) as error:
        raise BallspotError(f"--backbone {name}: cannot read {size} pictures ({first_line(error)})") from error
    if features.ndim != 2:
        raise BallspotError(f"--backbone {name}: gives {tuple(features.shape)}, not one vector a picture; take another")
    return features.shape[1]
