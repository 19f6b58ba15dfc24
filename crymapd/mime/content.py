"""Content-* fields: media types, dispositions, languages, transfer encodings (RFC 2045, 2183, 2231)."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

# Unterminated comments and strings match as well; otherwise each opening would be searched to the end again.
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
"""The punctuation that RFC 2231 section 7 (attribute-char) leaves unescaped, as it does letters and digits."""
MAX_PARAMETERS = 200
MAX_FIELD = 64 * 1024

Parameters = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Valued:
    """Hold a value and its parameters, such as `attachment; filename=x`."""

    value: bytes
    parameters: Parameters

    def parameter(self, name: bytes) -> bytes | None:
        """Return the first parameter with that lower-case name, or its encoded form (RFC 2231 section 4), or None."""
        plain = next((value for key, value in self.parameters if key.lower() == name), None)
        if plain is not None:
            return plain
        encoded = next((value for key, value in self.parameters if key.lower() == name + b"*"), None)
        return None if encoded is None else extended_octets(name + b"*", encoded)[0]


def is_extended(name: bytes) -> bool:
    """Tell whether a parameter may name its charset (RFC 2231 section 4): its only asterisk ends its name."""
    return len(name) > 1 and name.find(b"*") == len(name) - 1


def extended_octets(name: bytes, value: bytes) -> tuple[bytes, bytes | None]:
    """Return a parameter's octets and the charset that it names (RFC 2231 section 4), or None where it names none."""
    if not is_extended(name):
        return value, None
    charset, quoted, rest = value.partition(b"'")
    _language, closed, text = rest.partition(b"'")
    if not (quoted and closed):
        return unquote_to_bytes(value), None
    return unquote_to_bytes(text), charset or None


def valued(field: bytes | None) -> Valued | None:
    """Parse a Content-Type or Content-Disposition and join split parameters; return None if it is absent or empty."""
    parsed = written(field)
    if parsed is None or not any(b"*" in name for name, _value in parsed.parameters):
        return parsed
    return Valued(parsed.value, _joined(parsed.parameters))


def written(field: bytes | None) -> Valued | None:
    """Parse such a field like `valued`, but leave its parameters as they were written."""
    if not field:
        return None
    field = _without_comments(field[:MAX_FIELD])
    head, _, _rest = field.partition(b";")
    value = head.strip()
    parameters = tuple(_parameters(field[len(head) :]))
    return Valued(value, parameters) if value or parameters else None


def disposition(field: bytes | None) -> Valued | None:
    """Parse a Content-Disposition; its value is empty if it has only parameters (RFC 2183 section 2)."""
    parsed = valued(field)
    if parsed is None:
        return None
    token = _TOKEN.search(parsed.value)
    return Valued(token[0] if token else b"", parsed.parameters) if token or parsed.parameters else None


def _joined(parameters: Parameters) -> Parameters:
    """Join `name*0` and the pieces after it into one parameter (RFC 2231 section 6 asks servers for that).

    If a piece was encoded, the result is `name*` in the charset that the first piece names. Pieces behind a gap
    are left as they are.
    """
    pieces: dict[bytes, dict[int, tuple[bytes, bool]]] = {}
    for name, value in parameters:
        if match := _SECTION.fullmatch(name):
            pieces.setdefault(match[1].lower(), {}).setdefault(int(match[2]), (value, bool(match[3])))
    whole = {name: _run(numbered) for name, numbered in pieces.items()}
    out: list[tuple[bytes, bytes]] = []
    names_joined: set[bytes] = set()
    for name, value in parameters:
        match = _SECTION.fullmatch(name)
        run = whole[match[1].lower()] if match else []
        if match is None or int(match[2]) >= len(run):
            out.append((name, value))
        elif match[1].lower() not in names_joined:
            names_joined.add(match[1].lower())
            encoded = any(escaped for _value, escaped in run)
            out.append((match[1] + b"*", _escaped(run)) if encoded else (match[1], b"".join(v for v, _escaped in run)))
    return tuple(out)


def _run(numbered: dict[int, tuple[bytes, bool]]) -> list[tuple[bytes, bool]]:
    """Return the pieces from 0 up to the first that is missing."""
    run: list[tuple[bytes, bool]] = []
    while len(run) in numbered:
        run.append(numbered[len(run)])
    return run


def _escaped(run: list[tuple[bytes, bool]]) -> bytes:
    charset = b"" if run[0][1] else b"''"
    return charset + b"".join(value if escaped else percent(value) for value, escaped in run)


def percent(value: bytes) -> bytes:
    """Escape octets as RFC 2231 section 4 does."""
    return quote(value, safe=_PLAIN).encode("ascii")


def _without_comments(field: bytes) -> bytes:
    """Remove comments, except inside quotes, where a parenthesis is text."""
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
    """Return type and subtype as written, or the default if the field is missing or names no media type."""
    if content is None:
        return default
    main, slash, sub = content.value.partition(b"/")
    main, sub = main.strip(), sub.strip()
    if not slash or not _TOKEN.fullmatch(main) or not sub:
        return default
    token = _TOKEN.match(sub)
    return (main, token[0]) if token else default


def token_of(field: bytes | None) -> bytes | None:
    """Return the first token of a field such as Content-Transfer-Encoding, or None."""
    if not field:
        return None
    match = _TOKEN.search(_without_comments(field[:MAX_FIELD]))
    return match[0] if match else None


def tokens_of(field: bytes | None) -> list[bytes]:
    """Return every token of a list such as Content-Language."""
    return _TOKEN.findall(_without_comments(field[:MAX_FIELD])) if field else []


# Transfer encodings

_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]+")
_BLANKS_AT_LINE_END = re.compile(rb"(?<![ \t])[ \t]++(?=\r?\n)")
_STRAY_EQUAL_SIGN = re.compile(rb"=(?![0-9A-Fa-f]{2}|[ \t]*\r?\n)")
_LONGEST_QP = 1 << 20
IDENTITY = (b"7bit", b"8bit", b"binary")


def decode_stream(pieces: Iterable[bytes], encoding: bytes) -> Iterator[bytes] | None:
    """Return the decoded octets of a body, in pieces, or None if the encoding is unknown."""
    name = encoding.lower()
    if name in IDENTITY:
        return iter(pieces)
    if name == b"base64":
        return _base64(pieces)
    if name == b"quoted-printable":
        return _quoted_printable(pieces)
    return None


def _base64(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Decode base64 up to its padding, ignoring octets outside the alphabet (RFC 2045 section 6.8)."""
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
    """Decode quoted-printable by whole lines, so that no escape is split."""
    rest = b""
    for piece in pieces:
        rest += piece
        cut = rest.rfind(b"\n") + 1
        if not cut and len(rest) > _LONGEST_QP:
            cut = _before_what_may_go_on(rest)
            if cut < len(rest) // 2:
                rest = rest[:cut]  # nobody means half a MiB of blanks in a line
        if cut > 0:
            yield _decode_qp(rest[:cut])
            rest = rest[cut:]
    rest = rest.rstrip(b" \t")
    if rest:
        yield _decode_qp(rest.removesuffix(b"="))


def _before_what_may_go_on(text: bytes) -> int:
    """Return where a very long line can be split: before an escape or before blanks at its end."""
    end = len(text.rstrip(b" \t\r"))
    return text.rindex(b"=", 0, end) if b"=" in text[max(end - 2, 0) : end] else end


def _decode_qp(text: bytes) -> bytes:
    """Decode whole lines of quoted-printable; blanks at line ends were added in transit (RFC 2045 section 6.7).

    `binascii` decodes everything else as we do, except for a few equal signs that begin no escape; these are
    escaped first.
    """
    if b"==" in text or text.endswith(b"=") or text.count(b"=\r") != text.count(b"=\r\n"):
        text = _STRAY_EQUAL_SIGN.sub(b"=3D", text)
    text = text.replace(b" \r\n", b"\r\n")
    if any(blanks in text for blanks in (b" \n", b" \r\n", b"\t\n", b"\t\r\n")):
        text = _BLANKS_AT_LINE_END.sub(b"", text)
    return binascii.a2b_qp(text)


_BARE_LF = re.compile(rb"(?<!\r)\n")


def with_crlf(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Convert bare LF to CRLF, as text in BINARY requires (RFC 9051 section 7.5.2)."""
    ended_with_cr = False
    for piece in pieces:
        completes_crlf = ended_with_cr and piece.startswith(b"\n")
        yield b"\n" + _BARE_LF.sub(b"\r\n", piece[1:]) if completes_crlf else _BARE_LF.sub(b"\r\n", piece)
        ended_with_cr = piece.endswith(b"\r") if piece else ended_with_cr


def slices(pieces: Iterable[bytes], start: int, end: int | None = None) -> Iterator[bytes]:
    """Yield the octets from `start` to `end` and take no more pieces than that needs."""
    position = 0
    for piece in pieces:
        part = piece[max(start - position, 0) : None if end is None else max(end - position, 0)]
        position += len(piece)
        if part:
            yield part
        if end is not None and position >= end:
            return
