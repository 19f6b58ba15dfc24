"""What a process uses, from /proc: memory and processor time."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_LISTENING = "0A"
TRACED = 4 if "CRYMAP_COVERAGE" in os.environ else 1
"""How many times the work a process may do whose coverage is measured, because each line is traced."""


def pss(pid: int) -> int:
    """Proportional set size in KiB."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(next(line.split()[1] for line in text.splitlines() if line.startswith("Pss:")))


def cpu(pids: list[int]) -> float:
    """Seconds of processor time of the processes so far."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def workers(pid: int) -> list[int]:
    """The processes of a listener that have a client, ascending; one more waits for the next."""
    return sorted(child for child in children(pid) if has_connection(child))


def has_connection(pid: int) -> bool:
    """Whether a TCP connection is open there."""
    rows = [row.split() for name in ("tcp", "tcp6") for row in Path("/proc/net", name).read_text().splitlines()[1:]]
    connections = {f"socket:[{row[9]}]" for row in rows if row[3] != _LISTENING}
    try:
        return any(os.readlink(path) in connections for path in Path(f"/proc/{pid}/fd").iterdir())
    except FileNotFoundError:  # it has ended
        return False
    except PermissionError:  # after a login it can be looked into by root only
        return True


def reset_peak(pid: int) -> int:
    """Forget the highest resident size so far (login needs 64 MiB for a moment); the size now, in KiB."""
    with suppress(PermissionError):  # a confined worker's is root's
        Path(f"/proc/{pid}/clear_refs").write_text("5")
    return peak(pid)


def peak(pid: int) -> int:
    """Highest resident size in KiB."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in text.splitlines() if line.startswith("VmHWM:")))


@dataclass(slots=True)
class Used:
    """What was used inside `bounded`; known at its end."""

    seconds: float = 0.0
    mib: float = 0.0


@contextmanager
def bounded(pid: int, *, seconds: float, mib: float) -> Iterator[Used]:
    """At most so much processor time, and so much more memory at any moment than before; the process must live on.

    Where coverage is measured, the processor time may be `TRACED` times that.
    """
    used, before, size = Used(), cpu([pid]), reset_peak(pid)
    yield used
    used.seconds, used.mib = cpu([pid]) - before, (peak(pid) - size) / 1024
    allowed = seconds * TRACED
    assert used.seconds <= allowed and used.mib <= mib, f"{used}, but at most {allowed} s and {mib} MiB"


def state_of(pid: int) -> str:
    """`Z` for one that has ended and that nobody has waited for."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@contextmanager
def straced(pid: int, *options: str) -> Iterator[None]:
    """Its system calls as seen, or changed, by strace."""
    with subprocess.Popen(["strace", "-p", str(pid), *options], stderr=subprocess.PIPE, text=True) as strace:
        assert strace.stderr is not None and "attached" in strace.stderr.readline()
        yield
        strace.terminate()


@contextmanager
def no_file_longer_than(octets: int) -> Iterator[None]:
    """As on a full disk; SQLite and Python are told, not killed."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (octets, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
