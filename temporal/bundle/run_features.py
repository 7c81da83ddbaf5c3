"""The features that a run was trained on, found again: their settings, their backbone's weights, their components."""

import re
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from itertools import islice, product
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any

import torch
from torch import Tensor

from ...cache.code import settle_code
from ...cache.disk import fingerprint, is_file
from ...cache.errors import BallspotError
from ...cache.runs import RunFolder, find_recorded, not_found, places_of
from ...cache.stores import EngineSpec, FeatureSpec, FeatureStore, open_feature_set
from ...extract.backbone import (
    RUN_BACKBONE,
    TWO_LOOKS,
    BackboneSpec,
    assemble,
    load_model,
    own_settings,
    parse_views,
    weights_digest,
)
from ...extract.rows import FIT_FILE, BundledFeatures, Components, load_components
from ..config import read_procedure
from .two_looks import features_of_two_looks

REMEDY = "give --features FOLDER"
MOST_TRIED = 100  # sets of feature sets that a run's record may mean, where each is found in several places
GUESSES = ("random:0", "offline")  # of stores from before they said what their weights were


def features_of_run(
    run: RunFolder,
    record: Mapping[str, Any],
    wanted: str,
    *,
    sets: Sequence[Path] = (),
    with_backbone: bool | None = None,
    remedy: str | None = REMEDY,
) -> tuple[BundledFeatures, ...]:
    """The feature sets of a run whose fingerprint is ``wanted``, by ``sets``, its record, or what it trained itself.

    What the run recorded is found where it lies now. Where it is not, that is a BallspotError with this ``remedy``;
    with None only the fingerprint is known then.
    """
    if not sets and (run.path / RUN_BACKBONE).is_file():
        return (_trained_here(run, wanted, with_backbone=with_backbone is not False),)
    try:
        stores = _given(sets, wanted) if sets else _recorded(run, record, wanted, remedy or REMEDY)
    except BallspotError:
        if sets or remedy is not None:
            raise
        name = _plain(str(_features_of(record).get("set") or "features"))
        return (BundledFeatures(name, wanted, FeatureSpec(), EngineSpec(""), "unknown", "unknown", None, None),)
    return tuple(_of_store(store, folder, run.path, with_backbone=with_backbone) for store, folder in stores)


def sets_of_run(run: RunFolder, wanted: str) -> tuple[Path, ...]:
    """The folders of the feature sets that a run was trained on, in their order, where they lie now.

    Raises BallspotError where none of what is found has the fingerprint ``wanted``, the run's.
    """
    return tuple(folder for _, folder in _recorded(run, run.record(), wanted, REMEDY))


def _given(sets: Sequence[Path], wanted: str) -> list[tuple[Path, Path]]:
    """A store of every set and the set's folder. Raises BallspotError for sets of other settings than ``wanted``."""
    opened = [open_feature_set(path) for path in sets]
    stores = [(next(iter(one.stores.values())), one.path) for one in opened]
    _require_print(stores, wanted)
    return stores


def _recorded(run: RunFolder, record: Mapping[str, Any], wanted: str, remedy: str) -> list[tuple[Path, Path]]:
    """The same of the sets that the run recorded, where they lie now: of the first match whose stores are all there.

    Raises BallspotError where none of what is found has the settings that are ``wanted``.
    """
    files = _features_of(record).get("files")
    problem = None
    for match, text in files.items() if isinstance(files, Mapping) else ():
        depth = len(PurePosixPath(match).parts)
        folders = [Path(part).parents for part in re.split(r"(?<=\.h5)\+", str(text))]
        if not all(1 <= depth <= len(above) for above in folders):
            continue
        found = [_stores_below(run, above[depth - 1], match) for above in folders]
        for stores in islice(product(*found), MOST_TRIED):
            try:
                _require_print(stores, wanted)
            except BallspotError as error:
                problem = problem or error
            else:
                return list(stores)
        problem = problem or not_found(run.path, folders[0][depth - 1], "feature set", remedy)
    raise problem or BallspotError(f"{run.path / 'run.json'}: does not say its feature set; {remedy}")


def _stores_below(run: RunFolder, folder: Path, match: str) -> list[tuple[Path, Path]]:
    """The match's store in every folder that a recorded set's ``folder`` may mean now, and that folder."""
    places = [(place / f"{match}.h5", place) for place in places_of(run.path, folder)]
    return [(store, place) for store, place in places if is_file(store)]


def _require_print(stores: Sequence[tuple[Path, Path]], wanted: str) -> None:
    prints = []
    for path, _ in stores:
        with FeatureStore.open(path) as store:
            prints.append(store.fingerprint)
    whole = prints[0] if len(prints) == 1 else fingerprint({"sets": prints})
    if whole != wanted:
        raise BallspotError(
            f"{stores[0][1]}: fingerprint {whole[:12]} is not the run's {wanted[:12]}; give the sets that it was "
            "trained on with --features, in the same order"
        )


def _features_of(record: Mapping[str, Any]) -> Mapping[str, Any]:
    features = record.get("features")
    return features if isinstance(features, Mapping) else {}


def _of_store(path: Path, folder: Path, run: Path, *, with_backbone: bool | None) -> BundledFeatures:
    with FeatureStore.open(path) as store:
        spec, header = store.spec, store.header
    is_made = bool(spec.backbone)
    with suppress(BallspotError) if with_backbone is False else nullcontext():
        settle_code(spec.backbone, near=folder, owner=str(folder))
    text = _said(spec, header.weights) if is_made else ""
    if is_made and with_backbone is not False:
        text = _weights_now(spec, text, (folder, run))
    origin, name = _origin(text, spec.backbone)
    weights = None
    if with_backbone or (with_backbone is None and is_made and _is_ours(text, origin)):
        if not is_made or origin == "unknown":
            what = "does not say its backbone's weights" if is_made else "was imported, so only its maker can make more"
            raise BallspotError(
                f"{path}: {what}; predict from the feature set ({folder} --data DATA), or export with "
                "--without-backbone"
            )
        weights = _weights(spec, text)
    components = _components_of(folder, spec, is_needed=with_backbone is not False)
    return BundledFeatures(
        name=_plain(folder.name),
        fingerprint=header.fingerprint,
        spec=spec,
        engine=EngineSpec.read(header.engine),
        origin=origin,
        origin_name=name,
        weights=weights,
        components=components,
    )


def _said(spec: FeatureSpec, said: str) -> str:
    """What `--weights` said, guessed by the digest for a store that does not tell."""
    if said:
        return said
    for guess in GUESSES:
        try:
            loaded = load_model(BackboneSpec(spec.backbone, guess, spec.size))
        except BallspotError:
            continue
        if weights_digest(loaded.model.state_dict()) == spec.weights_sha256:
            return guess
    return ""


def _origin(text: str, backbone: str) -> tuple[str, str]:
    """The kind of weights that a `--weights` value means, and the name that may travel: never a path."""
    if text.partition(":")[0] == "random":
        return "random", str(int(text.partition(":")[2] or 0))
    if text in ("hub", "offline"):
        return text, backbone
    if text == "own":
        return text, "function"
    if not text:
        return "unknown", "unknown"
    path = PureWindowsPath(text) if re.match(r"[A-Za-z]:[\\/]", text) else PurePath(text)
    return ("run", _plain(path.parent.name)) if path.name == RUN_BACKBONE else ("file", _plain(path.name))


def shared_weights(text: str) -> str:
    """What a store that is given to others says of its weights: of a file its name, of a run's also the run's."""
    origin, name = _origin(text, "")
    return {"file": name, "run": f"{name}/{RUN_BACKBONE}"}.get(origin, text)


def _is_ours(text: str, origin: str) -> bool:
    """Whether weights are held without being asked for: made here, or small and free to give."""
    if origin == "file":
        path = Path(text)
        return path.is_file() and own_settings(path) is not None
    return origin in ("random", "offline", "run")


def _weights_now(spec: FeatureSpec, text: str, near: Sequence[Path]) -> str:
    """A `--weights` value whose file was moved as it is now: a file of the same digest; else as it was recorded."""

    def fits(path: Path) -> bool:
        if not is_file(path):
            return False
        try:
            loaded = load_model(BackboneSpec(spec.backbone, str(path), spec.size))
        except BallspotError:
            return False
        return weights_digest(loaded.model.state_dict()) == spec.weights_sha256

    if _origin(text, "")[0] not in ("file", "run") or is_file(text):
        return text
    found = (find_recorded(place, text, fits) for place in near)
    return str(next((path for path in found if path is not None), text))


def _weights(spec: FeatureSpec, text: str) -> dict[str, Tensor]:
    """The backbone's tensors as loaded. BallspotError when they are gone, or not those of the digest."""
    digest = spec.weights_sha256
    try:
        loaded = load_model(BackboneSpec(spec.backbone, text, spec.size))
    except BallspotError as error:
        raise BallspotError(
            f"{error} (the features' weights, digest {digest[:12]}); bring them back, or export with --without-backbone"
        ) from error
    return _held(loaded.model.state_dict(), digest, text)


def _held(state: Mapping[str, Tensor], digest: str, source: str) -> dict[str, Tensor]:
    if weights_digest(state) != digest:
        raise BallspotError(
            f"{source}: weights of digest {weights_digest(state)[:12]}, the features were made with {digest[:12]}; "
            "bring those back, or export with --without-backbone"
        )
    return {name: value.detach().clone() for name, value in state.items() if not name.endswith("num_batches_tracked")}


def _components_of(folder: Path, spec: FeatureSpec, *, is_needed: bool) -> Components | None:
    path = folder / FIT_FILE
    if spec.pca is None or not (path.is_file() or is_needed):
        return None
    if not path.is_file():
        raise BallspotError(f"{folder}: its {FIT_FILE} is gone; bring it back, or export with --without-backbone")
    components = load_components(path)
    if components.digest != spec.pca.sha256:
        raise BallspotError(f"{path}: is not the fit that the features were made with; bring that back")
    return components


def _trained_here(run: RunFolder, wanted: str, *, with_backbone: bool) -> BundledFeatures:
    """The features that `extract --weights RUN` makes with the backbone of a fine-tuning."""
    path = run.path / RUN_BACKBONE
    settled = own_settings(path)
    if settled is None:
        raise BallspotError(f"{path}: does not say how it is extracted with; fine-tune again")
    name = _plain(run.name)
    if settled.backbone.endswith(TWO_LOOKS):
        made = features_of_two_looks(path, settled, read_procedure(run.path), name=name, with_backbone=with_backbone)
        _require_wanted(path, made.fingerprint, wanted)
        return made
    loaded = load_model(settled.spec(str(path)))
    weights = loaded.model.state_dict()
    held = _held(weights, weights_digest(weights), str(path)) if with_backbone else None
    backbone = assemble(loaded, torch.device("cpu"))
    spec = backbone.features(stride=settled.stride, views=parse_views(settled.views), motion=settled.motion)
    found = spec.fingerprint
    _require_wanted(path, found, wanted)
    return BundledFeatures(name, found, spec, EngineSpec(""), "run", name, held, None)


def _require_wanted(path: Path, found: str, wanted: str) -> None:
    if found != wanted:
        raise BallspotError(f"{path}: gives features of fingerprint {found[:12]}, the head reads {wanted[:12]}")


def _plain(name: str) -> str:
    return re.sub(r"[\x00-\x1f\x7f]", "_", name)[:200] or "unknown"
