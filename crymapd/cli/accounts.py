"""What commands on accounts share: whose a directory is, acting as its owner, asking for the password."""

from __future__ import annotations

import getpass
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from crymapd.cli.failure import describe, fail
from crymapd.crypto.slots import MAX_PASSWORD_BYTES
from crymapd.errors import AccountUnusable, CrymapError
from crymapd.unix import privileges, sysexits


def as_owner(home: Path, owner: privileges.Owner | None, action: Callable[[Path], None]) -> None:
    """Call `action` with the user directory as its owner sees it: in a confined child where we are root.

    Raises:
        AccountUnusable: it failed in the child, which has said why.
    """
    if owner is None:
        action(home)
        return
    child = os.fork()
    if child == 0:
        status = sysexits.SOFTWARE
        try:
            privileges.confine_root(home)
            privileges.become(owner)
            action(Path("/"))
            status = 0
        except (OSError, CrymapError) as error:
            print(f"crymapd: {describe(error)}", file=sys.stderr)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    if os.waitpid(child, 0)[1] != 0:
        raise AccountUnusable(f"nothing was changed in {home}, as its owner (uid {owner.uid})")


def password(*, stdin: bool, confirm: bool) -> str:
    """From the first line of standard input, or from the terminal, there perhaps twice."""
    if stdin:
        found = sys.stdin.readline().rstrip("\r\n")
    else:
        found = getpass.getpass("Password: ")
        if confirm and getpass.getpass("Confirm: ") != found:
            fail("crymapd", "the two entries differ", sysexits.DATAERR)
    if not found:
        fail("crymapd", "the password is empty", sysexits.NOINPUT)
    if len(found.encode()) > MAX_PASSWORD_BYTES:
        fail("crymapd", f"the password is longer than {MAX_PASSWORD_BYTES} octets", sysexits.DATAERR)
    return found
