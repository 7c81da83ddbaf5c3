"""Checkpoints that other systems left: whose they are, what of them is the backbone, and how it saw its pictures.

E2E-Spot (Hong et al., ECCV 2022), T-DEED (Xarles et al., CVPR workshop 2024) with the 2025 kit, and the baseline of the
course all keep a timm RegNetY under `_features.`; keys alone tell them apart.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from ...cache.disk import raise_if_system, write_tensors
from ...cache.errors import BallspotError
from ...cache.stores import ORIGINAL
from .spec import size_of_patches
from .temporal_shift import BLOCK_TSM, STAGES, ShiftSpec, insert_shift
from .weights import UNREADABLE, first_line, read_state_dict

DEFAULT_BACKBONE, DEFAULT_SIZE = "regnety_002", (224, 398)
OWN_FORMAT = "ballspot-backbone/1"
PREFIX = "_features."
MOST_PIXELS, MOST_STRIDE = 8192, 10_000
BACKBONES = ("regnety_002", "regnety_004", "regnety_008")


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


OF_SHIFT = {"gsf": FAMILIES[0], "gsm": FAMILIES[2], BLOCK_TSM: FAMILIES[2], None: FAMILIES[1]}  # without any head


@dataclass(frozen=True)
class Foreign:
    """The backbone of a foreign checkpoint: its tensors under our names, and what was left out.

    `backbone` is the name with its shift, e.g. regnety_002+gsf:s3,s4.
    """

    family: Family
    backbone: str
    state: Mapping[str, Tensor]
    n_of_head: int


def recognise(state: Mapping[str, Tensor], *, source: str) -> Foreign | None:
    """What a checkpoint of another system holds, None for a plain state dict of a backbone.

    Raises BallspotError where keys of a backbone are missing, left over, or of no known width; it names the first.
    """
    if not any(key.startswith(PREFIX) for key in state):
        return None
    found = {key.removeprefix(PREFIX): value for key, value in state.items() if key.startswith(PREFIX)}
    rest = [key for key in state if not key.startswith(PREFIX)]
    shift = _shift_of(found)
    if shift is not None and shift.kind == "gsm":  # T-DEED's code calls every shift gs
        found = {key.replace(".conv1.gs.", ".conv1.gsm."): value for key, value in found.items()}
    family = next((one for one in FAMILIES if any(key.startswith(one.marks) for key in rest)), None)
    family = family or OF_SHIFT[shift.kind if shift else None]
    name = _backbone_of(found, shift, source=f"{source} ({family.name})")
    return Foreign(family, name, found, len(rest))


@dataclass(frozen=True)
class Settled:
    """How a backbone is extracted with: its name, the (height, width) of its pictures, every how many frames a row.

    `views` are as `--views` has them. `line` says whose checkpoint it is, "" for nobody's.
    """

    backbone: str
    size: tuple[int, int]
    stride: int
    line: str = ""
    views: str = ORIGINAL


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
                f"{height}x{width} pixels; {foreign.n_of_head} tensors of its head are left out"
            )
            found = Settled(foreign.backbone, foreign.family.size, 1, line)
    name, line, whole = backbone or found.backbone, found.line, size or found.size
    if size is not None or own is None:  # else it was trained at that size
        whole = size_of_patches(name, whole, is_asked=size is not None)
    if size is None and whole != found.size:
        line = (
            line or f"--size {whole[0]}x{whole[1]}: whole patches of {name}, nearest to {found.size[0]}x{found.size[1]}"
        )
    return Settled(name, whole, stride or found.stride, line, views or found.views)


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
        height, width = (int(part) for part in said["size"].split("x"))
        stride = int(said["stride"])
        if not (1 <= height <= MOST_PIXELS and 1 <= width <= MOST_PIXELS and 1 <= stride <= MOST_STRIDE):
            raise ValueError(f"size {height}x{width} or stride {stride}")
        return Settled(said["backbone"], (height, width), stride, views=said["views"])
    except (KeyError, ValueError) as error:
        raise BallspotError(f"{path}: lacks or garbles {error}; fine-tune again, or give another file") from error


def save_backbone(path: Path, state: Mapping[str, Tensor], settled: Settled) -> None:
    """Writes a trained backbone, whole or not at all, with what `extract --weights` needs to know of it."""
    size = f"{settled.size[0]}x{settled.size[1]}"
    said = {"format": OWN_FORMAT, "backbone": settled.backbone, "size": size, "stride": str(settled.stride)}
    said["views"] = settled.views
    plain = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    write_tensors(path, plain, save=save_file, metadata=said)


def _shift_of(found: Mapping[str, Tensor]) -> ShiftSpec | None:
    shifted = [key for key in found if ".conv1.net." in key]
    stages = tuple(stage for stage in STAGES if any(key.startswith(f"{stage}.") for key in shifted))
    if not stages:
        return None
    if any(".channel_conv" in key for key in found):
        return ShiftSpec("gsf", stages)
    gated = any(".conv1.gs." in key or ".conv1.gsm." in key for key in found)
    return ShiftSpec("gsm" if gated else BLOCK_TSM, stages)


def _backbone_of(found: Mapping[str, Tensor], shift: ShiftSpec | None, *, source: str) -> str:
    """The name of the RegNetY that all of the tensors fit; the widths of the last stage say which it should be."""
    widths = {name: _wanted(name, shift) for name in BACKBONES}
    last = "s4.b1.conv3.conv.weight"
    if last not in found:
        raise BallspotError(f"{source}: lacks the backbone's tensor '{PREFIX}{last}'; give a whole checkpoint")
    name = next((one for one, wanted in widths.items() if wanted[last] == found[last].shape), None)
    if name is None:
        raise BallspotError(
            f"{source}: its last stage has {tuple(found[last].shape)}, which is none of {', '.join(BACKBONES)}"
        )
    wanted = widths[name]
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


def _wanted(name: str, shift: ShiftSpec | None) -> dict[str, torch.Size]:
    import timm  # takes seconds to import

    with torch.device("meta"):
        model = timm.create_model(name, num_classes=0)
        if shift is not None:
            insert_shift(model, shift, backbone=name)
    return {key: value.shape for key, value in model.state_dict().items()}
