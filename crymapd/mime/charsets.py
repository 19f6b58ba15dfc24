"""Charsets: octets become text, whatever label they bear.

A label means what WHATWG's Encoding standard says, because senders use it so: they write ISO-8859-1 and mean
windows-1252, GB2312 and mean GB 18030, Shift_JIS and mean the Shift_JIS of Windows.  Charsets that the standard
lacks are decoded by Python.  Octets without a label, or with an unknown one, are UTF-8 if they can be.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from contextlib import suppress
from encodings import normalize_encoding
from encodings.aliases import aliases
from functools import cache

from webencodings.labels import LABELS

Decoder = Callable[[bytes], str]

ASCII = "us-ascii"
"""The name of a charset that is ignored: senders put it on everything, so its octets are read as if unlabelled."""
_MAX_LABEL = 64
_REPLACEMENT = "replacement"
"""The standard's name for charsets that endanger web pages. A message runs no scripts, so they are decoded here."""
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")

# Python's codecs

# Codecs to which no alias leads. Only codecs in this list or behind an alias are looked up: Python would search
# its library for any other name, and would remember forever that it does not exist.
_UNALIASED = ("cp1006", "cp720", "cp737", "cp856", "cp874", "cp875", "koi8_t", "koi8_u", "mac_arabic",
              "mac_croatian", "mac_farsi", "mac_romanian", "utf_8_sig")  # fmt: skip
_CODECS = frozenset((*aliases.values(), *_UNALIASED))
# Codecs that are no charsets of mail, or that are unsafe to use on a stranger's octets.
_REFUSED = frozenset(("idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem"))

# The standard's encodings

_PYTHON_NAMES = {
    "big5": "big5hkscs",
    "euc-kr": "cp949",
    "gbk": "gb18030",
    "iso-8859-8-i": "iso8859-8",
    "macintosh": "mac-roman",
    "shift_jis": "cp932",
    "utf-16be": "utf-16-be",
    "utf-16le": "utf-16-le",
    "windows-874": "cp874",
    "x-mac-cyrillic": "mac-cyrillic",
}
"""Python's codec for an encoding of the standard, where the names differ."""
_SINGLE_BYTE = re.compile(r"windows-|iso-8859-|koi8-|ibm866|mac|x-mac-")
_OTHER_OCTETS = {
    "koi8-u": {0xAE: "\u045e", 0xBE: "\u040e"},
    "windows-1255": {0xCA: "\u05ba"},
}
"""The octets that the standard reads differently from Python's codec."""
_ALSO = {
    "cp874": "windows-874",
    "cp949": "euc-kr",
    "cp950": "big5",
    "mac_cyrillic": "x-mac-cyrillic",
    "utf_8_sig": "utf-8",
}
"""The standard's encoding for codecs of Python that share no label with it."""
_BYTE_ORDER_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_BE, "utf-16be"), (codecs.BOM_UTF16_LE, "utf-16le"))


@cache
def preload() -> None:
    """Load every charset, since Python imports codecs on first use and a confined worker cannot import anything."""
    for name in charset_names():
        _decoder(charset(name) or ASCII)
    for codec in ("cp932", "euc_jp", "punycode"):  # used by decoders below, and for domains (imap/wire/strings.py)
        codecs.lookup(codec)
    _squeezed()


@cache
def charset_names() -> tuple[str, ...]:
    """Return one name for each charset that can be decoded."""
    standard = {name.upper() for name in LABELS.values() if name != _REPLACEMENT}
    others = {_registered(name) for module in _CODECS if (name := _of_codec(module)) and name not in LABELS}
    return tuple(sorted(standard | others | {"US-ASCII", "ISO-8859-1", "ISO-8859-9"}))


def _registered(name: str) -> str:
    """Return a name close to IANA's for a charset of Python's; `charset` accepts every such name."""
    text = name.upper() if name.startswith("shift") else name.upper().replace("_", "-")
    return re.sub(r"^ISO(?=\d)", "ISO-", text)


def charset(label: bytes | str) -> str | None:
    """Return the one name of the charset that a label means, or None if it means none that decodes text."""
    text = label.decode("ascii", "replace") if isinstance(label, bytes) else label
    text = text.strip().strip("\"'").lower()
    if not text or len(text) > _MAX_LABEL:
        return None
    return _labelled(text) or _labelled(_squeezed().get(_squeeze(text), ""))


def _labelled(label: str) -> str | None:
    name = LABELS.get(label)
    module = normalize_encoding(label)
    module = aliases.get(module) or aliases.get(module.replace(".", "_"), module)
    if module == "ascii":
        return ASCII
    return name if name is not None and name != _REPLACEMENT else _of_codec(module)


@cache
def _squeezed() -> dict[str, str]:
    """Map labels by their letters and digits alone, because some senders write `koi8r`, `utf 8` or `cp-1251`."""
    return {_squeeze(label): label for label in (*aliases, *_UNALIASED, *LABELS)}


def _squeeze(label: str) -> str:
    return "".join(filter(str.isalnum, label))


@cache
def _standard_of_codec() -> dict[str, str]:
    """Map each codec of Python's that shares a label with the standard to the standard's encoding."""
    shared = {aliases.get(normalize_encoding(label), ""): name for label, name in LABELS.items()}
    own = {normalize_encoding(name): name for name in LABELS.values()}
    return {module: name for module, name in {**own, **shared, **_ALSO}.items() if name != _REPLACEMENT}


def _of_codec(module: str) -> str | None:
    """Return the charset that one of Python's codecs decodes, or None if the codec is not for mail."""
    if module not in _CODECS:
        return None
    if module == "ascii":
        return ASCII
    if module in _standard_of_codec():
        return _standard_of_codec()[module]
    try:
        codec = codecs.lookup(module)
    except (LookupError, ValueError, UnicodeError):
        return None
    usable = getattr(codec, "_is_text_encoding", True) and codec.name.replace("-", "_") not in _REFUSED
    return codec.name if usable else None


def decode(data: bytes, label: bytes | str | None) -> str:
    """Decode octets into text that can be encoded again: by the label, else as UTF-8, else as windows-1252.

    A byte order mark at the beginning overrides the label, as the standard requires.
    """
    name = charset(label) if label else None
    if label and data[:1] in (b"\xef", b"\xfe", b"\xff") and name != "utf-32":
        for mark, marked in _BYTE_ORDER_MARKS:
            if data.startswith(mark):
                data, name = data[len(mark) :], marked
                break
    if name in (None, ASCII):
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            name = "windows-1252"
    assert name is not None
    return _decoder(name)(data)


@cache
def _decoder(name: str) -> Decoder:
    if name == "iso-2022-jp":
        return _decode_iso_2022_jp
    if name == "euc-jp":
        return _decode_euc_jp
    if name == "x-user-defined":
        return _decode_single_byte("".join(map(chr, range(128))) + "".join(map(chr, range(0xF780, 0xF800))))
    if name in LABELS and _SINGLE_BYTE.match(name):
        return _decode_single_byte(_octet_table(name))
    if name == "utf-8":
        return lambda data: data.decode("utf-8", "replace")
    return _decode_by_codec(_PYTHON_NAMES.get(name, name))


def _decode_by_codec(codec_name: str) -> Decoder:
    codec = codecs.lookup(codec_name)
    errors = _CHINESE_ERRORS if codec.name == "gb18030" else "replace"

    def decoded(data: bytes) -> str:
        try:
            text = codec.decode(data, errors)[0]
        except (UnicodeError, ValueError, LookupError):
            return data.decode("latin-1")
        return _LONE_SURROGATE.sub("\ufffd", text) if codec.name == "utf-7" else text  # only UTF-7 yields them

    return decoded


def _decode_single_byte(table: str) -> Decoder:
    return lambda data: codecs.charmap_decode(data, "replace", table)[0]


def _octet_table(name: str) -> str:
    """Return the character of each octet; control characters fill the gaps that Microsoft left, as in the standard."""
    codec = codecs.lookup(_PYTHON_NAMES.get(name, name))
    characters: list[str] = []
    for octet in range(256):
        character = "\ufffe"
        with suppress(UnicodeDecodeError):
            character = codec.decode(bytes((octet,)))[0]
        if character == "\ufffe" and 0x80 <= octet < 0xA0:
            character = chr(octet)
        characters.append(_OTHER_OCTETS.get(name, {}).get(octet, character))
    return "".join(characters)


# Chinese: Windows and the standard have a euro sign where GB 18030 has nothing.

_CHINESE_ERRORS = "crymapd.gb18030"


def _euro_sign(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return ("\u20ac", error.start + 1) if error.object[error.start] == 0x80 else ("\ufffd", error.end)


codecs.register_error(_CHINESE_ERRORS, _euro_sign)

# Japanese: Python's EUC-JP and ISO-2022-JP lack the rows that Windows added and everybody uses, such as circled
# digits. The Shift_JIS of Windows (cp932) has them, in the same order.

_JIS_ERRORS = "crymapd.jis"
_JIS_ESCAPE = re.compile(rb"\x1b(\([BIJ]|\$[@B]|\$\(D)")
_SET_HIGH_BIT = bytes(octet | 0x80 if 0x21 <= octet < 0x7F else octet for octet in range(256))
_WINDOWS_SIGNS = str.maketrans("\u301c\u2016\u2212\u00a2\u00a3\u00ac", "\uff5e\u2225\uff0d\uffe0\uffe1\uffe2")
"""The signs for which JIS on one side, Windows and the standard on the other, chose different characters."""


def _windows_character(error: UnicodeError) -> tuple[str, int]:
    """Return the character that Windows has for two octets unknown to Python's EUC-JP."""
    assert isinstance(error, UnicodeDecodeError)
    pair = error.object[error.start : error.start + 2]
    if len(pair) == 2 and min(pair) >= 0xA1 and max(pair) <= 0xFE:
        row, cell = pair[0] - 0xA1, pair[1] - 0xA1
        trail = cell + (0x9F if row % 2 else 0x40)
        octets = bytes((row // 2 + (0x81 if row < 62 else 0xC1), trail + (row % 2 == 0 and trail >= 0x7F)))
        with suppress(UnicodeDecodeError):
            return octets.decode("cp932"), error.start + 2
    return "\ufffd", error.end


codecs.register_error(_JIS_ERRORS, _windows_character)


def _decode_euc_jp(data: bytes) -> str:
    return data.decode("euc_jp", _JIS_ERRORS).translate(_WINDOWS_SIGNS)


def _decode_iso_2022_jp(data: bytes) -> str:
    """Decode each run of one character set by itself; a line end returns to ASCII."""
    runs = _JIS_ESCAPE.split(data)
    text = [runs[0].decode("cp932", "replace")]
    for escape, run in zip(runs[1::2], runs[2::2], strict=True):
        line, newline, rest = run.partition(b"\n")
        match escape:
            case b"(B" | b"(J":
                text.append(line.decode("cp932", "replace"))
            case b"(I":
                text.append(line.translate(_SET_HIGH_BIT).decode("cp932", "replace"))
            case b"$(D":
                text.append(_three_octets(line.translate(_SET_HIGH_BIT)).decode("euc_jp", "replace"))
            case _:
                text.append(_decode_euc_jp(line.translate(_SET_HIGH_BIT)))
        text.append((newline + rest).decode("cp932", "replace"))
    return "".join(text)


def _three_octets(pairs: bytes) -> bytes:
    """Return pairs of JIS X 0212 as EUC-JP writes them, each behind a prefix."""
    return b"".join(b"\x8f" + pairs[at : at + 2] for at in range(0, len(pairs), 2))
