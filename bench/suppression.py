"""How fast spots are picked from scores, beside the loop that takes the highest score over and over.

73,000 frames x 12 classes, a match at 12.5 frames a second: smooth noise with peaks, from a fixed seed. Both sides give
the same spots (checked here); CPU seconds in one process, medians of several rounds of ours, one of the loop.

    python bench/suppression.py [--frames 73000]
"""

import argparse
import statistics
import time

import numpy as np
from scipy.ndimage import gaussian_filter1d

from ballspot.temporal.decoding.suppression import Peaks, Weakening, hard_weakening, soft_weakening, suppress

FLOOR = 0.01


def draw_scores(n_rows: int, n_labels: int = 12, seed: int = 0) -> np.ndarray:
    """Scores (n, K) in 0..1 like a head's: mostly near 0, with peaks some rows wide."""
    noise = np.random.default_rng(seed).random((n_rows, n_labels))
    smooth = gaussian_filter1d(noise, 1.5, axis=0)
    spread = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    return spread**6


def loop(scores: np.ndarray, weakening: Weakening, floor: float, *, in_place: bool) -> Peaks:
    """The definition: while the highest score of a class reaches the floor, take it and weaken its neighbours.

    With ``in_place`` the plain way: on the columns of the (n, K) array as they lie, a maximum and then an argmax each
    time. Without, a lean one: on a contiguous copy of each class, an argmax only.
    """
    found = []
    whole = scores.astype(np.float64)
    for label in range(scores.shape[1]):
        line = whole[:, label] if in_place else whole[:, label].copy()
        while not in_place or np.max(line) >= floor:
            row = int(np.argmax(line))
            if line[row] < floor or line[row] <= 0:
                break
            found.append((row, label, line[row]))
            line[row] = 0.0
            before = min(len(weakening.earlier), row)
            after = min(len(weakening.later), line.size - 1 - row)
            line[row - before : row] *= weakening.earlier[:before][::-1]
            line[row + 1 : row + 1 + after] *= weakening.later[:after]
    table = np.array(sorted(found))
    return Peaks(table[:, 0].astype(np.int64), table[:, 1].astype(np.int64), table[:, 2])


def main() -> None:
    parser = argparse.ArgumentParser(description="Time suppression beside a while-argmax loop.")
    parser.add_argument("--frames", type=int, default=73_000, help="rows of scores")
    options = parser.parse_args()
    scores = draw_scores(options.frames)
    for name, weakening in (("hard, 5", hard_weakening(5)), ("soft, 12", soft_weakening(12))):
        ours, times = suppress(scores, weakening, floor=FLOOR), []
        for _ in range(5):
            begun = time.process_time()
            suppress(scores, weakening, floor=FLOOR)
            times.append(time.process_time() - begun)
        ours_s = statistics.median(times)
        print(f"{name}: ballspot {ours_s:.4f} s, {ours.row.size} spots")
        for in_place in (True, False):
            begun = time.process_time()
            theirs = loop(scores, weakening, FLOOR, in_place=in_place)
            loop_s = time.process_time() - begun
            same = np.array_equal(ours.row, theirs.row) and np.array_equal(ours.label_index, theirs.label_index)
            if not same or not np.allclose(ours.score, theirs.score, rtol=1e-12, atol=0):
                raise SystemExit(f"{name}: the spots differ")
            kind = "plain loop on the array's columns" if in_place else "lean loop on contiguous copies"
            print(f"  {kind:28} {loop_s:7.2f} s   {loop_s / ours_s:6.0f}x, equal")


if __name__ == "__main__":
    main()
