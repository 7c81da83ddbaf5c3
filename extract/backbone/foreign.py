"""Checkpoints that other systems left: whose they are, what of them is the backbone, and how it saw its pictures.

E2E-Spot (Hong et al., ECCV 2022), OSL (OpenSportsLab), which has its network under other names, T-DEED (Xarles et al.,
CVPR workshop 2024) with the 2025 kit, and the baseline of the course all keep their backbone under `_features.`, a timm
RegNetY, or what has timm's names, too; keys alone tell them apart.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from ...cache.disk import raise_if_system, write_tensors
from ...cache.errors import BallspotError
from ...cache.stores import MOST_MOTION, ORIGINAL
from ...cache.times import rate_of
from .shift_places import LAYOUTS, STAGES
from .spec import BackboneSpec, size_of_patches
from .temporal_shift import BLOCK_TSM, SHIFTED, ShiftSpec, insert_shift
from .transforms import INTERPOLATIONS
from .weights import UNREADABLE, first_line, read_state_dict

DEFAULT_BACKBONE, DEFAULT_SIZE = "regnety_002", (224, 398)
OWN_FORMAT = "ballspot-backbone/1"
PREFIX = "_features."
WRAPPING = ("module.", "model.", "_model.")  # what wrappers of whole networks put before every name
OF_OSL = {"backbone._features.": PREFIX, "head._pred_fine.": "_pred_fine."}
MOST_PIXELS, MOST_STRIDE = 8192, 10_000
BACKBONES = {  # timm's models of these systems, each with the tensor that tells it, of so many rows as it has features
    "regnety_002": "s4.b1.conv3.conv.weight",
    "regnety_004": "s4.b1.conv3.conv.weight",
    "regnety_008": "s4.b1.conv3.conv.weight",
    "resnet50": "layer4.0.conv3.weight",  # torchvision's names are timm's
    "resnet18": "layer4.1.conv2.weight",
    "efficientnet_b0": "conv_head.weight",
    "convnext_tiny": "stages.3.blocks.2.mlp.fc2.weight",
}


@dataclass(frozen=True)
class Family:
    """A system: the beginnings of its heads' keys, and the (height, width) its pictures have."""

    name: str
    marks: tuple[str, ...]
    size: tuple[int, int]


FAMILIES = (  # the first that fits; T-DEED has keys that begin like E2E-Spot's
    Family("T-DEED", ("temp_enc", "_temp_fine.", "_pred_displ."), (448, 796)),
    Family("course baseline", ("_transformer.", "_tcn.", "_fc.", "_offset_head."), (224, 398)),
    Family("E2E-Spot", ("_pred_fine.",), (224, 398)),
)
OSL = Family("OSL", tuple(OF_OSL), (224, 398))

OF_SHIFT = {"gsf": FAMILIES[0], "gsm": FAMILIES[2], BLOCK_TSM: FAMILIES[2], None: FAMILIES[1]}  # without any head


@dataclass(frozen=True)
class Foreign:
    """The backbone of a foreign checkpoint, its tensors under our names, and the others (`head`) under E2E-Spot's.

    `backbone` is the name with its shift, e.g. regnety_002+gsf:s3,s4. `dim` is how many features it gives a picture.
    """

    family: Family
    backbone: str
    state: Mapping[str, Tensor]
    head: Mapping[str, Tensor]
    dim: int


def recognise(state: Mapping[str, Tensor], *, source: str) -> Foreign | None:
    """What a checkpoint of another system holds, None for a plain state dict of a backbone.

    Raises BallspotError where keys of a backbone are missing, left over, or of no known width; it names the first.
    """
    names = {key: plain_name(key) for key in state}
    is_of_osl = any(unwrapped(key).startswith(OSL.marks) for key in state)
    if not any(name.startswith(PREFIX) for name in names.values()):
        return None
    if len(set(names.values())) < len(names):
        twice = next(name for name, count in Counter(names.values()).items() if count > 1)
        raise BallspotError(f"{source}: holds {twice!r} twice, once behind a prefix; save one network's state dict")
    found = {name.removeprefix(PREFIX): state[key] for key, name in names.items() if name.startswith(PREFIX)}
    head = {name: state[key] for key, name in names.items() if not name.startswith(PREFIX)}
    shift = _shift_of(found)
    if shift is not None and shift.kind == "gsm":  # T-DEED's code calls every shift gs
        found = {key.replace(".conv1.gs.", ".conv1.gsm."): value for key, value in found.items()}
    family = next((one for one in FAMILIES if any(key.startswith(one.marks) for key in head)), None)
    family = OSL if is_of_osl else family or OF_SHIFT[shift.kind if shift else None]
    name = _backbone_of(found, shift, source=f"{source} ({family.name})")
    return Foreign(family, name, found, head, found[BACKBONES[name.partition("+")[0]]].shape[0])


def unwrapped(key: str) -> str:
    """A tensor's name without what wrappers of the whole network put before it, in any order."""
    while key.startswith(WRAPPING):
        key = key.partition(".")[2]
    return key


def plain_name(key: str) -> str:
    """A tensor's name as E2E-Spot has it: without wrappers, and without the modules that OSL puts around it."""
    key = unwrapped(key)
    return next((plain + key.removeprefix(there) for there, plain in OF_OSL.items() if key.startswith(there)), key)


@dataclass(frozen=True)
class Settled:
    """How a backbone is extracted with: its name, the (height, width) of its pictures, every how many frames a row.

    `views` are as `--views` has them. `line` says whose checkpoint it is, "" for nobody's. `uncropped` and
    `interpolation` are as `BackboneSpec` has them, `fps` is the rate that videos are read at, None for their own. With
    `motion` pictures are of three moments, so many frames apart.
    """

    backbone: str
    size: tuple[int, int]
    stride: int
    line: str = ""
    views: str = ORIGINAL
    uncropped: tuple[int, int] | None = None
    interpolation: str | None = None
    fps: Fraction | None = None
    motion: int = 0

    def spec(self, weights: str) -> BackboneSpec:
        """The backbone that extracts so, with ``weights`` as `--weights` has them."""
        return BackboneSpec(
            self.backbone, weights, self.size, uncropped=self.uncropped, interpolation=self.interpolation
        )


def settle(
    path: Path | None,
    *,
    backbone: str | None = None,
    size: tuple[int, int] | None = None,
    stride: int | None = None,
    views: str | None = None,
) -> Settled:
    """What was asked for; what is not given comes from the weights file, where it says so, else it is the default."""
    found, own = Settled(DEFAULT_BACKBONE, DEFAULT_SIZE, 1), None
    if path is not None and path.is_file():
        own = own_settings(path)
        foreign = None if own is not None else recognise(read_state_dict(path), source=str(path))
        if own is not None:
            found = own
        elif foreign is not None:
            height, width = size or foreign.family.size
            line = (
                f"{path}: a checkpoint of {foreign.family.name}: {foreign.backbone}, {len(foreign.state)} tensors, at "
                f"{height}x{width} pixels; {len(foreign.head)} tensors of its head are left out"
            )
            found = Settled(foreign.backbone, foreign.family.size, 1, line)
    name, line, whole = backbone or found.backbone, found.line, size or found.size
    if size is not None or own is None:  # else it was trained at that size
        whole = size_of_patches(name, whole, is_asked=size is not None)
    if size is None and whole != found.size:
        line = (
            line or f"--size {whole[0]}x{whole[1]}: whole patches of {name}, nearest to {found.size[0]}x{found.size[1]}"
        )
    uncropped = found.uncropped if size is None else None  # who asks for a size means the picture's
    of_own = {"uncropped": uncropped, "interpolation": found.interpolation, "fps": found.fps, "motion": found.motion}
    return Settled(name, whole, stride or found.stride, line, views or found.views, **of_own)


def own_settings(path: Path) -> Settled | None:
    """What a .safetensors file that `save_backbone` wrote says of itself, None for another file."""
    if path.suffix != ".safetensors":
        return None
    try:
        with safe_open(path, framework="pt") as file:
            said = file.metadata() or {}
    except UNREADABLE as error:
        raise_if_system(path, error)
        raise BallspotError(f"{path}: not a weights file ({first_line(error)}); give another") from error
    if said.get("format") != OWN_FORMAT:
        return None
    try:
        size, stride = _pixels(said["size"]), int(said["stride"])
        uncropped = _pixels(said["uncropped"]) if "uncropped" in said else None
        if not 1 <= stride <= MOST_STRIDE:
            raise ValueError(f"stride {stride}")
        if uncropped is not None and (uncropped[0] < size[0] or uncropped[1] < size[1]):
            raise ValueError(f"uncropped {said['uncropped']}")
        interpolation = said.get("interpolation")
        if interpolation not in (None, *INTERPOLATIONS):
            raise ValueError(f"interpolation {interpolation}")
        fps = rate_of(said["fps"]) if "fps" in said else None
        motion = int(said.get("motion", "0"))
        if not 0 <= motion <= MOST_MOTION:
            raise ValueError(f"motion {motion}")
        return Settled(
            said["backbone"],
            size,
            stride,
            views=said["views"],
            uncropped=uncropped,
            interpolation=interpolation,
            fps=fps,
            motion=motion,
        )
    except (KeyError, ValueError) as error:
        raise BallspotError(f"{path}: lacks or garbles {error}; fine-tune again, or give another file") from error


def _pixels(text: str) -> tuple[int, int]:
    """HEIGHTxWIDTH as numbers. Raises ValueError for another text and for numbers that no picture has."""
    height, width = (int(part) for part in text.split("x"))
    if not (1 <= height <= MOST_PIXELS and 1 <= width <= MOST_PIXELS):
        raise ValueError(f"size {text}")
    return height, width


def save_backbone(path: Path, state: Mapping[str, Tensor], settled: Settled) -> None:
    """Writes a trained backbone, whole or not at all, with what `extract --weights` needs to know of it."""
    size = f"{settled.size[0]}x{settled.size[1]}"
    said = {"format": OWN_FORMAT, "backbone": settled.backbone, "size": size, "stride": str(settled.stride)}
    said["views"] = settled.views
    if settled.uncropped is not None:
        said["uncropped"] = f"{settled.uncropped[0]}x{settled.uncropped[1]}"
    if settled.interpolation is not None:
        said["interpolation"] = settled.interpolation
    if settled.fps is not None:
        said["fps"] = str(settled.fps)
    if settled.motion:
        said["motion"] = str(settled.motion)
    plain = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    write_tensors(path, plain, save=save_file, metadata=said)


def _shift_of(found: Mapping[str, Tensor]) -> ShiftSpec | None:
    shifted = [key for key in found if SHIFTED in key]
    places = {layout.places([stage])[0]: stage for layout in LAYOUTS for stage in STAGES}
    there = {stage for place, stage in places.items() if any(key.startswith(f"{place}.") for key in shifted)}
    if not there:
        return None
    stages = tuple(sorted(there))
    if any(".channel_conv" in key for key in found):
        return ShiftSpec("gsf", stages)
    gated = any(".gs." in key or ".gsm." in key for key in found)
    return ShiftSpec("gsm" if gated else BLOCK_TSM, stages)


def _backbone_of(found: Mapping[str, Tensor], shift: ShiftSpec | None, *, source: str) -> str:
    """The name of the model that all of the tensors fit; the widths of the last stage say which it should be."""
    there = [(name, last) for name, last in BACKBONES.items() if last in found]
    if not there:
        last = next(iter(BACKBONES.values()))
        raise BallspotError(f"{source}: lacks the backbone's tensor '{PREFIX}{last}'; give a whole checkpoint")
    fitting = ((name, _wanted(name, shift), last) for name, last in there)
    name, wanted = next(((one, wanted) for one, wanted, last in fitting if wanted[last] == found[last].shape), ("", {}))
    if not name:
        shape = tuple(found[there[0][1]].shape)
        raise BallspotError(f"{source}: its last stage has {shape}, which is none of {', '.join(BACKBONES)}")
    missing = sorted(key for key in wanted if key not in found and not key.endswith("num_batches_tracked"))
    if missing:
        raise BallspotError(
            f"{source}: lacks {len(missing)} of {len(wanted)} tensors of {name}, the first '{PREFIX}{missing[0]}'; "
            "give a whole checkpoint"
        )
    left_over = sorted(found.keys() - wanted.keys())
    if left_over:
        raise BallspotError(
            f"{source}: {len(left_over)} tensors have no place in {name}, the first '{PREFIX}{left_over[0]}'"
        )
    for key, shape in wanted.items():
        if key in found and found[key].shape != shape:
            raise BallspotError(
                f"{source}: tensor '{PREFIX}{key}' is {tuple(found[key].shape)}, in {name} {tuple(shape)}"
            )
    return name if shift is None else f"{name}+{shift}"


@cache
def _wanted(name: str, shift: ShiftSpec | None) -> dict[str, torch.Size]:
    import timm  # takes seconds to import

    with torch.device("meta"):
        model = timm.create_model(name, num_classes=0)
        if shift is not None:
            insert_shift(model, shift, backbone=name)
    return {key: value.shape for key, value in model.state_dict().items()}
