"""How a bundle's features are made from video: extraction settings, backbone, principal components."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...cache.errors import BallspotError
from ...cache.stores import ORIGINAL
from ..backbone import (
    INTERPOLATIONS,
    Backbone,
    WeightsSpec,
    assemble,
    default_batch_rows,
    load_into,
    load_model,
    parse_weights,
)
from .job import ExtractionJob, Settings
from .pca import Components

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
