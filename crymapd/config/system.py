"""`crymap.toml`, the system's configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from crymapd.config.load import parse
from crymapd.errors import ConfigError
from crymapd.model.endpoint import Address, parse_address

DEFAULT_ROOTS = (Path("/etc/crymap"), Path("/usr/local/etc/crymap"))
FILE = "crymap.toml"
DEFAULT_MAX_MESSAGE = 64 * 1024 * 1024

_Positive = Annotated[int, msgspec.Meta(ge=1)]


class TlsFiles(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Key and certificate, in PEM files; a relative path is taken from the root."""

    private_key: str
    certificate_chain: str


class Security(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who the server is.

    Attributes:
        system_user: become this UNIX user before anything is read from the network (two-step black box).
        chroot_system: and see nothing but the directory `users` then.
    """

    system_user: str = ""
    chroot_system: bool = False


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bounds that an administrator may move."""

    max_message_size: Annotated[int, msgspec.Meta(ge=1024, le=2**31 - 1)] = DEFAULT_MAX_MESSAGE
    max_storage: Annotated[int, msgspec.Meta(ge=0, le=2**62)] = 0
    """The octets that the sealed mail of one account may take on disk; 0 for no limit."""
    max_workers: _Positive = 1000
    max_workers_per_address: _Positive = 100
    max_before_login: _Positive = 100
    """Connections that have not logged in. For another one the oldest of the address with the most of them is ended."""
    concurrent_logins: _Positive = 4
    """How many password hashes (64 MiB each) may run at once on this host."""


class Diagnostic(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is written for the administrator.

    Attributes:
        log: `syslog`, `stderr`, or a file; a relative path is taken from the root.
        trace: a directory for the dialogue of each connection; empty for none.
    """

    log: str = ""
    trace: str = ""


class System(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file. Only a service with TLS needs `[tls]`.

    Attributes:
        listen: the addresses of each service, by its name; `Root.addresses` reads them.
    """

    tls: TlsFiles | None = None
    security: Security = Security()
    listen: dict[str, object] = {}
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

    def tls_paths(self) -> tuple[Path, Path]:
        """The paths of private key and certificate chain.

        Raises:
            ConfigError: `[tls]` is missing.
        """
        tls = self.system.tls
        if tls is None:
            raise ConfigError(f"{self.config_file}: table [tls] with private_key and certificate_chain is required")
        return self.directory / tls.private_key, self.directory / tls.certificate_chain

    def tls_files(self) -> tuple[Path, Path]:
        """Find the private key and the certificate chain.

        Raises:
            ConfigError: `[tls]` is missing, or one of the files is.
        """
        paths = self.tls_paths()
        for key, path in zip(("private_key", "certificate_chain"), paths, strict=True):
            if not path.is_file():
                raise ConfigError(f"{self.config_file}: key `tls.{key}`: {path} is not a file")
        return paths

    def addresses(self) -> dict[str, list[Address]]:
        """The addresses of `[listen]` by the name of their service, which may be a name that no service has.

        Raises:
            ConfigError: an entry is no address.
        """
        return {service: self._addresses_of(service, entries) for service, entries in self.system.listen.items()}

    def _addresses_of(self, service: str, entries: object) -> list[Address]:
        where = f"{self.config_file}: key `listen.{service}`"
        try:
            texts = msgspec.convert(entries, list[str])
        except msgspec.ValidationError as error:
            raise ConfigError(f"{where}: {error}") from None
        addresses = []
        for text in texts:
            try:
                addresses.append(parse_address(text))
            except ValueError as error:
                raise ConfigError(f"{where}: {error}, got {text!r}") from None
        return addresses


def load_root(directory: Path | None) -> Root:
    """Find the root and read its configuration.

    Raises:
        ConfigError: there is no root, its file cannot be read or is wrong, or there is no directory `users`.
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
    root.addresses()  # what is wrong with them is said at once
    if not root.users.is_dir():
        raise ConfigError(f"{root.users}: expected a directory that holds one entry for each user; create it (mkdir)")
    return root
