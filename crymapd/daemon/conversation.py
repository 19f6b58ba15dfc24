"""What a worker does once its client has been greeted: the protocol, login, the store.

Most of a worker's modules are loaded with this one: by the listener before any client comes, and by a
process of inetd while its client reads the greeting.  Everything a worker ever needs is imported by then:
after login it is confined and cannot read the program's own files.
"""

from __future__ import annotations

import traceback  # noqa: F401  # for a crash later, when nothing can be loaded any more
from pathlib import Path

from crymapd.channel import Channel
from crymapd.config.system import Root
from crymapd.daemon.login import Login
from crymapd.daemon.throttle import Throttle
from crymapd.imap.server import Server
from crymapd.imap.session import Session
from crymapd.unix.lockpool import LockPool


def converse(channel: Channel, root: Root, users: Path, address: str, peer: str) -> None:
    """Until one side ends it."""
    limits, state = root.system.limits, root.directory / "state"
    pool = LockPool(state, limits.concurrent_logins)
    login = Login(users, limits, pool, Throttle(state), peer, address, channel.fileno())
    identification = tuple((k.replace("_", "-"), v) for k, v in root.system.identification.items())
    session = Session(channel.write, login, identification)
    session.flush = channel.flush
    try:
        Server(channel, session).run()
    finally:
        if session.store_or_none is not None:
            session.store_or_none.close()
