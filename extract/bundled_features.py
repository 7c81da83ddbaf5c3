"""How a bundle's features are made from video: extraction settings, backbone, principal components."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from ..cache.errors import BallspotError
from ..cache.fingerprint import fingerprint
from ..cache.layout import ORIGINAL
from ..temporal.bundle_header import SetPart
from ..temporal.checkpoints import below
from ..temporal.configuration import first_problem
from .backbones import Backbone, assemble, load_model
from .engines import default_batch_rows
from .pca import Components
from .segments import ExtractionJob, Settings
from .transforms import INTERPOLATIONS
from .weights import WeightsSpec, load_into, parse_weights, weights_digest

REMAKABLE = ("random", "offline", "hub")  # what `--weights` can ask for again anywhere


@dataclass(frozen=True)
class BundledFeatures:
    """One feature set as a bundle knows it: all that makes the same features, bit for bit, from the same video.

    name, fingerprint: of the set; the fingerprint is the digest of `extraction`.
    extraction: the settings as in a store (docs/store-format.md); empty where only the fingerprint is known.
    engine: what computed the set, as its stores say it: `torch 2.14.1 cpu float32 batch 8`; "" where not known.
    origin, origin_name: where the weights came from: `random` with the seed, `offline`, `hub` with the model's name,
        `file` or `run` with the file's or run's name, or `unknown`.
    weights: the backbone's tensors as loaded, before norms are folded, or None: then `job` gets them by their origin.
    components: the principal components to apply to the backbone's rows, or None.
    parent_dtype: the number type of the rows before the components are applied; "" without components.
    """

    name: str
    fingerprint: str
    extraction: Mapping[str, Any]
    engine: str
    origin: str
    origin_name: str
    weights: Mapping[str, Tensor] | None
    components: Components | None
    parent_dtype: str

    @property
    def weights_sha256(self) -> str:
        """The digest of the backbone's weights, "" where the settings are not known."""
        return str(self.extraction.get("weights_sha256", ""))

    @property
    def views(self) -> tuple[str, ...]:
        """The views that the set has, the original first."""
        return (ORIGINAL, *self.extraction.get("views", {}))

    @property
    def backbone_extraction(self) -> dict[str, Any]:
        """The settings of what the backbone alone gives: without components, in the type that they are applied to."""
        kept = {key: value for key, value in self.extraction.items() if key != "pca"}
        return kept if self.components is None and not self.parent_dtype else {**kept, "dtype": self.parent_dtype}

    def project(self, rows: np.ndarray) -> np.ndarray:
        """A backbone's rows (n, d) of `backbone_extraction`'s type -> the set's own rows, float16 with components.

        As `ballspot cache pca` does it to a whole match; rows that are projected in other batches may differ in the
        last bit of a float16.
        """
        return rows if self.components is None else self.components.apply(rows).astype(np.float16)

    def settings(self, *, engine: str | None = None, device: str = "cpu") -> Settings:
        """The settings to extract with; engine and batch are those of the set's stores where no engine is given."""
        kind = engine or ("openvino" if self.engine.startswith("openvino") else "torch")
        words = self.engine.split()
        recorded = words[-1] if len(words) > 1 and words[-2] == "batch" and words[-1].isdecimal() else ""
        of_set = int(recorded) if recorded and engine is None and 1 <= int(recorded) <= 4096 else None
        shift = self.extraction.get("shift", {})
        return Settings(
            stride=int(self.extraction["stride"]),
            batch_rows=of_set or default_batch_rows(kind, device),
            engine=kind,
            dtype=str(self.backbone_extraction["dtype"]),
            views=self.views,
            margin=shift.get("margin"),
        )

    def backbone(self, *, device: torch.device, weights: str | None = None) -> Backbone:
        """The backbone on ``device``, from the bundle's weights, else from ``weights`` as `--weights` says, else by
        their origin.

        Raises BallspotError when the weights cannot be had or are not those that the heads' features were made with,
        and when this timm builds another model of the name.
        """
        if not self.extraction.get("backbone"):
            raise BallspotError(
                f"{self.name}: how its features were made is not known; export again with --features FOLDER"
            )
        if "pca" in self.extraction and (self.components is None or not self.parent_dtype):
            raise BallspotError(
                f"{self.name}: its principal components are not in the bundle, or are components of components; "
                "predict from its features"
            )
        name, size = str(self.extraction["backbone"]), tuple(self.extraction["size"])
        if self.weights is not None and weights is None:
            loaded, source = load_model(name, WeightsSpec("random", ""), size), f"bundled {name}"
            load_into(loaded.model, self.weights, source=source, classifier=())
        else:
            source = weights or self._asked_again()
            try:
                loaded = load_model(name, parse_weights(source), size)
            except BallspotError as error:
                raise BallspotError(f"{error} (wanted: weights of digest {self.weights_sha256[:12]})") from error
        made = assemble(
            loaded,
            size=size,
            device=device,
            layers=tuple(self.extraction["layers"]),
            grid=tuple(self.extraction["grid"]),
        )
        if made.weights_sha256 != self.weights_sha256:
            raise BallspotError(
                f"{source}: weights of digest {made.weights_sha256[:12]}, the features were made with "
                f"{self.weights_sha256[:12]}; give those with --weights"
            )
        interpolation = str(self.extraction["interpolation"]).removesuffix("-antialias")
        mean, std = (tuple(map(float, self.extraction[key])) for key in ("mean", "std"))
        made = replace(made, mean=mean, std=std, interpolation=interpolation)
        self._require_same(made)
        return made

    def job(self, *, device: torch.device, weights: str | None = None, engine: str | None = None) -> ExtractionJob:
        """What extracts the backbone's rows; `project` makes the set's of them. Raises as `backbone` does."""
        backbone = self.backbone(device=device, weights=weights)
        settings = self.settings(engine=engine, device=str(device))
        said = weights or (self._asked_again() if self.origin in REMAKABLE else "")
        path = parse_weights(said).path if said else None
        return ExtractionJob(backbone, device, settings, weights=said if path is None else str(path.resolve()))

    def tensors(self, index: int) -> dict[str, Tensor]:
        """The tensors of the set's part of a bundle, ``index`` being its place."""
        found = {f"backbone.{index}.{name}": value for name, value in (self.weights or {}).items()}
        if self.components is not None:
            for name in ("mean", "components", "share"):
                found[f"pca.{index}.{name}"] = torch.from_numpy(getattr(self.components, name))
        return found

    def _asked_again(self) -> str:
        """The `--weights` value that gives the weights once more."""
        if self.origin in REMAKABLE:
            return f"random:{self.origin_name}" if self.origin == "random" else self.origin
        raise BallspotError(
            f"{self.name}: needs the weights of {self.extraction['backbone']} from the {self.origin} "
            f"{self.origin_name!r} (digest {self.weights_sha256[:12]}), which the bundle does not hold; give them with "
            "--weights, or export again with --with-backbone"
        )

    def _require_same(self, made: Backbone) -> None:
        settings = self.settings()
        margin = 0 if made.shifted is None else int(settings.margin or 0)
        here = made.extraction(stride=settings.stride, dtype=settings.dtype, views=self.views, margin=margin)
        there = self.backbone_extraction
        differing = [key for key in sorted(here.keys() | there.keys()) if here.get(key) != there.get(key)]
        if differing or made.interpolation not in INTERPOLATIONS:
            raise BallspotError(
                f"{self.name}: {made.name} is built otherwise here ({', '.join(differing) or 'interpolation'} differ); "
                "use the timm and ballspot that the features were made with"
            )


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


def parent_dtype(extraction: Mapping[str, Any]) -> str:
    """The number type of the rows that a set's components were applied to: the one that gives the parent's fingerprint.

    "" without components, and for components of components.
    """
    pca = extraction.get("pca")
    if not isinstance(pca, Mapping):
        return ""
    kept = {key: value for key, value in extraction.items() if key != "pca"}
    types = ("float16", "float32", "int8")
    return next((one for one in types if fingerprint({**kept, "dtype": one}) == pca.get("parent")), "")


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
