"""TLS contexts: 1.2 and newer, the library's default groups (X25519MLKEM768 first), ALPN honoured."""

from __future__ import annotations

import binascii
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from weakref import WeakKeyDictionary

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from OpenSSL import SSL, crypto

from crymapd.channel import Channel
from crymapd.config.system import Root
from crymapd.daemon.certificate import Pem
from crymapd.daemon.services import Service
from crymapd.errors import ConfigError
from crymapd.unix import wiping

_BODY = re.compile(rb"-----BEGIN [^-]+-----(.+?)-----END", re.DOTALL)
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


class ForeignProtocol(Exception):
    """The client wants to speak another protocol (ALPACA: an attacker sent a browser to us)."""


def contexts(root: Root, pem: Pem, services: Iterable[Service]) -> dict[str, SSL.Context]:
    """Make the context of each service that has TLS, by the service's name.

    Args:
        root: the configuration, for what is said of a key or certificate that cannot be used.
        pem: key and certificate; the key is wiped from memory, the contexts hold the only copy.
        services: the services.

    Raises:
        ConfigError: key or certificate cannot be used; the text names the file.
    """
    made = {service.name: _context(root, pem, service.alpn) for service in services if service.has_tls}
    for octets in _decoded(pem.key):
        wiping.wipe(octets, _secret_offsets(octets))
    wiping.wipe(pem.key, (len(pem.key) * quarter // 4 for quarter in (1, 2, 3)))
    return made


def forget_keys(channel: Channel, contexts: Iterable[SSL.Context]) -> None:
    """Remove the private key from a connection after its handshake, and from all contexts of this process.

    Nothing needs it any more here, and whoever takes over the process shall not get it. OpenSSL frees and clears a key
    when a certificate with another key of its kind takes the place of its own.
    """
    # pyOpenSSL lets nobody change a context that has connections, as that is not what most people want.
    use_certificate = getattr(SSL.Context.use_certificate, "__wrapped__", SSL.Context.use_certificate)
    for context in contexts:
        channel.replace_certificate(_strangers[context])
        use_certificate(context, _strangers[context])


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
    _strangers[made] = _stranger(certificate.to_cryptography(), chain)
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


_strangers: WeakKeyDictionary[SSL.Context, crypto.X509] = WeakKeyDictionary()
"""For each context a certificate with another key of the same kind, of which nobody has the private half."""


def _stranger(certificate: x509.Certificate, path: Path) -> crypto.X509:
    """Raises ConfigError: it is for a kind of key that could not be forgotten."""
    is_pss = certificate.public_key_algorithm_oid == x509.PublicKeyAlgorithmOID.RSASSA_PSS
    key = None if is_pss else certificate.public_key()
    other: rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey
    match key:
        case rsa.RSAPublicKey():
            other = rsa.RSAPublicNumbers(
                65537, secrets.randbits(key.key_size) | 1 << (key.key_size - 1) | 1
            ).public_key()
        case ec.EllipticCurvePublicKey():
            other = ec.generate_private_key(key.curve).public_key()
        case ed25519.Ed25519PublicKey():
            other = ed25519.Ed25519PrivateKey.generate().public_key()
        case _:
            raise ConfigError(f"{path}: expected the certificate of a key for RSA, ECDSA or Ed25519")
    name = x509.Name([])
    made = x509.CertificateBuilder(
        name, name, other, 1, certificate.not_valid_before_utc, certificate.not_valid_after_utc
    )
    return crypto.X509.from_cryptography(made.sign(ed25519.Ed25519PrivateKey.generate(), None))


def _decoded(pem: bytes) -> Iterator[bytes]:
    """The octets inside a PEM file, which libraries decode and leave in memory."""
    for body in _BODY.findall(pem):
        with suppress(ValueError):
            yield binascii.a2b_base64(body)


def _secret_offsets(der: bytes) -> list[int]:
    """Where to recognise copies of a private key by (PKCS #8, RFC 5958; RFC 8017 appendix A.1.2; RFC 5915; RFC 8410).

    Of RSA and ECDSA these are octets within the secret numbers, which OpenSSL keeps in another order of octets. Of
    Ed25519 the secret is kept as it stands there, so the octets before it are looked for, too.
    """
    primitives = list(_primitives(der, 0, len(der)))
    integers = [place for tag, *place in primitives if tag == _INTEGER and place[1] - place[0] > _PIECE]
    strings = [place for tag, *place in primitives if tag == _OCTET_STRING]
    if integers:
        return [(start + end) // 2 for start, end in integers[1:]]  # the first is the modulus, which is public
    is_ecdsa = any(tag == _INTEGER and der[start:end] == b"\1" for tag, start, end in primitives)
    return [(start + end) // 2 - _PIECE // 2 if is_ecdsa else start - _PIECE // 2 for start, end in strings]


_INTEGER, _OCTET_STRING, _SEQUENCE = 0x02, 0x04, 0x30
_PIECE = 16


def _primitives(der: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(tag, start, end) of the values in DER; sequences, and strings that hold such values, are looked into."""
    while at + 2 <= end:
        tag, length, at = der[at], der[at + 1], at + 2
        if length & 0x80:
            size = length & 0x7F
            length, at = int.from_bytes(der[at : at + size], "big"), at + size
        if tag == _SEQUENCE or (tag == _OCTET_STRING and der[at : at + 1] in (b"\x30", b"\x04")):
            yield from _primitives(der, at, at + length)
        else:
            yield tag, at, at + length
        at += length
