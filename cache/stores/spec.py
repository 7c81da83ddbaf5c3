"""What decides a feature set and what computed it, as types: what stores and bundles say of both is read here."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError, WrapValidator

from ..disk import fingerprint, first_problem


def _as_written(value: object, check: Callable[[object], float]) -> object:
    """The number itself, checked: 0 does not become 0.0, since the digest is of the text."""
    check(value)
    return value


Number = Annotated[float, Field(allow_inf_nan=False), WrapValidator(_as_written)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False), WrapValidator(_as_written)]
Pair = Annotated[tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]], Field(strict=False)]
BACKBONE = (  # a timm model with its shift, or a user's own code with the digest of its file
    r"^([A-Za-z0-9_.+:,-]{1,200}|[\w .+-]{1,100}:\w{1,100}(\([^\x00-\x1f\x7f]{0,300}\))?@[0-9a-f]{64})$"
)
Pixels = Annotated[int, Field(ge=1, le=8192)]
MOST_MOTION = 250  # frames
MOST_STRIDE = 10_000  # frames
DTYPES = ("float16", "float32", "int8")  # how rows are stored
Cells = Annotated[int, Field(ge=1, le=99)]


def _checked(kind: type[BaseModel], settings: object) -> Any:
    try:
        return kind.model_validate(settings)
    except ValidationError as error:
        place, problem = first_problem(error)
        raise ValueError(f"setting {place}: {problem[:160]}") from error


class ComponentsSpec(BaseModel, frozen=True, strict=True, extra="allow"):
    """Which principal components features are: how many, of the set of which fingerprint, by which fit."""

    dim: int
    parent: str
    sha256: str


class RegionSpec(BaseModel, frozen=True, strict=True, extra="allow"):
    """Which boxes of every picture are looked at closely, beside the whole of it.

    `count` boxes of `size` (height, width) pixels are cut from the picture, which is brought to `picture` (height,
    width) for it. They lie where the last feature map of the whole picture is strongest (`map`), where edges move
    (`motion`), anywhere (`random`, the frame's index being the seed) or in the middle (`centre`). What they give stands
    behind the features of the whole picture (`concat`), or of all only the greatest number counts (`max`).
    """

    by: Literal["map", "motion", "random", "centre"]
    size: Annotated[tuple[Pixels, Pixels], Field(strict=False)]
    picture: Annotated[tuple[Pixels, Pixels], Field(strict=False)]
    count: Literal[1, 2]
    fuse: Literal["concat", "max"]

    @property
    def n_parts(self) -> int:
        """How many times as many features as the whole picture alone a row has."""
        return 1 + self.count if self.fuse == "concat" else 1


class Buildable(BaseModel, frozen=True, strict=True, extra="allow"):
    """The settings that building a backbone needs, all of them said, within what does no harm."""

    backbone: Annotated[str, Field(pattern=BACKBONE)]
    weights_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    size: Annotated[tuple[Pixels, Pixels], Field(strict=False)]
    mean: Annotated[tuple[Number, Number, Number], Field(strict=False)]
    std: Annotated[tuple[Positive, Positive, Positive], Field(strict=False)]
    interpolation: Literal["bilinear-antialias", "bicubic-antialias"]
    stride: Annotated[int, Field(ge=1, le=MOST_STRIDE)]
    dtype: Literal["float16", "float32", "int8"]
    layers: Annotated[tuple[str, ...], Field(strict=False, min_length=1, max_length=64)]
    grid: Annotated[tuple[Cells, Cells], Field(strict=False)]
    views: dict[Annotated[str, Field(pattern=r"^(hflip|photo:\d{1,2})$")], dict[str, Number]] = Field(default={})
    shift: dict[Literal["margin", "reach", "window"], Annotated[int, Field(ge=0, le=2**20)]] = Field(default={})
    uncropped: Annotated[tuple[Pixels, Pixels], Field(strict=False)] | None = None
    precision: Literal["float32", "bfloat16"] = "float32"
    motion: Annotated[int, Field(ge=1, le=MOST_MOTION)] | None = None
    region: RegionSpec | None = None


class FeatureSpec(BaseModel, frozen=True, strict=True, extra="allow"):
    """All that decides a feature and nothing else; the settings are those of docs/reference/store-format.md.

    A setting that is not said has the value of a plain set, or an empty one. Settings that are not known here stay, so
    that `as_json` gives what was read, with the same fingerprint.
    """

    backbone: str = ""
    weights_sha256: str = ""
    size: Pair = (0, 0)
    mean: Annotated[tuple[Number, ...], Field(strict=False)] = ()
    std: Annotated[tuple[Number, ...], Field(strict=False)] = ()
    interpolation: str = ""
    stride: Annotated[int, Field(ge=1)] = 1
    dtype: Literal["float16", "float32", "int8"] = "float16"
    layers: Annotated[tuple[str, ...], Field(strict=False)] = ("pooled",)
    grid: Pair = (1, 1)
    views: dict[str, Any] = Field(default={})
    shift: dict[str, int] = Field(default={})
    uncropped: Pair | None = None
    precision: Literal["float32", "bfloat16"] = "float32"
    motion: Annotated[int, Field(ge=1)] | None = None
    region: RegionSpec | None = None
    decoder: Literal["nvdec"] | None = None
    pca: ComponentsSpec | None = None

    @classmethod
    def read(cls, settings: object) -> "FeatureSpec":
        """The settings as JSON holds them. Raises ValueError, in one line, for one of another type than it has."""
        return _checked(cls, settings)

    def require_buildable(self) -> None:
        """Raises ValueError, in one line, for what is not said or out of bounds, so that no backbone is built by it."""
        _checked(Buildable, self.as_json())

    def as_json(self) -> dict[str, Any]:
        """The settings that were said, as JSON holds them, by name."""
        said = sorted(self.model_dump(exclude_unset=True).items())
        return {name: list(value) if isinstance(value, tuple) else value for name, value in said}

    @property
    def n_cells(self) -> int:
        """Of how many places of equal width a row is: the cells of the grid, of the picture and of its boxes; 1 for
        components, which are of no place.
        """
        if self.pca is not None:
            return 1
        return self.grid[0] * self.grid[1] * (1 if self.region is None else self.region.n_parts)

    @property
    def fingerprint(self) -> str:
        """The digest that all stores of one feature set share."""
        return fingerprint(self.as_json())

    def differing(self, other: "FeatureSpec") -> list[str]:
        """The names of the settings in which the two are not the same."""
        here, there = self.as_json(), other.as_json()
        return [name for name in sorted(here.keys() | there.keys()) if here.get(name) != there.get(name)]

    def projected(self, components: ComponentsSpec) -> "FeatureSpec":
        """Of the components of these features, which are stored as float16."""
        return self.model_copy(update={"dtype": "float16", "pca": components})

    def unprojected(self, dtype: str) -> "FeatureSpec":
        """Of the features, of that number type, that these components are of."""
        kept = {name: value for name, value in self.as_json().items() if name != "pca"}
        return FeatureSpec.read({**kept, "dtype": dtype})

    @property
    def parent(self) -> "FeatureSpec | None":
        """Of the features that these are components of; None without components, and for components of components."""
        if self.pca is None:
            return None
        parents = map(self.unprojected, DTYPES)
        return next((one for one in parents if one.fingerprint == self.pca.parent), None)


@dataclass(frozen=True)
class EngineSpec:
    """What computed features, as stores say it: `torch 2.15.0 cpu float32 batch 8`; `how` is what stands in between.

    `batch_rows` is how many frames a batch had, None where that is not said.
    """

    kind: str
    how: str = ""
    batch_rows: int | None = None

    @classmethod
    def read(cls, text: str) -> "EngineSpec":
        """What the text of a store or bundle says."""
        kind, _, rest = text.partition(" ")
        found = re.fullmatch(r"(.*?) ?\bbatch (\d{1,9})", rest, re.DOTALL | re.ASCII)
        return cls(kind, rest) if found is None else cls(kind, found[1], int(found[2]))

    def __str__(self) -> str:
        batch = "" if self.batch_rows is None else f"batch {self.batch_rows}"
        return " ".join(filter(None, [self.kind, self.how, batch]))
