"""Where a service listens: a TCP port or a UNIX socket, written as `[listen]` in crymap.toml writes it."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

from tests.testlib.patience import PATIENCE_SECONDS


@dataclass(frozen=True, slots=True)
class Tcp:
    """A TCP port, on the loopback address unless another host is given."""

    port: int
    host: str = "127.0.0.1"

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def connect(self, timeout: float = PATIENCE_SECONDS) -> socket.socket:
        """A connected socket whose operations may take so many seconds each."""
        return socket.create_connection((self.host, self.port), timeout)


@dataclass(frozen=True, slots=True)
class Unix:
    """A UNIX socket, whose whole path the kernel limits to about 100 octets."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def connect(self, timeout: float = PATIENCE_SECONDS) -> socket.socket:
        """A connected socket whose operations may take so many seconds each."""
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(timeout)
        try:
            sock.connect(str(self.path))
        except BaseException:
            sock.close()
            raise
        return sock


Address = Tcp | Unix


def free_port() -> int:
    """A port of 127.0.0.1 on which nobody listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
