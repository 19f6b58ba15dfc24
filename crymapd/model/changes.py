"""The values that the store announces, never by callbacks. `imap/update.py` decides when a client is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from crymapd.model.numbers import FlagSetId, ModSeq, Uid


class Entry(NamedTuple):
    """A message in a mailbox, reduced to its UID and flags."""

    uid: Uid
    flagset: FlagSetId
    modseq: ModSeq


@dataclass(frozen=True, slots=True)
class Changes:
    """What happened in a mailbox after a modseq; collecting it takes time proportional to the changes.

    Attributes:
        modseq: the mailbox's current modseq.
        next_uid: the UID that the next message will get.
        changed: new entries and those whose flags have changed, ascending by UID.
        expunged: the UIDs of messages that were expunged, ascending.
        gone: whether the mailbox itself was deleted (or became \\Noselect).
        forgotten: whether some of the expunges are no longer remembered; then none of the changes is told.
    """

    modseq: ModSeq
    next_uid: Uid
    changed: tuple[Entry, ...] = ()
    expunged: tuple[Uid, ...] = ()
    gone: bool = False
    forgotten: bool = False
