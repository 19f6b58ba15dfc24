"""The conversation of `imaps`: the protocol, login, the store.

Most of a worker's modules are loaded with this one: by the listener before any client comes, and by a process of inetd
while its client reads the greeting.  Everything that a worker ever needs is imported by then: after login it is
confined and cannot read the program's own files.
"""

from __future__ import annotations

import os
import traceback  # noqa: F401  # for a crash later, when nothing can be loaded any more

from crymapd.authentication.credentials import Credentials
from crymapd.authentication.gate import Gate
from crymapd.authentication.login import Authenticator, confine
from crymapd.daemon.client import Client
from crymapd.daemon.opening import open_store, open_witness
from crymapd.imap.prepared import prepare
from crymapd.imap.server import Server
from crymapd.imap.session import Session
from crymapd.store.store import Store


def converse(client: Client) -> None:
    """Talk to a client until one side ends it."""
    root, channel, state = client.site.root, client.channel, client.site.state
    gate = Gate(state, root.system.limits.concurrent_logins, client.address, channel.pause)
    authenticator = Authenticator(client.site.users, gate, client.address)

    def log_in(credentials: Credentials) -> Store:
        logged_in = authenticator.authenticate(credentials)
        client.has_logged_in()
        channel.reveal()
        witness = open_witness(logged_in, state)
        unlocked = confine(logged_in)
        gate.close()  # whoever takes over this worker must not reach what other accounts need
        os.close(state)
        return open_store(unlocked, logged_in, client, prepare, witness)

    identification = tuple((name.replace("_", "-"), value) for name, value in root.system.identification.items())
    session = Session(channel.write, log_in, identification)
    session.flush = channel.flush
    try:
        Server(channel, session).run()
    finally:
        if session.store_or_none is not None:
            session.store_or_none.close()
