"""TLS contexts: 1.2 and newer, the library's default groups (X25519MLKEM768 first), ALPN honoured."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from OpenSSL import SSL

from crymapd.config.system import Root
from crymapd.daemon.services import Service, Tls
from crymapd.errors import ConfigError


class ForeignProtocol(Exception):
    """The client wants to speak another protocol (ALPACA: an attacker sent a browser to us)."""


def contexts(root: Root, services: Iterable[Service]) -> dict[str, SSL.Context]:
    """Make the context of each service that has TLS, by the service's name.

    Raises:
        ConfigError: key or certificate cannot be used; the text names the file.
    """
    return {service.name: _context(root, service.alpn) for service in services if service.tls is not Tls.NONE}


def _context(root: Root, protocol: bytes) -> SSL.Context:
    key, chain = root.tls_files()
    made = SSL.Context(SSL.TLS_SERVER_METHOD)
    made.set_min_proto_version(SSL.TLS1_2_VERSION)
    # Tickets and caches help little here and make some senders fail.
    made.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_COMPRESSION | SSL.OP_CIPHER_SERVER_PREFERENCE)
    made.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    made.set_mode(SSL.MODE_RELEASE_BUFFERS)  # 34 kB that an idle connection does not need
    made.set_cipher_list(b"ECDHE+AESGCM:ECDHE+CHACHA20")
    if protocol:
        made.set_alpn_select_callback(lambda _connection, offered: _choose(protocol, offered))
    for setting, load, path in (
        ("certificate_chain", made.use_certificate_chain_file, chain),
        ("private_key", made.use_privatekey_file, key),
    ):
        try:
            load(str(path))
        except (SSL.Error, OSError):
            raise ConfigError(f"{root.config_file}: key `tls.{setting}`: {path} holds no usable PEM") from None
    try:
        made.check_privatekey()
    except SSL.Error:
        raise ConfigError(f"{key} is not the key of the certificate in {chain}") from None
    return made


def _choose(protocol: bytes, offered: list[bytes]) -> bytes:
    if protocol in offered:
        return protocol
    raise ForeignProtocol("no protocol in common")


def changed(paths: tuple[Path, ...], since: tuple[int, ...]) -> tuple[int, ...] | None:
    """The new modification times when a file has changed; None when all is as before or cannot be read."""
    try:
        now = tuple(path.stat().st_mtime_ns for path in paths)
    except OSError:
        return None
    return now if now != since else None
