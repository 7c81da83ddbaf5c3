"""Trained heads in one file that travels: what a bundle's header says, and the part of it that predicts.

A bundle is a safetensors file; its header has one entry, ``ballspot``, in JSON: docs/reference/bundle-format.md.
What turns video into features is in it, too; the module `bundle` of stage one reads that part.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, NoReturn

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ...cache.code import allow_code, is_reference
from ...cache.disk import below, canonical_json, fingerprint, first_problem, raise_if_system, reason_of, write_tensors
from ...cache.errors import BallspotError
from ...cache.times import rate_of
from ...evaluate.dataset import LABELS_FILE, LabelSet
from ..config import config_from_table
from ..decoding import ClassDecoding, class_decoding
from ..features import Scaling
from ..heads import Checkpoint, HeadDescription, Progress, misfit
from .header import BundleHeader

BUNDLE_FAMILY, BUNDLE_VERSION = "ballspot-bundle", 1
BUNDLE_FORMAT = f"{BUNDLE_FAMILY}/{BUNDLE_VERSION}"
MOST_HEADER_BYTES = 2**24
PREFIXES = re.compile(r"(head|scaling|backbone|pca)\.(\d{1,4})\.(.+)")


@dataclass(frozen=True)
class BundleFile:
    """A bundle as read and checked: its header, its heads as checkpoints, the tensors of the other parts.

    ``others`` maps ``backbone.<set>.<name>`` and ``pca.<set>.<name>`` to tensors.
    """

    header: BundleHeader
    heads: tuple[Checkpoint, ...]
    postprocessing: Mapping[str, ClassDecoding] | None
    others: Mapping[str, Tensor]


def write_bundle_file(path: Path, header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Writes a bundle, whole or not at all; equal content gives equal bytes.

    ``header`` is that of `BundleHeader` without ``format`` and ``tensors_sha256``. ValueError when it is not.
    """
    plain = {name: tensors[name].detach().cpu().contiguous() for name in sorted(tensors)}
    content = {**header, "format": BUNDLE_FORMAT, "tensors_sha256": tensors_digest(plain)}
    BundleHeader.model_validate(content)
    text = canonical_json({**content, "header_sha256": fingerprint(content)})
    write_tensors(path, plain, save=save_file, metadata={"ballspot": text})


def is_bundle(path: Path) -> bool:
    """Whether a path is to be read as a bundle: any file, since a run is a folder."""
    return path.is_file()


def read_bundle_file(path: Path, *, runs_code: bool = True) -> BundleFile:
    """The bundle at ``path``, every byte of it checked, on the CPU.

    Raises BallspotError for a file that is missing, no bundle, damaged, of a newer format, or that does not hold what
    it says. Nothing but safetensors is ever read, which cannot run code. Python code that a bundle brings for its head
    is run only where its user named that very code before or allows it (`cache/code`), and not with ``runs_code``
    False: then the tensors of such a head are not held against it.
    """
    text, tensors = _read_parts(path)
    header = _header_of(path, text)
    if tensors_digest(tensors) != header.tensors_sha256:
        _fail(path, "its tensors are not those that were written: damaged")
    for name, tensor in tensors.items():
        if PREFIXES.fullmatch(name) is None:
            _fail(path, f"tensor {name[:80]!r} belongs to no part of a bundle")
        if tensor.is_floating_point() and not tensor.isfinite().all():
            _fail(path, f"tensor {name[:80]!r} holds a number that is not finite")
    labels = header.label_set
    label_set = LabelSet(
        labels.name, tuple(labels.labels), tuple(labels.headline_excludes), labels.labels_file or LABELS_FILE
    )
    is_own = [is_reference(_kind_of(part.config)) for part in header.heads]
    for part, own in zip(header.heads, is_own, strict=True):
        if own and runs_code:
            allow_code(_kind_of(part.config), header.code_of(_kind_of(part.config)), owner=str(path))
    heads = tuple(
        _head_of(path, header, index, label_set, tensors, is_checked=runs_code or not is_own[index])
        for index in range(len(header.heads))
    )
    others = {name: tensor for name, tensor in tensors.items() if name.startswith(("backbone.", "pca."))}
    n_used = len(others) + sum(len(head.head) + (0 if head.scaling is None else 2) for head in heads)
    if n_used != len(tensors):
        _fail(path, f"{len(tensors) - n_used} of its tensors belong to no head that it names")
    return BundleFile(header, heads, _postprocessing(path, header), others)


def _kind_of(config: Mapping[str, Any]) -> str:
    section = config.get("head")
    return str(section.get("kind", "")) if isinstance(section, Mapping) else ""


def tensors_digest(tensors: Mapping[str, Tensor]) -> str:
    """The sha256 over names, types, shapes and bytes of all tensors, by name."""
    digest = sha256()
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _read_parts(path: Path) -> tuple[str, dict[str, Tensor]]:
    if not path.is_file():
        raise BallspotError(f"{path}: no such bundle; give a file that `ballspot export --format bundle` wrote")
    try:
        with path.open("rb") as stream:
            n_bytes = int.from_bytes(stream.read(8), "little")
        if n_bytes > MOST_HEADER_BYTES:
            _fail(path, f"its header would be {n_bytes} bytes, above {MOST_HEADER_BYTES}: no bundle, or damaged")
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get("ballspot")
            tensors = {name: file.get_tensor(name) for name in file.keys()} if text else {}  # noqa: SIM118  # no dict
    except (OSError, SafetensorError, ValueError, RuntimeError, TypeError, OverflowError) as error:
        raise_if_system(path, error)
        _fail(path, f"not a bundle, or damaged ({reason_of(error)[:120]})")
    if not text:
        _fail(path, "a safetensors file without ballspot's header")
    return text, tensors


def _header_of(path: Path, text: str) -> BundleHeader:
    try:
        content = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        _fail(path, f"its header is not JSON that can be held ({str(error)[:120]})")
    found = content.get("format") if isinstance(content, dict) else None
    family, _, version = found.partition("/") if isinstance(found, str) else ("", "", "")
    if not isinstance(content, dict) or family != BUNDLE_FAMILY or not version.isdecimal() or len(version) > 9:
        _fail(path, f"format {str(found)[:80]!r} is not {BUNDLE_FORMAT!r}")
    if int(version) > BUNDLE_VERSION:
        raise BallspotError(
            f"{path}: format {found} is newer than the {BUNDLE_FORMAT} that can be read; upgrade ballspot"
        )
    written = content.pop("header_sha256", None)
    try:
        if written != fingerprint(content):
            _fail(path, "its header is not what was written: damaged")
        return BundleHeader.model_validate(content)
    except ValidationError as error:
        place, problem = first_problem(error)
        _fail(path, f"its header is wrong at {place[:120] or 'its top'}: {problem[:160]}")
    except (ValueError, RecursionError) as error:
        _fail(path, f"its header cannot be held ({str(error)[:120]})")


def _head_of(
    path: Path,
    header: BundleHeader,
    index: int,
    label_set: LabelSet,
    tensors: Mapping[str, Tensor],
    *,
    is_checked: bool,
) -> Checkpoint:
    part = header.heads[index]
    config = config_from_table(part.config, source=str(path))
    state = below(f"head.{index}.", tensors)
    rate = None if part.fps is None else rate_of(part.fps)
    description = HeadDescription(config, label_set, tuple(part.dims), part.features_fingerprint, rate)
    problem = misfit(description, state) if is_checked else ""
    if problem:
        _fail(path, f"head {index}{problem}")
    scaling = None
    if part.scaled:
        values = [tensors.get(f"scaling.{index}.{name}") for name in ("mean", "sd")]
        mean, sd = values
        shape, kind = (sum(part.dims),), torch.float32
        if mean is None or sd is None or any(one.shape != shape or one.dtype != kind for one in (mean, sd)):
            _fail(path, f"head {index}: its scaling is not {shape[0]} means and deviations")
        if not (sd > 0).all():
            _fail(path, f"head {index}: a deviation of its scaling is not above 0")
        scaling = Scaling(mean, sd)
    elif config.clips.scaling == "train":
        _fail(path, f"head {index}: its scaling by the training matches is missing")
    progress = Progress(n_epochs_done=part.n_epochs, best_epoch=part.best_epoch)
    return Checkpoint(description, progress, state, scaling, {}, {})


def _postprocessing(path: Path, header: BundleHeader) -> Mapping[str, ClassDecoding] | None:
    if header.postprocessing is None:
        return None
    try:
        return {label: class_decoding(values) for label, values in header.postprocessing.items()}
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        _fail(path, f"its post-processing lacks or garbles {str(error)[:120]}")


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"the number {text}")


def _fail(path: Path, what: str) -> NoReturn:
    raise BallspotError(f"{path}: {what}; give a bundle that `ballspot export --format bundle` wrote, or copy it again")
