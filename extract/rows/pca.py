"""Smaller feature sets: principal components fitted on the training matches, applied to all."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ...cache.code import copy_code
from ...cache.disk import locked_folder, make_folder, raise_if_system, write_tensors
from ...cache.errors import BallspotError
from ...cache.stores import Block, ComponentsSpec, FeatureSet, FeatureStore, store_path, write_store
from ...cache.terminal import ProgressLine

FIT_FILE = "pca.safetensors"
FIT_ROWS = 4096
READ_ROWS = 4096


@dataclass(frozen=True)
class Components:
    """A fit: features x become (x - mean) @ components.T; `share` is the variance kept by each, largest first.

    `mean` float32 (d,), `components` float32 (k, d), `share` float32 (k,); `fitted_on` names the training matches.
    """

    mean: np.ndarray
    components: np.ndarray
    share: np.ndarray
    fitted_on: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """The sha256 over the mean's and the components' bytes."""
        return hashlib.sha256(self.mean.tobytes() + self.components.tobytes()).hexdigest()

    def apply(self, rows: np.ndarray) -> np.ndarray:
        """float32 (n, d) -> (n, k)."""
        return (rows.astype(np.float32) - self.mean) @ self.components.T


def fit_components(features: FeatureSet, names: Sequence[str], *, dim: int) -> Components:
    """The first `dim` principal components of the plain rows of the named matches, in one pass over them.

    The order of names does not matter: they are read sorted. The sign of each component is set so that its largest
    weight is positive. Raises BallspotError when there are fewer rows or features than `dim`.
    """
    from sklearn.decomposition import IncrementalPCA  # takes seconds to import

    names = sorted(names)
    n_rows = 0
    for name in names:
        with features.open(name) as store:
            n_rows += store.n_rows
            if dim > min(store.dim, FIT_ROWS):
                raise BallspotError(f"--dim {dim}: must be at most {min(store.dim, FIT_ROWS)}, the features of a row")
    if dim > n_rows:
        raise BallspotError(f"--dim {dim}: the {len(names)} training matches have {n_rows} rows only; give fewer")
    fit = IncrementalPCA(n_components=dim)
    with ProgressLine("fit", n_rows, unit="rows") as progress:
        for rows in _batches(_rows_of(features, names), at_least=dim):
            with np.errstate(divide="ignore", invalid="ignore"):  # features that never change have no shares
                fit.partial_fit(rows)
            progress.advance(len(rows))
    components = np.asarray(fit.components_)
    largest = np.take_along_axis(components, np.abs(components).argmax(axis=1, keepdims=True), axis=1)
    signed = components * np.where(largest < 0, -1.0, 1.0)
    share = np.nan_to_num(np.asarray(fit.explained_variance_ratio_))
    parts = (np.ascontiguousarray(part, dtype=np.float32) for part in (fit.mean_, signed, share))
    return Components(*parts, fitted_on=tuple(names))


def save_components(components: Components, path: Path) -> None:
    """Writes a fit, whole or not at all."""
    tensors = {"mean": components.mean, "components": components.components, "share": components.share}
    write_tensors(path, tensors, save=save_file, metadata={"fitted_on": json.dumps(components.fitted_on)})


def load_components(path: Path) -> Components:
    """The fit that `save_components` wrote. Raises BallspotError when the file is missing or is none."""
    if not path.is_file():
        raise BallspotError(f"--fit {path}: no such file; give the {FIT_FILE} of a set that `ballspot cache pca` made")
    try:
        with safe_open(path, framework="np") as file:
            parts = [file.get_tensor(name) for name in ("mean", "components", "share")]
            components = Components(*parts, fitted_on=tuple(json.loads(file.metadata()["fitted_on"])))
        n_components, dim = components.components.shape
        if components.mean.shape != (dim,) or components.share.shape != (n_components,):
            raise ValueError("components of other widths")
        if not all(part.dtype == np.float32 and np.isfinite(part).all() for part in parts):
            raise ValueError("numbers that are not finite float32")
        return components
    except (SafetensorError, LookupError, OSError, RuntimeError, TypeError, ValueError) as error:
        raise_if_system(path, error)
        raise BallspotError(f"--fit {path}: not a fit of components; give the {FIT_FILE} of a set") from error


def project_set(features: FeatureSet, components: Components, out: Path) -> list[Path]:
    """Writes every store of a set, all views, in its components, as the set in folder `out`; the stores come back.

    Stores are float16 and say what they come of: the parent set's fingerprint, the fit's digest. Stores that are
    there already are kept. The set's folder is locked meanwhile: another process that wants to write it waits.
    Raises BallspotError when the fit is of another width, or `out` is another set's.
    """
    for path in features.stores.values():  # before a folder is made
        with FeatureStore.open(path) as store:
            if store.dim != len(components.mean):
                raise BallspotError(f"{path}: {store.dim} features, the fit is of {len(components.mean)}")
    written = []
    with locked_folder(make_folder(out)), ProgressLine("project", len(features.stores), unit="stores") as progress:
        copy_code(features.path, out)
        for name, parent_path in features.stores.items():
            path = store_path(out, name)
            with FeatureStore.open(parent_path) as parent:
                dim = len(components.components)
                said = ComponentsSpec(dim=dim, parent=parent.fingerprint, sha256=components.digest)
                header = replace(parent.header, dim=dim, spec=parent.spec.projected(said))
                if path.exists():
                    with FeatureStore.open(path) as there:
                        if there.fingerprint != header.fingerprint:
                            raise BallspotError(f"{path}: made with another fit or parent; give another --set")
                else:
                    blocks = _projected(parent, components)
                    write_store(path, header=header, blocks=blocks, frame_time_us=parent.frame_time_us)
            written.append(path)
            progress.advance()
    return written


def _projected(store: FeatureStore, components: Components) -> Iterator[Block]:
    for start in range(0, store.n_rows, READ_ROWS):
        index = store.frame_index[start : start + READ_ROWS]
        with np.errstate(over="ignore"):  # told as such below
            rows = {
                view: components.apply(store.read(start, start + READ_ROWS, view=view)).astype(np.float16)
                for view in store.views
            }
        if not all(np.isfinite(values).all() for values in rows.values()):
            raise BallspotError(
                f"{store.path}: a component of frame {index[0]} or the next {len(index) - 1} does not fit float16; "
                "`ballspot cache verify` says whether the features are sound; if they are, fit again"
            )
        yield Block(index, rows, store.substituted[np.isin(store.substituted, index)])


def _rows_of(features: FeatureSet, names: Sequence[str]) -> Iterator[np.ndarray]:
    for name in names:
        with features.open(name) as store:
            for start in range(0, store.n_rows, FIT_ROWS):
                rows = store.read(start, start + FIT_ROWS).astype(np.float64)
                if not np.isfinite(rows).all():
                    raise BallspotError(f"{store.path}: has features that are not finite; extract the match again")
                yield rows


def _batches(pieces: Iterator[np.ndarray], *, at_least: int) -> Iterator[np.ndarray]:
    """The same rows, pieces put together until they have `at_least` rows; a rest with fewer joins the batch before."""
    waiting: list[np.ndarray] = []
    last: np.ndarray | None = None
    for piece in pieces:
        waiting.append(piece)
        if sum(map(len, waiting)) >= at_least:
            if last is not None:
                yield last
            last, waiting = np.concatenate(waiting), []
    rest = [*([] if last is None else [last]), *waiting]
    if rest:
        yield np.concatenate(rest)
