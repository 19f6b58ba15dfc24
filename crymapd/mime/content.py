"""Content-* fields: media types, dispositions, languages, transfer encodings (RFC 2045, 2183, 2231)."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

# A comment or string without its end is matched too: otherwise each opening would be tried to the end again.
_COMMENT = re.compile(rb"\((?:[^()\\]|\\.)*+(\)?)")
_QUOTED = re.compile(rb'("(?:[^"\\]|\\.)*+"?)')
_TOKEN = re.compile(rb"[^\x00-\x20\x7f()<>@,;:\\\"/\[\]?=]+")
_PARAMETER = re.compile(
    rb';\s*([^\x00-\x20\x7f()<>@,;:\\"/\[\]?=]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"?|([^;\s"]*))|;[^;"]*(?:"(?:[^"\\]|\\.)*"?[^;"]*)*',
    re.DOTALL,
)
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_SECTION = re.compile(rb"([^*]+)\*(\d{1,4})(\*?)")
_PLAIN = "!#$&+-.^_`{|}~"
"""What RFC 2231 section 7 (attribute-char) allows unescaped, with letters and digits."""
MAX_PARAMETERS = 200
MAX_FIELD = 64 * 1024

Parameters = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Valued:
    """A value with parameters: `attachment; filename=x`."""

    value: bytes
    parameters: Parameters

    def parameter(self, name: bytes) -> bytes | None:
        """The first parameter of that lower-case name, or what is encoded as such (RFC 2231 section 4)."""
        plain = next((value for key, value in self.parameters if key.lower() == name), None)
        if plain is not None:
            return plain
        encoded = next((value for key, value in self.parameters if key.lower() == name + b"*"), None)
        return None if encoded is None else extended_octets(name + b"*", encoded)[0]


def is_extended(name: bytes) -> bool:
    """Whether a parameter's value may name its charset (RFC 2231 section 4): a name with one asterisk, at its end."""
    return len(name) > 1 and name.find(b"*") == len(name) - 1


def extended_octets(name: bytes, value: bytes) -> tuple[bytes, bytes | None]:
    """The octets of a parameter and the charset it names for them (RFC 2231 section 4), None where it names none."""
    if not is_extended(name):
        return value, None
    charset, quoted, rest = value.partition(b"'")
    _language, closed, text = rest.partition(b"'")
    if not (quoted and closed):
        return unquote_to_bytes(value), None
    return unquote_to_bytes(text), charset or None


def valued(field: bytes | None) -> Valued | None:
    """A Content-Type or Content-Disposition, parameters in pieces joined; None when absent or empty."""
    found = written(field)
    if found is None or not any(b"*" in name for name, _value in found.parameters):
        return found
    return Valued(found.value, _joined(found.parameters))


def written(field: bytes | None) -> Valued | None:
    """The same with parameters as they stand."""
    if not field:
        return None
    field = _without_comments(field[:MAX_FIELD])
    head, _, _rest = field.partition(b";")
    value = head.strip()
    parameters = tuple(_parameters(field[len(head) :]))
    return Valued(value, parameters) if value or parameters else None


def disposition(field: bytes | None) -> Valued | None:
    """A Content-Disposition: its first token, empty where only parameters are there (RFC 2183 section 2)."""
    found = valued(field)
    if found is None:
        return None
    token = _TOKEN.search(found.value)
    return Valued(token[0] if token else b"", found.parameters) if token or found.parameters else None


def _joined(parameters: Parameters) -> Parameters:
    """`name*0` and those that follow it as one parameter (RFC 2231 section 6 asks servers for that).

    It is `name*`, in the charset that the first piece names, where a piece was encoded; pieces behind a gap stay.
    """
    pieces: dict[bytes, dict[int, tuple[bytes, bool]]] = {}
    for name, value in parameters:
        if match := _SECTION.fullmatch(name):
            pieces.setdefault(match[1].lower(), {}).setdefault(int(match[2]), (value, bool(match[3])))
    whole = {name: _run(numbered) for name, numbered in pieces.items()}
    out: list[tuple[bytes, bytes]] = []
    begun: set[bytes] = set()
    for name, value in parameters:
        match = _SECTION.fullmatch(name)
        run = whole[match[1].lower()] if match else []
        if match is None or int(match[2]) >= len(run):
            out.append((name, value))
        elif match[1].lower() not in begun:
            begun.add(match[1].lower())
            encoded = any(escaped for _value, escaped in run)
            out.append((match[1] + b"*", _escaped(run)) if encoded else (match[1], b"".join(v for v, _escaped in run)))
    return tuple(out)


def _run(numbered: dict[int, tuple[bytes, bool]]) -> list[tuple[bytes, bool]]:
    """Pieces from 0 to the first that is missing."""
    run: list[tuple[bytes, bool]] = []
    while len(run) in numbered:
        run.append(numbered[len(run)])
    return run


def _escaped(run: list[tuple[bytes, bool]]) -> bytes:
    charset = b"" if run[0][1] else b"''"
    return charset + b"".join(value if escaped else percent(value) for value, escaped in run)


def percent(value: bytes) -> bytes:
    """Octets as RFC 2231 section 4 escapes them."""
    return quote(value, safe=_PLAIN).encode("ascii")


def _without_comments(field: bytes) -> bytes:
    """Comments go, but not inside quotes, where a parenthesis is text."""
    if b"(" not in field:
        return field
    pieces = _QUOTED.split(field)
    return b"".join(
        piece if piece.startswith(b'"') else _COMMENT.sub(lambda m: b" " if m[1] else m[0], piece) for piece in pieces
    )


def _parameters(rest: bytes) -> Iterator[tuple[bytes, bytes]]:
    count = 0
    for match in _PARAMETER.finditer(rest):
        if match[1] is None:
            continue
        count += 1
        if count > MAX_PARAMETERS:
            return
        yield match[1], match[3] if match[2] is None else _ESCAPED.sub(rb"\1", match[2])


def media_type(content: Valued | None, default: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    """(type, subtype) as written; the default where the field is missing or no media type."""
    if content is None:
        return default
    main, slash, sub = content.value.partition(b"/")
    main, sub = main.strip(), sub.strip()
    if not slash or not _TOKEN.fullmatch(main) or not sub:
        return default
    token = _TOKEN.match(sub)
    return (main, token[0]) if token else default


def token_of(field: bytes | None) -> bytes | None:
    """The first token of a field such as Content-Transfer-Encoding."""
    if not field:
        return None
    match = _TOKEN.search(_without_comments(field[:MAX_FIELD]))
    return match[0] if match else None


def tokens_of(field: bytes | None) -> list[bytes]:
    """Every token of a list such as Content-Language."""
    return _TOKEN.findall(_without_comments(field[:MAX_FIELD])) if field else []


# Transfer encodings

_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]+")
_BLANKS_AT_LINE_END = re.compile(rb"(?<![ \t])[ \t]++(?=\r?\n)")
_STRAY_EQUAL_SIGN = re.compile(rb"=(?![0-9A-Fa-f]{2}|[ \t]*\r?\n)")
_LONGEST_QP = 1 << 20
IDENTITY = (b"7bit", b"8bit", b"binary")


def decode_stream(pieces: Iterable[bytes], encoding: bytes) -> Iterator[bytes] | None:
    """The decoded octets of a body, in pieces; None for an encoding we do not know."""
    name = encoding.lower()
    if name in IDENTITY:
        return iter(pieces)
    if name == b"base64":
        return _base64(pieces)
    if name == b"quoted-printable":
        return _quoted_printable(pieces)
    return None


def _base64(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Octets outside the alphabet are passed over (RFC 2045 section 6.8); padding ends it."""
    rest = b""
    for piece in pieces:
        text, padding, _ = piece.partition(b"=")
        rest += _NOT_BASE64.sub(b"", text)
        whole = len(rest) // 4 * 4
        if whole:
            yield binascii.a2b_base64(rest[:whole])
            rest = rest[whole:]
        if padding:
            break
    if len(rest) > 1:
        yield binascii.a2b_base64(rest + b"=" * (-len(rest) % 4))


def _quoted_printable(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Whole lines at a time, so that no escape is cut in two."""
    rest = b""
    for piece in pieces:
        rest += piece
        cut = rest.rfind(b"\n") + 1
        if not cut and len(rest) > _LONGEST_QP:
            cut = _before_what_may_go_on(rest)
            if cut < len(rest) // 2:
                rest = rest[:cut]  # half a MiB of blanks in a line: nobody meant them
        if cut > 0:
            yield _decode_qp(rest[:cut])
            rest = rest[cut:]
    rest = rest.rstrip(b" \t")
    if rest:
        yield _decode_qp(rest.removesuffix(b"="))


def _before_what_may_go_on(text: bytes) -> int:
    """Where a very long line can be cut: before an escape or blanks at its end."""
    end = len(text.rstrip(b" \t\r"))
    return text.rindex(b"=", 0, end) if b"=" in text[max(end - 2, 0) : end] else end


def _decode_qp(text: bytes) -> bytes:
    """Undo quoted-printable in whole lines; blanks at their ends were added on the way (RFC 2045 section 6.7).

    `binascii` reads the rest as we do, but for a few signs that are no escapes: these become some.
    """
    if b"==" in text or text.endswith(b"=") or text.count(b"=\r") != text.count(b"=\r\n"):
        text = _STRAY_EQUAL_SIGN.sub(b"=3D", text)
    text = text.replace(b" \r\n", b"\r\n")
    if any(blanks in text for blanks in (b" \n", b" \r\n", b"\t\n", b"\t\r\n")):
        text = _BLANKS_AT_LINE_END.sub(b"", text)
    return binascii.a2b_qp(text)


_BARE_LF = re.compile(rb"(?<!\r)\n")


def with_crlf(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Text whose lines end with CRLF, where some ended with LF alone (RFC 9051 section 7.5.2, BINARY)."""
    ended_with_cr = False
    for piece in pieces:
        joined = ended_with_cr and piece.startswith(b"\n")
        yield b"\n" + _BARE_LF.sub(b"\r\n", piece[1:]) if joined else _BARE_LF.sub(b"\r\n", piece)
        ended_with_cr = piece.endswith(b"\r") if piece else ended_with_cr


def slices(pieces: Iterable[bytes], start: int, end: int | None = None) -> Iterator[bytes]:
    """Take the octets from `start` to `end` of what comes in pieces, asking for no more pieces than are needed."""
    position = 0
    for piece in pieces:
        wanted = piece[max(start - position, 0) : None if end is None else max(end - position, 0)]
        position += len(piece)
        if wanted:
            yield wanted
        if end is not None and position >= end:
            return
