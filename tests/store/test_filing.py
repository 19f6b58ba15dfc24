"""Filing goes on whatever one arrival is like."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from crymapd.store import account, flagsets, inbox, maintenance
from tests.testlib.stores import CHEAP, LIMIT, PASSWORD, StoreOpener, left_in, mailbox_id, opened, stored, uids


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


def test_a_small_file_that_unpacks_to_much_is_not_filed(
    home: Path, open_store: StoreOpener, event_lines: list[str]
) -> None:
    """What is read of it is bounded; it stays where it is, and others are filed."""
    deliver(home, b"Subject: bomb\r\n\r\n" + (b"0" * 78 + b"\r\n") * 1_000)
    deliver(home, b"Subject: good\r\n\r\n")
    store = open_store(home)
    store.components.filing.largest = 50_000
    assert store.select("INBOX", read_only=True).exists == 1
    (left,) = (home / "new").iterdir()
    assert any(f"{left.name[:16]}... was not filed" in line and "50000" in line for line in event_lines)
    event_lines.clear()
    assert store.select("INBOX", read_only=True).exists == 1 and not event_lines, "a session tries it once"
    store.components.filing.largest = LIMIT
    assert open_store(home).select("INBOX", read_only=True).exists == 2, "once the limit is higher"


def test_filing_looks_at_its_deadline_after_each_message(home: Path, open_store: StoreOpener) -> None:
    for number in range(20):
        deliver(home, b"Subject: %d\r\n\r\n" % number + b"0" * 100_000)
    store = open_store(home)
    assert store.components.filing.file_arrivals(0, store.indexing.arrived) == 1
    assert (
        store.components.filing.more_waits and store.components.filing.file_arrivals(60, store.indexing.arrived) == 19
    )
    assert not store.components.filing.more_waits and not list((home / "new").iterdir())


@pytest.mark.parametrize("complete", [1, 63, 64, 65, 69])
def test_what_is_being_appended_is_never_swept(home: Path, open_store: StoreOpener, complete: int) -> None:
    """Not even by a sibling whose clock has moved on by days: in the middle of a command messages have no rows yet."""
    store, sibling = open_store(home), open_store(home)
    with store.incoming() as incoming:
        for number in range(70):
            if number == complete:
                maintenance.run(sibling.components, time.time() + 3 * 86_400, force=True)
            incoming.begin("INBOX", frozenset(), None)
            incoming.write(b"Subject: %d\r\n\r\n" % number)
            incoming.end()
        maintenance.run(sibling.components, time.time() + 3 * 86_400, force=True)
        incoming.commit("INBOX")
    rows = stored(store, mailbox_id(store, "INBOX"))
    assert len(rows) == 70
    for row in rows:
        with store.read(row.message) as message:
            assert not message.is_note


def test_what_a_dead_process_left_is_swept(home: Path, open_store: StoreOpener) -> None:
    store = open_store(home)
    (home / "tmp" / "stage-1-dead").write_bytes(b"x")
    maintenance.run(store.components, time.time() + 3 * 86_400, force=True)
    assert not left_in(home / "tmp")
