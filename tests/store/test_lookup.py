"""Questions to `meta.db` whose time must grow with what is asked for, not with the square of it."""

from __future__ import annotations

from itertools import count
from pathlib import Path

from crymapd.store.view import View
from tests.testlib.linear import assert_linear
from tests.testlib.stores import EVERY, StoreOpener, append, mailbox_id, message


def test_what_others_have_expunged(home: Path, open_store: StoreOpener) -> None:
    """A session that has not been told of expunges still answers for all the messages that it counts."""
    store, other = open_store(home), open_store(home)
    append(store, message("one"))
    inbox, names = mailbox_id(store, "INBOX"), count()

    def expunged_elsewhere(size: int) -> View:
        name = f"box-{next(names)}"
        box = store.mailboxes.create(name).id
        store.components.entries.copy(inbox, EVERY, box)
        for _doubling in range(size.bit_length() - 1):
            store.components.entries.copy(box, EVERY, box)
        view = store.select(name, read_only=True)
        assert view.exists == len(view.uids) == size
        other.components.entries.expunge(box, EVERY, only_deleted=False)
        return view

    def ask(view: View) -> int:
        return sum(len(page.uids) for page in view.entry_pages(EVERY)) + sum(
            len(rows.uids) for rows in view.rows(EVERY)
        )

    assert ask(expunged_elsewhere(64)) == 2 * 64
    assert_linear(expunged_elsewhere, ask, size=512, largest=512)
