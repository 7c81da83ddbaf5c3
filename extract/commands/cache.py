"""The cache commands that need stage one: `cache verify`, which can extract again, and `cache pca`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ...cache.errors import BallspotError
from ...cache.terminal import (
    FOLDER,
    command,
    data_option,
    dtype_option,
    json_option,
    leave_out_option,
    splits_option,
    trust_option,
)


@command("verify")
@click.argument("path", type=FOLDER)
@click.option("--deep", is_flag=True, help="Also extract random chunks of 256 rows again and compare them.")
@data_option("Data root of the videos, for --deep.", required=False)
@click.option("--weights", help="Weights for --deep.  [default: those that the store names]")
@click.option("--chunks", type=click.IntRange(1), default=2, show_default=True, help="Chunks per store, for --deep.")
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Decides which chunks are drawn, for --deep."
)
@json_option
@trust_option
def cache_verify(
    path: Path, deep: bool, data_root: Path | None, weights: str | None, chunks: int, seed: int, as_json: bool
) -> None:
    """Read every row of stores and check them.

    PATH is one store, a feature set, or a folder of sets. The command checks the checksums and the counts, that
    values are finite, that frame indices increase within the video, and that a set has one fingerprint. With --deep
    it also checks that the video still gives these features. The exit code is 1 if a check fails.

    \b
    ballspot cache verify features/SET
    ballspot cache verify features/SET --deep --data DATA
    """
    from ...cache.stores import verify

    if deep and data_root is None:
        raise click.UsageError("--deep needs --data, the data root of the videos")
    problems = verify(path)
    n_rows = 0
    if deep and data_root is not None:
        n_rows = _verify_deep(problems, data_root, weights, n_chunks=chunks, seed=seed)
    if as_json:
        flat = [{"store": str(file), "what": text} for file, texts in problems.items() for text in texts]
        described = {"n_stores": len(problems), "problems": flat} | ({"n_deep_rows": n_rows} if deep else {})
        click.echo(json.dumps(described, indent=1))
    else:
        for file, texts in problems.items():
            for text in texts or ["ok"]:
                click.echo(text if text.startswith(f"{file}:") else f"{file}: {text}")
    if any(problems.values()):
        click.get_current_context().exit(1)


def _verify_deep(
    problems: dict[Path, list[str]], data_root: Path, weights: str | None, *, n_chunks: int, seed: int
) -> int:
    """Adds what is wrong to `problems`; the number of rows that were extracted again comes back."""
    import numpy as np

    from ...cache.stores import FeatureStore
    from ...cache.terminal import note
    from ...evaluate.dataset import find_matches
    from ..rows import SegmentRunner, check_chunks, job_of, recipe_of, videos_of

    videos = {match.name: match.video for match in videos_of(find_matches(data_root))}
    runners: dict[object, SegmentRunner] = {}
    told: set[str] = set()
    n_rows = 0

    def tell(line: str) -> None:
        if line not in told:
            note(line)
        told.add(line)

    try:
        for number, file in enumerate(file for file, texts in problems.items() if not texts):
            try:
                with FeatureStore.open(file) as store:
                    video = videos.get(store.match)
                    if video is None:
                        problems[file].append(f"{data_root} has no video of match {store.match!r}")
                        continue
                    recipe = recipe_of(store, weights, tell=tell)
                    if recipe not in runners:
                        runners[recipe] = SegmentRunner(job_of(recipe, store))
                    rng = np.random.default_rng([seed, number])
                    found = check_chunks(store, video, runners[recipe], n_chunks=n_chunks, rng=rng)
            except BallspotError as error:
                problems[file].append(str(error))
                continue
            n_rows += found.n_rows
            if found.problem:
                problems[file].append(found.problem)
    finally:
        for runner in runners.values():
            runner.close()
    return n_rows


@command("pca")
@click.argument("features", type=FOLDER)
@click.option("--dim", type=click.IntRange(1), help="Number of components.  [required without --fit]")
@data_option("Data root; the components are fitted on the training matches of its split.", required=False)
@splits_option()
@leave_out_option()
@click.option("--fit", "fit_file", type=FOLDER, help="Apply this fit (a pca.safetensors) instead of making one.")
@click.option(
    "--set",
    "set_name",
    help="Name of the new set, which lies beside FEATURES.  [default: the name of FEATURES with -pcaDIM]",
)
def cache_pca(
    features: Path,
    dim: int | None,
    data_root: Path | None,
    splits_file: Path | None,
    leave_out: str | None,
    fit_file: Path | None,
    set_name: str | None,
) -> None:
    """Make a smaller feature set by principal components.

    The components are fitted on the training matches only and kept in the new set as pca.safetensors. The new set has
    a fingerprint of its own and names that of its parent.

    \b
    ballspot cache pca features/SET --dim 128 --data DATA
    """
    from ...cache.stores import open_feature_set
    from ...evaluate.dataset import DataSelection
    from ..rows import FIT_FILE, fit_components, load_components, project_set, require_set_name, save_components

    feature_set = open_feature_set(features)
    if fit_file is not None:
        components = load_components(fit_file)
    elif dim is None or data_root is None:
        raise click.UsageError("give --dim and --data to fit, or --fit FILE to apply a fit")
    else:
        stored = frozenset(feature_set.stores)
        data = DataSelection(data_root, splits_file=splits_file, leave_out=leave_out, one_video=True, stored=stored)
        components = fit_components(feature_set, data.splits.part("train"), dim=dim)
    n_components = len(components.components)
    out = features.resolve().parent / require_set_name(set_name or f"{feature_set.name}-pca{n_components}")
    if out == features.resolve():
        raise BallspotError(f"--set {set_name}: is FEATURES itself; choose another name")
    stores = project_set(feature_set, components, out)
    save_components(components, out / FIT_FILE)
    kept = 100 * float(components.share.sum())
    click.echo(f"{len(stores)} stores of {n_components} components, {kept:.1f} % of the training matches' variance")
    click.echo(f"feature set: {out}")


@command("import")
@click.argument("arrays", metavar="ARRAYS", type=FOLDER)
@click.option("--out", required=True, type=FOLDER, help="Folder of feature sets.")
@click.option("--set", "set_name", help="Name of the feature set.  [default: what the features are called]")
@click.option(
    "--fps",
    "rate",
    help="Rows per second.  [default: what the files say, or the rate of published features of that name]",
)
@click.option("--key", help="Name of the array that holds the features.  [default: features, or the only one]")
@dtype_option
def cache_import(arrays: Path, out: Path, set_name: str | None, rate: str | None, key: str | None, dtype: str) -> None:
    """Make a feature set from arrays of your own.

    ARRAYS is a folder of .npy, .npz, .h5 or .pt files, each of the shape (rows, features): MATCH.npy,
    MATCH/features.npy, or for two halves MATCH/1_NAME.npy and MATCH/2_NAME.npy. A match has the name that it has
    below the data root. If a file holds an array `times` beside the features, it is read as the times of the rows in
    seconds. Stores of the same rows are kept.

    \b
    ballspot cache import soccernet/ --out features          # *_ResNET_TF2_PCA512.npy: 2 rows a second
    ballspot cache import mine/ --fps 12.5 --out features --set mine
    """
    from ...cache.terminal import parse_fps
    from ..rows import Reading, find_arrays, import_arrays, require_set_name

    files = find_arrays(arrays)
    kinds = sorted({file.kind for file in files})
    if len(kinds) > 1:
        raise BallspotError(f"{arrays}: holds features of several kinds ({', '.join(kinds)}); give a folder of one")
    reading = Reading(parse_fps(rate) if rate else None, key, dtype)
    set_path = out / require_set_name(set_name or kinds[0])
    for store in import_arrays(files, set_path, reading, kind=set_name or kinds[0]):
        click.echo(f"{store.path}  {store.n_rows} rows of {store.dim}, {float(store.fps):g} a second")
    click.echo(f"feature set: {set_path}")


@command("export")
@click.argument("features", type=FOLDER)
@click.option("--out", required=True, type=FOLDER, help="Folder for the arrays, one file per match.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["npz", "npy"]),
    default="npz",
    show_default=True,
    help="npz holds the features, times in seconds and fps; npy holds the features alone.",
)
def cache_export(features: Path, out: Path, form: str) -> None:
    """Write a feature set as arrays.

    \b
    ballspot cache export features/SET --out arrays
    """
    from ...cache.stores import open_feature_set
    from ..rows import export_arrays

    for path in export_arrays(open_feature_set(features), out, as_npz=form == "npz"):
        click.echo(str(path))
