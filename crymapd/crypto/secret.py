"""Secret bytes that do not show themselves, and everything derived from the master key."""

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


class Secret:
    """Key material: no repr, no pickling, compared in constant time."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        self._data = data

    def reveal(self) -> bytes:
        """The bytes, for a cryptographic call."""
        return self._data

    def __repr__(self) -> str:
        return "<redacted>"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._data, other._data)

    __hash__ = None  # type: ignore[assignment]  # a secret is no dictionary key

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a secret is not serialised")


def random_secret() -> Secret:
    return Secret(secrets.token_bytes(KEY_BYTES))


def derive(key: Secret, label: str, length: int = KEY_BYTES) -> Secret:
    """HKDF-SHA256 (RFC 5869) of a uniformly random key under `crymapd/1 <label>`."""
    hkdf = HKDF(algorithm=SHA256(), length=length, salt=None, info=b"crymapd/1 " + label.encode())
    return Secret(hkdf.derive(key.reveal()))


def mac(key: Secret, label: str, data: bytes) -> bytes:
    """HMAC-SHA256 under a key derived for this purpose alone; 32 bytes."""
    return hmac.digest(derive(key, label).reveal(), data, hashlib.sha256)


def mac_matches(key: Secret, label: str, data: bytes, claimed: bytes) -> bool:
    return hmac.compare_digest(mac(key, label, data), claimed)


def wrap(key: Secret, data: Secret, context: bytes) -> bytes:
    """AES-256-GCM: 12 bytes nonce, ciphertext, 16 bytes tag, bound to `context`."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + AESGCM(key.reveal()).encrypt(nonce, data.reveal(), context)


def unwrap(key: Secret, wrapped: bytes, context: bytes) -> Secret:
    """The inverse of `wrap`. Raises Damaged when key, context or bytes are not those of the wrapping."""
    try:
        return Secret(AESGCM(key.reveal()).decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], context))
    except Exception as error:  # cryptography raises InvalidTag and, for short input, ValueError
        raise Damaged("a wrapped key does not open") from error
