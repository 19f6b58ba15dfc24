"""What commands on accounts share: asking for the password."""

from __future__ import annotations

import getpass
import sys

from crymapd.cli.failure import fail
from crymapd.crypto.passwords import UnusablePassword, prepared
from crymapd.unix import sysexits


def password(*, stdin: bool, confirm: bool) -> str:
    """Read the password from the first line of standard input, or ask for it on the terminal, with `confirm` twice."""
    if stdin:
        entered = sys.stdin.buffer.readline().rstrip(b"\r\n").decode("utf-8", "surrogateescape")
    else:
        entered = getpass.getpass("Password: ")
        if confirm and getpass.getpass("Confirm: ") != entered:
            fail("crymapd", "the two entries differ", sysexits.DATAERR)
    if not entered:
        fail("crymapd", "the password is empty", sysexits.NOINPUT)
    try:
        prepared(entered)
    except UnusablePassword as error:
        fail("crymapd", str(error), sysexits.DATAERR)
    return entered
