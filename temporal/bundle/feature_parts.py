"""How features are made, as the header of a bundle says it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from ...cache.disk import below, first_problem
from ...cache.errors import BallspotError
from ...extract.backbone import weights_digest
from ...extract.rows import BundledFeatures, Components
from .header import SetPart


def features_part(features: BundledFeatures) -> dict[str, Any]:
    """What a bundle's header says of a feature set."""
    return {
        "name": features.name,
        "fingerprint": features.fingerprint,
        "extraction": dict(features.extraction),
        "engine": features.engine,
        "weights": {"kind": features.origin, "name": features.origin_name, "held": features.weights is not None},
        "parent_dtype": features.parent_dtype,
        "components_held": features.components is not None,
    }


def features_of_parts(
    path: Path, parts: Sequence[SetPart], tensors: Mapping[str, Tensor]
) -> tuple[BundledFeatures, ...]:
    """The feature sets of a bundle that was read. Raises BallspotError where weights or components are not theirs."""
    found = []
    n_used = 0
    for index, part in enumerate(parts):
        weights = below(f"backbone.{index}.", tensors) or None
        pca = below(f"pca.{index}.", tensors)
        n_used += len(weights or ()) + len(pca)
        _require_settings(path, part)
        digest = part.extraction.get("weights_sha256")
        if part.weights.held != (weights is not None) or (weights and weights_digest(weights) != digest):
            raise BallspotError(f"{path}: {part.name}: its backbone's weights are not of its digest; copy it again")
        components = _components(path, part, pca) if pca or part.components_held else None
        found.append(
            BundledFeatures(
                name=part.name,
                fingerprint=part.fingerprint,
                extraction=part.extraction,
                engine=part.engine,
                origin=part.weights.kind,
                origin_name=part.weights.name,
                weights=weights,
                components=components,
                parent_dtype=part.parent_dtype,
            )
        )
    if n_used != len(tensors):
        raise BallspotError(f"{path}: {len(tensors) - n_used} of its tensors belong to no feature set; export it again")
    return tuple(found)


class _Extraction(BaseModel):
    """The settings that building a backbone reads, of the types that it wants; others may stand beside them."""

    model_config = ConfigDict(strict=True, extra="allow")
    backbone: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.+:,-]{1,200}$")]
    weights_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    size: Annotated[list[Annotated[int, Field(ge=1, le=8192)]], Field(min_length=2, max_length=2)]
    mean: Annotated[list[Annotated[float, Field(allow_inf_nan=False)]], Field(min_length=3, max_length=3)]
    std: Annotated[list[Annotated[float, Field(gt=0, allow_inf_nan=False)]], Field(min_length=3, max_length=3)]
    interpolation: Literal["bilinear-antialias", "bicubic-antialias"]
    stride: Annotated[int, Field(ge=1, le=10_000)]
    dtype: Literal["float16", "float32", "int8"]
    layers: Annotated[list[str], Field(min_length=1, max_length=64)]
    grid: Annotated[list[Annotated[int, Field(ge=1, le=99)]], Field(min_length=2, max_length=2)]
    views: dict[Annotated[str, Field(pattern=r"^(hflip|photo:\d{1,2})$")], dict[str, float]] = Field(default={})
    shift: dict[Literal["margin", "reach", "window"], Annotated[int, Field(ge=0, le=2**20)]] = Field(default={})


def _require_settings(path: Path, part: SetPart) -> None:
    if "backbone" not in part.extraction:
        return
    try:
        _Extraction.model_validate(part.extraction)
    except ValidationError as error:
        place, problem = first_problem(error)
        raise BallspotError(f"{path}: {part.name}: setting {place}: {problem[:160]}; export again") from error


def _components(path: Path, part: SetPart, pca: Mapping[str, Tensor]) -> Components:
    wanted = part.extraction.get("pca")
    try:
        mean, axes, share = (np.ascontiguousarray(pca[name].numpy()) for name in ("mean", "components", "share"))
        components = Components(mean, axes, share)
        whole = components.components.shape == (len(components.share), len(components.mean)) and len(pca) == 3
        if whole and isinstance(wanted, Mapping) and components.digest == wanted.get("sha256"):
            return components
    except (KeyError, TypeError, ValueError) as error:
        raise BallspotError(f"{path}: {part.name}: lacks or garbles {error} of its components; export again") from error
    raise BallspotError(f"{path}: {part.name}: its components are not those of its digest; copy it again")
