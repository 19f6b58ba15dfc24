"""The tool that opens an encrypted database by hand sees what was committed, and changes nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from crymapd.errors import BadCredentials
from tests.testlib.open_database import opened
from tests.testlib.stores import PASSWORD, StoreOpener, append, message


def test_a_database_in_use(home: Path, open_store: StoreOpener) -> None:
    store = open_store(home)
    append(store, message("seen"))
    store.catch_up(60)
    before = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    with opened(home, PASSWORD) as meta, opened(home, PASSWORD, "index") as index:
        assert meta.execute("SELECT messages FROM mailboxes WHERE name = 'INBOX'").get == 1
        assert index.execute("SELECT count(*) FROM headers").get == 1
    assert {path: path.read_bytes() for path in home.rglob("*") if path.is_file()} == before


def test_the_wrong_password(home: Path) -> None:
    with pytest.raises(BadCredentials), opened(home, "wrong"):
        pass


def test_from_the_command_line(home: Path) -> None:
    command: list[str | Path] = [sys.executable, "-m", "tests.testlib.open_database", home]
    command += ["meta", "SELECT count(*) FROM messages"]
    done = subprocess.run(command, input=PASSWORD + "\n", capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0"
