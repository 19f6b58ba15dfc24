"""Listening sockets of our own: TCP, and UNIX sockets, whose files outlive a process that is killed.

Who may connect to a UNIX socket is decided by the directory it lies in, as not every system heeds the mode of the
socket itself: everybody who can reach it may connect, as with a TCP port.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from crymapd.model.endpoint import Address, TcpAddress, UnixAddress
from crymapd.unix import files

BACKLOG = 512
_SOCKET_MODE = 0o666
_PATIENCE_SECONDS = 10.0


def address_of(sock: socket.socket) -> Address:
    """Where a socket listens that somebody else has bound."""
    name = sock.getsockname()
    return TcpAddress(*name[:2]) if isinstance(name, tuple) else UnixAddress(Path(os.fsdecode(name)))


def listen(address: Address) -> socket.socket:
    """Bind a socket and listen.

    Raises:
        OSError: the address is not to be had; a UNIX socket is not if anybody else listens on it.
    """
    sock = _bound_to_path(address.path) if isinstance(address, UnixAddress) else _bound_to_port(address)
    sock.listen(BACKLOG)
    return sock


def _bound_to_port(address: TcpAddress) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((address.host, address.port))
    except OSError:
        sock.close()
        raise
    return sock


def _bound_to_path(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _alone_in(path.parent):
            _remove_stale(path)
            sock.bind(str(path))
            os.chmod(path, _SOCKET_MODE)
    except OSError:
        sock.close()
        raise
    return sock


@contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    """Let no other listener look after its socket in a directory for the length of a `with`."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if not files.take_lock(fd, _PATIENCE_SECONDS):
            raise TimeoutError(errno.ETIMEDOUT, "another listener has locked the directory", str(directory))
        yield
    finally:
        os.close(fd)


def _remove_stale(path: Path) -> None:
    """Remove a socket on which nobody listens any more.

    Raises:
        OSError: somebody listens there, or it is no socket.
    """
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise FileExistsError(errno.EEXIST, "there is something else than a socket", str(path))
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        reason = probe.connect_ex(str(path))
    if reason != errno.ECONNREFUSED:
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE), str(path))
    os.unlink(path)


class Registered:
    """The files of UNIX sockets that this process made, to be removed at its end."""

    def __init__(self) -> None:
        self._files: list[tuple[Path, tuple[int, int]]] = []

    def add(self, address: Address) -> None:
        """Remember the file of a socket, as it is now."""
        if isinstance(address, UnixAddress):
            self._files.append((address.path, _identity(address.path)))

    def close(self) -> None:
        """Remove each file that is still ours; one that cannot be reached any more stays, and is stale."""
        for path, identity in self._files:
            with suppress(OSError):
                if _identity(path) == identity:
                    os.unlink(path)
        self._files.clear()


def _identity(path: Path) -> tuple[int, int]:
    status = os.lstat(path)
    return status.st_dev, status.st_ino
