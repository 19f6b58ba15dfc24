"""How a program ends that cannot do what it was asked: one clear line and an exit status of sysexits(3).

A reason that may pass has the status 75 (EX_TEMPFAIL), whatever its type; only what is permanent has a status of
its own, and the table below holds those.  A traceback is a bug of ours and nothing else.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

from crymapd import errors
from crymapd.unix import sysexits

EXIT_STATUS: dict[type[errors.CrymapError], int] = {
    errors.ConfigError: sysexits.CONFIG,
    errors.UnsafeName: sysexits.NOUSER,
    errors.NoSuchUser: sysexits.NOUSER,
    errors.AccountExists: sysexits.CANTCREAT,
    errors.BadCredentials: sysexits.NOPERM,
    errors.AccountUnusable: sysexits.NOPERM,
    errors.KeyMissing: sysexits.NOPERM,
    errors.Damaged: sysexits.NOPERM,
    errors.NewerStore: sysexits.NOPERM,
    errors.TooBig: sysexits.DATAERR,
}
"""The permanent reasons that a program can meet; no row is a subclass of another."""

Statuses = dict[type[BaseException], int]


@contextmanager
def reported(program: str, particular: Statuses | None = None) -> Iterator[None]:
    """Turn a reason into a line on standard error and an exit status.

    Args:
        program: the name that the line begins with.
        particular: the statuses that this program gives otherwise than the table.  With `Exception` among them
            even a bug has a status of its own; without, its traceback is Python's affair.
    """
    try:
        yield
    except Exception as error:
        status = exit_status(error, particular or {})
        if status is None:
            raise
        if not isinstance(error, (errors.CrymapError, OSError)):
            import traceback  # a worker of inetd has no time to load it before it is needed

            traceback.print_exc()
        fail(program, describe(error), status)


def exit_status(error: BaseException, particular: Statuses | None = None) -> int | None:
    """Find the status: the program's own first, then 75 for what may pass, then the table's; None for a bug."""
    own = [status for kind, status in (particular or {}).items() if kind is not Exception and isinstance(error, kind)]
    if own:
        return own[0]
    if isinstance(error, OSError):
        return sysexits.TEMPFAIL
    if isinstance(error, errors.CrymapError):
        if not error.permanent:
            return sysexits.TEMPFAIL
        return next((status for kind, status in EXIT_STATUS.items() if isinstance(error, kind)), sysexits.SOFTWARE)
    return (particular or {}).get(Exception)


def describe(error: BaseException) -> str:
    """Say in one line what went wrong, with the file's name before the system's reason."""
    if isinstance(error, OSError) and error.errno is not None:
        name = f"{error.filename}: " if error.filename else ""
        return f"{name}{error.strerror or errno.errorcode.get(error.errno, error.errno)}"
    return str(error)


def fail(program: str, text: str, status: int) -> NoReturn:
    """End the program with a line on standard error."""
    with suppress(OSError):  # there is no other place where this could be said, and the status says most of it
        print(f"{program}: {text}", file=sys.stderr, flush=True)
    sys.exit(status)
