"""Measures coverage in this process, and in every one that it forks, however confined. Python runs it at its start.

`make test COVERAGE=yes` puts this directory on PYTHONPATH, so that the listener, the workers, `crymap-deliver` and the
tests are all measured. A worker cannot write a data file of its own: it ends in a chroot, as another uid, held by
Landlock. But it keeps the descriptors that it was forked with. So every process opens the file that CRYMAP_COVERAGE
names when it starts, and at its end appends what it has measured as one record; `tests/measured/__main__.py` puts the
records together. A process that is killed by a signal leaves no record.
"""

from __future__ import annotations

import atexit
import marshal
import os
import struct
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

HEAD = struct.Struct(">I")  # the length of the record that follows: marshalled {path: [(line, next line), ...]}
SETTINGS = Path(__file__).parents[2] / "setup.cfg"
SOURCE = SETTINGS.parent / "crymapd"
VARIABLE = "CRYMAP_COVERAGE"

with suppress(ImportError):  # clients that are written in Python inherit the variable, but have no coverage
    import coverage


class Measurement:
    """The measurement of this process. A forked child begins one of its own."""

    def __init__(self, records: str) -> None:
        self._records = os.open(records, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        self._coverage = _begun()
        self._leave = os._exit

    def after_fork(self) -> None:
        self._coverage.stop()
        self._coverage = _begun()

    def save(self) -> None:
        """Append what was measured. One write with O_APPEND is never mixed with that of another process."""
        self._coverage.stop()
        measured = self._coverage.get_data()
        record = marshal.dumps({path: measured.arcs(path) for path in measured.measured_files()})
        os.write(self._records, HEAD.pack(len(record)) + record)

    def leave(self, status: int) -> NoReturn:
        """Replace `os._exit`, with which forked processes end."""
        try:
            self.save()
        finally:
            self._leave(status)


def _begun() -> coverage.Coverage:
    begun = coverage.Coverage(data_file=None, config_file=str(SETTINGS), source=[str(SOURCE)])
    begun.start()
    return begun


def _measure(records: str) -> None:
    measurement = Measurement(records)
    os.register_at_fork(after_in_child=measurement.after_fork)
    os._exit = measurement.leave
    atexit.register(measurement.save)


# The tests import this module as well, by its full name: a process that is measured must not be measured twice.
if __name__ == "sitecustomize" and VARIABLE in os.environ and "coverage" in globals():
    _measure(os.environ[VARIABLE])
