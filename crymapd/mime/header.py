"""Header blocks: fields by name, unfolded values, and the selections for BODY[HEADER.FIELDS]."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from functools import lru_cache
from itertools import chain

# A field is a line and the lines after it that begin with white space (RFC 5322 section 2.2.3).
_FIELD = re.compile(rb"([^\r\n:]*+):((?:[^\n]*\n?)(?:[ \t][^\n]*\n?)*)|[^\n]*\n?")
_FOLD = re.compile(rb"\r?\n")
_EMPTY_LINE = re.compile(rb"(?:\A|\n)\r?\n")


class Header:
    """Parse one header block, once, when it is first asked for a field.

    Attributes:
        raw: the block with its empty line, or only its beginning if it is too long to be kept.
        late: the fields that were kept from the rest of a block that is too long.
    """

    __slots__ = ("_fields", "late", "raw")

    def __init__(self, raw: bytes, late: bytes = b"") -> None:
        self.raw = raw
        self.late = late
        self._fields: list[tuple[bytes, bytes]] | None = None

    @property
    def block(self) -> bytes:
        """All octets that were kept, as one block; it is longer than `raw` if `raw` is only the beginning."""
        return self.raw + b"\r\n" + self.late + b"\r\n" if self.late else self.raw

    @property
    def fields(self) -> list[tuple[bytes, bytes]]:
        """The lower-case names and unchanged values of the fields, in order; other lines are left out."""
        return self._fields if self._fields is not None else self._parse()

    @property
    def others(self) -> list[bytes]:
        """The lines that belong to no field."""
        return [match[0] for match in self._matches() if not (match[1] and _name(match)) and match[0].strip()]

    def _parse(self) -> list[tuple[bytes, bytes]]:
        self._fields = [(name, match[2]) for match in self._matches() if match[1] and (name := _name(match))]
        return self._fields

    def _matches(self) -> Iterator[re.Match[bytes]]:
        return chain(_FIELD.finditer(self.raw), _FIELD.finditer(self.late)) if self.late else _FIELD.finditer(self.raw)

    def first(self, name: bytes) -> bytes | None:
        """Return the unfolded, trimmed value of the first field with that lower-case name, or None."""
        for field, value in self.fields:
            if field == name:
                return unfold(value)
        return None

    def values(self, name: bytes) -> list[bytes]:
        """Return what stands behind the colon, unchanged, for every field with that lower-case name."""
        return [value for field, value in self.fields if field == name]

    def all(self, name: bytes) -> list[bytes]:
        """Return the unfolded, trimmed value of every field with that lower-case name."""
        return [unfold(value) for field, value in self.fields if field == name]


def _name(field: re.Match[bytes]) -> bytes:
    """Return the lower-case name, without the white space that may precede the colon (RFC 5322 section 4.5)."""
    return field[1].rstrip(b" \t").lower()


def unfold(value: bytes) -> bytes:
    """Return a value without line ends and outer white space (RFC 5322 section 2.2.3)."""
    return _FOLD.sub(b"", value).replace(b"\r", b" ").strip(b" \t\0")


def select_fields(raw: bytes, names: Collection[bytes], *, inverted: bool) -> bytes:
    """Return the fields that have one of these lower-case names (or none of them), unchanged, then an empty line.

    The delimiting empty line is always part of the answer (RFC 9051 section 6.4.5.1).
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
    """Return `select_fields` for one list of lower-case names: it searches each of many headers with one expression."""
    alternatives = b"|".join(re.escape(name) for name in names)
    search = re.compile(rb"\n(?:" + alternatives + rb")[ \t]*:[^\n]*(?:\n[ \t][^\n]*)*", re.IGNORECASE).findall

    def select(raw: bytes) -> bytes:
        fields = search(b"\n" + (raw if raw.endswith(b"\n") else raw + b"\r\n"))
        return b"".join(fields)[1:] + b"\n\r\n" if fields else b"\r\n"

    return select
