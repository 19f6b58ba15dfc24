"""TLS contexts: 1.2 and newer, the library's default groups (X25519MLKEM768 first), ALPN honoured."""

from __future__ import annotations

import re
from collections.abc import Iterable

from OpenSSL import SSL, crypto

from crymapd.config.system import Root
from crymapd.daemon.certificate import Pem
from crymapd.daemon.services import Service
from crymapd.errors import ConfigError

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


class ForeignProtocol(Exception):
    """The client wants to speak another protocol (ALPACA: an attacker sent a browser to us)."""


def contexts(root: Root, pem: Pem, services: Iterable[Service]) -> dict[str, SSL.Context]:
    """Make the context of each service that has TLS, by the service's name.

    Args:
        root: the configuration, for what is said of a key or certificate that cannot be used.
        pem: key and certificate.
        services: the services.

    Raises:
        ConfigError: key or certificate cannot be used; the text names the file.
    """
    return {service.name: _context(root, pem, service.alpn) for service in services if service.has_tls}


def _context(root: Root, pem: Pem, protocol: bytes) -> SSL.Context:
    made = SSL.Context(SSL.TLS_SERVER_METHOD)
    made.set_min_proto_version(SSL.TLS1_2_VERSION)
    # Tickets and caches help little here and make some senders fail.
    made.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_COMPRESSION | SSL.OP_CIPHER_SERVER_PREFERENCE)
    made.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    made.set_mode(SSL.MODE_RELEASE_BUFFERS)  # 34 kB that an idle connection does not need
    made.set_cipher_list(b"ECDHE+AESGCM:ECDHE+CHACHA20")
    if protocol:
        made.set_alpn_select_callback(lambda _connection, offered: _choose(protocol, offered))
    key, chain = root.tls_paths()
    try:
        certificates = _CERTIFICATE.findall(pem.chain)
        certificate, *issuers = (crypto.load_certificate(crypto.FILETYPE_PEM, each) for each in certificates)
        made.use_certificate(certificate)
        for issuer in issuers:
            made.add_extra_chain_cert(issuer)
    except (crypto.Error, SSL.Error, ValueError):
        raise ConfigError(f"{root.config_file}: key `tls.certificate_chain`: {chain} holds no usable PEM") from None
    try:
        made.use_privatekey(crypto.load_privatekey(crypto.FILETYPE_PEM, pem.key, b""))
        made.check_privatekey()
    except SSL.Error:
        raise ConfigError(f"{key} is not the key of the certificate in {chain}") from None
    except (crypto.Error, ValueError, TypeError):
        raise ConfigError(f"{root.config_file}: key `tls.private_key`: {key} holds no usable PEM") from None
    return made


def _choose(protocol: bytes, offered: list[bytes]) -> bytes:
    if protocol in offered:
        return protocol
    raise ForeignProtocol("no protocol in common")
