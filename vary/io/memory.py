"""Give freed memory of large images back to the system."""

from __future__ import annotations

import ctypes
import sys

M_MMAP_THRESHOLD = -3  # of mallopt(3)
THRESHOLD = 4 << 20  # bytes


def return_large_blocks() -> None:
    """Make glibc give blocks from THRESHOLD back as soon as they are freed; does nothing with other C libraries.

    By default glibc keeps blocks of up to 32 MiB once such a block was freed. Pages of changing sizes leave gaps
    between them, and a process that has read large pages keeps hundreds of MiB.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt:
            mallopt(M_MMAP_THRESHOLD, THRESHOLD)
