"""What richer caches are worth: sizes, and validation mAP of the default head on each, over some seeds.

    python bench/caches.py DATA OUT [--weights hub] [--seeds 3] [--preset fast]

Sets: plain; grid 2x4; plain with the mirrored view (whose training matches are added as further matches); the first 128
principal components of the plain set and of the grid. Finished sets and runs in OUT are kept.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tomllib
from pathlib import Path

PCA_DIM = 128


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--weights", default="hub")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--preset", default="best")
    options = parser.parse_args()
    data, features = options.data, options.out / "features"
    extract = ("extract", data, "--out", features, "--weights", options.weights)
    ballspot(*extract, "--set", "flip", "--views", "original,hflip")
    ballspot(*extract, "--set", "grid", "--grid", "2x4")
    for name in ("flip", "grid"):
        ballspot("cache", "pca", features / name, "--dim", PCA_DIM, "--data", data)
    mirrored_data = with_mirrored_matches(data, features / "flip", options.out)
    sets = {
        "plain": (features / "flip", data),
        "plain + hflip": (options.out / "mirrored" / "features", mirrored_data),
        "grid 2x4": (features / "grid", data),
        f"plain, pca {PCA_DIM}": (features / f"flip-pca{PCA_DIM}", data),
        f"grid 2x4, pca {PCA_DIM}": (features / f"grid-pca{PCA_DIM}", data),
    }
    print("| cache | MB | validation mAP@1, mean (seeds) |\n|---|---|---|")
    for name, (folder, root) in sets.items():
        scores = []
        for seed in range(options.seeds):
            run = options.out / "runs" / f"{folder.name}-{name.replace(' ', '')}-{seed}"
            ballspot("train", folder, "--data", root, "--run", run, "--preset", options.preset, "--seed", seed)
            scores.append(100 * json.loads((run / "metrics.json").read_text())["mean_ap"])
        n_bytes = sum(path.stat().st_size for path in folder.rglob("*.h5"))
        n_bytes //= 2 if name == "plain" or name == f"plain, pca {PCA_DIM}" else 1  # those hold the mirrored view too
        seeds = ", ".join(f"{score:.2f}" for score in scores)
        print(f"| {name} | {n_bytes / 1e6:.1f} | {statistics.mean(scores):.2f} ({seeds}) |", flush=True)


def with_mirrored_matches(data: Path, flip: Path, out: Path) -> Path:
    """A data root and a set in which every training match is there twice, as it is and mirrored."""
    from dataclasses import replace

    from ballspot.cache.layout import Block
    from ballspot.cache.sets import open_feature_set, store_path
    from ballspot.cache.store import write_store

    root, features = out / "mirrored" / "data", out / "mirrored" / "features"
    splits = tomllib.loads((data / "splits.toml").read_text())
    twins = {f"{name}-mirrored": name for name in splits["train"]}
    parent = open_feature_set(flip)
    names = {name: (name, "original") for name in parent.stores} | {
        twin: (name, "hflip") for twin, name in twins.items()
    }
    for name, (source, view) in names.items():
        if not (root / name).exists():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).symlink_to((data / source).resolve())
        path = store_path(features, name)
        if not path.exists():
            with parent.open(source) as store:
                extraction = {**store.extraction, "views": {}}
                header = replace(store.header, match=name, views=("original",), extraction=extraction)
                write_store(path, header=header, blocks=[Block(store.frame_index, {"original": store.read(view=view)})])
    lists = {**splits, "train": [*splits["train"], *twins]}
    (root / "splits.toml").write_text("".join(f"{part} = {json.dumps(value)}\n" for part, value in lists.items()))
    return root


def ballspot(*words: object) -> None:
    """Runs a command; its own messages go to standard error."""
    done = subprocess.run([sys.executable, "-m", "ballspot.cli", *map(str, words)], stdout=sys.stderr, check=False)
    if done.returncode:
        raise SystemExit(done.returncode)


if __name__ == "__main__":
    main()
