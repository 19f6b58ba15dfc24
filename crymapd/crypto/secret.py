"""Key material that cannot be printed by accident, and what is derived from it: keys, MACs, wrapped keys."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from crymapd.errors import Damaged

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16


class Secret:
    """Key material. Its repr is redacted, it cannot be pickled, and it is compared in constant time."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        self._data = data

    def reveal(self) -> bytes:
        """Return the bytes, to be passed to a cryptographic function only."""
        return self._data

    def __repr__(self) -> str:
        return "<redacted>"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._data, other._data)

    __hash__ = None  # type: ignore[assignment]  # a secret must not be used as a dictionary key

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a secret cannot be serialised")


def random_secret() -> Secret:
    return Secret(secrets.token_bytes(KEY_BYTES))


def derive(key: Secret, label: str, length: int = KEY_BYTES) -> Secret:
    """Derive a key with HKDF-SHA256 (RFC 5869). `key` is uniformly random; the info is `crymapd/1 <label>`."""
    hkdf = HKDF(algorithm=SHA256(), length=length, salt=None, info=b"crymapd/1 " + label.encode())
    return Secret(hkdf.derive(key.reveal()))


def mac(key: Secret, label: str, data: bytes) -> bytes:
    """Compute HMAC-SHA256 (32 octets) under a key that is derived for this label alone."""
    return hmac.digest(derive(key, label).reveal(), data, hashlib.sha256)


def mac_matches(key: Secret, label: str, data: bytes, claimed: bytes) -> bool:
    return hmac.compare_digest(mac(key, label, data), claimed)


def wrap(key: Secret, data: Secret, context: bytes) -> bytes:
    """Encrypt a secret with AES-256-GCM: 12 octets of nonce, the ciphertext, 16 octets of tag.

    `context` is associated data: unwrapping needs the same one.
    """
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + AESGCM(key.reveal()).encrypt(nonce, data.reveal(), context)


def unwrap(key: Secret, wrapped: bytes, context: bytes) -> Secret:
    """Undo `wrap`. Raises Damaged unless key, context and octets are those of the wrapping."""
    try:
        return Secret(AESGCM(key.reveal()).decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], context))
    except Exception as error:  # cryptography raises InvalidTag and, for short input, ValueError
        raise Damaged("a wrapped key does not open") from error
