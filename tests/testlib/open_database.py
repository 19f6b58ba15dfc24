"""Look into an account's encrypted database by hand, with its password.

    python -m tests.testlib.open_database HOME              an SQL shell on meta.db
    python -m tests.testlib.open_database HOME index        the same on index.db
    python -m tests.testlib.open_database HOME meta "SELECT name, next_uid FROM mailboxes"

The password is asked for, or read from standard input if that is no terminal. The tool works on copies in a temporary
directory, which it removes at its end: it changes nothing in the account, leaves no file of root's there, and may be
used while the server runs. It shows what was committed when it began.
"""

from __future__ import annotations

import argparse
import getpass
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import apsw.shell

from crymapd.crypto.secret import derive
from crymapd.store import account
from crymapd.store.layout import Layout

LABELS = {"meta": "meta.db", "index": "index.db"}  # docs/store.md, "Keys and labels"


@contextmanager
def opened(home: Path, password: str, name: str = "meta") -> Iterator[apsw.Connection]:
    """Open a copy of a database of the account in `home`.

    Raises:
        BadCredentials: the password is wrong, or there is no account.
        FileNotFoundError: there is no such database.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy = Layout(Path(folder))
        copy.make()
        shutil.copyfile(home / "user.toml", copy.user)
        key = derive(account.unlock(copy.home, password).master, LABELS[name])
        for suffix in ("", "-wal"):  # the log holds what was committed last; without one there is nothing to add
            source = home / f"{name}.db{suffix}"
            if source.exists() or not suffix:
                shutil.copyfile(source, copy.home / source.name)
        connection = apsw.Connection(str(copy.home / f"{name}.db"))
        try:
            connection.execute("PRAGMA cipher = 'chacha20'")
            connection.execute(f"PRAGMA key = 'raw:{key.reveal().hex()}'")
            yield connection
        finally:
            connection.close()


def main() -> None:
    """Run the SQL that is asked for, or a shell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=Path, metavar="HOME", help="the directory that holds user.toml")
    parser.add_argument("database", nargs="?", choices=LABELS, default="meta")
    parser.add_argument("sql", nargs="?", help="a statement to run instead of the shell")
    asked = parser.parse_args()
    password = getpass.getpass() if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    with opened(asked.home, password, asked.database) as connection:
        shell = apsw.shell.Shell(db=connection)
        if asked.sql is None:
            shell.cmdloop()  # type: ignore[no-untyped-call]  # apsw has no types for it
        else:
            shell.process_sql(asked.sql)


if __name__ == "__main__":
    main()
