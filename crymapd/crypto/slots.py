"""Slots: the master key, wrapped under something a person knows.

Each slot opens the account by itself.  Changing a password wraps the same master key again, in one slot.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from argon2.exceptions import HashingError
from argon2.low_level import Type, hash_secret_raw

from crymapd.crypto.passwords import UnusablePassword, prepared
from crymapd.crypto.secret import KEY_BYTES, NONCE_BYTES, TAG_BYTES, Secret, unwrap, wrap
from crymapd.errors import AccountUnavailable, BadCredentials, Damaged

SALT_BYTES = 16
WRAPPED_BYTES = NONCE_BYTES + KEY_BYTES + TAG_BYTES


@dataclass(frozen=True, slots=True)
class Argon2:
    """Argon2id parameters (RFC 9106): memory in KiB, passes, lanes."""

    memory_kib: int
    passes: int
    lanes: int

    def weaker_than(self, other: Argon2) -> bool:
        return self.memory_kib * self.passes < other.memory_kib * other.passes


CURRENT = Argon2(memory_kib=64 * 1024, passes=3, lanes=1)
# The most that a slot may demand: a forged user.toml must not turn a login into a denial of service.
_CEILING = Argon2(memory_kib=1024 * 1024, passes=16, lanes=8)


@dataclass(frozen=True, slots=True)
class PasswordSlot:
    """A master key wrapped under a password."""

    argon2: Argon2
    salt: bytes
    wrapped: bytes

    def open(self, password: str, context: bytes) -> Secret:
        """Return the master key.

        Raises:
            BadCredentials: the password is wrong, or the slot belongs to another account (`context`).
            Damaged: no password can open the slot.
            AccountUnavailable: there is not enough memory now.
        """
        if not self._is_sane:
            raise Damaged("a key slot is damaged, or asks for more memory or time than is sane")
        try:
            octets = prepared(password)
        except UnusablePassword:
            octets = b""  # which opens no slot, but takes as long
        try:
            return unwrap(_stretch(octets, self.salt, self.argon2), self.wrapped, context)
        except Damaged:
            raise BadCredentials("wrong user name or password") from None

    @property
    def _is_sane(self) -> bool:
        argon2 = self.argon2
        return (
            8 * argon2.lanes <= argon2.memory_kib <= _CEILING.memory_kib
            and 0 < argon2.passes <= _CEILING.passes
            and 0 < argon2.lanes <= _CEILING.lanes
            and len(self.salt) == SALT_BYTES
            and len(self.wrapped) == WRAPPED_BYTES
        )


def new_password_slot(master: Secret, password: str, context: bytes, argon2: Argon2 | None = None) -> PasswordSlot:
    """Wrap the master key under a password; `context` binds the slot to its account. Raises UnusablePassword."""
    argon2 = argon2 or CURRENT
    salt = secrets.token_bytes(SALT_BYTES)
    return PasswordSlot(argon2, salt, wrap(_stretch(prepared(password), salt, argon2), master, context))


def open_any(slots: Sequence[PasswordSlot], password: str, context: bytes) -> tuple[int, Secret]:
    """Return the index and the master key of the first slot that the password opens.

    Raises:
        BadCredentials: it opens none.
        Damaged: no password can open any.
        AccountUnavailable: there is not enough memory now.
    """
    reason: BadCredentials | Damaged = Damaged("there is no key slot")
    for index, slot in enumerate(slots):
        try:
            return index, slot.open(password, context)
        except BadCredentials as error:
            reason = error
        except Damaged as error:
            reason = reason if isinstance(reason, BadCredentials) else error
    raise reason


def spend_time() -> None:
    """Work as long as opening one slot takes, so that response times do not reveal which users exist.

    Raises:
        AccountUnavailable: there is not enough memory now.
    """
    _stretch(b"", bytes(SALT_BYTES), CURRENT)


def _stretch(password: bytes, salt: bytes, argon2: Argon2) -> Secret:
    try:
        return Secret(
            hash_secret_raw(password, salt, argon2.passes, argon2.memory_kib, argon2.lanes, KEY_BYTES, Type.ID)
        )
    except HashingError as error:
        raise AccountUnavailable(f"the password cannot be checked: {error}") from error


def generate_password() -> str:
    """Make a password of four groups of five letters and digits that are hard to confuse (about 99 bits)."""
    letters = "abcdefghjkmnpqrstuvwxyz23456789"
    return "-".join("".join(secrets.choice(letters) for _ in range(5)) for _ in range(4))
