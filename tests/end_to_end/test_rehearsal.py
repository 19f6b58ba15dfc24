"""The rehearsal before the first client: soon over, and nothing of it stays where users are."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from crymapd import channel
from crymapd.daemon import rehearsal
from tests.testlib.process import no_file_longer_than


def test_soon_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it says fits into the sockets, as nobody reads: it would wait a minute for that."""
    monkeypatch.setattr(rehearsal, "_FOLDERS", (str(tmp_path),))
    before = time.monotonic()
    rehearsal.rehearse()
    assert time.monotonic() - before < channel.WRITE_TIMEOUT
    assert not list(tmp_path.iterdir())


def test_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a chroot there may be no /tmp; the working directory, which is that of the users, is no place for it."""
    monkeypatch.setattr(rehearsal, "_FOLDERS", (str(tmp_path / "none"),))
    users = tmp_path / "users"
    users.mkdir()
    monkeypatch.chdir(users)
    made = os.stat(users).st_mtime_ns
    rehearsal.rehearse()
    assert os.stat(users).st_mtime_ns == made


def test_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk: the account can be made, its database cannot."""
    monkeypatch.setattr(rehearsal, "_FOLDERS", (str(tmp_path),))
    with no_file_longer_than(24 * 1024):
        rehearsal.rehearse()
    assert not list(tmp_path.iterdir())
