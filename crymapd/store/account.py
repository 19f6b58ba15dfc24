"""Creating an account, unlocking it with a password, and keeping `user.toml` twice.

`user.toml` is the one file whose loss would lose all mail.  So `backup/user.toml` is a copy that serves as
well, and each login repairs whichever of the two is missing or altered.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from crymapd import log
from crymapd.crypto import slots
from crymapd.crypto.secret import Secret, random_secret
from crymapd.crypto.slots import Argon2, PasswordSlot
from crymapd.errors import AccountExists, AccountUnavailable, AccountUnusable, BadCredentials, Damaged
from crymapd.store.layout import Layout
from crymapd.store.user_file import FORMAT, MAX_BYTES, Slot, User, format_user, parse_user
from crymapd.unix import files


@dataclass(frozen=True, slots=True)
class Unlocked:
    """An account that was opened with its password: its directory, its `user.toml` and its master key."""

    layout: Layout
    user: User
    master: Secret


def create(home: Path, password: str, argon2: Argon2 | None = None) -> Unlocked:
    """Write a new account into an existing, empty directory that the caller owns.

    Raises:
        AccountExists: there is a user.toml already.
    """
    layout = Layout(home)
    layout.make()
    master = random_secret()
    account_id = secrets.token_bytes(16)
    now = _timestamp()
    slot = slot_of(slots.new_password_slot(master, password, account_id, argon2), "password", now, now)
    user = User(FORMAT, account_id.hex(), (slot,)).signed(master)
    try:
        files.write_atomic(layout.tmp, layout.user, format_user(user), replace=False)
    except FileExistsError:
        raise AccountExists("exists already", path=layout.user) from None
    files.write_atomic(layout.tmp, layout.user_copy, format_user(user), replace=True)
    return Unlocked(layout, user, master)


def unlock(home: Path, password: str) -> Unlocked:
    """Open an account with its password.

    Raises:
        BadCredentials: the password is wrong.
        AccountUnavailable: neither copy of user.toml can be read or opened with any password, or there is no memory to
            check one; to say so takes as long as to say that a password is wrong.
        AccountUnusable: the password is right, but neither copy of user.toml is intact.
    """
    layout = Layout(home)
    copies, reasons = _readable_copies(layout)
    budget = slots.Budget()
    altered: Damaged | None = None
    is_wrong = False
    for path, user in copies:
        try:
            index, master = slots.open_any(
                [password_slot(slot) for slot in user.slot], password, user.account_id, budget
            )
        except BadCredentials:
            is_wrong = True
            continue
        except Damaged as error:
            reasons.append(f"{path}: {error}")
            continue
        try:
            user.check(master)
        except Damaged as error:
            altered = error
            continue
        try:
            user = _strengthen(layout, user, index, master, password)
            _repair(layout, user, path)
        except OSError as error:  # a full or read-only disk must not keep the owner from reading
            log.user_not_saved(str(error))
        return Unlocked(layout, user, master)
    if altered is not None:
        raise AccountUnusable(f"no copy of user.toml is intact: {altered}")
    if is_wrong:
        raise BadCredentials("wrong user name or password")
    slots.spend_time()
    raise AccountUnavailable("; ".join(reasons))


def _readable_copies(layout: Layout) -> tuple[list[tuple[Path, User]], list[str]]:
    """Read user.toml and, if it differs, its copy; also return why one or both cannot be used."""
    copies: list[tuple[Path, User]] = []
    contents: list[bytes] = []
    reasons: list[str] = []
    for path in (layout.user, layout.user_copy):
        try:
            content = files.read_small(path, MAX_BYTES)
            if content not in contents:
                contents.append(content)
                copies.append((path, parse_user(content)))
        except OSError as error:
            reasons.append(str(error))
        except Damaged as error:
            reasons.append(f"{path}: {error}")
    return copies, reasons


def password_slot(slot: Slot) -> PasswordSlot:
    """Convert a slot of `user.toml` into one that can be opened."""
    return PasswordSlot(Argon2(slot.memory_kib, slot.passes, slot.lanes), slot.salt, slot.wrapped)


def slot_of(slot: PasswordSlot, label: str, created: str, changed: str) -> Slot:
    """Convert a slot into one for `user.toml`; the times are UTC, as in `2026-11-23T00:53:35Z`."""
    argon2 = slot.argon2
    return Slot(
        "password", label, created, changed, slot.salt, argon2.memory_kib, argon2.passes, argon2.lanes, slot.wrapped
    )


def save(layout: Layout, user: User) -> None:
    """Write user.toml, then its copy, so that at any moment one of the two is complete."""
    text = format_user(user)
    files.write_atomic(layout.tmp, layout.user, text, replace=True)
    files.write_atomic(layout.tmp, layout.user_copy, text, replace=True)


def _strengthen(layout: Layout, user: User, index: int, master: Secret, password: str) -> User:
    """Wrap the master key again in a slot whose Argon2 parameters are weaker than today's."""
    old_slot = user.slot[index]
    if not password_slot(old_slot).argon2.weaker_than(slots.CURRENT):
        return user
    strong_slot = slots.new_password_slot(master, password, user.account_id)
    new_slot = slot_of(strong_slot, old_slot.label, old_slot.created, _timestamp())
    new_slots = (*user.slot[:index], new_slot, *user.slot[index + 1 :])
    changed_user = msgspec.structs.replace(user, slot=new_slots).signed(master)
    save(layout, changed_user)
    return changed_user


def _repair(layout: Layout, user: User, source: Path) -> None:
    """Make both copies equal again after one of them, read from `source`, has opened the account."""
    if source == layout.user_copy:
        log.user_restored("missing or altered")
    if not _same_bytes(layout.user, layout.user_copy):
        layout.make()
        _keep_strangers(layout, user)
        save(layout, user)


def _keep_strangers(layout: Layout, user: User) -> None:
    """Put aside a copy that belongs to another account: perhaps nothing else can open the mail in this directory."""
    for path, other in _readable_copies(layout)[0]:
        if other.id != user.id:
            layout.put_aside(path, str(int(time.time())))


def _same_bytes(path: Path, other: Path) -> bool:
    try:
        return files.read_small(path, MAX_BYTES) == files.read_small(other, MAX_BYTES)
    except OSError:
        return False


def _timestamp() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
