"""Sockets that another process opened for this one: systemd with LISTEN_FDS, or inetd on descriptor 0."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import MutableMapping

FIRST_FD = 3
UNNAMED = "unknown"
"""What sd_listen_fds_with_names(3) calls a socket without a name."""


def passed_sockets(environ: MutableMapping[str, str]) -> list[tuple[str, socket.socket]]:
    """Take the listening sockets that systemd passed (sd_listen_fds(3)), and remove its variables from `environ`.

    Returns:
        (name, socket) pairs; none if no sockets were passed to this process.
    """
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    count = int(environ.pop("LISTEN_FDS", "0"))
    names = environ.pop("LISTEN_FDNAMES", "").split(":")
    environ.pop("LISTEN_PID")
    named_sockets = []
    for index in range(count):
        fd = FIRST_FD + index
        os.set_inheritable(fd, False)
        name = names[index] if index < len(names) and names[index] else UNNAMED
        named_sockets.append((name, socket.socket(fileno=fd)))
    return named_sockets


def connected_socket() -> socket.socket:
    """Take the connection that inetd put on descriptor 0, or systemd with `Accept=yes` on descriptor 3.

    Descriptors 0, 1 and 2 no longer refer to it afterwards, so that nothing that is printed reaches the client.

    Raises:
        ValueError: there is no connected socket there.
    """
    fd = FIRST_FD if os.environ.get("LISTEN_PID") == str(os.getpid()) else 0
    if not stat.S_ISSOCK(os.fstat(fd).st_mode):
        raise ValueError("descriptor 0 is not a socket: start this from inetd or a systemd socket with Accept=yes")
    sock = socket.socket(fileno=os.dup(fd))
    null = os.open(os.devnull, os.O_RDWR)
    for replaced in {fd, 0, 1}:
        os.dup2(null, replaced)
    if os.fstat(2).st_ino == os.fstat(sock.fileno()).st_ino and stat.S_ISSOCK(os.fstat(2).st_mode):
        os.dup2(null, 2)
    os.close(null)
    return sock
