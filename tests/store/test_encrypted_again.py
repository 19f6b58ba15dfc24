"""Databases of a library that used nonces twice are encrypted anew, once, and such a library is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from crymapd.crypto.secret import Secret, derive
from crymapd.errors import ConfigError
from crymapd.store import account, maintenance
from crymapd.store.database import check_library
from crymapd.unix import sysexits
from tests.testlib.patience import PATIENCE_SECONDS
from tests.testlib.server import Server
from tests.testlib.stores import PASSWORD, StoreOpener, append, contents, message


def nonces(path: Path) -> set[bytes]:
    pages = path.read_bytes()
    return {pages[at - 32 : at - 16] for at in range(4096, len(pages) + 1, 4096)}


def as_an_older_library_left_it(path: Path, key: Secret) -> None:
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA cipher = 'chacha20'")
    connection.execute(f"PRAGMA key = 'raw:{key.reveal().hex()}'")
    connection.execute("PRAGMA application_id = 0")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def test_every_page_gets_another_nonce(home: Path, open_store: StoreOpener, event_lines: list[str]) -> None:
    store = open_store(home)
    for word in ("one", "two"):
        append(store, message(word))
    store.catch_up(60)
    held = contents(store)
    maintenance.run(store.components, 1_800_000_000.0, force=True)
    store.close()
    backup = next((home / "backup").glob("meta.db.*"))
    master = account.unlock(home, PASSWORD).master
    before = {}
    for path, label in ((home / "meta.db", "meta.db"), (backup, "meta.db"), (home / "index.db", "index.db")):
        as_an_older_library_left_it(path, derive(master, label))
        before[path] = nonces(path)
        assert before[path]

    event_lines.clear()
    store = open_store(home)
    store.catch_up(60)
    assert contents(store) == held
    store.close()
    for path, old in before.items():
        assert nonces(path) and not nonces(path) & old, path
    assert sum("encrypted anew" in line for line in event_lines) == 1

    event_lines.clear()
    after = {path: nonces(path) for path in before}
    open_store(home).close()
    assert not [line for line in event_lines if "encrypted" in line]
    assert nonces(backup) == after[backup]


@pytest.mark.parametrize("version", ["SQLite3 Multiple Ciphers 2.4.0", "SQLite3 Multiple Ciphers 2.6.0", ""])
def test_a_library_that_keeps_no_secrets_is_refused(version: str) -> None:
    with pytest.raises(ConfigError, match="pip install"):
        check_library(version)


def test_newer_libraries_are_taken() -> None:
    for version in ("2.6.1", "2.6.10", "2.10.0", "3.0"):
        check_library(f"SQLite3 Multiple Ciphers {version}")


@pytest.mark.parametrize("command", [["listen"], ["user", "add", "alice"]])
def test_no_command_starts_with_such_a_library(tmp_path: Path, command: list[str]) -> None:
    """One line that says what to do, and an exit status for it."""
    (tmp_path / "sitecustomize.py").write_text("import apsw\napsw.mc_version = 'SQLite3 Multiple Ciphers 2.4.0'\n")
    server = Server(tmp_path / "root")
    server.prepare()
    ended = subprocess.run(
        [sys.executable, "-m", "crymapd", "--root", server.root, *command],
        env={"PYTHONPATH": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    assert ended.returncode == sysexits.CONFIG and "2.4.0 would not keep mail secret" in ended.stderr, ended.stderr
    assert "Traceback" not in ended.stderr
