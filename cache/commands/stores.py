"""The commands that look at feature stores and remove them: `cache info`, `cache list`, `cache remove`."""

import json
from pathlib import Path
from typing import Any

import click

from ..disk import path_hint
from ..errors import BallspotError
from ..stores import FeatureStore, find_sets, find_stores, removable_files, remove_files, store_of
from ..terminal import FOLDER, command, json_option, print_table

IMPORTED = "imported"  # in place of the backbone of a set that another program made
PATH = click.argument("path", type=FOLDER)


@command("info")
@click.argument("store", type=FOLDER)
@json_option
def cache_info(store: Path, as_json: bool) -> None:
    """Describe one feature store.

    \b
    ballspot cache info features/SET/MATCH.h5
    """
    with FeatureStore.open(store) as opened:
        described = describe(opened)
    if as_json:
        click.echo(json.dumps(described, indent=1))
        return
    for name, value in described.items():
        click.echo(f"{name:18} {value if isinstance(value, str | int | float) else json.dumps(value)}")


@command("list")
@PATH
@json_option
def cache_list(path: Path, as_json: bool) -> None:
    """List the feature sets below a folder.

    \b
    ballspot cache list features
    """
    found = [_describe_set(path, place) for place in find_sets(path)]
    if as_json:
        click.echo(json.dumps({"sets": found}, indent=1))
        return
    if not found:
        hint = path_hint(path)
        raise BallspotError(f"{path}: no feature set in it{hint}; give the folder that `ballspot extract --out` wrote")
    headers = ["set", "matches", "unfinished", "rows", "dim", "MB", "backbone", "fingerprint"]
    rows = [
        [
            one["set"],
            str(one["n_matches"]),
            str(one["n_unfinished"]),
            str(one["n_rows"]),
            "/".join(map(str, one["dims"])),
            f"{one['n_bytes'] / 1e6:.1f}",
            ", ".join(one["backbones"]),
            ", ".join(text[:12] for text in one["fingerprints"]),
        ]
        for one in found
    ]
    print_table(headers, rows)


@command("remove")
@click.argument("paths", nargs=-1, required=True, type=FOLDER)
@click.option("--unfinished", is_flag=True, help="Remove only the part files of unfinished stores.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def cache_remove(paths: tuple[Path, ...], unfinished: bool, yes: bool) -> None:
    """Remove feature sets or single stores.

    Only stores, and the files that ballspot keeps beside them, are removed, and folders that are empty afterwards. A
    store that is being extracted is refused.

    \b
    ballspot cache remove features/SET --yes
    """
    files = removable_files(paths, unfinished=unfinished)
    n_bytes = sum(file.stat().st_size for file in files)
    if not yes:
        click.confirm(f"Remove {len(files)} files, {n_bytes / 1e6:.1f} MB?", abort=True, err=True)
    remove_files(files, paths)
    click.echo(f"removed {len(files)} files, {n_bytes / 1e6:.1f} MB")


def describe(store: FeatureStore) -> dict[str, Any]:
    """What a store says of itself, as plain JSON values; `complete` is always true: others do not open."""
    header = store.header
    return {
        "match": store.match,
        "n_rows": store.n_rows,
        "n_video_frames": store.n_video_frames,
        "complete": True,
        "fingerprint": store.fingerprint,
        "dim": store.dim,
        "fps": f"{store.fps.numerator}/{store.fps.denominator}",
        "duration_s": round(float(store.n_video_frames / store.fps), 3),
        "views": list(store.views),
        "extraction": store.spec.as_json(),
        "video": {"name": header.video_name, "bytes": header.video_bytes, "sha256": header.video_sha256},
        "decoder": f"{header.decoder} {header.decoder_version}".strip(),
        "engine": header.engine,
        "weights": header.weights,
        "substituted_frames": store.substituted.tolist(),
        "variable_frame_rate": store.frame_time_us is not None,
        "n_bytes": store.path.stat().st_size,
    }


def _describe_set(path: Path, place: Path) -> dict[str, Any]:
    stores = []
    for file in find_stores(place).values():
        try:
            with FeatureStore.open(file) as store:
                stores.append((store.n_rows, store.dim, store.spec.backbone or IMPORTED, store.fingerprint))
        except BallspotError:
            continue
    unfinished = {store_of(part) for part in place.rglob("*.h5*.part")}
    return {
        "set": place.relative_to(path).as_posix() if place != path else path.name,
        "n_matches": len(stores),
        "n_unfinished": sum(not store.exists() for store in unfinished),
        "n_rows": sum(n_rows for n_rows, *_ in stores),
        "n_bytes": sum(file.stat().st_size for file in find_stores(place).values()),
        "dims": sorted({dim for _, dim, *_ in stores}),
        "backbones": sorted({backbone for _, _, backbone, _ in stores}),
        "fingerprints": sorted({text for *_, text in stores}),
    }
