"""Saving memory: giving unused pages back to the system, and sharing pages between forked processes."""

from __future__ import annotations

import ctypes
import gc
import sys
from contextlib import suppress
from types import CodeType, FrameType

_SIZES = tuple(1 << power for power in range(16, 3, -1))
"""The sizes of gaps to fill, in octets, the largest first; malloc takes much larger blocks from outside the heap."""


def _glibc() -> ctypes.CDLL | None:
    """The C library if it is glibc. Others return free pages by themselves and arrange their heap differently."""
    with suppress(OSError):
        library = ctypes.CDLL(None)
        if hasattr(library, "malloc_trim"):
            library.malloc_trim.argtypes = library.malloc.argtypes = (ctypes.c_size_t,)
            library.malloc.restype = library.sbrk.restype = ctypes.c_void_p
            library.sbrk.argtypes = (ctypes.c_ssize_t,)
            return library
    return None


_libc = _glibc()

_set_count = getattr(ctypes.pythonapi, "_Py_SetRefcnt", None)
"""`Py_SET_REFCNT` as a function, which the stable ABI has since CPython 3.13; None before."""
if _set_count is not None:
    _set_count.argtypes, _set_count.restype = (ctypes.py_object, ctypes.c_ssize_t), None

_CODE_ATTRIBUTES = (
    "co_consts",
    "co_names",
    "co_varnames",
    "co_name",
    "co_qualname",
    "co_linetable",
    "co_exceptiontable",
)


def trim() -> None:
    """Give free pages of the C heap back to the system."""
    if _libc is not None:
        _libc.malloc_trim(0)


def fill_holes() -> None:
    """Fill every gap in the C heap before forking.

    Later allocations then come from fresh pages, instead of dirtying pages that forked processes share.
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
    """Make every loaded object immortal, so that using it no longer writes its reference count into its page.

    Processes forked from this one then go on sharing these pages, which halves the memory that they need.  Call it
    once, before the first fork, when only objects are loaded that may live as long as the process.

    Returns:
        The number of objects that were made immortal; 0 if this Python has no means to do so.
    """
    gc.collect()
    objects = _reachable() if _set_count is not None else {}
    immortal = sys.getrefcount(None)  # None is immortal, so its count is the one that says so
    for thing in objects.values():
        _set_count(thing, immortal)  # type: ignore[misc]  # without it, there are no objects here
    gc.freeze()
    return len(objects)


def _reachable() -> dict[int, object]:
    """Every object that the garbage collector knows, or that one of these refers to, by id; frames are left out."""
    objects: dict[int, object] = {}
    queue = [sys.modules, *gc.get_objects()]
    while queue:
        thing = queue.pop()
        if id(thing) in objects or thing is objects or thing is queue or isinstance(thing, FrameType):
            continue
        objects[id(thing)] = thing
        queue += gc.get_referents(thing)
        if isinstance(thing, CodeType):  # the collector does not look into code objects
            queue += (getattr(thing, name) for name in _CODE_ATTRIBUTES)
    return objects
