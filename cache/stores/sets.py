"""A feature set: the stores of one extraction, one file a match, in folders as the matches lie in the data root."""

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from ..disk import existing_path, path_hint, plain_name
from ..errors import BallspotError
from .store import FeatureStore


@dataclass(frozen=True)
class FeatureSet:
    """All stores below `path`; they share one fingerprint. `stores` maps a match name to its file, sorted by name."""

    path: Path
    name: str
    fingerprint: str
    stores: dict[str, Path]

    def open(self, match: str) -> FeatureStore:
        """The store of `match`, open. Raises BallspotError when the set has none: extract it."""
        match = plain_name(match)
        if match not in self.stores:
            raise BallspotError(f"{self.path}: no store of match {match!r}{_hint(match, self.stores)}")
        return FeatureStore.open(self.stores[match])


def open_feature_set(path: Path) -> FeatureSet:
    """The feature set in folder `path`: every store in it is complete and made with the same settings.

    Raises BallspotError for a folder that is missing or empty, an extraction that has not finished its first store,
    a folder of sets, a store that is damaged, has other settings than the rest, or is not where its match belongs.
    """
    if not path.is_dir():
        what = "is a file, not a feature set" if path.is_file() else f"no such feature set{path_hint(path)}"
        raise BallspotError(f"{path}: {what}; give the folder FEATURES/SET that `ballspot extract` wrote")
    stores = find_stores(path)
    if not stores:
        if next(path.rglob("*.h5*.part"), None) is not None:
            raise BallspotError(f"{path}: extraction unfinished, only part files; give the same extract command again")
        what = f"no store (*.h5) in it{path_hint(path)}"
        raise BallspotError(f"{path}: {what}; give the folder FEATURES/SET that `ballspot extract` wrote")
    made_with: dict[str, Path] = {}
    for match, file in stores.items():
        with FeatureStore.open(file) as store:
            made_with.setdefault(store.fingerprint, file)
            _require_place(path, match, store)
        if len(made_with) > 1:
            first, other = made_with.values()
            raise BallspotError(
                f"{path}: {other.relative_to(path)} was made with other settings than {first.relative_to(path)}; "
                "give one set, or extract into separate sets with --set"
            )
    return FeatureSet(path=path, name=path.name, fingerprint=next(iter(made_with)), stores=stores)


def find_stores(path: Path) -> dict[str, Path]:
    """The store files below `path` by match name, sorted by it; none of them is opened.

    Of two whose names look alike and differ in their form of Unicode, the second goes by its own.
    """
    files = (file for file in path.rglob("*.h5") if file.is_file())
    stores: dict[str, Path] = {}
    for file in sorted(files):
        name = file.relative_to(path).with_suffix("").as_posix()
        stores[name if plain_name(name) in stores else plain_name(name)] = file
    return dict(sorted(stores.items()))


def store_path(set_path: Path, match: str) -> Path:
    """The place of a match's store in a set: that of one that is there in another form of Unicode, else a new one."""
    return existing_path(set_path, f"{match}.h5")


def find_sets(path: Path) -> Iterator[Path]:
    """The feature-set folders in `path`, sorted: `path` itself when it is one, else its folders that hold stores.

    A set is told by its own stores: their match name is their place below the set's folder.
    """
    if not path.is_dir():
        hint = path_hint(path)
        raise BallspotError(f"{path}: no such folder{hint}; give the folder that `ballspot extract --out` wrote")
    files = [file for file in path.rglob("*.h5*") if file.name.endswith((".h5", ".part"))]
    told = {file: _set_folder(file) for file in files}
    places = {place for place in told.values() if place is not None}
    for file, place in told.items():
        if place is None and not any(file.is_relative_to(known) for known in places):
            places.add(file.parent)
    yield from sorted(place for place in places if place.is_relative_to(path))


def _set_folder(file: Path) -> Path | None:
    """The folder of a file's set, by the match that it says it is of; None for one that cannot be read."""
    from .journal import read_header

    if file.name.endswith(".part"):
        header = read_header(file)
        match = header.match if header else None
    else:
        try:
            with FeatureStore.open(file) as store:
                match = store.match
        except BallspotError:
            match = None
    depth = len(Path(match).parts) if match else 0
    return file.parents[depth - 1] if 0 < depth <= len(file.parents) else None


def _require_place(path: Path, match: str, store: FeatureStore) -> None:
    if store.match == match:
        return
    if store.match == match.partition("/")[2]:
        raise BallspotError(f"{path}: a folder of feature sets; give one of them, e.g. {path / match.split('/')[0]}")
    if store.match.endswith(f"/{match}"):
        raise BallspotError(f"{path}: a folder inside a feature set; give the set's own folder, above it")
    raise BallspotError(f"{store.path}: the store of match {store.match!r} is not in its place; move it back")


def _hint(match: str, stores: dict[str, Path]) -> str:
    for name in stores:
        if match.endswith(f"/{name}") or name.endswith(f"/{match}"):  # made from a folder above or below the data root
            return (
                f", only of {name!r}; a match is named by its path below the data root: make the set from that folder"
            )
    near = get_close_matches(match, stores, n=1, cutoff=0.8)
    return (f" (nearest: {near[0]!r})" if near else "") + "; extract that match into this set"
