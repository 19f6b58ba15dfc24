"""What SORT and THREAD compare (RFC 5256 section 2): base subjects, collation, sent dates, message ids; and previews."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from crymapd.mime.collation import collation_key
from crymapd.mime.dates import sent_moment
from crymapd.mime.header import Header
from crymapd.mime.parts import parse
from crymapd.mime.preview import MAX_CHARACTERS, preview
from crymapd.mime.references import message_id, message_ids, parents, references
from crymapd.mime.subject import base_subject
from tests.testlib.linear import assert_linear


@pytest.mark.parametrize(
    ("field", "base", "answers"),
    [
        (b"lunch", "lunch", False),
        (b"Re: lunch", "lunch", True),
        (b"rE : lunch", "lunch", True),
        (b"Fw:Fwd:RE:lunch", "lunch", True),
        (b"Re[2]: lunch", "lunch", True),
        (b"Re [2] : lunch", "lunch", True),
        (b"[list] lunch", "lunch", False),
        (b"[a] [b] Re: [c] lunch", "lunch", True),
        (b"[a][b]lunch", "lunch", False),
        (b"lunch (fwd)", "lunch", True),
        (b"lunch (FWD) (fwd)\t ", "lunch", True),
        (b"[fwd: lunch]", "lunch", True),
        (b"[Fwd: Re: [fwd: lunch (fwd)] ]", "lunch", True),
        (b"Re: [fwd: lunch]", "lunch", True),
        # The last blob stays where nothing else would.
        (b"[list]", "[list]", False),
        (b"[a] [b]", "[b]", False),
        (b"Re: [list]", "[list]", True),
        (b"[fwd: lunch] today", "today", False),
        (b"[fwd: lunch", "[fwd: lunch", False),
        # No marks.
        (b"Rerun", "Rerun", False),
        (b"Aw: lunch", "Aw: lunch", False),
        (b"lunch re:", "lunch re:", False),
        (b"(fwd) lunch", "(fwd) lunch", False),
        (b"fwdd: lunch", "fwdd: lunch", False),
        (b"[un[ended] Re: lunch", "[un[ended] Re: lunch", False),
        (b"[a[b]c] lunch", "[a[b]c] lunch", False),
        # Nothing is left.
        (b"", "", False),
        (b"Re:", "", True),
        (b"re: fwd: (fwd)", "", True),
        (b" \t ", "", False),
        (b"[fwd:]", "", True),
        # Encoded words first, then white space.
        (b"=?utf-8?q?Re:_l=C3=BCnch?=", "l\u00fcnch", True),
        (b"=?utf-8?b?UmU6IGw=?= =?utf-8?q?unch?=", "lunch", True),
        (b"a  b\t\tc", "a b c", False),
        (b"a\xc2\xa0 b", "a\u00a0 b", False),
    ],
)
def test_base_subject(field: bytes, base: str, answers: bool) -> None:
    assert base_subject(field) == (base, answers)


def test_no_subject() -> None:
    assert base_subject(None) == ("", False)


@pytest.mark.parametrize(
    ("one", "other"),
    [("abc", "ABC"), ("äöü", "ÄÖÜ"), ("éclair", "E\u0301CLAIR"), ("Ǆ", "ǆ"), ("привет", "ПРИВЕТ")],
)
def test_collated_alike(one: str, other: str) -> None:
    """RFC 5051: titlecase, then decomposed."""
    assert collation_key(one) == collation_key(other)


def test_collated_in_order() -> None:
    words = ["", "1", "A", "aa", "ab", "az", "\u00e4", "B", "z", "\u00df", "\u03b1", "\u0431", "\u3042"]
    assert sorted(words, key=collation_key) == words


@pytest.mark.parametrize(
    ("field", "moment"),
    [
        (b"31 Dec 2000 16:01:33 -0800", "2001-01-01 00:01:33"),
        (b"Sun, 31 Dec 2000 16:01:33 -0800 (PST)", "2001-01-01 00:01:33"),
        (b"1 Jan 2001 00:01:33 +0000", "2001-01-01 00:01:33"),
        (b"Mon, 1 Jan 2001 5:01 +0545", "2000-12-31 23:16:00"),
        (b"1 Jan 01 00:01:33 GMT", "2001-01-01 00:01:33"),
        (b"1 Jan 98 00:01:33 EST", "1998-01-01 05:01:33"),
        (b"1 Jan 1998 00:01:33 pdt", "1998-01-01 07:01:33"),
        # Comments and white space may stand between all of it (RFC 5322 section 4.3).
        (b"Sun (day) , 31 (x) Dec (y) 2000 (z) 16 (h) : (c) 01 : 33 (s) -0800 (PST)", "2001-01-01 00:01:33"),
        (b"31 Dec 2000 16 : 01 : 33 -0800", "2001-01-01 00:01:33"),
        (b"31 Dec 2000 16:01(a (nested (deep) \\) one))-0800", "2001-01-01 00:01:00"),
        (b"(a (nested) comment) 31 Dec 2000\t16:01:33\t-0800", "2001-01-01 00:01:33"),
        (b"(" + b"x" * 300 + b") 31 Dec 2000 16:01:33 -0800", "2001-01-01 00:01:33"),
        (b"31 Dec 2000 16:01:33 (without end -0800", "2000-12-31 16:01:33"),
        # An unknown zone, a zone that is none, none at all: UTC.
        (b"1 Jan 2001 00:01:33 A", "2001-01-01 00:01:33"),
        (b"1 Jan 2001 00:01:33 +9999", "2001-01-01 00:01:33"),
        (b"1 Jan 2001 00:01:33", "2001-01-01 00:01:33"),
        # A time that is none: midnight.
        (b"1 Jan 2001 25:01:33 +0000", "2001-01-01 00:00:00"),
        (b"1 Jan 2001 12:60:00 +0000", "2001-01-01 00:00:00"),
        (b"1 Jan 2001", "2001-01-01 00:00:00"),
        (b"1 Jan 2001 noon", "2001-01-01 00:00:00"),
        (b"1 Jan 1969 00:00:00 +0000", "1969-01-01 00:00:00"),
        (b"31 Dec 9999 23:59:59 -2359", "9999-12-31 23:59:59"),
    ],
)
def test_sent_moment(field: bytes, moment: str) -> None:
    """RFC 5256 section 2.2."""
    found = sent_moment(field)
    assert found is not None
    if moment.startswith("9999"):
        assert found == datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp() + 86_340
    else:
        assert found == datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize("field", [None, b"", b"today", b"32 Jan 2001 00:00:00 +0000", b"1 Foo 2001", b"30 Feb 2001"])
def test_no_sent_moment(field: bytes | None) -> None:
    assert sent_moment(field) is None


def test_message_ids() -> None:
    assert message_ids(b"<a@b> (c) <d@e>,<f@g>") == [b"a@b", b"d@e", b"f@g"]
    assert message_ids(b"none here") == [] == message_ids(None)
    assert message_ids(b"<a@b") == [] == message_ids(b"<>")


@pytest.mark.parametrize("field", [b"<yes>", b"<y>", b"<1234>", b"yes", b'<"yes">', b"<yes> <no>", b"< >", b"a@b"])
def test_what_has_no_at_sign_is_no_id(field: bytes) -> None:
    """RFC 5322 section 3.6.4: thousands have answered `yes` to git send-email, to the question what they answer."""
    assert message_ids(field) == []
    header = Header(b"Message-ID: " + field + b"\r\nReferences: " + field + b"\r\nIn-Reply-To: " + field + b"\r\n\r\n")
    assert references(header) == () and message_id(header) is None and parents(header) == []
    assert message_ids(b"<a@b> " + field + b" <c@d>") == [b"a@b", b"c@d"]


@pytest.mark.parametrize(
    "field",
    [b"<abc.def@x.example>", b"<abc.\r\n def@x.example>", b"<abc.def\r\n\t@x.example>", b"<abc.def@\r\n x.example>",
     b"<\r\n abc.def@x.example>", b"<abc.def@x.example\r\n >", b"<ab\r\n c.def@x. example>", b'<"abc.def"\r\n @x.example>'],
)  # fmt: skip
def test_ids_folded_in_the_middle(field: bytes) -> None:
    assert message_ids(field) == [b"abc.def@x.example"]
    assert message_id(Header(b"Message-ID: " + field + b"\r\n\r\n")) == b"abc.def@x.example"


def test_blanks_in_quotes_belong_to_an_id() -> None:
    assert message_ids(b'<"a b"@c>') == [b"a b@c"] != message_ids(b"<ab@c>")


def test_ids_are_the_same_however_they_are_quoted() -> None:
    """RFC 5256 section 3, the note on Message ID."""
    plain = message_ids(b"<01KF8JCEOCBS0045PS@xxx.yyy.com>")
    assert message_ids(b'<"01KF8JCEOCBS0045PS"@xxx.yyy.com>') == plain
    assert message_ids(rb'<"01KF8JC\EOCBS0045PS"@xxx.yyy.com>') == plain
    assert message_ids(b"<01kf8jceocbs0045ps@xxx.yyy.com>") != plain


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"References: <a@b> <c@d>\r\nIn-Reply-To: <e@f>\r\n\r\n", [b"a@b", b"c@d"]),
        (b"References: <a@b>\r\n <c@d>\r\n\r\n", [b"a@b", b"c@d"]),
        (b"References: what you said\r\nIn-Reply-To: <e@f>\r\n\r\n", [b"e@f"]),
        (b"In-Reply-To: your message <e@f> of <g@h>\r\n\r\n", [b"e@f"]),
        (b"In-Reply-To: your message\r\n\r\n", []),
        (b"\r\n", []),
    ],
)
def test_parents(header: bytes, expected: list[bytes]) -> None:
    assert parents(Header(header)) == expected


def test_own_id() -> None:
    assert message_id(Header(b"Message-ID: <a@b>\r\n\r\n")) == b"a@b"
    assert message_id(Header(b"Message-ID: a@b\r\n\r\n")) is None
    assert message_id(Header(b"\r\n")) is None


def shown(message: bytes) -> str:
    return preview(parse(message), lambda start, end: iter((message[start:end],)))


HTML = b"Content-Type: text/html; charset=utf-8\r\n\r\n"


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (b"\r\nhello\r\n\tthere\r\n", "hello there"),
        (b"Content-Type: text/plain; charset=iso-8859-1\r\n\r\ncaf\xe9", "caf\u00e9"),
        (b"Content-Transfer-Encoding: base64\r\n\r\naGVsbG8=\r\n", "hello"),
        (HTML + b"<p>a<br>b</p>", "a b"),
        (HTML + b"<STYLE>no</STYLE><style>no</style >yes<script src=x>no", "yes"),
        (HTML + b"&lt;b&gt; &eacute; &#8364; &nosuch;", "<b> \u00e9 \u20ac &nosuch;"),
        (HTML + b"1 < 2", "1 < 2"),
        (HTML + b"<!-- <p>no --> yes <!-- no", "yes"),
        (HTML + b"<html><head><title>no</title></head></html>", ""),
        (b"Content-Type: application/pdf\r\n\r\n%PDF", ""),
        (b"Content-Type: application/pkcs7-mime\r\n\r\nMII", ""),
        (b"Content-Type: text/calendar\r\n\r\nBEGIN:VCALENDAR", ""),
        (b"Content-Type: text/plain\r\nContent-Disposition: attachment\r\n\r\nno", ""),
        (b"Content-Transfer-Encoding: x-none\r\n\r\nas it is", "as it is"),
        (b"", ""),
    ],
)
def test_preview(message: bytes, text: str) -> None:
    assert shown(message) == text


def test_previews_are_short_and_without_control_characters() -> None:
    assert len(shown(b"\r\n" + b"word " * 1000)) <= MAX_CHARACTERS
    assert shown("\r\n🔐".encode() + "🔐".encode() * 1000) == "🔐" * MAX_CHARACTERS
    text = shown("\r\na\x00b\x1b[31m\u202ec\u200b\u00add".encode())
    assert text.isprintable() and text.startswith("a b [31m c")


# Linear time

Work = tuple[str, Callable[[int], bytes], Callable[[bytes], object]]
WORK: tuple[Work, ...] = (
    ("replies", lambda size: b"Re: " * (size // 4), base_subject),
    ("blobs", lambda size: b"[x] " * (size // 4), base_subject),
    ("blobs and replies", lambda size: b"[x]re[y]:" * (size // 9), base_subject),
    ("open blobs", lambda size: b"[" * size, base_subject),
    ("re and spaces", lambda size: b"re" + b" " * size, base_subject),
    ("trailers", lambda size: b"(fwd)" * (size // 5), base_subject),
    ("forwards", lambda size: b"[fwd:" * (size // 10) + b"]" * (size // 10), base_subject),
    ("ids", lambda size: b"<a@b>" * (size // 5), message_ids),
    ("open ids", lambda size: b"<" * size, message_ids),
    ("quotes in ids", lambda size: b'<"' * (size // 2), message_ids),
    ("open quotes in ids", lambda size: b'<"\\' * (size // 3), message_ids),
    ("parentheses in a date", lambda size: b"(" * size, sent_moment),
    ("spaces in a date", lambda size: b"1" + b" " * size, sent_moment),
    ("letters", lambda size: ("\u00e4" * size).encode(), lambda m: collation_key(m.decode())),
    ("tags", lambda size: HTML + b"<p>" * (size // 3), shown),
    ("open tags", lambda size: HTML + b"<" * size, shown),
    ("open comments", lambda size: HTML + b"<!--" * (size // 4), shown),
    ("open styles", lambda size: HTML + b"<style>" * (size // 7), shown),
    ("ends of styles", lambda size: HTML + b"<style></style" * (size // 14), shown),
    ("entities", lambda size: HTML + b"&amp" * (size // 4), shown),
    ("a long entity", lambda size: HTML + b"&#" + b"9" * size, shown),
    ("white space", lambda size: b"\r\n" + b" " * size, shown),
)


@pytest.mark.parametrize(("make", "work"), [one[1:] for one in WORK], ids=[one[0] for one in WORK])
def test_linear(make: Callable[[int], bytes], work: Callable[[bytes], object]) -> None:
    """Eight times the octets do not take the square of that."""
    assert_linear(make, work, size=8192, largest=1 << 18)
