"""`crymapd user hide`: an account does not announce capabilities that one of its clients takes wrongly."""

from __future__ import annotations

from pathlib import Path

import msgspec

from crymapd.cli import accounts
from crymapd.config.system import load_root
from crymapd.errors import NoSuchUser
from crymapd.model.names import canonical_user
from crymapd.store import account
from crymapd.store.user_file import Preferences
from crymapd.unix.owner import Place, UserDirectory


def run(root_dir: Path | None, name: str, capabilities: tuple[str, ...], *, stdin: bool) -> None:
    """Hide these capabilities and no others from the next login on; without any, everything is shown again."""
    root = load_root(root_dir)
    link = root.users / canonical_user(name)
    if not link.is_dir():
        raise NoSuchUser(f"no user {name} in {root.users}")
    with UserDirectory.open(Place.of(link.resolve())) as directory:
        password = accounts.password(stdin=stdin, confirm=False)
        wanted = Preferences(tuple(sorted({capability.upper() for capability in capabilities})))

        def change(home: Path) -> None:
            unlocked = account.unlock(home, password)
            changed = msgspec.structs.replace(unlocked.user, preferences=wanted)
            account.save(unlocked.layout, changed.signed(unlocked.master))

        directory.in_child(change)
