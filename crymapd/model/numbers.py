"""Numbers that are easily mistaken for each other, as types that the type checker distinguishes."""

from __future__ import annotations

from typing import NewType

Uid = NewType("Uid", int)
"""A unique identifier in a mailbox, 1 to 2^32-1 (RFC 9051 section 2.3.1.1)."""
SeqNum = NewType("SeqNum", int)
"""A message sequence number, 1 to the number of messages (RFC 9051 section 2.3.1.2); 0 where a UID has none."""
ModSeq = NewType("ModSeq", int)
"""A modification sequence, 1 to 2^63-1 (RFC 7162 section 3.1.1)."""

MessageId = NewType("MessageId", int)
"""A sealed message of the account, in any number of mailboxes: `messages.id` in meta.db."""
MailboxId = NewType("MailboxId", int)
"""A mailbox of the account, whatever its name: `mailboxes.id` in meta.db."""
FlagSetId = NewType("FlagSetId", int)
"""A combination of flags and keywords: `flagsets.id` in meta.db."""

MAX_UID = Uid(2**32 - 2)
MAX_MODSEQ = ModSeq(2**63 - 1)
NO_SEQNUM = SeqNum(0)
"""The number of a message that a session does not count."""
