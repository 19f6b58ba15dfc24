"""A buffer that is fed with octets and gives lines of bounded length, or runs of octets between the lines.

A client can send a line that never ends. The buffer remembers how far it has searched for the line's end, so the
work is linear however the octets are cut, and it drops the middle of a line that has become too long, so the memory
is bounded.
"""

from __future__ import annotations

from dataclasses import dataclass

KEPT = 150
"""How many octets at either end of a line that is too long are kept.

The first word of a command fits into them, and so does whatever a protocol announces at the end of a line.
"""


@dataclass(frozen=True, slots=True)
class LongLine:
    """A line that was longer than it may be: at most `KEPT` octets of its start and of its end, which may overlap."""

    start: bytes
    end: bytes


class LineBuffer:
    """Octets go in through `feed`; the reader decides whether a line or a run of octets comes out next."""

    def __init__(self) -> None:
        self._octets = bytearray()
        self._searched = 0  # no line ends in so many octets from the start
        self._start: bytes | None = None  # of the line whose middle has been dropped

    def __len__(self) -> int:
        """The number of octets that are held."""
        return len(self._octets)

    def feed(self, octets: bytes) -> None:
        self._octets += octets

    def take_line(self, limit: int) -> bytes | LongLine | None:
        """Take the next line, without the LF or CR LF that ends it.

        Args:
            limit: how many octets the line may have, a CR before its end included.

        Returns:
            None until the line is complete; a `LongLine` when it had more octets than `limit`.
        """
        newline = self._octets.find(b"\n", self._searched)
        if newline < 0:
            if len(self._octets) > limit:
                self._drop_middle()
            self._searched = len(self._octets)
            return None
        line = bytes(self._octets[:newline])
        del self._octets[: newline + 1]
        self._searched = 0
        if newline > limit or self._start is not None:
            return self._long_line(line)
        return line[:-1] if line.endswith(b"\r") else line

    def _drop_middle(self) -> None:
        """Keep only both ends of a line that is too long and has not ended."""
        if self._start is None:
            if len(self._octets) <= 2 * KEPT:
                return
            self._start = bytes(self._octets[:KEPT])
        del self._octets[:-KEPT]

    def _long_line(self, line: bytes) -> LongLine:
        start, self._start = self._start or line[:KEPT], None
        return LongLine(start, line[-KEPT:].removesuffix(b"\r"))

    def take_octets(self, most: int) -> bytes:
        """Take up to `most` octets as they are; the line before them must have been taken."""
        octets = bytes(self._octets[:most])
        del self._octets[:most]
        self._searched = 0
        return octets
