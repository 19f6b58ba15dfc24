"""Delivery without the password: seal into `new/`, and say yes only when it is on stable storage.

Everything about the message (folder, flags, date) is sealed with it.  Nothing of the owner is
opened and nothing can be read back.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crymapd.config.user import MAX_BYTES, parse_user
from crymapd.crypto.stream import new_metadata
from crymapd.errors import BadMailboxName, Damaged, NoDeliveryKey
from crymapd.model.names import INBOX, canonical_mailbox
from crymapd.store.keys import delivery_recipient
from crymapd.store.layout import Layout
from crymapd.store.messages import Sealing, publish
from crymapd.store.quota import Quota
from crymapd.unix import files


def account_id(layout: Layout) -> bytes:
    """The account's public identity, from whichever copy of user.toml is readable.

    Raises:
        NoDeliveryKey: neither is (temporary: the administrator can restore it).
    """
    for path in (layout.user, layout.user_copy):
        try:
            return parse_user(files.read_small(path, MAX_BYTES)).account_id
        except (OSError, Damaged):
            continue
    raise NoDeliveryKey("cannot be read", path=layout.user)


class Delivery:
    """A message on its way in: `write` its octets, then `commit`."""

    def __init__(self, layout: Layout, sealing: Sealing) -> None:
        self._layout = layout
        self._sealing = sealing
        self.committed = False

    def write(self, data: bytes) -> None:
        """Raises TooBig."""
        self._sealing.write(data)

    def commit(self) -> None:
        """After this returns the message survives a power cut."""
        self._sealing.finish()
        publish([self._sealing], self._layout.new)
        self.committed = True


@contextmanager
def deliver(home: Path, mailbox: str, flags: frozenset[str], limit: int, max_storage: int = 0) -> Iterator[Delivery]:
    """Begin a delivery; leaving without `commit` leaves nothing behind.

    Raises:
        NoDeliveryKey: there is no key to seal for.
        OverQuota: the account has no room left.
    """
    try:
        mailbox = canonical_mailbox(mailbox)
    except BadMailboxName:
        mailbox = INBOX  # as for any mailbox that does not exist
    layout = Layout(home)
    Quota(layout, max_storage).check(0)
    now = time.time()
    recipient = delivery_recipient(layout, account_id(layout), now)
    metadata = new_metadata(int(now), 0, mailbox, tuple(sorted(flags)))
    with Sealing(layout, recipient, metadata, limit) as sealing:
        yield Delivery(layout, sealing)
