"""The files of the TLS key and certificate: read at the start, and again when they have changed.

In a two-step black box the listener can no longer read them once it has become `security.system_user`.  So it leaves
a process behind that still can, which reads nothing else, hears nothing but the listener, and ends with it.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, NoReturn, Protocol

import msgspec

from crymapd.config.system import Root
from crymapd.errors import ConfigError
from crymapd.unix import signals

_LONGEST = 1 << 20
_PATIENCE_SECONDS = 5.0


class Closable(Protocol):
    """Anything that can be closed."""

    def close(self) -> None: ...


class Pem(NamedTuple):
    """What the files hold."""

    key: bytes
    chain: bytes


class CertificateSource(Protocol):
    """Where key and certificate come from."""

    def read_changed(self) -> Pem | None:
        """Read both if either has changed since they were last read; else return None.

        Raises:
            ConfigError: a file has changed but cannot be read. This is raised once for each change.
        """

    def close(self) -> None:
        """Say that nobody will ask again."""


class CertificateFiles:
    """The two files, as this process can read them."""

    def __init__(self, root: Root) -> None:
        self._paths = root.tls_files()
        self._stamps: list[object] = []

    def read(self) -> Pem:
        """Read both.

        Raises:
            ConfigError: one cannot be read.
        """
        self._stamps = self._current_stamps()  # before reading, so that a change meanwhile shows the next time
        key, chain = self._paths
        return Pem(_read(key), _read(chain))

    def read_changed(self) -> Pem | None:
        return None if self._current_stamps() == self._stamps else self.read()

    def _current_stamps(self) -> list[object]:
        return [_stamp(path) for path in self._paths]

    def close(self) -> None:
        """There is nothing to close."""


def _stamp(path: Path) -> tuple[int, ...] | None:
    """Return what tells whether a file was written or replaced; None if it is not there.

    A replacement is seen even within one tick of the clock, a rewrite in place if it changes the length.
    """
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None


class _Answer(msgspec.Struct, array_like=True):
    """The reply of the certificate process: empty if no file has changed."""

    pem: tuple[bytes, bytes] | None = None
    trouble: str = ""


class CertificateProcess:
    """The handle of a process that was forked as root and reads renewed files for the listener."""

    def __init__(self, files: CertificateFiles, close: Iterable[Closable]) -> None:
        """Fork the process.

        Args:
            files: the files; what this process has read of them does not count as changed.
            close: what it must not keep open.
        """
        self._line, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._line.settimeout(_PATIENCE_SECONDS)  # nobody can connect while the listener waits
        with far:
            if not os.fork():
                _answer_questions(files, far, (self._line, *close))

    def read_changed(self) -> Pem | None:
        try:
            self._line.send(b"?")
            answer = msgspec.msgpack.decode(self._line.recv(_LONGEST), type=_Answer)
        except (OSError, msgspec.DecodeError):
            if self._line.fileno() < 0:
                return None
            self._line.close()
            raise ConfigError("the process that reads a renewed one has ended or is stopped; restart crymapd") from None
        if answer.trouble:
            raise ConfigError(answer.trouble)
        return None if answer.pem is None else Pem(*answer.pem)

    def close(self) -> None:
        self._line.close()


def _answer_questions(files: CertificateFiles, line: socket.socket, close: Iterable[Closable]) -> NoReturn:
    try:
        for signum in (*signals.ENDING, signal.SIGHUP):
            signal.signal(signum, signal.SIG_IGN)  # it ends with the listener, and not before
        signals.let_through()
        for each in close:
            each.close()
        with suppress(OSError):  # the listener is gone
            while line.recv(1):
                try:
                    pem = files.read_changed()
                    answer = _Answer(None if pem is None else (pem.key, pem.chain))
                except ConfigError as error:
                    answer = _Answer(trouble=str(error))
                line.send(msgspec.msgpack.encode(answer))
    finally:
        os._exit(0)
