"""timm models as feature extractors: pooled, with weights of a known digest, batch norms folded for speed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

import torch
from torch import nn

from ...cache.code import is_reference, portable, settle_code, shown
from ...cache.errors import BallspotError
from ...cache.stores import ORIGINAL, FeatureSpec, RegionSpec
from ..own import make_own
from .fold_norms import channels_last, fold_batch_norms
from .foreign import recognise
from .pooling import with_pooling
from .spec import BackboneSpec
from .temporal_shift import BLOCK_TSM, SHIFTED, Clips, ShiftSpec, insert_shift, parse_backbone, reach_of, split_at_shift
from .transforms import INTERPOLATIONS, views_settings
from .weights import (
    cached_hub_file,
    first_line,
    hub_error,
    load_into,
    offline_state_dict,
    parse_weights,
    read_state_dict,
    require_hub,
    resampled,
    weights_digest,
)

ANY_SIZE = (224, 398)  # where a function is asked for its pictures' settings alone
_own_pictures: dict[str, tuple[tuple[float, ...], tuple[float, ...], str]] = {}  # by name, which has the digest
EARLY_ROWS, LATE_ROWS = 64, 128  # that a window keeps: with shift from the first stages, large maps wait in memory


@dataclass(frozen=True)
class Loaded:
    """A model with its weights; with a shift, which may be the weights' own, what sets its clips' length."""

    spec: BackboneSpec
    model: nn.Module
    shift: ShiftSpec | None
    clips: Clips | None


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

    spec: BackboneSpec
    model: nn.Module
    dim: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str
    weights_sha256: str
    shifted: Shifted | None = None

    def features(
        self,
        *,
        stride: int,
        dtype: str = "float16",
        views: Sequence[str] = (ORIGINAL,),
        margin: int | None = None,
        precision: str = "float32",
        motion: int = 0,
        region: RegionSpec | None = None,
    ) -> FeatureSpec:
        """All that decides a feature.

        `margin` is that of the windows of a backbone with temporal shift, its reach where none is given; below that
        their length decides, too.
        `precision` is what was asked for: only `bfloat16` is told, so that other sets keep the fingerprints they had.
        With `motion` pictures are of three moments so many frames apart, with `region` boxes of them are seen, too.
        """
        more: dict[str, Any] = {"views": views_settings(views)} if tuple(views) != (ORIGINAL,) else {}
        if self.shifted is not None:
            margin = self.shifted.reach if margin is None else margin
            more["shift"] = {"margin": margin, "reach": self.shifted.reach}
            more["shift"] |= {"window": self.shifted.window_rows} if margin < self.shifted.reach else {}
        if self.spec.uncropped is not None:
            more["uncropped"] = self.spec.uncropped
        if precision == "bfloat16":
            more["precision"] = precision
        more |= {"motion": motion} if motion else {}
        more |= {} if region is None else {"region": region}
        return FeatureSpec(
            backbone=portable(self.spec.name),
            weights_sha256=self.weights_sha256,
            size=self.spec.size,
            mean=self.mean,
            std=self.std,
            interpolation=f"{self.interpolation}-antialias",
            stride=stride,
            dtype=dtype,  # pyright: ignore[reportArgumentType]
            layers=self.spec.layers,
            grid=self.spec.grid,
            **more,
        )


def load_backbone(spec: BackboneSpec, device: torch.device) -> Backbone:
    """The timm model with its weights, batch norms folded, on `device`.

    A checkpoint of another system brings its own temporal shift, which then becomes part of the name.
    Raises BallspotError for a model timm does not know (naming the nearest), weights that cannot be had or do not fit,
    and a model that gives no pooled features for pictures of that size.
    """
    return assemble(load_model(spec), device)


def assemble(loaded: Loaded, device: torch.device, *, folds: bool = True) -> Backbone:
    """The backbone that extracts with a model, which is taken over and changed: norms folded, on `device`.

    Without `folds` it computes step by step as it was trained, a third slower: where a system's own numbers are to be
    met although its network amplifies the last bit of a float.
    """
    spec, model = loaded.spec, loaded.model.eval()
    digest = weights_digest(model.state_dict())
    feature_dim(spec, model, torch.device("cpu"))  # what cannot read such pictures is told so
    model = channels_last(fold_batch_norms(model, size=spec.size).to(device)) if folds else model.to(device)
    shifted = None
    if loaded.shift is not None and loaded.clips is not None:
        reach, is_late = reach_of(model, loaded.shift), loaded.shift.stages[0] in ("s3", "s4")
        front, model = split_at_shift(model, loaded.shift)
        shifted = Shifted(front.eval().requires_grad_(False), loaded.clips, reach, LATE_ROWS if is_late else EARLY_ROWS)
    before = None if shifted is None else shifted.front
    model = with_pooling(model, spec, before=before).eval()
    mean, std, interpolation = picture_settings(spec.name)
    interpolation = spec.interpolation or interpolation
    return Backbone(
        spec=spec,
        model=model.requires_grad_(False),
        dim=feature_dim(spec, model, device, before=before),
        mean=mean,
        std=std,
        interpolation=interpolation,
        weights_sha256=digest,
        shifted=shifted,
    )


def picture_settings(name: str) -> tuple[tuple[float, ...], tuple[float, ...], str]:
    """Mean, standard deviation and interpolation that a backbone's weights were trained with, by its own config."""
    if is_reference(name):
        if name not in _own_pictures:
            made = make_own(name, size=ANY_SIZE, is_tried=False)
            _own_pictures[name] = made.mean, made.std, made.interpolation
        return _own_pictures[name]
    config = _pretrained_cfg(parse_backbone(name)[0])
    interpolation = str(config.get("interpolation"))
    mean, std = (tuple(map(float, config[key])) for key in ("mean", "std"))
    return mean, std, interpolation if interpolation in INTERPOLATIONS else "bilinear"


def _pretrained_cfg(name: str) -> Mapping[str, Any]:
    import timm  # takes seconds to import

    base = name.split(".")[0]
    try:
        cfg = timm.get_pretrained_cfg(name) if timm.is_model(base) else None
    except RuntimeError as error:  # the model is known, what follows the point is not
        near = [*get_close_matches(name, timm.list_pretrained(f"{base}.*"), n=1, cutoff=0.0), base][0]
        raise BallspotError(
            f"--backbone {name}: timm {timm.__version__} has no such weights of {base}; did you mean {near}?"
        ) from error
    if cfg is None:
        near = ", ".join(get_close_matches(base, timm.list_models(), n=3, cutoff=0.0))
        raise BallspotError(f"--backbone {name}: timm {timm.__version__} has no such model; did you mean {near}?")
    return cfg.to_dict()


def load_model(spec: BackboneSpec) -> Loaded:
    """The timm model with the shift its name says or the checkpoint's own, as it was trained: no norm is folded.

    Raises BallspotError as `load_backbone` does.
    """
    if is_reference(spec.name):
        return _own_model(spec)
    weights, (name, shift) = parse_weights(spec.weights), parse_backbone(spec.name)
    if weights.kind == "own":
        raise BallspotError(f"--weights own: are for a function of your own, not for --backbone {name}; give others")
    cfg = _pretrained_cfg(name)
    classifier = cfg.get("classifier") or ()
    names = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    state, source, has_shift = None, "", False
    if weights.kind == "offline":
        state, source = offline_state_dict(name.split(".")[0]), "--weights offline"
    elif weights.kind == "file" and weights.path is not None:
        state, source = read_state_dict(weights.path), str(weights.path)
        if any(key.startswith(("lowres_backbone.", "highres_backbone.")) for key in state):
            raise BallspotError(
                f"{source}: a checkpoint of AdaSpot, which chooses by the whole clip where it looks closely; a frame "
                "has no row of its own that a store could hold: adopt it, then predict from videos"
            )
        found = recognise(state, source=source)
        if found is not None:
            theirs = parse_backbone(found.backbone)
            if shift is not None and theirs[1] == replace(shift, kind=BLOCK_TSM) and shift.kind == "tsm":
                theirs = (theirs[0], shift)  # the same tensors: as they were read before the shortcut was shifted too
            if name != theirs[0] or (shift is not None and shift != theirs[1]):
                asked = name if shift is None else f"{name}+{shift}"
                raise BallspotError(f"{source}: holds {found.backbone}, not --backbone {asked}; leave --backbone out")
            state, shift = found.state, theirs[1]
        has_shift = shift is not None and any(SHIFTED in key for key in state)
    elif weights.kind == "hub" and cached_hub_file(cfg) is None:
        require_hub(name)
    whole = name if shift is None else f"{name}+{shift}"
    clips = None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(weights.seed)
        model = _create(name, spec.size, cfg, pretrained=weights.kind == "hub")
        if shift is not None and has_shift:
            clips = insert_shift(model, shift, backbone=whole)
        if state is not None:
            state = resampled(model, state) if cfg.get("fixed_input_size") else state
            load_into(model, state, source=source, classifier=names)
        elif weights.kind == "random":
            _open_residuals(model)
        if shift is not None and clips is None:  # new shifts in a backbone that was trained without
            clips = insert_shift(model, shift, backbone=whole, keeps=weights.kind != "random")
    return Loaded(replace(spec, name=whole), model, shift, clips)


def _own_model(spec: BackboneSpec) -> Loaded:
    """The module of a user's function, with its own weights, those that a seed draws, or those of a file."""
    weights, name = parse_weights(spec.weights), spec.name
    if weights.kind == "offline":
        raise BallspotError(f"--weights offline: there are none for {shown(name)}; leave --weights out")
    if weights.path is not None:
        name = settle_code(name, near=weights.path.parent, owner=str(weights.path))
    made = make_own(name, size=spec.size, seed=weights.seed)
    _own_pictures[name] = made.mean, made.std, made.interpolation
    if weights.path is not None:
        load_into(made.model, read_state_dict(weights.path), source=str(weights.path), classifier=())
    return Loaded(replace(spec, name=name), made.model, None, None)


def shifted_model(name: str) -> tuple[nn.Module, Clips | None]:
    """An untrained model without classifier and with the shift its name says, and what sets its clips' length.

    Raises BallspotError for a model that timm does not know, and for a shift in one that has no place for it.
    """
    import timm  # takes seconds to import

    base, shift = parse_backbone(name)
    _pretrained_cfg(base)  # names the nearest to an unknown one
    model = timm.create_model(base, num_classes=0)
    return model, None if shift is None else insert_shift(model, shift, backbone=name)


def _create(name: str, size: tuple[int, int], cfg: Mapping[str, Any], *, pretrained: bool) -> nn.Module:
    import timm  # takes seconds to import

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


def feature_dim(spec: BackboneSpec, model: nn.Module, device: torch.device, *, before: nn.Module | None = None) -> int:
    """How many features a model in evaluation mode gives a picture (`before`: its part for single frames).

    Raises BallspotError for a model that cannot read such pictures, or gives more than one vector for each.
    """
    try:
        with torch.inference_mode():
            images = torch.zeros(1, 3, *spec.size, device=device)
            features = model(images if before is None else before(images))
    except (RuntimeError, AssertionError, TypeError, ValueError) as error:
        raise BallspotError(
            f"--backbone {spec.name}: cannot read {spec.size} pictures ({first_line(error)}); give another --size"
        ) from error
    if features.ndim != 2:
        raise BallspotError(
            f"--backbone {spec.name}: gives {tuple(features.shape)}, not one vector per picture; take another"
        )
    return features.shape[1]
