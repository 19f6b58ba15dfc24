"""Header blocks: fields by name, unfolded values, and the selections of BODY[HEADER.FIELDS]."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from functools import lru_cache

# A field is a line and the lines after it that begin with white space (RFC 5322 section 2.2.3).
_FIELD = re.compile(rb"([^\r\n:]*+):((?:[^\n]*\n?)(?:[ \t][^\n]*\n?)*)|[^\n]*\n?")
_FOLD = re.compile(rb"\r?\n")
_EMPTY_LINE = re.compile(rb"(?:\A|\n)\r?\n")


class Header:
    """The fields of one header block, parsed once.

    Attributes:
        raw: the block with its empty line; only its beginning where it is too long to be kept.
        late: the fields that were kept of the rest.
    """

    __slots__ = ("_fields", "_others", "late", "raw")

    def __init__(self, raw: bytes, late: bytes = b"") -> None:
        self.raw = raw
        self.late = late
        self._fields: list[tuple[bytes, bytes]] | None = None
        self._others: list[bytes] = []

    @property
    def block(self) -> bytes:
        """All that is kept, as one block; it is longer than `raw` where that is only the beginning."""
        return self.raw + b"\r\n" + self.late + b"\r\n" if self.late else self.raw

    @property
    def fields(self) -> list[tuple[bytes, bytes]]:
        """(lower-case name, value as it stands) in order; lines that are no field are left out."""
        return self._fields if self._fields is not None else self._parse()

    @property
    def others(self) -> list[bytes]:
        """The lines that are no field."""
        if self._fields is None:
            self._parse()
        return self._others

    def _parse(self) -> list[tuple[bytes, bytes]]:
        self._fields = fields = []
        for match in (match for block in (self.raw, self.late) for match in _FIELD.finditer(block)):
            if match[1] is not None and (name := _name(match)):
                fields.append((name, match[2]))
            elif match[0].strip():
                self._others.append(match[0])
        return fields

    def first(self, name: bytes) -> bytes | None:
        """The unfolded, trimmed value of the first field of that (lower-case) name."""
        for field, value in self.fields:
            if field == name:
                return unfold(value)
        return None

    def values(self, name: bytes) -> list[bytes]:
        """What stands behind the colon, as it stands, in every field of that name."""
        return [value for field, value in self.fields if field == name]

    def all(self, name: bytes) -> list[bytes]:
        """The unfolded values of every field of that name."""
        return [unfold(value) for field, value in self.fields if field == name]


def _name(field: re.Match[bytes]) -> bytes:
    """Lower-case, without the white space that may stand before the colon (RFC 5322 section 4.5)."""
    return field[1].rstrip(b" \t").lower()


def unfold(value: bytes) -> bytes:
    """Without line ends and outer white space (RFC 5322 section 2.2.3)."""
    return _FOLD.sub(b"", value).replace(b"\r", b" ").strip(b" \t\0")


def select_fields(raw: bytes, names: Collection[bytes], *, inverted: bool) -> bytes:
    """The fields with one of these lower-case names (or without), as they stand, then an empty line.

    RFC 9051 section 6.4.5.1: the delimiting blank line is always part of the answer, except where
    the header itself has none.
    """
    end = _EMPTY_LINE.search(raw)
    block = raw[: end.start() + 1] if end and end.start() else b"" if end else raw
    out = [
        match[0]
        for match in _FIELD.finditer(block)
        if match[0] and match[1] is not None and (_name(match) in names) != inverted
    ]
    if out and not out[-1].endswith(b"\n"):
        out.append(b"\r\n")
    out.append(b"\r\n")
    return b"".join(out)


@lru_cache(maxsize=64)
def field_selector(names: tuple[bytes, ...]) -> Callable[[bytes], bytes]:
    """`select_fields` for one list of lower-case names and many headers: one search of an expression each."""
    wanted = b"|".join(re.escape(name) for name in names)
    search = re.compile(rb"\n(?:" + wanted + rb")[ \t]*:[^\n]*(?:\n[ \t][^\n]*)*", re.IGNORECASE).findall

    def select(raw: bytes) -> bytes:
        found = search(b"\n" + (raw if raw.endswith(b"\n") else raw + b"\r\n"))
        return b"".join(found)[1:] + b"\n\r\n" if found else b"\r\n"

    return select
