"""What an extraction is asked for: its settings, how its rows are made, and which matches."""

from dataclasses import dataclass, field
from fractions import Fraction

import torch

from ...cache.stores import ORIGINAL, FeatureSpec, RegionSpec
from ..backbone import Backbone, BackboneSpec, load_backbone, require_margin

AUTO_DECODER = "pyav"  # decord can rescue nothing that PyAV refuses: docs/reference/extraction.md


@dataclass(frozen=True)
class Settings:
    """How pictures are read and features stored; none of it needs the backbone.

    `fps` is the rate that videos are read at, by time; None: each at its own. `image_fps` is what folders of pictures
    have.
    With `substitute` a damaged frame is replaced and written down, else it is an error.
    `margin` is that of the windows of a backbone with temporal shift, in rows, its reach where there is none.
    `precision` is what features are computed in: `float32`, `bfloat16`, or `auto`, which is float32 on a CPU, and on a
    GPU float16 where features are stored in fewer than 32 bits, float32 where they are stored as such.
    With `motion` the channels of a picture are the grey levels of three frames, so many frames apart. With `region`
    boxes of every picture are seen, too.
    """

    stride: int = 1
    batch_rows: int = 8
    decoder: str = AUTO_DECODER
    engine: str = "torch"
    compiles: bool = False
    dtype: str = "float16"
    views: tuple[str, ...] = (ORIGINAL,)
    substitute: bool = False
    image_fps: Fraction | None = None
    fps: Fraction | None = None
    margin: int | None = None
    motion: int = 0
    region: RegionSpec | None = None
    precision: str = "auto"

    @property
    def engine_precision(self) -> str:
        """The word for the engine: `auto` of features that are stored as float32 is `float32`."""
        return "float32" if self.precision == "auto" and self.dtype == "float32" else self.precision


@dataclass(frozen=True)
class ExtractionJob:
    """A loaded backbone on its device, with the settings of the extraction."""

    backbone: Backbone
    device: torch.device
    settings: Settings = field(default_factory=Settings)

    @property
    def spec(self) -> FeatureSpec:
        """What decides the features; its digest is the set's fingerprint."""
        settings = self.settings
        spec = self.backbone.features(
            stride=settings.stride,
            dtype=settings.dtype,
            views=settings.views,
            margin=self.margin,
            precision=settings.precision,
            motion=settings.motion,
            region=settings.region,
        )
        # The others give the same pictures, so only this one is told.
        return spec.model_copy(update={"decoder": "nvdec"}) if settings.decoder == "nvdec" else spec

    @property
    def dim(self) -> int:
        """How many numbers a row has."""
        region = self.settings.region
        return self.backbone.dim * (1 if region is None else region.n_parts)

    @property
    def margin(self) -> int:
        """Rows either side of a window's kept ones; 0 for a backbone that sees one frame at a time."""
        return require_margin(self.settings.margin, self.backbone)

    @property
    def aligned_rows(self) -> int:
        """How many rows are computed together: segments begin and records end at multiples of it."""
        shifted = self.backbone.shifted
        return self.settings.batch_rows if shifted is None else shifted.window_rows


@dataclass(frozen=True)
class Recipe:
    """All that another process or machine needs to make the same job: plain values, no model."""

    backbone: BackboneSpec
    device: str = "cpu"
    settings: Settings = field(default_factory=Settings)

    def job(self) -> ExtractionJob:
        """The job with its backbone loaded. Raises BallspotError when the backbone or its weights cannot be had."""
        device = torch.device(self.device)
        return ExtractionJob(load_backbone(self.backbone, device), device, self.settings)
