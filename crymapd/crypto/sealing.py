"""Sealing pairs: HPKE (RFC 9180) in base mode with the hybrid KEM ML-KEM-768 + X25519.

Whoever has the public half can seal for the owner without knowing any secret.  The private half opens what
was sealed; on disk it is wrapped under a key derived from the master key.
"""

from __future__ import annotations

import cryptography.hazmat.backends.openssl.backend  # noqa: F401  # otherwise loaded on first use, when a confined worker cannot read it
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)

from crymapd.crypto.secret import Secret
from crymapd.errors import Damaged

_SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
MLKEM_SEED, X25519_BYTES, MLKEM_PUBLIC = 64, 32, 1184
PRIVATE_BYTES = MLKEM_SEED + X25519_BYTES
PUBLIC_BYTES = MLKEM_PUBLIC + X25519_BYTES


class SealingKey:
    """A public half. `raw` is the ML-KEM-768 encapsulation key (1184 octets), then the X25519 public key (32)."""

    __slots__ = ("_key", "raw")

    def __init__(self, raw: bytes) -> None:
        """Load the key. Raises Damaged unless `raw` is a valid public key."""
        try:
            if len(raw) != PUBLIC_BYTES:
                raise ValueError("wrong length")
            self._key = MLKEM768X25519PublicKey(
                MLKEM768PublicKey.from_public_bytes(raw[:MLKEM_PUBLIC]),
                X25519PublicKey.from_public_bytes(raw[MLKEM_PUBLIC:]),
            )
        except ValueError as error:
            raise Damaged("not a public sealing key") from error
        self.raw = raw

    def seal(self, clear: bytes, info: bytes) -> bytes:
        return _SUITE.encrypt(clear, self._key, info)


class OpeningKey:
    """A private half. `raw` is the ML-KEM seed (64 octets), then the X25519 scalar (32); `public` is its other half."""

    __slots__ = ("_key", "public")

    def __init__(self, raw: Secret) -> None:
        """Load the key. Raises Damaged unless `raw` has the right length."""
        data = raw.reveal()
        if len(data) != PRIVATE_BYTES:
            raise Damaged("not a private sealing key")
        mlkem = MLKEM768PrivateKey.from_seed_bytes(data[:MLKEM_SEED])
        x25519 = X25519PrivateKey.from_private_bytes(data[MLKEM_SEED:])
        self._key = MLKEM768X25519PrivateKey(mlkem, x25519)
        self.public = SealingKey(mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw())

    def open(self, sealed: bytes, info: bytes) -> bytes:
        """Open what the other half sealed with the same `info`.

        Raises:
            Damaged: it was sealed for another key or with another `info`, or it was altered.
        """
        try:
            return _SUITE.decrypt(sealed, self._key, info)
        except Exception as error:  # InvalidTag, or ValueError for a malformed encapsulation
            raise Damaged("the sealed header does not open") from error


def generate() -> Secret:
    """Make a new private half in its raw form."""
    return Secret(MLKEM768PrivateKey.generate().private_bytes_raw() + X25519PrivateKey.generate().private_bytes_raw())
