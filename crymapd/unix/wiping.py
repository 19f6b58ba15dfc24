"""Wiping what was read from a file and must not stay in memory: Linux only, through the list of our own mappings.

Python and OpenSSL copy what they parse, and free the copies without clearing them.  A process that forks others would
hand all of these down.  So the copies are looked for and overwritten where they are.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress

_MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) rw-p \S+ \S+ \S+\s*(.*)")
_SHORTEST = 16


def wipe(texts: Iterable[bytes]) -> None:
    """Overwrite every copy of these octets in this process's memory.

    The objects given are overwritten as well, and cannot be used any more.
    """
    for text in texts:
        if len(text) >= _SHORTEST:
            for address in list(_places(text)):
                ctypes.memset(address, 0, len(text))


def _places(text: bytes) -> Iterator[int]:
    """Where copies are. Only their beginning is looked for with a pattern, which is a copy itself."""
    beginning, whole = re.compile(re.escape(text[:_SHORTEST])), memoryview(text)
    for start, end in _mappings():
        region = (ctypes.c_char * (end - start)).from_address(start)
        octets = memoryview(region).cast("B")
        for found in beginning.finditer(region):
            if octets[found.start() : found.start() + len(text)] == whole:
                yield start + found.start()


def _mappings() -> list[tuple[int, int]]:
    """The writable private mappings: (first address, address behind the last)."""
    with suppress(OSError), open("/proc/self/maps") as maps:
        lines = [_MAPPING.match(line) for line in maps]
        return [(int(m[1], 16), int(m[2], 16)) for m in lines if m is not None and not m[3].startswith("[v")]
    return []
