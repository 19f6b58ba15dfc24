"""The three numbers that are easily mistaken for each other."""

from __future__ import annotations

from typing import NewType

Uid = NewType("Uid", int)
"""A unique identifier, 1 to 2^32-1 (RFC 9051 section 2.3.1.1)."""
SeqNum = NewType("SeqNum", int)
"""A message sequence number, 1 to the number of messages (RFC 9051 section 2.3.1.2)."""
ModSeq = NewType("ModSeq", int)
"""A modification sequence, 1 to 2^63-1 (RFC 7162 section 3.1.1)."""

MAX_UID = 2**32 - 2
MAX_MODSEQ = 2**63 - 1
