"""What decides a network that sees a picture twice, beside its weights."""

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from ...cache.errors import BallspotError
from ...cache.stores import FeatureSpec
from ..backbone import TWO_LOOKS
from .boxes import box_sizes

Padding = Literal["replicate", "reflect", "zeros"]
PADDINGS: tuple[Padding, ...] = get_args(Padding)
MOST_PIXELS = 8192
SMALLEST = 32  # pixels either way that a RegNet makes one cell of
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, whatever the weights


@dataclass(frozen=True)
class RegionSettings:
    """The backbone of both looks (`regnety_002+gsf:s1,s2,s3,s4`) and the (height, width) of all that they look at.

    Pictures are resized to `high` and to `low`, of which the centres `high_crop` and `low_crop` are kept. The box is
    `region` pixels large or larger by steps of 28, cut from the high picture and resized to `region`; the first size
    counts that holds more than `threshold` of the strength. `padding` is that of the backbone's convolutions.

    The defaults are those that AdaSpot publishes for the ball (SoccerNetBall_small).
    """

    backbone: str
    high: tuple[int, int] = (448, 796)
    low: tuple[int, int] = (224, 398)
    region: tuple[int, int] = (112, 112)
    high_crop: tuple[int, int] | None = None
    low_crop: tuple[int, int] | None = None
    threshold: float = 0.0
    padding: Padding = "replicate"

    def __post_init__(self) -> None:
        """Raises BallspotError for sizes that do not fit in one another, in one line that names them."""
        sizes = {"high": self.high, "low": self.low, "region": self.region}
        sizes |= {"high_crop": self.high_seen, "low_crop": self.low_seen}
        for name, size in sizes.items():
            least = SMALLEST + 1 if self.padding == "reflect" else SMALLEST  # one cell has nothing to be mirrored
            if not all(least <= side <= MOST_PIXELS for side in size):
                raise BallspotError(f"{name} {text_of(size)}: give {least} to {MOST_PIXELS} pixels either way")
        for name, crop, whole in (("high", self.high_seen, self.high), ("low", self.low_seen, self.low)):
            if any(part > side for part, side in zip(crop, whole, strict=True)):
                raise BallspotError(
                    f"{name}_crop {text_of(crop)}: larger than {name} {text_of(whole)}; give a smaller crop"
                )
        if any(side % 2 for side in self.region):
            raise BallspotError(f"region {text_of(self.region)}: half of a box is whole pixels; give even sides")
        if not box_sizes(self.region, self.high_seen):
            raise BallspotError(
                f"region {text_of(self.region)}: not smaller than the picture of {text_of(self.high_seen)} that it is "
                "cut from; give a smaller region or a larger high"
            )
        if self.padding not in PADDINGS:
            raise BallspotError(f"padding {self.padding!r}: give one of {', '.join(PADDINGS)}")
        if not 0.0 <= self.threshold <= 1.0:
            raise BallspotError(f"threshold {self.threshold}: a share of the picture's strength; give 0 to 1")

    @property
    def high_seen(self) -> tuple[int, int]:
        """The (height, width) from which boxes are cut."""
        return self.high_crop or self.high

    @property
    def low_seen(self) -> tuple[int, int]:
        """The (height, width) that the first look has."""
        return self.low_crop or self.low

    def features(self, weights_sha256: str, *, stride: int) -> FeatureSpec:
        """All that decides what the network makes of clips; a store of such rows there is none."""
        looks = {name: value for name, value in asdict(self).items() if name not in ("backbone", "high")}
        more: dict[str, Any] = {"regions": {name: list(v) if isinstance(v, tuple) else v for name, v in looks.items()}}
        return FeatureSpec(
            backbone=self.backbone + TWO_LOOKS,
            weights_sha256=weights_sha256,
            size=self.high,
            mean=MEAN,
            std=STD,
            interpolation="bilinear-antialias",
            stride=stride,
            dtype="float16",
            layers=("pooled",),
            grid=(1, 1),
            **more,
        )


def text_of(size: tuple[int, int]) -> str:
    """A size as it is written: 448x796 is 448 rows of 796 columns."""
    return f"{size[0]}x{size[1]}"
