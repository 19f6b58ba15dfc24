"""What tests of the store share: a user directory, and stores opened on it with a cheap password hash."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from crymapd import log
from crymapd.crypto import slots
from crymapd.imap.prepared import prepare
from crymapd.store import account
from crymapd.store.components import open_components
from crymapd.store.store import Store
from tests.testlib.stores import CHEAP, LIMIT, PASSWORD, OpenedStore, StoreOpener

pytest_plugins = ["tests.testlib.needs"]


@pytest.fixture
def cheap_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    """Logins that take no time: Argon2 with 8 KiB, and no slot is weaker than that."""
    monkeypatch.setattr(slots, "CURRENT", CHEAP)


@pytest.fixture
def home(tmp_path: Path, cheap_hash: None) -> Path:
    """The user directory of a new account with the password `PASSWORD`, opened once."""
    directory = tmp_path / "home"
    directory.mkdir(mode=0o700)
    open_components(account.create(directory, PASSWORD, CHEAP)).close()
    return directory


@pytest.fixture
def open_store(cheap_hash: None) -> Iterator[StoreOpener]:
    """Logs in and opens the store of a directory, as often as wanted; what is left open is closed at the end."""
    opened: list[OpenedStore] = []

    def opener(directory: Path, password: str = PASSWORD) -> Store:
        store = OpenedStore(account.unlock(directory, password), prepare, LIMIT)
        opened.append(store)
        return store

    yield opener
    for store in opened:
        store.close()


@pytest.fixture
def event_lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the store tells the postmaster while a test runs."""
    lines: list[str] = []
    monkeypatch.setattr(log, "sink", lambda _severity, line: lines.append(line))
    return lines
