"""Memory that need not be held, or held twice."""

from __future__ import annotations

import ctypes
import gc
import sys
from contextlib import suppress
from types import CodeType, FrameType

_malloc_trim = None
with suppress(OSError, AttributeError):  # glibc has it, others give back by themselves
    _malloc_trim = ctypes.CDLL(None).malloc_trim

_set_count = getattr(ctypes.pythonapi, "_Py_SetRefcnt", None)
"""`Py_SET_REFCNT` as the stable ABI has it, in CPython 3.13 and newer."""
if _set_count is not None:
    _set_count.argtypes, _set_count.restype = (ctypes.py_object, ctypes.c_ssize_t), None


_OF_CODE = (
    "co_consts",
    "co_names",
    "co_varnames",
    "co_freevars",
    "co_cellvars",
    "co_name",
    "co_qualname",
    "co_filename",
    "co_linetable",
    "co_exceptiontable",
)


def trim() -> None:
    """Give free pages of the C heap back to the system."""
    if _malloc_trim is not None:
        _malloc_trim(0)


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
