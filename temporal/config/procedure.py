"""How another system looks at a video: the pictures, the clips, and how its scores of clips become those of frames."""

from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, ValidationError, model_validator

from ...cache.disk import first_problem, read_json, write_json
from ...cache.errors import BallspotError
from .sections import Section

PROCEDURE_FILE = "adopted.json"
PROCEDURE_FORMAT = "ballspot-adopted/1"
Pixels = Annotated[int, Field(ge=1, le=8192)]


class RegionLooks(Section):
    """How AdaSpot looks at a picture twice: at all of it coarsely, and closely at a box of it.

    low, low_crop: height and width of the coarse picture, and of the middle part that is then seen of it.
    high_crop: the middle part of the picture in the procedure's ``size`` that boxes are cut from.
    region: height and width of the box, which the larger ones are resized to.
    threshold: share of the picture's strength that a box must hold more than; larger ones are tried until one does.
    conv_padding: what the backbones' convolutions have around a picture: its margin, its mirror image, or zeros.
    """

    low: tuple[Pixels, Pixels] = (224, 398)
    low_crop: tuple[Pixels, Pixels] | None = None
    high_crop: tuple[Pixels, Pixels] | None = None
    region: tuple[Pixels, Pixels] = (112, 112)
    threshold: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    conv_padding: Literal["replicate", "reflect", "zeros"] = "replicate"

    def told(self) -> str:
        """What `Procedure.told` says of it."""
        (low, region), crops = ("x".join(map(str, size)) for size in (self.low, self.region)), ""
        for name, crop in (("coarse", self.low_crop), ("fine", self.high_crop)):
            crops += "" if crop is None else f", of the {name} one the middle {crop[0]}x{crop[1]}"
        return (
            f"seen at {low}, too{crops}; a box of {region} chosen at threshold {self.threshold:g}; convolutions padded "
            f"with {self.conv_padding}"
        )


class Procedure(Section):
    """What a checkpoint's network is used by; a row is one of every ``stride`` frames of a video.

    size, crop: height and width that pictures are resized to, and of the middle part that is then cut out.
    fps: frames a second that the system reads videos at; other videos are brought to it by time.
    clip_rows, overlap_rows, first_row: rows of a clip, of two that follow one another in both, and where the first one
        begins (before the video, so that its first frames stand inside a clip).
    padding: what stands where a clip leaves the video: "black" pictures, or the "mean" colour (zero once normalised).
    first_clip: "unpadded" reads the first clip's pictures from row 0 on, though its scores are merged as those of
        ``first_row`` on (what OSL's code does).
    placing: "stay" leaves a token's scores at its row. "maximum" moves the whole row of class probabilities, background
        included, by the displacement, held inside the clip; where several meet, each class keeps its maximum (T-DEED).
        "added" moves it to the nearest row, halves up; where several meet they are added, outside they are dropped.
    token_rows: rows from one token of the head to the next; between tokens nothing is placed but by "added".
    count: a row's sum over clips is divided by the "clips" over it, or by those that "placed" something there.
    network: what makes a clip's features; "backbone" is one picture network with its temporal shift, "adaspot" two of
        them, as ``regions`` says.
    """

    system: Annotated[str, Field(min_length=1, max_length=100)]
    size: tuple[Pixels, Pixels]
    crop: tuple[Pixels, Pixels] | None = None
    fps: Annotated[str, Field(pattern=r"^[1-9]\d{0,8}(/[1-9]\d{0,8})?$")] = "25"
    stride: Annotated[int, Field(ge=1, le=10_000)] = 1
    clip_rows: Annotated[int, Field(ge=1, le=2**20)]
    overlap_rows: Annotated[int, Field(ge=0)]
    first_row: Annotated[int, Field(le=0)] = -5
    padding: Literal["mean", "black"]
    first_clip: Literal["padded", "unpadded"] = "padded"
    placing: Literal["stay", "maximum", "added"] = "stay"
    token_rows: Annotated[int, Field(ge=1, le=10_000)] = 1
    count: Literal["clips", "placed"] = "clips"
    network: Literal["backbone", "adaspot"] = "backbone"
    regions: RegionLooks | None = None

    @model_validator(mode="after")
    def _clips_advance(self) -> Self:
        if self.overlap_rows >= self.clip_rows:
            raise ValueError(f"overlap_rows {self.overlap_rows} must be smaller than clip_rows {self.clip_rows}")
        if self.first_row <= -self.clip_rows:
            raise ValueError(f"first_row {self.first_row} leaves nothing of the video in a clip of {self.clip_rows}")
        if self.token_rows > 1 and self.placing != "added":
            raise ValueError(f'token_rows {self.token_rows} is for placing "added" alone')
        if self.crop is not None and (self.crop[0] > self.size[0] or self.crop[1] > self.size[1]):
            raise ValueError(f"crop {self.crop} is larger than the picture {self.size}")
        if (self.regions is None) is (self.network == "adaspot"):
            raise ValueError(f"network {self.network!r} with regions {self.regions}: adaspot alone has them")
        if self.regions is not None and self.crop is not None:
            raise ValueError("crop is for one look; AdaSpot's two have low_crop and high_crop")
        return self

    @property
    def rate(self) -> Fraction:
        """Frames a second that the system reads videos at."""
        return Fraction(self.fps)

    @property
    def seen(self) -> tuple[int, int]:
        """Height and width of the pictures that the network reads."""
        return self.crop or self.size

    def clip_starts(self, n_rows: int) -> np.ndarray:
        """The first rows of the clips over a video of ``n_rows`` rows, int64 (w,), increasing; at least one."""
        last = max(n_rows - self.overlap_rows, self.first_row + 1)
        return np.arange(self.first_row, last, self.clip_rows - self.overlap_rows, dtype=np.int64)

    def told(self) -> str:
        """One line with what a user should know of it: what the checkpoint does not say is in it, too."""
        height, width = self.size
        crop = "no crop" if self.crop is None else f"of which the middle {self.crop[0]}x{self.crop[1]}"
        regions = "" if self.regions is None else f"; {self.regions.told()}"
        unpadded = ", the first clip without padding" if self.first_clip == "unpadded" else ""
        return (
            f"pictures {height}x{width}, {crop}; {float(self.rate):.5g} frames/s, one of every {self.stride}; clips of "
            f"{self.clip_rows} rows that overlap by {self.overlap_rows}, {self.padding} padding{unpadded}{regions}"
        )


def write_procedure(folder: Path, procedure: Procedure) -> None:
    """Writes an adopted run's procedure into its folder, whole or not at all."""
    write_json(folder / PROCEDURE_FILE, procedure_record(procedure))


def procedure_record(procedure: Procedure) -> dict[str, Any]:
    """The procedure as a JSON object, which `procedure_of` reads back."""
    return {"format": PROCEDURE_FORMAT, **procedure.model_dump(mode="json")}


def read_procedure(folder: Path) -> Procedure | None:
    """The procedure of an adopted run, None of any other run. Raises BallspotError where the file is garbled."""
    path = folder / PROCEDURE_FILE
    return procedure_of(read_json(path), str(path)) if path.is_file() else None


def procedure_of(said: Any, place: str) -> Procedure:
    """The procedure that a JSON object at ``place`` describes, else BallspotError."""
    values = dict(said) if isinstance(said, dict) else {}
    found = values.pop("format", None)
    if found != PROCEDURE_FORMAT:
        raise BallspotError(f"{place}: format {found!r} is not {PROCEDURE_FORMAT!r}; adopt the checkpoint again")
    try:
        return Procedure.model_validate(values)
    except ValidationError as error:
        at, problem = first_problem(error)
        raise BallspotError(f"{place}: {at}: {problem}; adopt the checkpoint again") from error
