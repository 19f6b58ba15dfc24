"""Memory that was freed and not given back."""

from __future__ import annotations

import ctypes
from contextlib import suppress

_malloc_trim = None
with suppress(OSError, AttributeError):  # glibc has it, others give back by themselves
    _malloc_trim = ctypes.CDLL(None).malloc_trim


def trim() -> None:
    """Give free pages of the C heap back to the system."""
    if _malloc_trim is not None:
        _malloc_trim(0)
