"""Log lines a postmaster can read: one function for each event, never a secret, never standard output.

`prefix` learns protocol, peer and user as they become known.
"""

from __future__ import annotations

import os
import sys
import syslog
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path


def _nowhere(_line: str) -> None:
    """Before a log is opened."""


_write: Callable[[str], None] = _nowhere
_prefix = ""


def open_log(where: str, root: Path) -> None:
    """`syslog`, `stderr`, a file relative to the root; by default stderr on a terminal or journal, else syslog."""
    global _write
    if not where:
        where = "stderr" if sys.stderr.isatty() or "JOURNAL_STREAM" in os.environ else "syslog"
    if where == "syslog":
        syslog.openlog("crymapd", syslog.LOG_PID | syslog.LOG_NDELAY, syslog.LOG_MAIL)
        _write = partial(syslog.syslog, syslog.LOG_INFO)
        return
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    _write = partial(_to_descriptor, 2 if where == "stderr" else os.open(root / where, flags, 0o640))


def _to_descriptor(fd: int, line: str) -> None:
    with suppress(OSError):  # otherwise there is nowhere to say it
        os.write(fd, f"crymapd[{os.getpid()}]: {line}\n".encode(errors="backslashreplace"))


def prefix(text: str) -> None:
    """What every further line of this process begins with."""
    global _prefix
    _prefix = text


def line(text: str) -> None:
    """One line; control characters cannot forge another."""
    clean = "".join(c if c.isprintable() else "?" for c in text)[:1000]
    _write(f"{_prefix}{clean}")


def listening(service: str, host: str, port: int) -> None:
    line(f"listening for {service} on {host} port {port}")


def misconfigured(reason: str) -> None:
    line(f"cannot serve: {reason}")


def connected(tls: str) -> None:
    line(f"connected, {tls}")


def handshake_failed(reason: str) -> None:
    line(f"no TLS: {reason}")


def login_ok(user: str) -> None:
    line(f"login user={user}")


def login_failed(user: str, address: str) -> None:
    """fail2ban matches this one."""
    line(f"login failed user={user!r} from={address}")


def account_unusable(user: str, reason: str) -> None:
    line(f"account user={user} cannot be served: {reason}")


def not_confined() -> None:
    line("this kernel has no Landlock: the worker is not confined to its user directory")


def trouble(reason: str) -> None:
    line(f"command failed: {reason}")


def disconnected(octets_in: int, octets_out: int) -> None:
    line(f"disconnected in={octets_in} out={octets_out}")


def crashed(trace: str) -> None:
    for part in trace.splitlines():
        line("BUG " + part)


def worker_refused(address: str, reason: str) -> None:
    line(f"connection from={address} refused: {reason}")


def resources_short(reason: str) -> None:
    line(f"cannot accept for now: {reason}")


def certificate_reloaded() -> None:
    line("the certificate was read again")


def certificate_bad(reason: str) -> None:
    line(f"the changed certificate cannot be used, the former stays: {reason}")


def stopping(workers: int) -> None:
    line(f"stopping, {workers} connection(s) end")
