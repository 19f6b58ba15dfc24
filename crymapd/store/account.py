"""An account: created, unlocked with a password, its `user.toml` kept twice.

`user.toml` is the one file whose loss would lose all mail, so `backup/user.toml` is its equal copy;
each login repairs whichever of the two is not what was written.
"""

from __future__ import annotations

import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from crymapd import log
from crymapd.config.user import FORMAT, MAX_BYTES, User, format_user, parse_user, slot_of
from crymapd.crypto import slots
from crymapd.crypto.secret import Secret, random_secret
from crymapd.errors import AccountExists, AccountUnusable, BadCredentials, Damaged
from crymapd.store.layout import Layout
from crymapd.unix import files


@dataclass(frozen=True, slots=True)
class Unlocked:
    """An account whose password was right."""

    layout: Layout
    user: User
    master: Secret


def create(home: Path, password: str, argon2: slots.Argon2 | None = None) -> Unlocked:
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
        BadCredentials: wrong password (or, the same to the caller, no such account).
        AccountUnusable: right password, but neither copy of user.toml is intact.
    """
    layout = Layout(home)
    copies = _readable_copies(layout)
    altered: Damaged | None = None
    for path, user in copies:
        try:
            index, master = slots.open_any([s.password_slot() for s in user.slot], password, user.account_id)
            user.check(master)
        except BadCredentials:
            continue
        except Damaged as error:
            altered = error
            continue
        user = _strengthen(layout, user, index, master, password)
        _repair(layout, user, path)
        return Unlocked(layout, user, master)
    if altered is not None:
        raise AccountUnusable(f"no copy of user.toml is intact: {altered}")
    if not copies:
        slots.spend_time(password)
    raise BadCredentials("wrong user name or password")


def _readable_copies(layout: Layout) -> list[tuple[Path, User]]:
    """user.toml and its copy, where they can be parsed; the copy only where it differs."""
    found: list[tuple[Path, User]] = []
    seen: list[bytes] = []
    for path in (layout.user, layout.user_copy):
        with suppress(OSError, Damaged):
            content = files.read_small(path, MAX_BYTES)
            if content not in seen:
                seen.append(content)
                found.append((path, parse_user(content)))
    return found


def save(layout: Layout, user: User) -> None:
    """Write both copies, the working one first; either the old or the new always works."""
    text = format_user(user)
    files.write_atomic(layout.tmp, layout.user, text, replace=True)
    files.write_atomic(layout.tmp, layout.user_copy, text, replace=True)


def _strengthen(layout: Layout, user: User, index: int, master: Secret, password: str) -> User:
    """Re-wrap a slot whose Argon2 parameters are weaker than today's."""
    old = user.slot[index]
    if not old.password_slot().argon2.weaker_than(slots.CURRENT):
        return user
    made = slots.new_password_slot(master, password, user.account_id)
    new = slot_of(made, old.label, old.created, _timestamp())
    slots_now = (*user.slot[:index], new, *user.slot[index + 1 :])
    changed = msgspec.structs.replace(user, slot=slots_now).signed(master)
    save(layout, changed)
    return changed


def _repair(layout: Layout, user: User, source: Path) -> None:
    if source == layout.user_copy:
        log.user_restored("missing or altered")
    if not _same_bytes(layout.user, layout.user_copy):
        layout.make()
        _keep_strangers(layout, user)
        save(layout, user)


def _keep_strangers(layout: Layout, user: User) -> None:
    """A copy that is another account's may be the only one that opens the mail here: it is put aside."""
    for path, other in _readable_copies(layout):
        if other.id != user.id:
            layout.put_aside(path, str(int(time.time())))


def _same_bytes(one: Path, other: Path) -> bool:
    try:
        return files.read_small(one, MAX_BYTES) == files.read_small(other, MAX_BYTES)
    except OSError:
        return False


def _timestamp() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
