"""Run by tests with `faults.c` loaded ahead: opens and verifies a store once for every read that can fail.

Prints a line for each read: what opening and reading the store came to, and what verifying it found.
"""

import ctypes
import json
import sys
from pathlib import Path

from ballspot.cache.errors import BallspotError
from ballspot.cache.stores.store import FeatureStore
from ballspot.cache.stores.verify import verify


def read_all(path: Path) -> str:
    try:
        with FeatureStore.open(path) as store:
            for view in store.views:
                store.read(view=view)
    except BallspotError as error:
        return str(error)
    return ""


def verified(path: Path) -> str:
    try:
        return "; ".join(verify(path)[path])
    except BallspotError as error:
        return str(error)


def main() -> None:
    path, number = Path(sys.argv[1]), int(sys.argv[2])
    preload = ctypes.CDLL(None)
    for place in range(1000):
        told = []
        for act in (read_all, verified):
            preload.fail_read(ctypes.c_long(place), number)
            text = act(path)
            told.append((text, bool(preload.has_failed())))
        sys.stdout.write(f"{json.dumps(told)}\n")
        if not any(failed for _, failed in told):
            return


main()
