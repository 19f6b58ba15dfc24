"""The last step of a login whose client wants the mail: the store is opened, and daily maintenance begun."""

from __future__ import annotations

from pathlib import Path

from crymapd import log
from crymapd.authentication.login import LoggedIn
from crymapd.daemon.client import Client
from crymapd.errors import AccountUnusable, CrymapError
from crymapd.store import maintenance
from crymapd.store.account import Unlocked
from crymapd.store.epoch import EpochFile
from crymapd.store.store import Store
from crymapd.store.summary import Prepare


def open_witness(logged_in: LoggedIn, state: int) -> EpochFile | None:
    """Open the file outside the user directory that shows when an older one was put back, before `confine`.

    Args:
        logged_in: who has logged in.
        state: a descriptor of the directory `state`.
    """
    name = f"seen-{logged_in.unlocked.user.account_id.hex()}"
    try:
        return EpochFile(Path(name), state)
    except OSError as error:
        log.no_witness(f"state/{name}: {error.strerror}")
        return None


def open_store(
    unlocked: Unlocked, logged_in: LoggedIn, client: Client, prepare: Prepare, witness: EpochFile | None
) -> Store:
    """Open the store of an account to which this process is confined.

    Args:
        unlocked: what `confine` gave.
        logged_in: who has logged in.
        client: whose connection a child for maintenance must not keep open.
        prepare: makes a protocol's answers of a message, to be kept in the index.
        witness: what `open_witness` gave.

    Raises:
        AccountUnusable: it cannot be opened; the log says why.
    """
    limits = client.site.root.system.limits
    try:
        maintenance.in_child(unlocked, client.channel.descriptors, witness)
        return Store(unlocked, prepare, limits.max_message_size, limits.max_storage, witness)
    except (CrymapError, OSError) as error:
        log.account_unusable(logged_in.name, f"{logged_in.directory.place.called}: {error}")
        raise AccountUnusable(str(error)) from error
