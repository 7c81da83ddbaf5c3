"""What richer caches are worth: sizes, and validation mAP of the default head on each, over some seeds.

    python bench/caches.py DATA OUT [--weights hub] [--seeds 3] [--preset best] [--engine torch]

Sets: plain; plain with clips of the mirrored view in training, without and with the mean of both views in prediction;
grid 2x4; the first 128 principal components of the plain set and of the grid. Finished sets and runs in OUT are kept.
Beside mAP over all classes stands the mean over classes with at least ten truths, which single events move less.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

PCA_DIM, MIN_COUNT = 128, 10
MIRRORED = ('views=["original", "hflip"]',)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--weights", default="hub")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--preset", default="best")
    parser.add_argument("--engine", default="torch")
    options = parser.parse_args()
    data, features = options.data, options.out / "features"
    extract = ("extract", data, "--out", features, "--weights", options.weights, "--engine", options.engine)
    ballspot(*extract, "--set", "flip", "--views", "original,hflip")
    ballspot(*extract, "--set", "grid", "--grid", "2x4")
    for name in ("flip", "grid"):
        ballspot("cache", "pca", features / name, "--dim", PCA_DIM, "--data", data)
    rows: dict[str, tuple[str, tuple[str, ...], float]] = {  # the set, settings, the share of its bytes that is used
        "plain": ("flip", (), 0.5),
        "plain, hflip in training": ("flip", MIRRORED, 1.0),
        "plain, hflip in training and prediction": ("flip", (*MIRRORED, "flip_average=true"), 1.0),
        "grid 2x4": ("grid", (), 1.0),
        f"plain, pca {PCA_DIM}": (f"flip-pca{PCA_DIM}", (), 0.5),
        f"grid 2x4, pca {PCA_DIM}": (f"grid-pca{PCA_DIM}", (), 1.0),
    }
    print(
        f"| cache | MB | validation mAP@12, mean (seeds) | classes with {MIN_COUNT} truths or more |\n|---|---|---|---|"
    )
    for name, (set_name, settings, share) in rows.items():
        run = options.out / "runs" / name.replace(" ", "-").replace(",", "")
        words = [word for setting in settings for word in ("--set", setting)]
        train = ("train", features / set_name, "--data", data, "--run", run, "--preset", options.preset)
        ballspot(*train, "--seeds", options.seeds, *words)
        scores = [json.loads((run / f"seed-{seed}" / "metrics.json").read_text()) for seed in range(options.seeds)]
        n_bytes = share * sum(path.stat().st_size for path in (features / set_name).rglob("*.h5"))
        print(f"| {name} | {n_bytes / 1e6:.1f} | {told(scores, 0)} | {told(scores, MIN_COUNT)} |", flush=True)


def told(scores: list[dict], min_count: int) -> str:
    """Mean over seeds, and each of them, of the mean AP in % of the classes with that many truths."""
    means = []
    for one in scores:
        classes = one["per_class"].values()
        means.append(100 * statistics.mean(each["ap"] for each in classes if each["n_truth"] >= min_count))
    return f"{statistics.mean(means):.1f} ({', '.join(f'{mean:.1f}' for mean in means)})"


def ballspot(*words: object) -> None:
    """Runs a command; its own messages go to standard error."""
    done = subprocess.run([sys.executable, "-m", "ballspot.cli", *map(str, words)], stdout=sys.stderr, check=False)
    if done.returncode:
        raise SystemExit(done.returncode)


if __name__ == "__main__":
    main()
