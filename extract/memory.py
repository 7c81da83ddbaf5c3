"""How this process holds on to memory that it frees: the pictures of the next batch will want it again."""

import ctypes
from contextlib import suppress

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc
KEPT_BYTES = 2**30
LARGEST_BLOCK = 2**25  # glibc takes no more on 64 bits


def keep_freed_memory() -> None:
    """Makes glibc keep what is freed, up to a gigabyte, instead of giving it back at once; elsewhere does nothing.

    The feature maps of a batch are freed and wanted again some hundred times a second. Every time that they are given
    back, the system must clear them, page by page, when they are wanted: a sixth of all time at batches of 8. The most
    that the process ever holds does not change.
    """
    with suppress(AttributeError, OSError, TypeError):  # no glibc here
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, LARGEST_BLOCK)
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
