"""Errors of the system are told as such: a read that fails once, or a lock that is refused, damages nothing."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from ballspot.cache.disk.faults import raise_if_system, system_reason
from ballspot.cache.disk.locks import is_locked, locked_folder
from ballspot.cache.errors import BallspotError
from ballspot.cache.stores import store as stores
from ballspot.cache.stores.layout import Block, StoreHeader
from ballspot.cache.stores.store import FeatureStore, write_store
from ballspot.cache.stores.verify import verify

from .test_store import header_of, numbers

PRELOAD = Path(__file__).parents[1] / "preload"


@pytest.fixture(scope="module")
def preload(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library of `faults.c`, built here."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("no C compiler, or no Linux: nothing can be loaded ahead of the C library")
    library = tmp_path_factory.mktemp("preload") / "faults.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, PRELOAD / "faults.c", "-ldl"], check=True)
    return library


@pytest.fixture
def path(tmp_path: Path) -> Path:
    rows = numbers(700, 8)
    header: StoreHeader = header_of(700, dim=8, views=("original", "hflip"))
    write_store(tmp_path / "a.h5", header=header, blocks=[Block(np.arange(700), {"original": rows, "hflip": rows + 1})])
    return tmp_path / "a.h5"


def run(preload: Path, *words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    where = {**os.environ, "LD_PRELOAD": str(preload), "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run([sys.executable, *map(str, words)], capture_output=True, text=True, env=where, check=False)


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EACCES])
def test_whichever_read_fails_the_error_is_the_systems_and_the_store_is_not_called_damaged(
    preload: Path, path: Path, number: int
) -> None:
    result = run(preload, PRELOAD / "reading.py", path, number)
    assert result.returncode == 0, result.stderr
    told = [json.loads(line) for line in result.stdout.splitlines()]
    n_failed = 0
    for one in told:
        for text, failed in one:
            assert bool(text) == failed, one  # a read that failed is told, and nothing else is
            n_failed += failed
            if failed:
                assert os.strerror(number) in text and "which says nothing of the file's content" in text
                assert "damaged" not in text and "remove" not in text and "\n" not in text
    assert n_failed > 30 and told[-1] == [["", False]] * 2


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_stores_are_written_and_read_where_there_are_no_locks(preload: Path, path: Path, number: int) -> None:
    text = (
        "import sys; from pathlib import Path; import ctypes, numpy as np\n"
        "from ballspot.cache.disk.locks import is_locked, locked_folder\n"
        "from ballspot.cache.stores.journal import Journal\n"
        "from ballspot.cache.stores.store import FeatureStore, write_store\n"
        "from ballspot.cache.stores.layout import Block\n"
        "path = Path(sys.argv[1])\n"
        "with FeatureStore.open(path) as store:\n"
        "    header, rows = store.header, {view: store.read(view=view) for view in store.views}\n"
        "block = Block(np.arange(700), rows)\n"
        "with locked_folder(path.parent), Journal.open(path.with_name('b.h5.part'), header) as journal:\n"
        "    journal.append(block)\n"
        "assert not is_locked(path.with_name('b.h5.part'))\n"
        "write_store(path.with_name('b.h5'), header=header, blocks=[block])\n"
        "assert path.with_name('b.h5').read_bytes() == path.read_bytes()\n"
        "print(ctypes.CDLL(None).locks_asked())\n"
    )
    result = run(preload, "-c", text, path, NOLOCK_ERRNO=str(number))
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) > 2  # locks were asked for, and refused


def h5_error(number: int) -> OSError:
    """What h5py raises for a read that failed, without a number of its own."""
    text = (
        f"Can't synchronously read data (file read failed: time = Tue Dec  1\n, errno = {number}, error message = 'x')"
    )
    return OSError(text)


@pytest.mark.parametrize("make", [lambda number: OSError(number, os.strerror(number)), h5_error])
def test_what_hdf5_says_of_the_system_while_it_opens_or_reads_is_told(
    path: Path, monkeypatch: pytest.MonkeyPatch, make: Any
) -> None:
    def refuse(*words: object, **options: object) -> None:
        raise make(errno.ESTALE)

    with FeatureStore.open(path) as store, monkeypatch.context() as patch:
        patch.setattr(stores, "data_set", refuse)
        with pytest.raises(BallspotError, match=f"{os.strerror(errno.ESTALE)}.*says nothing of the file's content"):
            store.read()
    monkeypatch.setattr(h5py, "File", refuse)
    with pytest.raises(BallspotError, match=f"{os.strerror(errno.ESTALE)}.*says nothing of the file's content"):
        FeatureStore.open(path)
    assert os.strerror(errno.ESTALE) in verify(path)[path][0]


def test_damage_is_still_called_damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    found = "; ".join(verify(path)[path])
    assert "damaged" in found and "extract again" in found


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.EIO, "x"), os.strerror(errno.EIO)),
        (OSError("I/O error: Permission denied (os error 13)"), os.strerror(13)),
        (KeyError("Unable to open object (file read failed: errno = 5, error message = 'Input/output error')"), None),
        (OSError(errno.EINVAL, "a place before the file's beginning"), None),
        (OSError("Unable to open file (truncated file: eof = 96)"), None),
        (ValueError("12 rows of 13"), None),
    ],
)
def test_only_a_number_of_the_system_makes_an_error_the_systems(
    error: Exception, reason: str | None, tmp_path: Path
) -> None:
    reason = os.strerror(errno.EIO) if isinstance(error, KeyError) else reason
    assert system_reason(error) == reason
    if reason is None:
        raise_if_system(tmp_path, error)
    else:
        with pytest.raises(BallspotError, match="cannot be read"):
            raise_if_system(tmp_path, error)


def test_a_lock_that_another_holds_is_still_respected(path: Path) -> None:
    told = pytest.raises(BallspotError, match="another process is at work here")
    with locked_folder(path.parent), told, locked_folder(path.parent, waits=False):
        pass
    assert not is_locked(path)
