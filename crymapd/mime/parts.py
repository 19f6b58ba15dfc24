"""The parts of a message by offset, found in one pass over octets that come in pieces.

`Parser.feed` takes the message in any pieces; `close` gives the tree.  Memory is bounded by the
header blocks kept, not by the message.  A boundary is looked for only where a line begins with
`--`, so a base64 attachment costs one search.

A line begins with a boundary, what follows it there does not matter (RFC 2046 section 5.1.1); where
several fit it is the longest, and of equal ones the innermost.

Rules where mail is broken: a missing end boundary ends with its parent; nothing is nested deeper
than 100 (what would be is application/octet-stream) or counted beyond 10,000 parts (the rest belongs
to the last part); a multipart that names no boundary is text (RFC 2045 section 5.2); of a header block
over 1 MiB only the fields that everybody asks for are kept behind that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from crymapd.mime import content
from crymapd.mime.header import Header

MAX_DEPTH = 100
MAX_PARTS = 10_000
MAX_HEADER = 1 << 20
MAX_ALL_HEADERS = 8 << 20
MAX_BOUNDARY = 1024
MAX_LATE_FIELDS = 1 << 18
_LATE_FIELDS = frozenset(
    (b"date", b"subject", b"from", b"sender", b"reply-to", b"to", b"cc", b"bcc", b"in-reply-to", b"message-id",
     b"references", b"mime-version", b"content-type", b"content-transfer-encoding", b"content-disposition",
     b"content-id", b"content-description", b"content-language", b"content-location", b"content-md5")
)  # fmt: skip
"""What ENVELOPE, BODYSTRUCTURE and threads are made of."""
_HEADER_END = re.compile(rb"\n(?:--|\r?\n)")


@dataclass(slots=True)
class Part:
    """One part: offsets in the message, and what its header says.

    `start` is where its header block begins, `body` where its content does, `end` after its last
    octet (the line end before a boundary belongs to the boundary, RFC 2046 section 5.1.1).
    """

    start: int
    default: tuple[bytes, bytes] = (b"text", b"plain")
    body: int = 0
    end: int = 0
    lines: int = 0
    header: Header = field(default_factory=lambda: Header(b""))
    type: bytes = b"text"
    subtype: bytes = b"plain"
    content: content.Valued | None = None
    children: list[Part] = field(default_factory=list)
    is_cut: bool = False
    """Whether it has parts that lie too deep to be told apart."""

    @property
    def is_multipart(self) -> bool:
        return self.type.lower() == b"multipart"

    @property
    def is_message(self) -> bool:
        """message/rfc822 or message/global, with the embedded message as the only child."""
        return self.type.lower() == b"message" and self.subtype.lower() in (b"rfc822", b"global")

    @property
    def boundaries(self) -> tuple[bytes, ...]:
        """Its boundary, also without white space at the end, which none has by right; empty when it has none."""
        boundary = self.content.parameter(b"boundary") if self.is_multipart and self.content else None
        if boundary is None or not boundary.strip() or len(boundary) > MAX_BOUNDARY:
            return ()
        trimmed = boundary.rstrip()
        return (boundary,) if trimmed == boundary else (boundary, trimmed)

    @property
    def encoding(self) -> bytes:
        """The transfer encoding as written, `7bit` when there is none."""
        return content.token_of(self.header.first(b"content-transfer-encoding")) or b"7bit"

    def read_header(self, raw: bytes, late: bytes = b"") -> None:
        """Take the header block, and the fields behind it where it was too long to be kept."""
        self.header = Header(raw, late)
        self.content = content.valued(self.header.first(b"content-type"))
        self.type, self.subtype = content.media_type(self.content, self.default)
        if (self.type, self.subtype) == self.default and self.content is not None and b"/" not in self.content.value:
            self.content = None
        if self.is_multipart and not self.boundaries:
            self.type, self.subtype, self.content = b"text", b"plain", None

    def cut(self) -> None:
        """Make a leaf of a multipart or message whose parts lie too deep."""
        self.type, self.subtype, self.is_cut = b"application", b"octet-stream", True


class _LateFields:
    """The fields that are wanted of a header block behind what of it is kept, in so many octets at most."""

    def __init__(self, kept: bytes, room: int) -> None:
        """Begin where the block was cut, after `kept`: the field that was cut does not go on here."""
        line = kept[kept.rfind(b"\n") + 1 :]
        self._kept: list[bytes] = []
        self._room = room
        self._wanted = False  # whether the field that goes on is kept
        self._in_line = b":" in line or line[:1] in (b" ", b"\t")
        self._rest = b"" if self._in_line else line

    def feed(self, octets: bytes) -> None:
        """Take the next octets of the block."""
        if self._room <= 0:
            return
        *lines, self._rest = (self._rest + octets).split(b"\n")
        for line in lines:
            self._take(line + b"\n")
            self._in_line = False
        if len(self._rest) > MAX_BOUNDARY:
            self._take(self._rest)
            self._in_line, self._rest = True, b""

    def _take(self, line: bytes) -> None:
        """Take a line or a piece of one."""
        if not self._in_line and line[:1] not in (b" ", b"\t"):
            self._wanted = line.partition(b":")[0].strip().lower() in _LATE_FIELDS
        if self._wanted:
            self._kept.append(line[: self._room])
            self._room = max(self._room - len(line), 0)

    def end(self) -> bytes:
        """End the block and return the fields."""
        self._take(self._rest)
        return b"".join(self._kept)


class Parser:
    """A message in pieces in; the root `Part` out."""

    def __init__(self) -> None:
        self.root = Part(0)
        self._open: list[Part] = [self.root]
        self._boundaries: dict[bytes, list[int]] = {}  # boundary -> indexes in _open of its multiparts
        self._lengths: list[int] = []  # of these boundaries, longest first
        self._parts = 1
        self._headers_kept = 0
        self._buffer = bytearray()
        self._base = 0  # offset of the buffer's first octet
        self._position = 0  # offset up to which everything is understood
        self._lines = 0  # line ends before _counted
        self._counted = 0
        self._in_header = True
        self._header_at = 0  # offset up to which the header block was taken
        self._header_kept = bytearray()
        self._late: _LateFields | None = None
        self._late_room = MAX_LATE_FIELDS
        self._last = b""  # the octet before the buffer

    @property
    def size(self) -> int:
        return self._base + len(self._buffer)

    def feed(self, data: bytes) -> None:
        self._buffer += data
        self._scan(final=False)

    def close(self) -> Part:
        """The tree. The parser is done."""
        self._scan(final=True)
        end = self.size
        self._end_headers(end)
        self._close_down_to(0, end)
        return self.root

    # Scanning: from line to line that may matter

    def _scan(self, *, final: bool) -> None:
        while True:
            found = self._find(self._position - self._base)
            if found is None:
                self._discard(final)
                return
            newline = self._buffer.find(b"\n", found)
            if newline < 0 and not final and len(self._buffer) - found < MAX_BOUNDARY * 2:
                self._discard(final, keep=found)
                return
            stop = len(self._buffer) if newline < 0 else newline + 1
            line = bytes(self._buffer[found : min(stop, found + MAX_BOUNDARY * 2)])
            self._line(line, self._base + found, self._base + stop)

    def _find(self, at: int) -> int | None:
        """Index in the buffer of the next line at or after `at` that may be a boundary or end a header."""
        if (self._base + at == 0) or (self._buffer[at - 1 : at] if at else self._last) == b"\n":
            if self._buffer.startswith(b"--", at):
                return at
            if self._in_header and self._buffer.startswith((b"\n", b"\r\n"), at):
                return at
        if not self._in_header:
            found = self._buffer.find(b"\n--", at)
            return None if found < 0 else found + 1
        match = _HEADER_END.search(self._buffer, at)
        return None if match is None else match.start() + 1

    def _line(self, line: bytes, start: int, stop: int) -> None:
        """A line that may be a boundary or end a header."""
        if line.startswith(b"--"):
            hit = self._boundary_of(line)
            if hit is not None:
                self._boundary(hit[0], hit[1], start, stop)
                return
            self._advance(stop)
            return
        self._keep_header(stop)
        self._advance(stop)
        self._end_header(stop)

    def _boundary_of(self, line: bytes) -> tuple[int, bool] | None:
        """(index of the multipart, whether it is the end) for a boundary line of an open multipart."""
        for length in self._lengths:
            found = self._boundaries.get(line[2 : 2 + length])
            if found is not None:
                return found[-1], line.startswith(b"--", 2 + length)
        return None

    def _boundary(self, index: int, is_end: bool, start: int, stop: int) -> None:
        self._end_headers(start)
        before = self._before_line_end(start)
        self._close_down_to(index + 1, before)
        multipart = self._open[index]
        del self._open[index + 1 :]
        self._advance(stop)
        if is_end:
            self._forget_boundary(index)
        elif self._parts < MAX_PARTS:
            digest = multipart.subtype.lower() == b"digest"
            self._begin(multipart, Part(stop, (b"message", b"rfc822") if digest else (b"text", b"plain")))

    def _before_line_end(self, start: int) -> int:
        """The offset before the line end that precedes a boundary line."""
        part = self._open[-1]
        at = start - self._base
        if at >= 1 and self._buffer[at - 1 : at] == b"\n":
            start -= 1
            if at >= 2 and self._buffer[at - 2 : at - 1] == b"\r":
                start -= 1
        return max(start, part.body)

    # The tree

    def _begin(self, parent: Part, part: Part) -> None:
        parent.children.append(part)
        self._open.append(part)
        self._parts += 1
        self._in_header = True
        self._header_at = part.start

    def _keep_header(self, upto: int) -> None:
        octets = bytes(self._buffer[self._header_at - self._base : max(upto - self._base, 0)])
        self._header_at = max(upto, self._header_at)
        room = min(MAX_HEADER, MAX_ALL_HEADERS - self._headers_kept) - len(self._header_kept)
        self._header_kept += octets[: max(room, 0)]
        if len(octets) > max(room, 0):
            if self._late is None:
                self._late = _LateFields(bytes(self._header_kept), self._late_room)
            self._late.feed(octets[max(room, 0) :])

    def _end_headers(self, at: int) -> None:
        """A header that ends without an empty line, and that of the message which it may contain."""
        while self._in_header:
            self._keep_header(at)
            self._end_header(at)

    def _end_header(self, body: int) -> None:
        part = self._open[-1]
        late = b"" if self._late is None else self._late.end()
        part.read_header(bytes(self._header_kept), late)
        self._late_room -= len(late)
        self._late = None
        self._headers_kept += len(self._header_kept)
        self._header_kept.clear()
        part.body = part.end = body
        part.lines = -self._count_to(body)
        self._in_header = False
        depth = len(self._open)
        if part.is_multipart and depth < MAX_DEPTH:
            for boundary in part.boundaries:
                self._boundaries.setdefault(boundary, []).append(depth - 1)
            self._measure()
        elif part.is_message and depth < MAX_DEPTH and self._parts < MAX_PARTS:
            self._begin(part, Part(body))
        elif part.is_multipart or part.is_message:
            part.cut()

    def _close_down_to(self, count: int, end: int) -> None:
        """End the innermost parts until `count` are open."""
        for index in range(len(self._open) - 1, count - 1, -1):
            self._forget_boundary(index)
            self._end(self._open[index], end)

    def _end(self, part: Part, end: int) -> None:
        part.end = max(end, part.body)
        part.lines += self._count_to(part.end)

    def _forget_boundary(self, index: int) -> None:
        for boundary in self._open[index].boundaries:
            indexes = self._boundaries.get(boundary)
            if indexes and indexes[-1] == index:
                indexes.pop()
                if not indexes:
                    del self._boundaries[boundary]
                    self._measure()

    def _measure(self) -> None:
        self._lengths = sorted({len(boundary) for boundary in self._boundaries}, reverse=True)

    # The buffer

    def _advance(self, upto: int) -> None:
        self._position = upto

    def _count_to(self, offset: int) -> int:
        """Line ends before an offset; offsets may go back a little (the line end before a boundary)."""
        if offset < self._counted:
            return self._lines - self._buffer.count(b"\n", offset - self._base, self._counted - self._base)
        self._lines += self._buffer.count(b"\n", self._counted - self._base, offset - self._base)
        self._counted = offset
        return self._lines

    def _discard(self, final: bool, keep: int | None = None) -> None:
        """Forget what can matter no more; keep a few octets before an undecided line."""
        if final:
            return
        limit = len(self._buffer) if keep is None else keep
        cut = max(limit - 4, 0)
        if cut < 4096 or self._base + cut < self._position:
            return
        if self._in_header:
            self._keep_header(self._base + cut)
        self._count_to(max(self._counted, self._base + cut))
        self._last = bytes(self._buffer[cut - 1 : cut])
        del self._buffer[:cut]
        self._base += cut
        self._position = max(self._position, self._base)


def parse(message: bytes) -> Part:
    """The tree of a whole message."""
    parser = Parser()
    parser.feed(message)
    return parser.close()


def walk(root: Part) -> Iterator[Part]:
    """Every part of a message, the message itself first."""
    stack = [root]
    while stack:
        part = stack.pop()
        yield part
        stack.extend(reversed(part.children))


def part_at(root: Part, path: tuple[int, ...]) -> Part | None:
    """The part that a path of numbers leads to, each counted from 1; a body of one part is number 1 of its message."""
    holder: Part | None = root  # a message or a multipart
    found: Part | None = None
    for number in path:
        if holder is None:
            return None
        if holder.is_multipart:
            found = holder.children[number - 1] if 1 <= number <= len(holder.children) else None
        else:
            found = holder if number == 1 else None
        if found is None:
            return None
        holder = _holder_within(found)
    return found


def _holder_within(part: Part) -> Part | None:
    """The part whose children the next number counts; None below a leaf."""
    if part.is_message:
        return part.children[0] if part.children else None
    return part if part.is_multipart or part.is_cut else None
