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
_CEILING = Argon2(memory_kib=256 * 1024, passes=8, lanes=8)
"""The most that a slot may demand."""
_MOST_WORK = 4 * 64 * 1024 * 3
"""What checking one password may cost, in KiB and passes: four times today's slot."""


class Budget:
    """What may still be spent on one password, whatever `user.toml` and its copy ask for.

    A user may write these files as he likes, and every check of his password occupies a place that others wait for.
    """

    def __init__(self) -> None:
        self._left = _MOST_WORK
        self._refused: set[PasswordSlot] = set()

    def spend(self, argon2: Argon2) -> bool:
        """Whether there is enough left for such a hash, which is then spent."""
        work = argon2.memory_kib * argon2.passes
        if work > self._left:
            return False
        self._left -= work
        return True

    def has_refused(self, slot: PasswordSlot) -> bool:
        """Whether the password is known not to open this slot, which the other copy has too."""
        return slot in self._refused

    def note_refused(self, slot: PasswordSlot) -> None:
        self._refused.add(slot)


@dataclass(frozen=True, slots=True)
class PasswordSlot:
    """A master key wrapped under a password."""

    argon2: Argon2
    salt: bytes
    wrapped: bytes

    def open(self, password: str, context: bytes, budget: Budget | None = None) -> Secret:
        """Return the master key.

        Args:
            password: as it was given.
            context: the account id.
            budget: what the check may cost; by default as much as for one password.

        Raises:
            BadCredentials: the password is wrong, or the slot belongs to another account (`context`).
            Damaged: no password can open the slot.
            AccountUnavailable: there is not enough memory now.
        """
        budget = budget or Budget()
        if budget.has_refused(self):
            raise BadCredentials("wrong user name or password")
        if not self._is_sane or not budget.spend(self.argon2):
            raise Damaged("a key slot is damaged, or asks for more memory or time than is sane")
        try:
            octets = prepared(password)
        except UnusablePassword:
            octets = b""  # which opens no slot, but takes as long
        try:
            return unwrap(_stretch(octets, self.salt, self.argon2), self.wrapped, context)
        except Damaged:
            budget.note_refused(self)
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


def open_any(slots: Sequence[PasswordSlot], password: str, context: bytes, budget: Budget) -> tuple[int, Secret]:
    """Return the index and the master key of the first slot that the password opens.

    Raises:
        BadCredentials: it opens none.
        Damaged: no password can open any.
        AccountUnavailable: there is not enough memory now.
    """
    reason: BadCredentials | Damaged = Damaged("there is no key slot")
    for index, slot in enumerate(slots):
        try:
            return index, slot.open(password, context, budget)
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
    except (HashingError, MemoryError) as error:
        reason = str(error) or "out of memory"
        raise AccountUnavailable(f"the password cannot be checked: {reason}") from error


def generate_password() -> str:
    """Make a password of four groups of five letters and digits that are hard to confuse (about 99 bits)."""
    letters = "abcdefghjkmnpqrstuvwxyz23456789"
    return "-".join("".join(secrets.choice(letters) for _ in range(5)) for _ in range(4))
