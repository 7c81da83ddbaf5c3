"""How a bundle's features are made from video: extraction settings, backbone, principal components."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ...cache.errors import BallspotError
from ...cache.stores import ORIGINAL, EngineSpec, FeatureSpec
from ..backbone import (
    INTERPOLATIONS,
    Backbone,
    BackboneSpec,
    assemble,
    default_batch_rows,
    load_into,
    load_model,
    parse_weights,
)
from ..device import pick_precision
from .job import ExtractionJob, Settings
from .pca import Components

REMAKABLE = ("random", "offline", "hub", "own")  # what `--weights` can ask for again anywhere


@dataclass(frozen=True)
class BundledFeatures:
    """One feature set as a bundle knows it: all that makes the same features, bit for bit, from the same video.

    name, fingerprint: of the set; the fingerprint is the digest of `spec`.
    spec: what decides the features; says nothing where only the fingerprint is known.
    engine: what computed the set, as its stores say it; says nothing where that is not known.
    origin, origin_name: where the weights came from: `random` with the seed, `offline`, `hub` with the model's name,
        `own` of a user's function, `file` or `run` with the file's or run's name, or `unknown`.
    weights: the backbone's tensors as loaded, before norms are folded, or None: then `job` gets them by their origin.
    components: the principal components to apply to the backbone's rows, or None.
    """

    name: str
    fingerprint: str
    spec: FeatureSpec
    engine: EngineSpec
    origin: str
    origin_name: str
    weights: Mapping[str, Tensor] | None
    components: Components | None

    @property
    def is_known(self) -> bool:
        """Whether more than the fingerprint is known."""
        return bool(self.spec.model_fields_set)

    @property
    def views(self) -> tuple[str, ...]:
        """The views that the set has, the original first."""
        return (ORIGINAL, *self.spec.views)

    @property
    def backbone_spec(self) -> FeatureSpec:
        """Of what the backbone alone gives: without components, in the type that they are applied to."""
        return self.spec.parent or self.spec

    def project(self, rows: np.ndarray) -> np.ndarray:
        """A backbone's rows (n, d) of `backbone_spec`'s type -> the set's own rows, float16 with components.

        As `ballspot cache pca` does it to a whole match; rows that are projected in other batches may differ in the
        last bit of a float16.
        """
        return rows if self.components is None else self.components.apply(rows).astype(np.float16)

    def settings(self, *, engine: str | None = None, device: str = "cpu") -> Settings:
        """The settings to extract with; engine and batch are those of the set's stores where no engine is given.

        A GPU computes with torch, whatever made the stores, and a batch is that of the stores only on a device of
        their kind: eight frames keep a core busy, and leave a GPU idle.
        """
        on_gpu = device.startswith("cuda")
        kind = engine or ("openvino" if self.engine.kind == "openvino" and not on_gpu else "torch")
        recorded = self.engine.batch_rows or 0
        is_of_kind = on_gpu == ("cuda" in self.engine.how.split())
        is_kept = engine is None and is_of_kind and 1 <= recorded <= 4096
        return Settings(
            stride=self.spec.stride,
            batch_rows=recorded if is_kept else default_batch_rows(kind, device),
            engine=kind,
            dtype=self.backbone_spec.dtype,
            views=self.views,
            margin=self.spec.shift.get("margin"),
            precision="bfloat16" if self.spec.precision == "bfloat16" else "auto",
            motion=self.spec.motion or 0,
            region=self.spec.region,
        )

    def backbone(self, *, device: torch.device, weights: str | None = None, folds: bool = True) -> Backbone:
        """The backbone on ``device``, from the bundle's weights, else from ``weights`` as `--weights` says, else by
        their origin; ``folds`` as `assemble` has it.

        Raises BallspotError when the weights cannot be had or are not those that the heads' features were made with,
        and when this timm builds another model of the name.
        """
        spec = self.spec
        if not spec.backbone:
            raise BallspotError(
                f"{self.name}: how its features were made is not known; export again with --features FOLDER"
            )
        if spec.pca is not None and (self.components is None or spec.parent is None):
            raise BallspotError(
                f"{self.name}: its principal components are not in the bundle, or are components of components; "
                "predict from its features"
            )
        asked = BackboneSpec(spec.backbone, "random", spec.size, spec.layers, spec.grid, spec.uncropped)
        if self.weights is not None and weights is None:
            loaded, source = load_model(asked), f"bundled {spec.backbone}"
            load_into(loaded.model, self.weights, source=source, classifier=())
        else:
            source = weights or self._asked_again()
            try:
                loaded = load_model(replace(asked, weights=source))
            except BallspotError as error:
                raise BallspotError(f"{error} (wanted: weights of digest {spec.weights_sha256[:12]})") from error
        made = assemble(loaded, device, folds=folds)
        if made.weights_sha256 != spec.weights_sha256:
            raise BallspotError(
                f"{source}: weights of digest {made.weights_sha256[:12]}, the features were made with "
                f"{spec.weights_sha256[:12]}; give those with --weights"
            )
        interpolation = spec.interpolation.removesuffix("-antialias")
        made = replace(made, mean=spec.mean, std=spec.std, interpolation=interpolation)
        self._require_same(ExtractionJob(made, device, self.settings()).spec, made)
        return made

    def job(self, *, device: torch.device, weights: str | None = None, engine: str | None = None) -> ExtractionJob:
        """What extracts the backbone's rows; `project` makes the set's of them. Raises as `backbone` does.

        Rows of bfloat16 are made in float32 where the device has no units for it, which is said, and the job's `spec`
        says float32 then.
        """
        backbone = self.backbone(device=device, weights=weights)
        settings = self.settings(engine=engine, device=str(device))
        said = weights or (self._asked_again() if self.origin in REMAKABLE else "")
        path = parse_weights(said).path if said else None
        said = said if path is None else str(path.resolve())
        settings = replace(settings, precision=pick_precision(settings.precision, str(device)))
        return ExtractionJob(replace(backbone, spec=replace(backbone.spec, weights=said)), device, settings)

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
            f"{self.name}: needs the weights of {self.spec.backbone} from the {self.origin} "
            f"{self.origin_name!r} (digest {self.spec.weights_sha256[:12]}), which the bundle does not hold; give "
            "them with --weights, or export again with --with-backbone"
        )

    def _require_same(self, here: FeatureSpec, made: Backbone) -> None:
        # Videos are decoded exactly here, whatever decoded them for the set: the difference is in last bits.
        differing = [name for name in here.differing(self.backbone_spec) if name != "decoder"]
        if differing or made.interpolation not in INTERPOLATIONS:
            named = ", ".join(differing) or "interpolation"
            raise BallspotError(
                f"{self.name}: {made.spec.name} is built otherwise here ({named} differ); use the timm and ballspot "
                "that the features were made with"
            )
