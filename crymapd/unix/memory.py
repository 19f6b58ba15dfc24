"""Memory that need not be held, or held twice."""

from __future__ import annotations

import ctypes
import gc
import sys
from contextlib import suppress
from types import CodeType, FrameType

_SIZES = tuple(1 << power for power in range(16, 3, -1))
"""Octets; malloc takes what is larger from elsewhere."""


def _glibc() -> ctypes.CDLL | None:
    """None for other C libraries: they give back by themselves, and do not allocate this way."""
    with suppress(OSError):
        found = ctypes.CDLL(None)
        if hasattr(found, "malloc_trim"):
            found.malloc_trim.argtypes = found.malloc.argtypes = (ctypes.c_size_t,)
            found.malloc.restype = found.sbrk.restype = ctypes.c_void_p
            found.sbrk.argtypes = (ctypes.c_ssize_t,)
            return found
    return None


_libc = _glibc()

_set_count = getattr(ctypes.pythonapi, "_Py_SetRefcnt", None)
"""`Py_SET_REFCNT` as the stable ABI has it, in CPython 3.13 and newer."""
if _set_count is not None:
    _set_count.argtypes, _set_count.restype = (ctypes.py_object, ctypes.c_ssize_t), None

_OF_CODE = ("co_consts", "co_names", "co_varnames", "co_name", "co_qualname", "co_linetable", "co_exceptiontable")


def trim() -> None:
    """Give free pages of the C heap back to the system."""
    if _libc is not None:
        _libc.malloc_trim(0)


def fill_holes() -> None:
    """Use up what is free between what is used in the C heap: what is allocated later lies together, in pages
    that nobody else has, and not in pages that forked processes could have shared.
    """
    if _libc is None:
        return
    trim()
    for size in _SIZES:
        end = _libc.sbrk(0)
        while 0 < (_libc.malloc(size) or 0) < end:
            pass
    trim()


def share_objects() -> int:
    """Count no references any more to what is loaded, so that processes forked from this one use it without
    a copy of their own: half of what they need otherwise. Returns how many objects that are; 0 where Python cannot.

    Once, before the first fork, and for what should live as long as the process: it gets the count of None, which
    is immortal (PEP 683).
    """
    gc.collect()
    found = _reachable() if _set_count is not None else {}
    immortal = sys.getrefcount(None)
    for thing in found.values():
        _set_count(thing, immortal)  # type: ignore[misc]  # nothing is found without it
    gc.freeze()
    return len(found)


def _reachable() -> dict[int, object]:
    """All objects that the collector knows and what they refer to, but for code that is running."""
    found: dict[int, object] = {}
    todo = [sys.modules, *gc.get_objects()]
    while todo:
        thing = todo.pop()
        if id(thing) in found or thing is found or thing is todo or isinstance(thing, FrameType):
            continue
        found[id(thing)] = thing
        todo += gc.get_referents(thing)
        if isinstance(thing, CodeType):  # which the collector does not look into
            todo += (getattr(thing, name) for name in _OF_CODE)
    return found
