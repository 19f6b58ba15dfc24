"""Dovecot with one empty mailbox, seen from outside only: its `imap` program, on a socket pair.

It runs as nobody (or as who runs us), listens nowhere, and ends with its connection.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.compare.asking import Asker
from tests.testlib.server import NOBODY

PROGRAM = Path("/usr/lib/dovecot/imap")
_CONFIGURATION = "log_path = {0}/log\nssl = no\nmail_location = maildir:{0}/mail\nmail_home = {0}/home\n"


@contextmanager
def dovecot(root: Path) -> Iterator[Asker]:
    """A connection to it, logged in, INBOX empty and selected."""
    (root / "home").mkdir(parents=True)
    (root / "dovecot.conf").write_text(_CONFIGURATION.format(root))
    owner = NOBODY if os.geteuid() == 0 else None
    if owner is not None:
        for path in (root, *root.iterdir()):
            shutil.chown(path, owner, owner)
    near, far = socket.socketpair()
    command: list[str | Path] = [PROGRAM, "-c", root / "dovecot.conf"]
    with far:
        process = subprocess.Popen(
            command, stdin=far.fileno(), stdout=far.fileno(), stderr=subprocess.DEVNULL, cwd=root,
            env={"HOME": str(root / "home"), "USER": "us"}, user=owner, group=owner, extra_groups=None if owner is None else [],
        )  # fmt: skip
    with near:
        asker = Asker(near)
        asker.command(b"SELECT INBOX")
        yield asker
    try:
        process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
