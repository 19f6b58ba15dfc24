"""Killing a process at its n-th step: the seam `crymapd.unix.files.checkpoint`, in a forked child."""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from crymapd.unix import files

DONE = b"done"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the child ended.

    Attributes:
        killed: at its step; else it went through to the end.
        acknowledged: the operation had returned before.
        step: the name of the step.
    """

    killed: bool
    acknowledged: bool
    step: str


class Killer:
    """Counts steps once it is armed, and ends the process at the wanted one."""

    def __init__(self, step: int, report: int) -> None:
        self._left = step
        self._report = report

    def __call__(self, name: str) -> None:
        self._left -= 1
        if self._left == 0:
            os.write(self._report, b"\n" + name.encode())
            os.kill(os.getpid(), signal.SIGKILL)


def run_until(step: int, prepare: Callable[[], Callable[[], None]]) -> Outcome:
    """Run an operation in a child that kills itself before its `step`-th change of the disk.

    `prepare` runs in the child too, unharmed, and returns the operation.  After the operation has
    returned, nothing is killed any more: that is what was acknowledged.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            operation = prepare()
            files.checkpoint = Killer(step, writing)
            operation()
            os.write(writing, DONE)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read()
    _child, status = os.waitpid(child, 0)
    acknowledged, _newline, name = told.partition(b"\n")
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return Outcome(True, acknowledged == DONE, name.decode())
    assert os.WEXITSTATUS(status) == 0, "the operation failed in the child; its traceback is above"
    return Outcome(False, acknowledged == DONE, "")
