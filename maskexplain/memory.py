"""Keep freed memory in the process, for training and for serving."""

import ctypes
import sys

# From glibc's malloc.h.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4


def keep_memory() -> bool:
    """Tell glibc to keep freed memory for the next tensor; returns whether it could be told.

    By default it gives large tensors back to the system at once, and every step fetches them
    again, page by page: a sixth of a training step. Call it before the first tensor. Elsewhere
    than on Linux with glibc nothing happens.
    """
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if libc is None or not hasattr(libc, "mallopt"):
        return False
    settings = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: -1, M_TOP_PAD: 2**28}
    return all([libc.mallopt(name, value) for name, value in settings.items()])
