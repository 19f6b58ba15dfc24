"""The parts of a message by offset, found in one pass over octets that arrive in pieces.

`Parser.feed` takes the message in pieces of any size; `close` returns the tree.  Memory is bounded by
the header blocks that are kept, not by the message.  The parser looks for a boundary only where a line
begins with `--`, so a base64 attachment costs one search.

A boundary line begins with the boundary; the rest of the line is ignored (RFC 2046 section 5.1.1).  If
several boundaries fit, the longest counts, and of equal ones that of the innermost multipart.

Broken mail is read as follows.  A multipart without end boundary ends with its parent.  Parts below the
hundredth level are not told apart: the part that contains them is application/octet-stream.  Octets
behind the 10,000th part belong to that part.  A multipart that names no boundary is text (RFC 2045
section 5.2).  Of a header block over 1 MiB, the rest is searched for the fields that answers need.
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
"""The fields from which ENVELOPE, BODYSTRUCTURE and threads are made."""
_HEADER_END = re.compile(rb"\n(?:--|\r?\n)")


@dataclass(slots=True)
class Part:
    """Hold one part: its offsets in the message, and what its header says.

    Its header block begins at `start` and its content at `body`; `end` lies behind its last octet.
    The line end before a boundary belongs to the boundary (RFC 2046 section 5.1.1).
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
    """Whether its own parts are nested too deeply to be told apart."""

    @property
    def is_multipart(self) -> bool:
        return self.type.lower() == b"multipart"

    @property
    def is_message(self) -> bool:
        """Whether this is message/rfc822 or message/global, whose only child is the embedded message."""
        return self.type.lower() == b"message" and self.subtype.lower() in (b"rfc822", b"global")

    @property
    def boundaries(self) -> tuple[bytes, ...]:
        """Its boundary, once as written and once without trailing white space; empty if it has none."""
        boundary = self.content.parameter(b"boundary") if self.is_multipart and self.content else None
        if boundary is None or not boundary.strip() or len(boundary) > MAX_BOUNDARY:
            return ()
        trimmed = boundary.rstrip()
        return (boundary,) if trimmed == boundary else (boundary, trimmed)

    @property
    def encoding(self) -> bytes:
        """The transfer encoding as written, or `7bit` if there is none."""
        return content.token_of(self.header.first(b"content-transfer-encoding")) or b"7bit"

    def read_header(self, raw: bytes, late: bytes = b"") -> None:
        """Parse the header block, and the late fields of a block that was too long to be kept."""
        self.header = Header(raw, late)
        self.content = content.valued(self.header.first(b"content-type"))
        self.type, self.subtype = content.media_type(self.content, self.default)
        if (self.type, self.subtype) == self.default and self.content is not None and b"/" not in self.content.value:
            self.content = None
        if self.is_multipart and not self.boundaries:
            self.type, self.subtype, self.content = b"text", b"plain", None

    def cut(self) -> None:
        """Turn a multipart or message whose parts are nested too deeply into a leaf."""
        self.type, self.subtype, self.is_cut = b"application", b"octet-stream", True


class _LateFields:
    """Keep the wanted fields of a header block behind the part that is kept, up to a number of octets."""

    def __init__(self, kept: bytes, room: int) -> None:
        """Begin where the block was cut, after `kept`; the field that was cut is not continued."""
        line = kept[kept.rfind(b"\n") + 1 :]
        self._kept: list[bytes] = []
        self._room = room
        self._wanted = False  # whether the current field is kept
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
        """Take a line, or a piece of a long one."""
        if not self._in_line and line[:1] not in (b" ", b"\t"):
            self._wanted = line.partition(b":")[0].strip().lower() in _LATE_FIELDS
        if self._wanted:
            self._kept.append(line[: self._room])
            self._room = max(self._room - len(line), 0)

    def end(self) -> bytes:
        """End the block and return its fields."""
        self._take(self._rest)
        return b"".join(self._kept)


class Parser:
    """Parse a message that is fed in pieces into a tree of parts."""

    def __init__(self) -> None:
        self.root = Part(0)
        self._open: list[Part] = [self.root]
        self._boundaries: dict[bytes, list[int]] = {}  # boundary -> indexes in _open of its multiparts
        self._lengths: list[int] = []  # of these boundaries, longest first
        self._parts = 1
        self._headers_kept = 0
        self._buffer = bytearray()
        self._base = 0  # offset of the buffer's first octet
        self._position = 0  # offset up to which the structure is known
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
        """End the message and return its root; the parser cannot be used again."""
        self._scan(final=True)
        end = self.size
        self._end_headers(end)
        self._close_down_to(0, end)
        return self.root

    # Scanning for lines that may matter

    def _scan(self, *, final: bool) -> None:
        while True:
            at = self._find(self._position - self._base)
            if at is None:
                self._discard(final)
                return
            newline = self._buffer.find(b"\n", at)
            if newline < 0 and not final and len(self._buffer) - at < MAX_BOUNDARY * 2:
                self._discard(final, keep=at)
                return
            stop = len(self._buffer) if newline < 0 else newline + 1
            line = bytes(self._buffer[at : min(stop, at + MAX_BOUNDARY * 2)])
            self._line(line, self._base + at, self._base + stop)

    def _find(self, at: int) -> int | None:
        """Return the buffer index of the next line from `at` on that may be a boundary or end a header, or None."""
        if (self._base + at == 0) or (self._buffer[at - 1 : at] if at else self._last) == b"\n":
            if self._buffer.startswith(b"--", at):
                return at
            if self._in_header and self._buffer.startswith((b"\n", b"\r\n"), at):
                return at
        if not self._in_header:
            newline = self._buffer.find(b"\n--", at)
            return None if newline < 0 else newline + 1
        match = _HEADER_END.search(self._buffer, at)
        return None if match is None else match.start() + 1

    def _line(self, line: bytes, start: int, stop: int) -> None:
        """Handle a line that may be a boundary or end a header."""
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
        """Return which open multipart has the boundary of a line, and whether the line ends it; None if none has."""
        for length in self._lengths:
            indexes = self._boundaries.get(line[2 : 2 + length])
            if indexes is not None:
                return indexes[-1], line.startswith(b"--", 2 + length)
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
        """Return the offset of the line end that precedes a boundary line and belongs to it."""
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
        """End a header that has no empty line, and the header of the message that the part may contain."""
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
        """Close the innermost parts until `count` are open."""
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
        """Return the number of line ends before an offset, which may lie a little before the previous one."""
        if offset < self._counted:
            return self._lines - self._buffer.count(b"\n", offset - self._base, self._counted - self._base)
        self._lines += self._buffer.count(b"\n", self._counted - self._base, offset - self._base)
        self._counted = offset
        return self._lines

    def _discard(self, final: bool, keep: int | None = None) -> None:
        """Discard octets that are no longer needed, but keep a few before an undecided line."""
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
    """Return the tree of a message that is at hand as a whole."""
    parser = Parser()
    parser.feed(message)
    return parser.close()


def walk(root: Part) -> Iterator[Part]:
    """Yield every part of a message, beginning with the message itself."""
    stack = [root]
    while stack:
        part = stack.pop()
        yield part
        stack.extend(reversed(part.children))


def part_at(root: Part, path: tuple[int, ...]) -> Part | None:
    """Return the part that a path of numbers, counted from 1, leads to, or None; a single body is part 1."""
    holder: Part | None = root  # a message or a multipart
    part: Part | None = None
    for index in path:
        if holder is None:
            return None
        if holder.is_multipart:
            part = holder.children[index - 1] if 1 <= index <= len(holder.children) else None
        else:
            part = holder if index == 1 else None
        if part is None:
            return None
        holder = _holder_within(part)
    return part


def _holder_within(part: Part) -> Part | None:
    """Return the part whose children the next number counts, or None below a leaf."""
    if part.is_message:
        return part.children[0] if part.children else None
    return part if part.is_multipart or part.is_cut else None
