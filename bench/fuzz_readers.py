"""Feeds damaged files to every reader for some time; anything but success or a one-line BallspotError is a finding.

    python bench/fuzz_readers.py [GROUP ...] [--seconds 600] [--seed 0] [--keep FOLDER]

Valid files of each kind are damaged in their bytes (cut, flipped, repeated, spliced) and in their values (any value,
attribute or array replaced by one of another kind). A case may take 20 CPU seconds and 1 GiB more than the process had.
A finding prints the reader, the seed of its case and the traceback, and exits 1; `--keep` keeps the damaged files.
"""

import argparse
import tempfile
from pathlib import Path

from fuzz_cases import GROUPS, fuzz, load_targets


def main() -> None:
    parser = argparse.ArgumentParser(description="Feed damaged files to every reader.")
    parser.add_argument(
        "groups", nargs="*", metavar="GROUP", help=f"which readers, all by default: {', '.join(GROUPS)}"
    )
    parser.add_argument("--seconds", type=float, default=600.0, help="how long")
    parser.add_argument("--seed", type=int, default=0, help="of the damage")
    parser.add_argument("--keep", type=Path, help="folder for the files that gave findings")
    options = parser.parse_args()
    unknown = set(options.groups) - set(GROUPS)
    if unknown:
        parser.error(f"no group {', '.join(sorted(unknown))}; there are {', '.join(GROUPS)}")
    with tempfile.TemporaryDirectory() as folder:
        targets = load_targets(options.groups or list(GROUPS), Path(folder))
        keep = options.keep or Path(folder) / "kept"
        outcome = fuzz(targets, seconds=options.seconds, seed=options.seed, keep=keep)
    for name, (n_read, n_refused) in outcome.counts.items():
        print(f"{name:28} {n_read:8} read {n_refused:8} refused")
    print(f"{sum(map(sum, outcome.counts.values()))} files, {len(outcome.findings)} findings")
    for finding in outcome.findings:
        print(finding)
    raise SystemExit(bool(outcome.findings))


if __name__ == "__main__":
    main()
