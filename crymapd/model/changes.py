"""What the store announces: values, never callbacks. `imap/update.py` decides when each may be told."""

from __future__ import annotations

from dataclasses import dataclass

from crymapd.model.numbers import ModSeq, Uid


@dataclass(frozen=True, slots=True)
class Changes:
    """What happened in a mailbox after a modseq, in time proportional to it.

    Attributes:
        modseq: the mailbox's modseq now.
        next_uid: the UID the next message will get.
        flags: (UID, flag set, modseq) of changed or new messages, ascending.
        expunged: UIDs gone, ascending.
        gone: the mailbox itself was deleted (or became \\Noselect).
        forgotten: expunges are among it that are no longer remembered; nothing of it is told.
    """

    modseq: ModSeq
    next_uid: Uid
    flags: tuple[tuple[int, int, int], ...] = ()
    expunged: tuple[Uid, ...] = ()
    gone: bool = False
    forgotten: bool = False
