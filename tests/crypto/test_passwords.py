"""All spellings of a password are one; what cannot be a password is refused and opens nothing."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from crymapd.crypto.passwords import MAX_PASSWORD_BYTES, UnusablePassword, prepared


@pytest.mark.parametrize(
    ("password", "octets"),
    [
        # RFC 8265 section 4.3, examples 1 to 5
        ("correct horse battery staple", b"correct horse battery staple"),
        ("Correct Horse Battery Staple", b"Correct Horse Battery Staple"),
        ("πßå", "πßå".encode()),
        ("Jack of ♦s", "Jack of ♦s".encode()),
        ("foo\u1680bar", b"foo bar"),
        # Others
        ("schlu\u0308ssel", "schlüssel".encode()),
        ("schl\u00fcssel", "schlüssel".encode()),
        ("a\u00a0b\u3000c", b"a b c"),
        ("ｆｕｌｌ", "ｆｕｌｌ".encode()),
        (" spaces stay ", b" spaces stay "),
        ("x" * MAX_PASSWORD_BYTES, b"x" * MAX_PASSWORD_BYTES),
    ],
)
def test_prepared(password: str, octets: bytes) -> None:
    assert prepared(password) == octets


@pytest.mark.parametrize(
    "password",
    [
        "",
        "my cat is a \tby",  # RFC 8265 section 4.3, example 7
        "a\0b",
        "a\u0085b",
        b"gr\xfcn".decode("utf-8", "surrogateescape"),
        "x" * (MAX_PASSWORD_BYTES + 1),
    ],
)
def test_no_password(password: str) -> None:
    with pytest.raises(UnusablePassword) as refused:
        prepared(password)
    assert "cat" not in str(refused.value)


@given(st.text(max_size=40))
def test_every_normal_form_that_is_canonical_gives_the_same(password: str) -> None:
    try:
        octets = prepared(password)
    except UnusablePassword:
        assume(False)
    assert prepared(unicodedata.normalize("NFD", password)) == octets
    assert prepared(unicodedata.normalize("NFC", password)) == octets
    assert prepared(octets.decode()) == octets, "it changes nothing twice"
