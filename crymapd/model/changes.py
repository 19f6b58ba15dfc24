"""What the store announces: values, never callbacks. `imap/update.py` decides when each may be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from crymapd.model.numbers import FlagSetId, ModSeq, Uid


class Entry(NamedTuple):
    """A message in a mailbox, as far as its flags are concerned."""

    uid: Uid
    flagset: FlagSetId
    modseq: ModSeq


@dataclass(frozen=True, slots=True)
class Changes:
    """What happened in a mailbox after a modseq, in time proportional to it.

    Attributes:
        modseq: the mailbox's modseq now.
        next_uid: the UID the next message will get.
        changed: entries whose flags have changed, and those that are new, ascending by UID.
        expunged: UIDs gone, ascending.
        gone: whether the mailbox itself was deleted (or became \\Noselect).
        forgotten: whether expunges are among it that are no longer remembered; then nothing of it is told.
    """

    modseq: ModSeq
    next_uid: Uid
    changed: tuple[Entry, ...] = ()
    expunged: tuple[Uid, ...] = ()
    gone: bool = False
    forgotten: bool = False
