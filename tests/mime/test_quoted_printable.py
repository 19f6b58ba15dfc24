"""Quoted-printable (RFC 2045 section 6.7): what is decoded by `binascii` is what the rules say, however it comes."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crymapd.mime.content import decode_stream

_RULES = re.compile(rb"=([0-9A-Fa-f]{2})|=[ \t]*(?:\r?\n|\Z)|(?<![ \t])[ \t]++(?=\r?\n|\Z)")


def by_the_rules(text: bytes) -> bytes:
    """Escapes, soft line ends, and blanks at the end of a line, one by one; anything else stands for itself."""
    return _RULES.sub(lambda m: bytes((int(m[1], 16),)) if m[1] else b"", text)


def decoded(*pieces: bytes) -> bytes:
    octets = decode_stream(pieces, b"quoted-printable")
    assert octets is not None
    return b"".join(octets)


PIECES = st.lists(
    st.one_of(
        st.sampled_from((b"=", b"=\r\n", b"=\n", b"= \r\n", b"=\r", b"==", b"=3D", b"=3d", b"=f", b"=zz", b"\r\n", b"\n",
                         b"\r", b" ", b"\t", b"  \r\n", b"\t\n", b"a", b"_", b"=20", b"=0D=0A", b"3", b"D", b"\0")),
        st.binary(max_size=5),
    ),
    max_size=30,
)  # fmt: skip


@settings(max_examples=2000, deadline=None)
@given(PIECES)
def test_as_the_rules_say(pieces: list[bytes]) -> None:
    text = b"".join(pieces)
    assert decoded(*pieces) == decoded(text) == by_the_rules(text)


@settings(max_examples=200, deadline=None)
@given(PIECES.filter(lambda pieces: b"\n" not in b"".join(pieces)), PIECES, st.integers(1, 9))
def test_very_long_lines(pieces: list[bytes], after: list[bytes], size: int) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("crymapd.mime.content._LONGEST_QP", 16)
        text = b"abcdefgh" * 3 + b"".join((*pieces, b"ijklmnop" * 3, *after))
        cut = [text[at : at + size] for at in range(0, len(text), size)]
        if not re.search(rb"[ \t\r]{7}", text):  # so many blanks are as long as the line here
            assert decoded(*cut) == by_the_rules(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"last line \t ", b"last line"),
        (b"a \r\nb\t", b"a\r\nb"),
        (b"a=20 \r\nb=20", b"a \r\nb "),
        (b"a= \t\r\nb=", b"ab"),
        (b"a = b == c =XY =4", b"a = b == c =XY =4"),
        (b"a=\rb\r\nc", b"a=\rb\r\nc"),
        (b" ", b""),
    ],
)
def test_blanks_and_signs(text: bytes, expected: bytes) -> None:
    assert decoded(text) == expected
