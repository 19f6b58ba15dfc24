"""What a search finds: substrings to the blank (RFC 9051 section 6.4.4), cases by RFC 5051, addresses by ENVELOPE."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crymapd.mime.collation import collation_key
from crymapd.mime.parts import parse
from crymapd.mime.text import (
    SearchTexts,
    address_text,
    body_texts,
    field_texts,
    search_form,
    search_texts,
)


def texts_of(message: bytes) -> SearchTexts:
    texts = search_texts(parse(message), lambda start, end: iter((message[start:end],)))
    assert texts is not None
    return texts


def in_body(message: bytes, wanted: str) -> bool:
    return texts_of(message).has(search_form(wanted), header=False)


def in_text(message: bytes, wanted: str) -> bool:
    return texts_of(message).has(search_form(wanted), header=True)


def in_field(value: bytes, wanted: str) -> bool:
    return any(search_form(wanted) in search_form(text) for text in field_texts(value))


@pytest.mark.parametrize(
    ("value", "found", "missed"),
    [
        (b" spare parts\r\n", ["pare p", "spare parts", "parts", ""], [" spare", "parts ", "spare  parts", " pare"]),
        (b" one  two\r\n", ["one  two", "  two", "e  t"], ["one two", "   "]),
        (b"  one two  \r\n", [" one two  ", "two  "], ["  one", "two   "]),
        (b"one\r\n", ["one"], [" one", "one "]),
        (b" one\r\n two\r\n", ["one two"], ["onetwo", "one  two", "one\r\n two"]),
        (b" one \r\n  two\r\n", ["one   two"], ["one two", "one  two"]),
        (b" one\r\n\ttwo\r\n", ["one two", "one\ttwo"], ["one\t two", "onetwo"]),
        (b" one\ttwo\r\n", ["one\ttwo"], ["one two"]),
        (b"\r\n one\r\n", ["one"], [" one"]),
        (b" =?utf-8?q?one_?= =?utf-8?q?_two_?=\r\n", ["one  two ", "=?utf-8?q?one_?= =?"], ["one two", "one   two"]),
        (b" =?utf-8?q?one=0D=0A_two?=\r\n", ["one\r\n two", "one\n two"], ["one two"]),
        ("one\u00a0two\u3000x\r\n".encode(), ["one two x", "one\u00a0two"], ["one  two"]),
    ],
)
def test_blanks_in_a_field(value: bytes, found: list[str], missed: list[str]) -> None:
    """All but one are Dovecot's answers to HEADER; a tab that the sender wrote before a fold is found as well."""
    assert [wanted for wanted in found if not in_field(value, wanted)] == []
    assert [wanted for wanted in missed if in_field(value, wanted)] == []


@pytest.mark.parametrize(
    ("body", "found", "missed"),
    [
        (b"shared words\r\n", ["hare", "d w", "words"], ["hare ", " shared", "words ", "shared  words"]),
        (b"one  two", ["one  two"], ["one two"]),
        (b"one\r\ntwo", ["one\r\ntwo", "one\ntwo", "one\r\n"], ["one two", "onetwo"]),
        (b"one \r\n two", ["one ", " two", "one \r\n two"], ["one two", "one  two"]),
        (b"one\r\n\r\ntwo", ["one\r\n\r\ntwo"], ["one\r\ntwo"]),
        (b"one\ttwo", ["one\ttwo"], ["one two"]),
    ],
)
def test_blanks_and_lines_in_a_body(body: bytes, found: list[str], missed: list[str]) -> None:
    message = b"Subject: x\r\n\r\n" + body
    assert [wanted for wanted in found if not in_body(message, wanted)] == []
    assert [wanted for wanted in missed if in_body(message, wanted)] == []


def test_no_match_goes_from_one_field_or_part_to_the_next() -> None:
    message = (
        b"Subject: one\r\nX-Other: two\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
        b"--b\r\nX-Part: three\r\n\r\nfour\r\n--b\r\nX-Part: five\r\n\r\nsix\r\n--b--\r\n"
    )
    for wanted in ("one", "two", "three", "four", "five", "six", "subject: one", "x-part: five"):
        assert in_text(message, wanted), wanted
    for one, other in (("one", "x-other"), ("three", "x-part"), ("four", "six"), ("four", ""), ("three", "four")):
        for between in (" ", "\r\n", "\n", "", "\r\n\r\n"):
            wanted = one + between + other
            assert wanted in ("four", "three") or not in_text(message, wanted), wanted
    assert not in_text(message, "subject:one") and in_text(b"Subject:one\r\n\r\n", "subject:one")


ALIKE = [
    ("ısparta", "ISPARTA"), ("ısparta", "isparta"), ("İ", "i\u0307"), ("straße", "STRAßE"), ("σοφός", "ΣΟΦΌΣ"),
    ("ς", "σ"), ("Ǆ", "ǆ"), ("ǅ", "Ǆ"), ("ſ", "S"), ("Ⅳ", "ⅳ"), ("２", "2"), ("ガ", "ｶﾞ"), ("한", "\u1112\u1161\u11ab"),
    ("é", "E\u0301"), ("K", "k"), ("µ", "μ"), ("привет", "ПРИВЕТ"), ("ﬁ", "ﬁ"), ("\u00a0", " "),
]  # fmt: skip
APART = [("straße", "STRASSE"), ("ﬁ", "FI"), ("İ", "i"), ("ß", "ẞ"), ("\t", " "), ("\r", "\n")]


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_alike(one: str, other: str) -> None:
    """RFC 5051, which is what Dovecot does as well."""
    assert search_form(one) == search_form(other)


@pytest.mark.parametrize(("one", "other"), APART)
def test_apart(one: str, other: str) -> None:
    assert search_form(one) != search_form(other)


def test_accents_may_be_left_out_and_letters_of_a_syllable() -> None:
    assert search_form("e") in search_form("é") and search_form("カ") in search_form("ガ")


LINES = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), max_size=40)


@given(LINES)
def test_search_and_sort_fold_alike(text: str) -> None:
    assert search_form(text) == collation_key(text)
    assert search_form(search_form(text).lower()).isascii() == search_form(text).isascii()


@given(st.lists(LINES, max_size=4), st.text(max_size=6), st.text(max_size=6))
def test_forms_keep_substrings(lines: list[str], before: str, after: str) -> None:
    """What holds a text in any position holds it in search form: the trigrams of one are among those of the other."""
    wanted = "\r\n".join(lines)
    if not (before.endswith("\r") and wanted.startswith("\n")) and not (wanted.endswith("\r") and after[:1] == "\n"):
        assert search_form(wanted) in search_form(before + wanted + after)


@given(st.lists(LINES.map(str.encode), max_size=4))
def test_words_hold_whatever_may_match(lines: list[bytes]) -> None:
    """The index looks for trigrams in `words`: they must hold every form that any key looks into."""
    value = b" " + b"\r\n\t".join(lines) + b"\r\n"
    message = b"From:" + value + b"\r\n" + b"\r\n".join(lines)
    parsed = parse(message)
    words = texts_of(message).words
    for raw in parsed.header.values(b"from"):
        for form in (*field_texts(raw), address_text(raw)):
            assert all(piece in words for piece in search_form(form).split("\ufffd"))
    for body in body_texts(parsed, lambda start, end: iter((message[start:end],))):
        assert search_form(body) in words


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b" ann (comment)@ (another) example.org", "another <ann@example.org>"),
        (b" Ann <ann@\r\n example.org>", "Ann <ann@example.org>"),
        (b' "Doe, Ann" <ann@example.org>', '"Doe, Ann" <ann@example.org>'),
        (b" ann@example.org (Ann Doe)", "Ann Doe <ann@example.org>"),
        (b" =?utf-8?q?Ann_D=C3=B6?= <ann@example.org>", "Ann Dö <ann@example.org>"),
        (b" =?iso-8859-1?q?Ann_D\xf6?= <ann@example.org>", "Ann Dö <ann@example.org>"),
        (b" Ann\r\n\tDoe <ann@example.org>", "Ann Doe <ann@example.org>"),
        (b" a . b @ c . d", "<a.b@c.d>"),
        (b" <@route.example:ann@example.org>", "<@route.example:ann@example.org>"),
        (b' "a b"@example.org, c@d', '<"a b"@example.org>, <c@d>'),
        (b" group: a@b, c@d;, e@f", "group: <a@b>, <c@d>;, <e@f>"),
        (b" undisclosed-recipients:;", "undisclosed-recipients: ;"),
        (b" MAILER-DAEMON (Mail System)", "Mail System <MAILER-DAEMON>"),
        ("j@jö.de".encode(), "<j@jö.de>"),
        (b"", ""),
    ],
)
def test_addresses(value: bytes, text: str) -> None:
    """FROM, TO, CC and BCC look into the addresses of the envelope, not into the field."""
    assert address_text(value) == text


class Counted:
    """Gives octets of a message as a sealed file does: from its beginning on, in chunks that are counted."""

    def __init__(self, message: bytes, chunk: int = 65536) -> None:
        self._message, self._chunk = message, chunk
        self.octets = self.readings = 0

    def read(self, start: int, end: int) -> Iterator[bytes]:
        self.readings += 1
        for at in range(0, end, self._chunk):
            piece = self._message[at : at + self._chunk]
            self.octets += len(piece)
            wanted = piece[max(start - at, 0) : max(end - at, 0)]
            if wanted:
                yield wanted


def many_parts(count: int, size: int = 0) -> bytes:
    part = b"--b\r\nContent-Type: text/plain\r\n\r\nneedle%d " + b"x" * size + b"\r\n"
    head = b"Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    return head + b"".join(part % number for number in range(count)) + b"--b--\r\n"


@pytest.mark.parametrize("chunk", [7, 1000, 65536])
def test_texts_of_many_parts_are_read_in_one_pass(chunk: int) -> None:
    """Anyone can send 4,000 parts: a search decrypts each octet once, not once for each part."""
    message = many_parts(4000, 100)
    counted = Counted(message, chunk)
    texts = search_texts(parse(message), counted.read)
    assert texts is not None and search_form("needle3999 x") in texts.bodies
    assert counted.readings == 1 and counted.octets <= len(message)


def test_texts_are_those_of_each_part_alone() -> None:
    message = many_parts(50, 30)
    root = parse(message)
    whole = list(body_texts(root, lambda start, end: iter((message[start:end],))))
    for chunk in (1, 3, 64, 4096):
        assert list(body_texts(root, Counted(message, chunk).read)) == whole
    assert whole[7] == "needle7 " + "x" * 30
