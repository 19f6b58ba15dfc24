"""What commands on accounts share: asking for the password."""

from __future__ import annotations

import getpass
import sys

from crymapd.cli.failure import fail
from crymapd.crypto.slots import MAX_PASSWORD_BYTES
from crymapd.unix import sysexits


def password(*, stdin: bool, confirm: bool) -> str:
    """Read the password from the first line of standard input, or ask for it on the terminal, with `confirm` twice."""
    if stdin:
        entered = sys.stdin.readline().rstrip("\r\n")
    else:
        entered = getpass.getpass("Password: ")
        if confirm and getpass.getpass("Confirm: ") != entered:
            fail("crymapd", "the two entries differ", sysexits.DATAERR)
    if not entered:
        fail("crymapd", "the password is empty", sysexits.NOINPUT)
    if len(entered.encode()) > MAX_PASSWORD_BYTES:
        fail("crymapd", f"the password is longer than {MAX_PASSWORD_BYTES} octets", sysexits.DATAERR)
    return entered
