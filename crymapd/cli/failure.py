"""Reasons as one clear line and a sysexits value; a traceback is a bug and goes to the log."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from crymapd import errors
from crymapd.unix import sysexits

EXIT_STATUS: dict[type[BaseException], int] = {
    errors.ConfigError: sysexits.CONFIG,
    errors.UnsafeName: sysexits.NOUSER,
    errors.NoSuchUser: sysexits.NOUSER,
    errors.AccountExists: sysexits.CANTCREAT,
    errors.TooBig: sysexits.DATAERR,
    errors.OverQuota: sysexits.TEMPFAIL,
    errors.AccountUnusable: sysexits.NOPERM,
    errors.NoDeliveryKey: sysexits.TEMPFAIL,
    errors.StoreBusy: sysexits.TEMPFAIL,
    errors.CrymapError: sysexits.SOFTWARE,
    OSError: sysexits.TEMPFAIL,
}
"""The first entry that fits, most particular first."""


Statuses = dict[type[BaseException], int]


@contextmanager
def reported(program: str, particular: Statuses | None = None) -> Iterator[None]:
    """Turn a reason into its line on standard error and its exit status.

    `particular` are the program's own statuses; with `Exception` among them even a bug has its status.
    """
    table = {**EXIT_STATUS, **(particular or {})}
    try:
        yield
    except tuple(table) as error:
        if not isinstance(error, (errors.CrymapError, OSError)):
            import traceback  # a worker of inetd has no time for it

            traceback.print_exc()
        status = next(status for kind, status in table.items() if isinstance(error, kind))
        fail(program, describe(error), status)


def describe(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno is not None:
        name = f"{error.filename}: " if error.filename else ""
        return f"{name}{error.strerror or errno.errorcode.get(error.errno, error.errno)}"
    return str(error)


def fail(program: str, text: str, status: int) -> NoReturn:
    print(f"{program}: {text}", file=sys.stderr)
    sys.exit(status)
