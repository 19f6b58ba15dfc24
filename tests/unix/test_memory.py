"""What is loaded before a fork is shared after it, where Python can."""

from __future__ import annotations

import subprocess
import sys

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
    done = subprocess.run([sys.executable, "-c", _SHARE], capture_output=True, text=True, check=True, timeout=60)
    shared, counted, immortal = map(int, done.stdout.split())
    if sys.version_info >= (3, 13):
        assert shared > 10_000 and counted == immortal
    else:
        assert shared == 0 and counted == 1_000
    assert not done.stderr
