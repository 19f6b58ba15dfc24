"""A made-up session of IMAP before the first real one, so that workers share what a first run leaves in memory.

CPython rewrites byte code while it learns what that works on, and modules fill their caches.  As this happens in the
listener, each worker inherits it: logins and first commands take a tenth less time, and a worker a tenth less memory
of its own.
"""

from __future__ import annotations

import os
import secrets
import socket
import tempfile
from contextlib import suppress
from pathlib import Path

from crymapd.channel import Channel
from crymapd.crypto.slots import Argon2
from crymapd.errors import CrymapError
from crymapd.imap.prepared import prepare
from crymapd.imap.server import Server
from crymapd.imap.session import Session
from crymapd.store import account
from crymapd.store.store import Store

_TURNS = 8
"""How often CPython runs a function before it rewrites it."""
_ROOM = 1 << 18
_FOLDERS = ("/tmp", "/var/tmp")  # noqa: S108  # tempfile would fall back on the working directory, which is the users'
_MESSAGE = (
    b"From: A <a@example.org>\r\nTo: b@example.org\r\nSubject: =?utf-8?q?=C3=A9?=\r\nDate: Mon, 1 Jun 2026 09:00:00"
    b" +0200\r\nMessage-ID: <a@example.org>\r\nContent-Type: text/plain; charset=utf-8\r\n\r\ntext\r\n"
)
_COMMANDS = (
    b"APPEND INBOX {%d+}\r\n%b" % (len(_MESSAGE), _MESSAGE),
    b"CAPABILITY",
    b'LIST "" *',
    b"STATUS INBOX (MESSAGES UIDNEXT UIDVALIDITY UNSEEN)",
    b"SELECT INBOX",
    b"NOOP",
    b"IDLE\r\nDONE",
    b"UID FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE)",
    b"UID FETCH 1:* (BODY.PEEK[HEADER.FIELDS (From Subject)])",
    b"UID FETCH 1:* (UID FLAGS)",
    b"FETCH 1:* (FLAGS)",
    b"UID FETCH 1 (BODY.PEEK[])",
    b"UID SEARCH UNSEEN FROM nobody",
    b"UID SEARCH TEXT nothing",
    b"UID STORE 1 +FLAGS (\\Flagged)",
    b"UID STORE 1 -FLAGS (\\Flagged)",
)


def rehearse() -> None:
    """Play the session, on an account that is gone at the end; where there is no room for that, do nothing."""
    parent = next((folder for folder in _FOLDERS if os.access(folder, os.W_OK)), None)
    if parent is None:
        return
    with suppress(OSError, CrymapError), tempfile.TemporaryDirectory(dir=parent) as folder:
        unlocked = account.create(Path(folder), secrets.token_urlsafe(), Argon2(8, 1, 1))
        near, far = socket.socketpair()
        with far:
            for sock in (near, far):  # nobody reads: all must fit
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _ROOM)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _ROOM)
            far.setblocking(False)
            far.sendall(b"".join(b"t %b\r\n" % line for line in (b"LOGIN a b", *_COMMANDS * _TURNS, b"LOGOUT")))
            channel = Channel(near)
            session = Session(channel.write, lambda _credentials: Store(unlocked, prepare, 1 << 20))
            Server(channel, session).run()
            if session.store_or_none is not None:  # no room for one
                session.store_or_none.close()
            channel.close()
