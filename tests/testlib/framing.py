"""Where a response ends, in each protocol: the octets that a server sends are cut into whole responses here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Protocol

# An IMAP status line has no literals, whatever its text ends with.
_STATUS = re.compile(rb"(?:\+|(?:\*|[^ ]+) (?:OK|NO|BAD|BYE|PREAUTH))(?: |\r\n)", re.I)
_ANNOUNCED = re.compile(rb"~?\{([0-9]{1,19})\}\r\n\Z")
_CONTINUED = re.compile(rb"[0-9]{3}-")


class Framing(Protocol):
    """Cuts the octets of one connection into frames, one whole response each."""

    def end(self, buffer: bytearray) -> int | None:
        """The length of the first frame, or None while it is incomplete.

        Between two calls the buffer may only grow at its end, until a frame was found; the caller must then
        remove that frame from the beginning of the buffer.
        """
        ...


class ImapFraming:
    """A frame is a line with its CRLF, or several with the literals between them (RFC 9051 section 2.2.2)."""

    def __init__(self) -> None:
        self._searched = 0  # no CRLF begins before this
        self._line = 0  # where the line being read began

    def end(self, buffer: bytearray) -> int | None:
        while True:
            line_end = buffer.find(b"\r\n", max(self._searched, self._line))
            if line_end < 0:
                self._searched = max(self._line, len(buffer) - 1)
                return None
            line_end += 2
            size = self._announced(buffer, line_end)
            if size is None:
                self._searched = self._line = 0
                return line_end
            if len(buffer) < line_end + size:
                self._searched = line_end - 2
                return None
            self._line = self._searched = line_end + size

    def _announced(self, buffer: bytearray, line_end: int) -> int | None:
        """The size of the literal that the line ending here announces."""
        if _STATUS.match(buffer):
            return None
        announced = _ANNOUNCED.search(buffer, max(self._line, line_end - 25), line_end)
        return int(announced.group(1)) if announced else None


class SmtpFraming:
    """A frame is a reply: lines that begin with `250-`, and the one after them that does not (RFC 5321 section 4.2.1).

    A line that is no reply at all ends the frame too, so that whoever reads it can complain of it.
    """

    def end(self, buffer: bytearray) -> int | None:
        line = 0
        while (line_end := buffer.find(b"\r\n", line)) >= 0:
            if not _CONTINUED.match(buffer, line):
                return line_end + 2
            line = line_end + 2
        return None


def frames(data: bytes, framing: Framing) -> Iterator[bytes]:
    """The whole responses that these octets consist of; fails when something is left over."""
    buffer = bytearray(data)
    while buffer:
        end = framing.end(buffer)
        assert end is not None, f"no whole response: {bytes(buffer[-200:])!r}"
        yield bytes(buffer[:end])
        del buffer[:end]
