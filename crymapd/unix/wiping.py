"""Wiping what was read from a file and must not stay in memory: Linux only, through the list of our own mappings.

Python and OpenSSL copy what they parse, and free the copies without clearing them.  A process that forks others would
hand all of these down.  So the copies are looked for and overwritten where they are.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

_MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) rw-p \S+ \S+ \S+\s*(.*)")
_PIECE = 16
"""Octets that are looked for. What was freed lacks its beginning, which the allocator overwrites."""


def wipe(text: bytes, offsets: Iterable[int]) -> None:
    """Overwrite every copy of some octets in this process's memory, even where the beginning of the copy is lost.

    The object given is overwritten as well, and cannot be used any more.

    Args:
        text: the octets.
        offsets: where pieces of them begin that identify a copy, and that stand nowhere else where they are needed.
    """
    memmem = _memmem()
    if memmem is None:
        return
    mappings = _mappings()
    own = ctypes.cast(ctypes.c_char_p(text), ctypes.c_void_p).value or 0
    for offset in offsets:
        if 0 <= offset <= len(text) - _PIECE:
            for found in list(_found(memmem, own + offset, mappings)):
                if found != own + offset:
                    _overwrite(found, own, offset, len(text))
    ctypes.memset(own, 0, len(text))


Memmem = Callable[[int, int, int, int], int | None]


def _memmem() -> Memmem | None:
    """The C library's search, which makes no copy of what it looks for."""
    function = getattr(ctypes.CDLL(None), "memmem", None)
    if function is not None:
        function.restype = ctypes.c_void_p
        function.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t)
    return function


def _found(memmem: Memmem, piece: int, mappings: Iterable[tuple[int, int]]) -> Iterator[int]:
    """The addresses of all copies of the piece at an address."""
    for start, end in mappings:
        while (found := memmem(start, end - start, piece, _PIECE)) is not None:
            yield found
            start = found + _PIECE


def _overwrite(found: int, own: int, offset: int, length: int) -> None:
    """Overwrite what agrees with the text around a piece that was found, and nothing else."""
    low, high = offset, offset + _PIECE
    while low > 0 and _octet(found - offset + low - 1) == _octet(own + low - 1):
        low -= 1
    while high < length and _octet(found - offset + high) == _octet(own + high):
        high += 1
    ctypes.memset(found - offset + low, 0, high - low)


def _octet(address: int) -> int:
    return ctypes.c_ubyte.from_address(address).value


def _mappings() -> list[tuple[int, int]]:
    """The writable private mappings: (first address, address behind the last)."""
    with suppress(OSError), open("/proc/self/maps") as maps:
        lines = [_MAPPING.match(line) for line in maps]
        return [(int(m[1], 16), int(m[2], 16)) for m in lines if m is not None and not m[3].startswith("[v")]
    return []
