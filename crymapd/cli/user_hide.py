"""`crymapd user hide`: capabilities that an account does not announce, for clients that take them wrongly."""

from __future__ import annotations

from pathlib import Path

import msgspec

from crymapd.cli import accounts
from crymapd.config.system import load_root
from crymapd.errors import NoSuchUser
from crymapd.model.names import canonical_user
from crymapd.store import account
from crymapd.store.user_file import Preferences
from crymapd.unix import privileges


def run(root_dir: Path | None, name: str, capabilities: tuple[str, ...], *, stdin: bool) -> None:
    """Hide these and no others from the next login on; none at all shows everything again."""
    root = load_root(root_dir)
    link = root.users / canonical_user(name)
    if not link.is_dir():
        raise NoSuchUser(f"no user {name} in {root.users}")
    home, owner = privileges.enter(link.resolve()) if privileges.is_root() else (link.resolve(), None)
    password = accounts.password(stdin=stdin, confirm=False)
    wanted = Preferences(tuple(sorted({capability.upper() for capability in capabilities})))

    def change(directory: Path) -> None:
        unlocked = account.unlock(directory, password)
        changed = msgspec.structs.replace(unlocked.user, preferences=wanted)
        account.save(unlocked.layout, changed.signed(unlocked.master))

    accounts.as_owner(home, owner, change)
