"""Delivery without the password: seal a message into `new/`, and return only when it is on stable storage.

Mailbox, flags and date are sealed together with the message.  A delivery opens nothing of the owner's and
cannot read back what it has written.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crymapd.crypto.stream import new_metadata
from crymapd.errors import BadMailboxName, Damaged, NoDeliveryKey
from crymapd.model.names import INBOX, canonical_mailbox
from crymapd.store.keys import delivery_recipient
from crymapd.store.layout import Layout
from crymapd.store.quota import Quota
from crymapd.store.sealed_file import Sealing, local_zone, publish, staging
from crymapd.store.user_file import MAX_BYTES, parse_user
from crymapd.unix import files


def account_id(layout: Layout) -> bytes:
    """Read the account id from user.toml, or from its copy if that cannot be read.

    Raises:
        NoDeliveryKey: neither can be read. Trying again later can help: the administrator may restore the file.
    """
    for path in (layout.user, layout.user_copy):
        try:
            return parse_user(files.read_small(path, MAX_BYTES)).account_id
        except (OSError, Damaged):
            continue
    raise NoDeliveryKey("cannot be read", path=layout.user)


class Delivery:
    """A message that is being delivered: `write` its octets, then `commit`."""

    def __init__(self, layout: Layout, sealing: Sealing) -> None:
        self._layout = layout
        self._sealing = sealing

    def write(self, data: bytes) -> None:
        """Take the next octets. Raises TooBig."""
        self._sealing.write(data)

    def commit(self) -> None:
        """Put the message into `new/`; once this has returned, it survives a power cut. Raises OSError."""
        self._sealing.finish()
        publish([self._sealing], self._layout.new)


@contextmanager
def deliver(home: Path, mailbox: str, flags: frozenset[str], limit: int, max_storage: int = 0) -> Iterator[Delivery]:
    """Begin a delivery. If the block is left without `commit`, nothing remains of it.

    Args:
        home: the user directory.
        mailbox: where the message should go; INBOX replaces a mailbox that does not exist at filing.
        flags: the flags that it should have.
        limit: the largest size of a message in octets.
        max_storage: how many octets all sealed files may have together; 0 for no limit.

    Raises:
        NoDeliveryKey: there is no key to seal for.
        OverQuota: the account has no room left.
    """
    try:
        mailbox = canonical_mailbox(mailbox)
    except BadMailboxName:
        mailbox = INBOX  # a bad name is treated like a mailbox that does not exist
    layout = Layout(home)
    Quota(layout, max_storage).check(0)
    now = time.time()
    recipient = delivery_recipient(layout, account_id(layout), now)
    metadata = new_metadata(int(now), local_zone(now), mailbox, tuple(sorted(flags)))
    with staging(layout), Sealing(layout, recipient, metadata, limit) as sealing:
        yield Delivery(layout, sealing)
