"""`crymap.toml`, the system's configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from crymapd.config.load import parse
from crymapd.errors import ConfigError

DEFAULT_ROOTS = (Path("/etc/crymap"), Path("/usr/local/etc/crymap"))
FILE = "crymap.toml"
DEFAULT_MAX_MESSAGE = 64 * 1024 * 1024

_Positive = Annotated[int, msgspec.Meta(ge=1)]


class Tls(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """PEM files; a relative path is taken from the root."""

    private_key: str
    certificate_chain: str


class Security(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`system_user`: become this UNIX user before anything is read from the network (two-step black box)."""

    system_user: str = ""
    chroot_system: bool = False


class Listen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Addresses by service, such as `["127.0.0.1:1993", "[::1]:1993"]`."""

    imaps: tuple[str, ...] = ()


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bounds that an administrator may move."""

    max_message_size: Annotated[int, msgspec.Meta(ge=1024, le=2**31 - 1)] = DEFAULT_MAX_MESSAGE
    max_storage: Annotated[int, msgspec.Meta(ge=0, le=2**62)] = 0
    """Octets that the sealed mail of one account may take on disk; 0 for no limit."""
    max_workers: _Positive = 1000
    max_workers_per_address: _Positive = 100
    concurrent_logins: _Positive = 4
    """How many password hashes (64 MiB each) may run at once on this host."""


class Diagnostic(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`log`: `syslog`, `stderr`, or a file relative to the root."""

    log: str = ""


class System(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file. Only what serves TLS needs `[tls]`."""

    tls: Tls | None = None
    security: Security = Security()
    listen: Listen = Listen()
    limits: Limits = Limits()
    identification: dict[str, str] = {}
    diagnostic: Diagnostic = Diagnostic()


class Root(msgspec.Struct, frozen=True):
    """A root directory and what its configuration says."""

    directory: Path
    system: System

    @property
    def config_file(self) -> Path:
        return self.directory / FILE

    @property
    def users(self) -> Path:
        return self.directory / "users"

    def tls_files(self) -> tuple[Path, Path]:
        """Private key and certificate chain. Raises ConfigError when `[tls]` is missing or a file is."""
        tls = self.system.tls
        if tls is None:
            raise ConfigError(f"{self.config_file}: table [tls] with private_key and certificate_chain is required")
        paths = self.directory / tls.private_key, self.directory / tls.certificate_chain
        for key, path in zip(("private_key", "certificate_chain"), paths, strict=True):
            if not path.is_file():
                raise ConfigError(f"{self.config_file}: key `tls.{key}`: {path} is not a file")
        return paths

    def addresses(self) -> list[tuple[str, str, int]]:
        """(service, host, port) of every `[listen]` entry. Raises ConfigError for one that is none."""
        found = []
        for service, entries in msgspec.structs.asdict(self.system.listen).items():
            for entry in entries:
                host, colon, port = entry.rpartition(":")
                if not colon or not port.isdecimal() or not 0 < int(port) < 65536 or not host:
                    raise ConfigError(
                        f"{self.config_file}: key `listen.{service}`: expected ADDRESS:PORT such as "
                        f'"127.0.0.1:1993" or "[::1]:1993", got {entry!r}'
                    )
                found.append((service, host.strip("[]"), int(port)))
        return found


def load_root(directory: Path | None) -> Root:
    """Find the root and read its configuration.

    Raises:
        ConfigError: no root, an unreadable or wrong file, no `users` directory.
    """
    if directory is None:
        directory = next((root for root in DEFAULT_ROOTS if (root / FILE).is_file()), None)
        if directory is None:
            raise ConfigError(f"no {FILE} in {' or '.join(map(str, DEFAULT_ROOTS))}; use --root DIR")
    directory = directory.absolute()
    path = directory / FILE
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    root = Root(directory, parse(text, System, str(path)))
    if not root.users.is_dir():
        raise ConfigError(f"{root.users}: expected a directory that holds one entry for each user; create it (mkdir)")
    return root
