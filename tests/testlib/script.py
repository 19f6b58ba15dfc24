"""Reads transcripts: the lines of a file, and the pattern that a response must match.

`tests/testlib/transcript.py` describes the language and holds the dialogue.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

MARK = re.compile(r"<<(\*|[A-Za-z_]\w*)(?::(.*?))?>>")
SIZE = re.compile(r"\{CL(\+?)\}")
_LINE = re.compile(r"(C|CL|S|SL|S\*|S!|S\?)([2-9]?)(?:: ?(.*)|(\{|\}))", re.S)
_NUMBERED = re.compile(r"(C|S)([2-9])(L|\*|!|\?)?(?=[:{}])")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the file.

    Attributes:
        number: where it stands in the file, from 1.
        kind: `C`, `CL`, `S`, `SL`, `S*`, `S!`, `S?{`, `S?}`, or `!` for a directive.
        session: the connection that it belongs to, "1" to "9"; empty for a directive.
        text: what follows the colon, or the exclamation mark of a directive.
    """

    number: int
    kind: str
    session: str
    text: str


@dataclass(frozen=True, slots=True)
class Script:
    """A transcript as it was read; `reason` is its first line."""

    path: Path
    reason: str
    lines: tuple[Line, ...]


def read(path: Path) -> Script:
    """Read a transcript.

    Raises:
        ValueError: the first line gives no reason, or a line is not of the language.
    """
    text = path.read_text(encoding="utf-8").split("\n")
    if not text[0].startswith("# ") or not text[0][2:].strip():
        raise ValueError(f"{path}:1: the first line must be the reason, after `# `")
    numbered = [(n, line) for n, line in enumerate(text[1:], 2) if line.strip() and line[0] != "#"]
    return Script(path, text[0][2:].strip(), tuple(_line(path, n, line) for n, line in numbered))


def _line(path: Path, number: int, text: str) -> Line:
    if text.startswith("!"):
        return Line(number, "!", "", text[1:].strip())
    # `C2L:` and `S2*:` mean the same as `CL2:` and `S*2:`.
    match = _LINE.fullmatch(_NUMBERED.sub(r"\1\3\2", text, count=1))
    if not match or (match[4] is not None) != (match[1] == "S?"):
        raise ValueError(f"{path}:{number}: not a line of a transcript: {text!r}")
    return Line(number, match[1] + (match[4] or ""), match[2] or "1", match[3] or "")


def unescape(text: str) -> bytes:
    r"""The octets that the text stands for: Python escapes such as `\r\n\x00`, all other characters in UTF-8."""
    if text.startswith("<<<") and text.endswith(">>>"):
        text = text[3:-3]
    pieces = re.split(r"(\\x[0-9a-fA-F]{2}|\\[0abfnrtv\\'\"])", text)
    return b"".join(
        piece.encode().decode("unicode_escape").encode("latin-1") if index % 2 else piece.encode()
        for index, piece in enumerate(pieces)
    )


@dataclass(frozen=True, slots=True)
class Expected:
    """One response that the transcript expects: the `S` lines and `SL` literals it consists of, as kind and text.

    `number` is where the first of them stands in the file.
    """

    number: int
    parts: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return "\n".join(f"{kind}: {text}" for kind, text in self.parts)

    def pattern(self, captured: dict[str, str]) -> re.Pattern[bytes]:
        """What the octets of the whole response must match, with the values captured so far."""
        return re.compile(b"".join(_pattern(kind, text, captured) for kind, text in self.parts), re.S)


def _pattern(kind: str, text: str, captured: dict[str, str]) -> bytes:
    """A regular expression for the octets of one line, its CRLF included, or of one literal."""
    if kind == "SL" and (text.startswith("<<<") or not MARK.search(text)):
        return re.escape(unescape(text))
    made, done = b"", 0
    for mark in MARK.finditer(text):
        made += _fixed(kind, text[done : mark.start()]) + _mark(kind, mark, captured)
        done = mark.end()
    return made + _fixed(kind, text[done:]) + (b"" if kind == "SL" else rb"\r\n")


def _fixed(kind: str, text: str) -> bytes:
    return re.escape(unescape(text) if kind == "SL" else text.encode())


def _mark(kind: str, mark: re.Match[str], captured: dict[str, str]) -> bytes:
    name, regex = mark.groups()
    if name == "*":
        return b".*" if kind == "SL" else rb"[^\r\n]*"
    if regex is not None:
        return f"(?P<{name}>{regex})".encode()
    assert name in captured, f"<<{name}>> was never captured"
    return re.escape(captured[name].encode("utf-8", "surrogateescape"))
