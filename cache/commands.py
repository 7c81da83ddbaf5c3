"""The commands that look at feature stores: `cache info`, `cache list`, `cache verify`."""

import json
from pathlib import Path
from typing import Any

import click
import numpy as np

from .console import ProgressLine, print_table
from .errors import BallspotError
from .journal import read_header
from .sets import find_sets, find_stores
from .store import FeatureStore

READ_ROWS = 4096
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
PATH = click.argument("path", type=click.Path(path_type=Path))


@click.command("info")
@click.argument("store", type=click.Path(path_type=Path))
@AS_JSON
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


@click.command("list")
@PATH
@AS_JSON
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
        raise BallspotError(f"{path}: no feature set in it; give the folder that `ballspot extract --out` wrote")
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


@click.command("verify")
@PATH
@AS_JSON
def cache_verify(path: Path, as_json: bool) -> None:
    """Read every row of stores and check them.

    PATH is one store, a feature set, or a folder of sets. Checked are the checksums, the counts, that values are
    finite, that frame indices increase within the video, and that a set has one fingerprint. The exit code is 1 when
    a check fails.

    \b
    ballspot cache verify features/SET
    """
    problems = verify(path)
    if as_json:
        click.echo(json.dumps({"n_stores": len(problems), "problems": _flat(problems)}, indent=1))
    else:
        for file, texts in problems.items():
            for text in texts or ["ok"]:
                click.echo(text if text.startswith(f"{file}:") else f"{file}: {text}")
    if any(problems.values()):
        click.get_current_context().exit(1)


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
        "extraction": store.extraction,
        "video": {"name": header.video_name, "bytes": header.video_bytes, "sha256": header.video_sha256},
        "decoder": f"{header.decoder} {header.decoder_version}".strip(),
        "n_bytes": store.path.stat().st_size,
    }


def verify(path: Path) -> dict[Path, list[str]]:
    """Per store file at or below `path`, what is wrong with it: an empty list when nothing is."""
    files = [path] if path.is_file() else list(find_stores(path).values())
    if not files:
        what = "no store (*.h5) in it" if path.is_dir() else "no such file or folder"
        raise BallspotError(f"{path}: {what}; give a store, a feature set or the folder of sets")
    problems: dict[Path, list[str]] = {}
    with ProgressLine("verify", len(files), unit="stores") as progress:
        for file in files:
            problems[file] = _problems(file)
            progress.advance()
    if path.is_dir():
        for place in find_sets(path):
            made_with = {file: _fingerprint(file) for file in problems if file.is_relative_to(place)}
            known = {text for text in made_with.values() if text}
            if len(known) > 1:
                for file in made_with:
                    problems[file].append(f"set {place.name} mixes {len(known)} extraction settings")
    return problems


def _problems(file: Path) -> list[str]:
    found = []
    try:
        with FeatureStore.open(file) as store:
            index = store.frame_index
            if np.any(np.diff(index) <= 0) or (len(index) and not 0 <= index[0] <= index[-1] < store.n_video_frames):
                found.append("frame indices do not increase, or lie outside the video")
            expected = np.arange(0, store.n_video_frames, int(store.extraction.get("stride", 1)))
            if not np.array_equal(index, expected):
                found.append(f"{store.n_rows} rows, but {len(expected)} frames were to be stored")
            for view in store.views:
                for start in range(0, store.n_rows, READ_ROWS):
                    rows = store.read(start, start + READ_ROWS, view=view)
                    if not np.isfinite(rows).all():
                        row = start + int(np.flatnonzero(~np.isfinite(rows).all(axis=1))[0])
                        found.append(f"view {view!r}: row {row} is not finite")
                        break
    except BallspotError as error:
        found.append(str(error))
    return found


def _describe_set(path: Path, place: Path) -> dict[str, Any]:
    stores = []
    for file in find_stores(place).values():
        try:
            with FeatureStore.open(file) as store:
                stores.append((store.n_rows, store.dim, str(store.extraction.get("backbone")), store.fingerprint))
        except BallspotError:
            continue
    parts = [read_header(part) for part in place.rglob("*.h5*.part")]
    return {
        "set": place.relative_to(path).as_posix() if place != path else path.name,
        "n_matches": len(stores),
        "n_unfinished": len(parts),
        "n_rows": sum(n_rows for n_rows, *_ in stores),
        "n_bytes": sum(file.stat().st_size for file in find_stores(place).values()),
        "dims": sorted({dim for _, dim, *_ in stores}),
        "backbones": sorted({backbone for _, _, backbone, _ in stores}),
        "fingerprints": sorted({text for *_, text in stores}),
    }


def _fingerprint(file: Path) -> str | None:
    try:
        with FeatureStore.open(file) as store:
            return store.fingerprint
    except BallspotError:
        return None


def _flat(problems: dict[Path, list[str]]) -> list[dict[str, str]]:
    return [{"store": str(file), "what": text} for file, texts in problems.items() for text in texts]
