"""Where a service listens."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """An IPv4 or IPv6 address and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host} port {self.port}"


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """The path of a UNIX socket."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)


Address = TcpAddress | UnixAddress


def parse_address(text: str) -> Address:
    """Read `ADDRESS:PORT`, `[IPV6]:PORT` or an absolute path.

    Raises:
        ValueError: it is none of these.
    """
    if text.startswith("/"):
        return UnixAddress(Path(text))
    host, _colon, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError('expected ADDRESS:PORT such as "127.0.0.1:1993" or "[::1]:1993", or an absolute path')
    return TcpAddress(host.removeprefix("[").removesuffix("]"), int(port))
