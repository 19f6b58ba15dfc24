"""What is loaded before a fork is shared after it, as far as Python and the C library can."""

from __future__ import annotations

import subprocess
import sys

from tests.testlib.patience import PATIENCE_SECONDS

_SHARE = """
import os, sys
from crymapd.unix.memory import share_objects

class Thing:
    pass

thing = Thing()
thing.names = ["a%d" % n for n in range(1000)]
before = sys.getrefcount(thing)
count = share_objects()
others = [thing] * 1000
child = os.fork()
if not child:
    del others
    thing.names.append("b")
    thing.later = Thing()
    os._exit(len(thing.names) != 1001)
assert os.waitpid(child, 0)[1] == 0
print(count, sys.getrefcount(thing) - before, sys.getrefcount(None) - before)
"""


def test_objects_are_shared() -> None:
    """Not counted from then on (CPython 3.13 and newer), or as ever; and usable, to the end of the process."""
    done = subprocess.run(
        [sys.executable, "-c", _SHARE], capture_output=True, text=True, check=True, timeout=PATIENCE_SECONDS
    )
    shared, counted, immortal = map(int, done.stdout.split())
    if sys.version_info >= (3, 13):
        assert shared > 10_000 and counted == immortal
    else:
        assert shared == 0 and counted == 1_000
    assert not done.stderr


_FILL = """
import ctypes
from crymapd.unix import memory

libc = ctypes.CDLL(None)
libc.malloc.restype = libc.sbrk.restype = ctypes.c_void_p
libc.free.argtypes = (ctypes.c_void_p,)
blocks = [libc.malloc(4000) for _ in range(2000)]
for at in blocks[::2]:
    libc.free(at)
holes = sum(libc.malloc(3000) < max(blocks) for _ in range(100))
memory.fill_holes()
end = libc.sbrk(0)
print(holes, sum(libc.malloc(size) < end - (1 << 18) for size in (16, 100, 1000, 3000, 60000) for _ in range(10)))
"""


def test_holes_are_filled() -> None:
    """glibc; others do not allocate that way, and nothing is done. What Python itself frees later is a hole again."""
    done = subprocess.run(
        [sys.executable, "-c", _FILL], capture_output=True, text=True, check=True, timeout=PATIENCE_SECONDS
    )
    before, after = map(int, done.stdout.split())
    assert before == 100 and after < 5 and not done.stderr
