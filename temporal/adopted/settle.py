"""What a checkpoint cannot say: the published settings, with those of the user in their place."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from ...cache.disk import first_problem
from ...cache.errors import BallspotError
from ...cache.terminal import parse_fps
from ...evaluate.dataset import BUILT_IN, LabelSet, load_label_set
from ..bundle import region_settings
from ..config import Procedure, RegionLooks
from ..systems import Found


def settled_procedure(found: Found, asked: Mapping[str, Any]) -> Procedure:
    """The procedure of a checkpoint with the options that were ``asked`` for; a clip's overlap follows its length.

    Raises BallspotError for a crop that is none, and for settings that do not go together.
    """
    of_looks = {name: value for name, value in asked.items() if name in RegionLooks.model_fields}
    values = {**found.procedure.model_dump(), **{name: asked[name] for name in asked.keys() - of_looks.keys()}}
    if of_looks:
        values["regions"] = _looks(found, of_looks)
    published = found.procedure
    if "clip_rows" in asked and "overlap_rows" not in asked:
        values["overlap_rows"] = published.overlap_rows * asked["clip_rows"] // published.clip_rows
    if "fps" in asked:
        values["fps"] = str(parse_fps(asked["fps"]))
    if "crop" in asked:
        values["crop"] = _crop(asked["crop"])
    try:
        procedure = Procedure.model_validate(values)
    except ValidationError as error:
        place, problem = first_problem(error)
        option = f"--{place.replace('_', '-')}" if place in asked else place or "settings"
        raise BallspotError(f"{option} {asked.get(place, '')}: {problem}".replace(" :", ":")) from error
    if procedure.regions is not None:
        region_settings(procedure, found.backbone)  # sizes that do not go together are told before a run is begun
    return procedure


def _looks(found: Found, asked: Mapping[str, Any]) -> dict[str, Any]:
    """How AdaSpot looks twice, with what was asked for; no crop is left of a size that was not."""
    if found.procedure.regions is None:
        name = next(iter(asked))
        raise BallspotError(f"--{name.replace('_', '-')}: is for AdaSpot, which looks twice; {found.system} does not")
    return {**found.procedure.regions.model_dump(), **({"low_crop": None} if "low" in asked else {}), **asked}


def settled_labels(found: Found, labels: str | None, *, source: str) -> LabelSet:
    """The label set that was asked for, else the published one. BallspotError where neither is known."""
    if labels is not None:
        return load_label_set(labels)
    if found.labels is None:
        raise BallspotError(
            f"{source}: does not name its {found.n_labels} classes; give --labels FILE with them in the order of the "
            "training"
        )
    for built_in in BUILT_IN.values():
        if built_in.labels == found.labels:
            return built_in
        if sorted(built_in.labels) == sorted(found.labels):  # another order, as the rows of the head stand
            name = f"{built_in.name}-{found.system.lower().replace(' ', '-')}"
            return LabelSet(name, found.labels, built_in.headline_excludes, built_in.file)
    return LabelSet(f"{found.system.lower().replace(' ', '-')}-{found.n_labels}", found.labels)


def labels_remark(found: Found, label_set: LabelSet) -> str:
    """The classes in the order of the head's rows, which no file tells, and what differs from the published ones."""
    shown = ", ".join(label_set.labels)
    published = found.labels or ()
    if published != label_set.labels and sorted(published) == sorted(label_set.labels):
        return f"classes in this order, other than the published one: {shown}"
    return f"classes in this order: {shown}; where the training had another, give --labels FILE"


def _crop(text: str) -> tuple[int, int] | None:
    if text == "none":
        return None
    height, cross, width = text.lower().partition("x")
    if not (cross and height.isdecimal() and width.isdecimal() and len(text) < 12):
        raise BallspotError(f"--crop {text}: is not HEIGHTxWIDTH in pixels, e.g. 224x224, nor none")
    return int(height), int(width)
