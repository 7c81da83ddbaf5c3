"""Writes arrays for `ballspot cache import`: python examples/import_features.py DATA ARRAYS

Each video below DATA becomes ARRAYS/MATCH.npy, (rows, features). The features are the mean colours of 6 x 10 cells of
every second picture; put your own network in the place of `features_of`.
"""

import sys
from pathlib import Path

import av
import numpy as np

EVERY = 2  # of 25 frames a second, so 12.5 rows a second


def features_of(video: Path) -> np.ndarray:
    rows = []
    with av.open(str(video)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index % EVERY == 0:
                cells = frame.reformat(width=10, height=6, format="rgb24", interpolation="AREA").to_ndarray()
                rows.append(cells.reshape(-1) / 255)
    return np.array(rows, dtype=np.float32)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("Usage: python examples/import_features.py DATA ARRAYS")
    data, arrays = Path(sys.argv[1]), Path(sys.argv[2])
    videos = sorted(data.rglob("*.mp4"))
    if not videos:
        sys.exit(f"{data}: no *.mp4 below it; give the folder that holds the match folders")
    for video in videos:
        match, rows = video.parent.relative_to(data), features_of(video)
        (arrays / match.parent).mkdir(parents=True, exist_ok=True)
        np.save(arrays / f"{match}.npy", rows)
        print(f"{arrays / match}.npy  {len(rows)} rows of {rows.shape[1]}")
