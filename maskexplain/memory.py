"""What glibc does with freed memory: kept for training, given back where many are served."""

import ctypes
import sys
from functools import cache

# From glibc's malloc.h.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -2, -3, -4, -8
ARENAS = 2  # heaps that threads share; by default each of many threads fills one of its own


def keep_memory() -> bool:
    """Tell glibc to keep freed memory for the next tensor; returns whether it could be told.

    By default it gives large tensors back to the system at once, and every step fetches them
    again, page by page: a sixth of a training step. Call it before the first tensor. Elsewhere
    than on Linux with glibc nothing happens.
    """
    return _tell({M_MMAP_MAX: 0, M_TRIM_THRESHOLD: -1, M_TOP_PAD: 2**28})


def bound_memory() -> bool:
    """Tell glibc to use few heaps, and to fetch and give back in large pieces; as `keep_memory`.

    What one answer has freed serves the next one, and `release_memory` gives back the rest.
    """
    return _tell(
        {M_ARENA_MAX: ARENAS, M_MMAP_THRESHOLD: 2**25, M_TRIM_THRESHOLD: 2**26, M_TOP_PAD: 2**22}
    )


def release_memory() -> None:
    """Give the pages of freed memory back to the system; some milliseconds."""
    libc = _libc()
    if libc is not None:
        libc.malloc_trim(0)


def _tell(settings: dict[int, int]) -> bool:
    libc = _libc()
    return libc is not None and all([libc.mallopt(key, value) for key, value in settings.items()])


@cache
def _libc() -> ctypes.CDLL | None:
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None
