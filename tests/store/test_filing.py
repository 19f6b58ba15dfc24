"""Filing goes on whatever one arrival is like."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from crymapd.store import account, flagsets, inbox
from tests.testlib.stores import CHEAP, LIMIT, PASSWORD, opened, uids


def deliver(home: Path, text: bytes, *flags: str) -> None:
    with inbox.deliver(home, "INBOX", frozenset(flags), LIMIT) as delivery:
        delivery.write(text)
        delivery.commit()


def test_one_unreadable_arrival_does_not_hold_up_the_others(
    tmp_path: Path, cheap_hash: None, event_lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(account.create(tmp_path, PASSWORD, CHEAP))
    deliver(tmp_path, b"Subject: one\r\n\r\n")
    held = next((tmp_path / "new").iterdir())
    deliver(tmp_path, b"Subject: two\r\n\r\n")
    real = os.open

    def refusing(path: str | Path, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if Path(path).name == held.name:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", refusing)
    assert store.select("INBOX", read_only=True).exists == 1
    assert held.exists() and any("was not filed" in line for line in event_lines)
    monkeypatch.undo()
    store.close()


def test_too_many_keywords_cost_the_keywords(tmp_path: Path, cheap_hash: None, monkeypatch: pytest.MonkeyPatch) -> None:
    store = opened(account.create(tmp_path, PASSWORD, CHEAP))
    monkeypatch.setattr(flagsets, "MAX_KEYWORDS", 2)
    deliver(tmp_path, b"Subject: one\r\n\r\n", "a", "b", "c", "\\Seen")
    view = store.select("INBOX", read_only=True)
    assert view.exists == 1
    (row,) = store.components.entries.entries(view.mailbox.id, [uids(1, 10)])
    assert store.components.meta.flagsets.flags_of(row[1]) == "\\Seen"
    store.close()
