"""Heads on the Hugging Face hub: a bundle, its card and its configuration, put there and got from there, checked."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import tomli_w
from huggingface_hub import HfApi, constants

from ...cache.disk import fingerprint, make_folder, whole_file
from ...cache.errors import BallspotError
from ...cache.stores import FeatureStore, open_feature_set, share_store
from ...extract.backbone import first_line, hub_silence
from ...extract.rows import FIT_FILE
from ..config import travelling_table
from .bundle import Bundle, load_bundle, open_bundle, save_bundle, without_backbone
from .card import BUNDLE_NAME, write_card
from .file import is_bundle
from .run_features import shared_weights

CARD_NAME, CONFIG_NAME = "README.md", "config.toml"
FEATURES_FOLDER = "features"


def push(
    source: Path,
    repo: str,
    *,
    is_public: bool = False,
    with_backbone: bool = False,
    features: Sequence[Path] = (),
    sets: Sequence[Path] = (),
) -> tuple[str, Bundle]:
    """Puts a run or a bundle into the hub's repository ``repo``, made private unless ``is_public``.

    What goes there: the heads with their settings, the card, the configuration; with ``with_backbone`` the backbone's
    weights, with ``features`` the stores in these folders. ``sets`` are the run's feature sets where they are not
    found, which are not sent. Returns where it is and what was put there. Raises BallspotError when the hub does not
    answer or refuses, and for a repository that everybody sees unless asked for.
    """
    if is_bundle(source):
        bundle = open_bundle(source)
    else:
        bundle = open_bundle(source, with_backbone=with_backbone, features=features or sets)
    bundle = bundle if with_backbone else without_backbone(bundle)
    if features:
        prints = [open_feature_set(path).fingerprint for path in features]
        whole = prints[0] if len(prints) == 1 else fingerprint({"sets": prints})
        if whole != bundle.heads[0].description.features_fingerprint:
            raise BallspotError(f"{features[0]}: not the features that the head reads; give its own sets, in order")
    api = HfApi(endpoint=constants.ENDPOINT)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_bundle(bundle, folder / BUNDLE_NAME)
        write_card(bundle, folder / CARD_NAME, run=source if source.is_dir() else None, title=repo)
        write_config(bundle, folder / CONFIG_NAME)
        with asking_hub(repo):
            created = api.create_repo(repo, private=not is_public, exist_ok=True)
            if not is_public and not api.model_info(created.repo_id).private:
                raise BallspotError(f"{repo}: everybody sees this repository; give --public, or another REPO")
            api.upload_folder(repo_id=created.repo_id, folder_path=folder, commit_message="A head of ballspot")
            for path in features:
                _push_features(api, created.repo_id, path)
    return f"{constants.ENDPOINT}/{created.repo_id}", bundle


def _push_features(api: HfApi, repo_id: str, path: Path) -> None:
    """Sends a feature set, store after store, without the places on this machine that the stores say."""
    place = f"{FEATURES_FOLDER}/{path.resolve().name}"
    feature_set = open_feature_set(path)
    fit = path / FIT_FILE
    with tempfile.TemporaryDirectory() as name:
        for number, (match, store) in enumerate(feature_set.stores.items(), start=1):
            shown = Path(name) / f"{number}.h5"
            share_store(store, shown, said=shared_weights)
            api.upload_file(
                path_or_fileobj=shown,
                path_in_repo=f"{place}/{match}.h5",
                repo_id=repo_id,
                commit_message=f"Its features, {number} of {len(feature_set.stores)}",
            )
            shown.unlink()
    if fit.is_file():
        api.upload_file(
            path_or_fileobj=fit, path_in_repo=f"{place}/{FIT_FILE}", repo_id=repo_id, commit_message="Its components"
        )


def pull(repo: str, out: Path, *, revision: str | None = None, with_features: bool = False) -> Bundle:
    """Gets a head from the hub's repository ``repo`` into the new folder ``out`` and returns its bundle, checked.

    Only the files that `push` puts there are asked for, and nothing in them is run. Raises BallspotError when the hub
    does not answer or has no such thing, or when the bundle is damaged; then nothing is left in ``out``.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BallspotError(f"{out}: already exists; choose another --out")
    api = HfApi(endpoint=constants.ENDPOINT)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with asking_hub(repo):
            there = api.list_repo_files(repo, revision=revision)
            wanted = [file for file in (BUNDLE_NAME, CARD_NAME, CONFIG_NAME) if file in there]
            if BUNDLE_NAME not in wanted:
                raise BallspotError(f"{repo}: holds no {BUNDLE_NAME}; give a repository that `ballspot hub push` made")
            stores = [file for file in there if _is_store(file)] if with_features else []
            for file in (*wanted, *stores):
                api.hf_hub_download(repo, file, revision=revision, local_dir=folder)
        bundle = load_bundle(folder / BUNDLE_NAME, runs_code=False)
        for file in stores:
            if file.endswith(".h5"):
                FeatureStore.open(folder / file).close()
        make_folder(out)
        for file in (*stores, *(one for one in wanted if one != BUNDLE_NAME), BUNDLE_NAME):
            with whole_file(out / file) as temporary:
                shutil.copyfile(folder / file, temporary)
    return bundle


def write_config(bundle: Bundle, out: Path) -> None:
    """Writes the first head's configuration as TOML, whole or not at all."""
    with whole_file(out) as temporary:
        temporary.write_text(tomli_w.dumps(travelling_table(bundle.heads[0].description.config)), encoding="utf-8")


def _is_store(file: str) -> bool:
    """Whether a repository's file is one of those that `push` makes of feature sets, below their folder."""
    path = PurePosixPath(file)
    return (
        is_plain_path(file) and path.parts[:1] == (FEATURES_FOLDER,) and (path.suffix == ".h5" or path.name == FIT_FILE)
    )


def is_plain_path(file: str) -> bool:
    """Whether a repository's file lies below its folder on every system."""
    path = PurePosixPath(file)
    return not path.is_absolute() and ".." not in path.parts and "\\" not in file and ":" not in file


@contextmanager
def asking_hub(repo: str) -> Iterator[Any]:
    """Raises BallspotError, in one line, for whatever the hub or its client refuses, and within seconds of silence."""
    reason = hub_silence()
    if reason:
        raise BallspotError(f"{repo}: no answer from {constants.ENDPOINT} ({reason}); connect, or unset HF_HUB_OFFLINE")
    try:
        yield
    except BallspotError:
        raise
    except Exception as error:
        text = f"{type(error).__name__}: {first_line(error)}"
        raise BallspotError(
            f"{repo}: {constants.ENDPOINT} or its client refuses ({text}); check the name, and your rights with "
            "`hf auth login`"
        ) from error
