"""Encoded words (RFC 2047) and charsets: octets to text, always."""

from __future__ import annotations

import binascii
import codecs
import re
from contextlib import suppress
from encodings import normalize_encoding
from encodings.aliases import aliases
from functools import cache

_WORD = re.compile(rb"=\?([!-<>@-~]{1,64}?)(?:\*[A-Za-z0-9-]*)?\?([QqBb])\?([!->@-~ ]*?)\?=")
_BETWEEN = re.compile(rb"(\?=)[ \t]+(?==\?)")
_HEX = re.compile(rb"=([0-9A-Fa-f]{2})")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
# Modules without an alias of their own. Only what is named here or there is looked up: Python searches its
# library for any other name, and remembers for good that there is none.
_UNALIASED = ("cp1006", "cp720", "cp737", "cp856", "cp874", "cp875", "koi8_t", "koi8_u", "mac_arabic",
              "mac_croatian", "mac_farsi", "mac_romanian", "utf_8_sig")  # fmt: skip
_CODECS = frozenset((*aliases.values(), *_UNALIASED))
_OTHER_NAMES = {"ks_c_5601-1987": "cp949", "iso-8859-8-i": "iso-8859-8", "x-sjis": "cp932"}
MAX_TEXT = 1 << 20
# Codecs that are no charsets of mail, or whose decoders are unsafe on a stranger's octets.
_REFUSED = frozenset(("idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem"))


@cache
def preload() -> None:
    """Load every charset, once: Python reads them from its library when first used, and a confined worker cannot."""
    for name in sorted(_CODECS):
        with suppress(LookupError, ImportError):
            codecs.lookup(name)
    codecs.lookup("punycode")  # of domains, see Wire.host
    charset("utf-16-be")


@cache
def charset_names() -> tuple[str, ...]:
    """Every charset that can be decoded, under one name each."""
    found = (charset(name) for name in _CODECS)
    return tuple(sorted({_registered(name) for name in found if name is not None}))


def _registered(name: str) -> str:
    """Python's name for a charset as IANA has it, near enough: each can be asked for by that name."""
    if name == "ascii":
        return "US-ASCII"
    text = name.upper() if name.startswith("shift") else name.upper().replace("_", "-")
    return re.sub(r"^CP(?=125\d$)", "WINDOWS-", re.sub(r"^ISO(?=\d)", "ISO-", text))


def charset(name: bytes | str) -> str | None:
    """Python's name for a charset label, or None when there is none that decodes text."""
    label = name.decode("ascii", "replace") if isinstance(name, bytes) else name
    label = label.strip().strip("\"'").lower()
    if not label or len(label) > 64:
        return None
    module = normalize_encoding(_OTHER_NAMES.get(label, label))
    module = aliases.get(module) or aliases.get(module.replace(".", "_"), module)
    if module not in _CODECS:
        return None
    try:
        found = codecs.lookup(module)
    except (LookupError, ValueError, UnicodeError):
        return None
    usable = getattr(found, "_is_text_encoding", True) and found.name.replace("-", "_") not in _REFUSED
    return found.name if usable else None


def decode(data: bytes, label: bytes | str | None) -> str:
    """Octets as text that can be encoded again: the labelled charset, else UTF-8, else Latin-1's view of each octet."""
    name = charset(label) if label else None
    if name in (None, "ascii"):
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            return data.decode("windows-1252", "replace")
    try:
        text = data.decode(name or "utf-8", "replace")
    except (UnicodeError, ValueError, LookupError):
        return data.decode("latin-1")
    return _LONE_SURROGATE.sub("\ufffd", text) if name == "utf-7" else text  # the only one that lets them through


def decode_words(value: bytes) -> str:
    """An unstructured value with its encoded words decoded; white space between two of them is dropped."""
    value = value[:MAX_TEXT]
    if b"=?" not in value:
        return decode(value, None)
    joined = _BETWEEN.sub(rb"\1", value)
    out: list[str] = []
    done = 0
    pending: tuple[str, bytes] | None = None  # neighbouring words of one charset may share a character
    for match in _WORD.finditer(joined):
        name, octets = charset(match[1]), _octets(match)
        if name is None or octets is None:
            continue
        if match.start() > done:
            _flush(pending, out)
            pending = None
            out.append(decode(joined[done : match.start()], None))
        if pending is not None and pending[0] == name:
            pending = (name, pending[1] + octets)
        else:
            _flush(pending, out)
            pending = (name, octets)
        done = match.end()
    _flush(pending, out)
    out.append(decode(joined[done:], None))
    return "".join(out)


def _flush(pending: tuple[str, bytes] | None, out: list[str]) -> None:
    if pending is not None:
        out.append(decode(pending[1], pending[0]))


def _octets(match: re.Match[bytes]) -> bytes | None:
    text = match[3]
    if match[2] in b"Qq":
        return _HEX.sub(lambda m: bytes((int(m[1], 16),)), text.replace(b"_", b" "))
    try:
        return binascii.a2b_base64(text + b"=" * (-len(text) % 4))
    except binascii.Error:
        return None
