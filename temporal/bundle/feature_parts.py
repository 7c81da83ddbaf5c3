"""How features are made, as the header of a bundle says it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ...cache.disk import below
from ...cache.errors import BallspotError
from ...cache.stores import EngineSpec, FeatureSpec
from ...extract.backbone import weights_digest
from ...extract.rows import BundledFeatures, Components
from .header import SetPart


def features_part(features: BundledFeatures) -> dict[str, Any]:
    """What a bundle's header says of a feature set."""
    parent = features.spec.parent
    return {
        "name": features.name,
        "fingerprint": features.fingerprint,
        "extraction": features.spec.as_json(),
        "engine": str(features.engine),
        "weights": {"kind": features.origin, "name": features.origin_name, "held": features.weights is not None},
        "parent_dtype": "" if parent is None else parent.dtype,
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
        spec = _spec_of(path, part)
        held = weights is not None
        if part.weights.held != held or (weights and weights_digest(weights) != spec.weights_sha256):
            raise BallspotError(f"{path}: {part.name}: its backbone's weights are not of its digest; copy it again")
        components = _components(path, part.name, spec, pca) if pca or part.components_held else None
        found.append(
            BundledFeatures(
                name=part.name,
                fingerprint=part.fingerprint,
                spec=spec,
                engine=EngineSpec.read(part.engine),
                origin=part.weights.kind,
                origin_name=part.weights.name,
                weights=weights,
                components=components,
            )
        )
    if n_used != len(tensors):
        raise BallspotError(f"{path}: {len(tensors) - n_used} of its tensors belong to no feature set; export it again")
    return tuple(found)


def _spec_of(path: Path, part: SetPart) -> FeatureSpec:
    """The settings, fit to build a backbone by where they name one."""
    try:
        spec = FeatureSpec.read(part.extraction)
        if "backbone" in part.extraction:
            spec.require_buildable()
        return spec
    except ValueError as error:
        raise BallspotError(f"{path}: {part.name}: {error}; export again") from error


def _components(path: Path, name: str, spec: FeatureSpec, pca: Mapping[str, Tensor]) -> Components:
    try:
        mean, axes, share = (np.ascontiguousarray(pca[key].numpy()) for key in ("mean", "components", "share"))
        components = Components(mean, axes, share)
        whole = components.components.shape == (len(components.share), len(components.mean)) and len(pca) == 3
        if whole and spec.pca is not None and components.digest == spec.pca.sha256:
            return components
    except (KeyError, TypeError, ValueError) as error:
        raise BallspotError(f"{path}: {name}: lacks or garbles {error} of its components; export again") from error
    raise BallspotError(f"{path}: {name}: its components are not those of its digest; copy it again")
