"""Mail that keeps to no rule, read as its reader would: what comparing with another server showed (tests/compare)."""

from __future__ import annotations

import subprocess
import sys

import pytest

from crymapd.imap.prepared import prepare
from crymapd.imap.wire.strings import UTF8
from crymapd.imap.wire.structure import structure
from crymapd.mime import content
from crymapd.mime.addresses import Address, parse
from crymapd.mime.parts import Part
from crymapd.mime.parts import parse as parts_of
from crymapd.mime.text import search_texts
from crymapd.store.summary import summarize
from tests.testlib.patience import PATIENCE_SECONDS

Shown = list[tuple[bytes | None, bytes | None, bytes | None, bytes | None]]


def shown(field: bytes) -> Shown:
    return [(a.name, a.route, a.mailbox, a.host) for a in parse(field)]


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (b"<@example.net:fran@example.com>", [(None, b"@example.net", b"fran", b"example.com")]),
        (b"<<<user2@example.org>>>", [(None, None, b"user2", b"example.org")]),
        (b"<another@example.net", [(None, None, b"another", b"example.net")]),
        (b"second@example.org>", [(None, None, b"second", b"example.org")]),
        (b"(Testing <fran@example.com>", [(b"Testing", None, b"fran", b"example.com")]),
        (b"Testing) <sam@example.com>", [(b"Testing)", None, b"sam", b"example.com")]),
        (b"<third@example.net, fourth@example.net>",
         [(None, None, b"third", b"example.net"), (None, None, b"fourth", b"example.net")]),
        (b'"Joe <joe@example.com>', [(b"Joe", None, b"joe", b"example.com")]),
        (b'(one (two "three) <a@b>', [(b"one (two three)", None, b"a", b"b")]),
    ],
)  # fmt: skip
def test_what_rfc_7103_advises(field: bytes, expected: Shown) -> None:
    """The examples of RFC 7103 section 7.1, and two of them at once."""
    assert shown(field) == expected


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (b"<a@b> behind it", [(None, None, b"a", b"b")]),
        (b"A <a@b> B <c@d>", [(b"A", None, b"a", b"b"), (b"B", None, b"c", b"d")]),
        (b"a@b c@d", [(None, None, b"a", b"b"), (None, None, b"c", b"d")]),
        (b"John Doe jd@example.org", [(b"John Doe", None, b"jd", b"example.org")]),
        (b"A <x a@b y>", [(b"A", None, b"a", b"b")]),
        (b"undisclosed recipients", [(b"undisclosed recipients", None, b"", b"")]),
        (b"J. Smith", [(b"J. Smith", None, b"", b"")]),
        (b"MAILER-DAEMON (Mail System)", [(b"Mail System", None, b"MAILER-DAEMON", b"")]),
        (b"a . b @ c . d", [(None, None, b"a.b", b"c.d")]),
        (b"a(comment)@b", [(b"comment", None, b"a", b"b")]),
    ],
)  # fmt: skip
def test_no_address_is_made_of_words_that_are_apart(field: bytes, expected: Shown) -> None:
    """Not `a@bbehindit`; but white space around the specials of an address is obsolete syntax, and fine."""
    assert shown(field) == expected


@pytest.mark.parametrize(
    ("field", "name"),
    [
        (b"a@b (c (d) e)", b"c (d) e"),
        (b'(a 5" disk) <a@b>', b'a 5" disk'),
        (b"a@b (x\\)y)", b"x)y"),
        (b'"A" "B" <a@b>', b"A B"),
        (b'"A"B <a@b>', b"A B"),
        (b"A (x) B <a@b>", b"A B"),
        (b"[list] A <a@b>", b"[list] A"),
        (b"first@example.org <a@b>", b"first@example.org"),
        (b'"" <a@b>', None),
    ],
)
def test_names(field: bytes, name: bytes | None) -> None:
    assert parse(field) == [Address(name, None, b"a", b"b")]


def test_routes_with_spaces() -> None:
    assert shown(b"<@a, @b : c@d>") == [(None, b"@a,@b", b"c", b"d")]


@pytest.mark.parametrize(
    ("field", "parameters"),
    [
        (b"x/y; name*0=a; name*1=b", [(b"name", b"ab")]),
        (b"x/y; name*1=b; v=w; Name*0=a", [(b"name", b"ab"), (b"v", b"w")]),
        (b"x/y; name*0*=utf-8'en'%C3; name*1*=%B6; name*2=\"x% y\"", [(b"name*", b"utf-8'en'%C3%B6x%25%20y")]),
        (b'x/y; name*0="a b"; name*1*=%20c', [(b"name*", b"''a%20b%20c")]),
        (b"x/y; name*0*=utf-8''a", [(b"name*", b"utf-8''a")]),
        (b"x/y; name*=utf-8''a", [(b"name*", b"utf-8''a")]),
        (b"x/y; name*0=a; name*2=c", [(b"name", b"a"), (b"name*2", b"c")]),
        (b"x/y; name*1=b", [(b"name*1", b"b")]),
        (b"x/y; name=z; name*0=a; name*1=b; name*1=c", [(b"name", b"z"), (b"name", b"ab")]),
    ],
)
def test_parameters_in_pieces(field: bytes, parameters: list[tuple[bytes, bytes]]) -> None:
    """RFC 2231 section 6: servers join them for BODYSTRUCTURE; the charset stays, for the client to undo."""
    found = content.valued(field)
    assert found is not None and list(found.parameters) == parameters


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (b"attachment filename=x", (b"attachment", ())),
        (b"; filename=x", (b"", ((b"filename", b"x"),))),
        (b'"inline"', (b"inline", ())),
        (b'""', None),
        (b"", None),
    ],
)
def test_dispositions(field: bytes, expected: tuple[bytes, content.Parameters] | None) -> None:
    found = content.disposition(field)
    assert (None if found is None else (found.value, found.parameters)) == expected


def test_names_of_files_are_not_lost() -> None:
    """A name in bare UTF-8 goes to clients without UTF-8 in a form they know (RFC 2231), not as question marks."""
    message = b'Content-Type: text/plain; name="b\xc3\xa9 ton.txt"\r\n\r\n'
    assert b'("name*" "utf-8\'\'b%C3%A9%20ton.txt")' in structure(parts_of(message), extended=False)
    assert '("name" "bé ton.txt")'.encode() in structure(parts_of(message), extended=False, out=UTF8)


MULTIPART = b"Content-Type: multipart/mixed; boundary=%b\r\n\r\n"


def bodies(message: bytes) -> list[bytes]:
    """What the leaves hold."""
    found, stack = [], [parts_of(message)]
    while stack:
        part: Part = stack.pop()
        stack += reversed(part.children)
        if not part.children:
            found.append(message[part.body : part.end])
    return found


@pytest.mark.parametrize(
    "line",
    [b"--b", b"--b ", b"--b\t", b"--bx", b"--b x", b"--b-"],
)
def test_what_follows_a_boundary_in_its_line_does_not_matter(line: bytes) -> None:
    """RFC 2046 section 5.1.1: it is sufficient that the boundary appear at the beginning."""
    message = MULTIPART % b"b" + line + b"\r\n\r\none\r\n" + line + b"\r\n\r\ntwo\r\n--b--\r\n"
    assert bodies(message) == [b"one", b"two"]


@pytest.mark.parametrize("line", [b"--b--", b"--b-- ", b"--b-->", b"--b---", b"--b--x"])
def test_the_end_as_well(line: bytes) -> None:
    assert bodies(MULTIPART % b"b" + b"--b\r\n\r\none\r\n" + line + b"\r\nepilogue\r\n") == [b"one"]


def test_of_two_boundaries_the_longer_fits() -> None:
    """One may begin with the other."""
    inner = MULTIPART % b"bb" + b"--bb\r\n\r\none\r\n--bb--\r\n"
    message = MULTIPART % b"b" + b"--b\r\n" + inner + b"--b\r\n\r\ntwo\r\n--b--\r\n"
    assert [len(part.children) for part in parts_of(message).children] == [1, 0]
    assert bodies(message) == [b"one", b"two"]
    inner = MULTIPART % b"b--" + b"--b--\r\n\r\none\r\n--b----\r\n"
    message = MULTIPART % b"b" + b"--b\r\n" + inner + b"--b\r\n\r\ntwo\r\n--b--\r\n"
    assert bodies(message) == [b"one", b"two"]


def test_of_equal_boundaries_the_innermost() -> None:
    """Some senders use one for all; their parts lie where they were written."""
    inner = MULTIPART % b"b" + b"--b\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b--\r\n"
    root = parts_of(MULTIPART % b"b" + b"--b\r\n" + inner + b"\r\n--b\r\n\r\nthree\r\n--b--\r\n")
    assert [len(part.children) for part in root.children] == [2, 0]


@pytest.mark.parametrize(
    "parameter",
    [b"boundary*0=b; boundary*1=c", b"boundary*=us-ascii''bc", b'boundary="bc "', b"BOUNDARY=bc", b'boundary="b\\c"'],
)
def test_boundaries_as_parameters(parameter: bytes) -> None:
    message = b"Content-Type: multipart/mixed; " + parameter + b"\r\n\r\n--bc\r\n\r\none\r\n--bc--\r\n"
    assert bodies(message) == [b"one"]


def test_a_boundary_may_seem_to_end_with_a_space() -> None:
    message = b'Content-Type: multipart/mixed; boundary="b "\r\n\r\n--b \r\n\r\none\r\n--b --\r\nepilogue\r\n'
    assert bodies(message) == [b"one"]


@pytest.mark.parametrize("parameter", [b"", b"; boundary", b'; boundary=""', b'; boundary=" "', b", boundary=b"])
def test_a_multipart_without_boundary_is_text(parameter: bytes) -> None:
    """RFC 2045 section 5.2: better than a message without any part to read."""
    message = b"Content-Type: multipart/mixed" + parameter + b"\r\n\r\n--b\r\n\r\none\r\n"
    assert (
        structure(parts_of(message), extended=False) == b'("text" "plain" ("CHARSET" "US-ASCII") NIL NIL "7bit" 12 3)'
    )
    assert bodies(message) == [b"--b\r\n\r\none\r\n"]


def test_the_line_end_before_an_outer_boundary_is_no_part_of_what_it_ends() -> None:
    """RFC 2046 section 5.1.1, where a message that ends with the end of its own multipart lies in another."""
    inner = b"Content-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\none\r\n--c--"
    message = MULTIPART % b"b" + b"--b\r\nContent-Type: message/rfc822\r\n\r\n" + inner + b"\r\n--b--\r\n"
    part = parts_of(message).children[0]
    assert message[part.body : part.end] == inner


def searchable(message: bytes) -> str:
    found = search_texts(parts_of(message), lambda start, end: iter((message[start:end],)))
    assert found is not None
    return " ".join((found.header, found.parts, found.bodies))


def test_reports_are_searched() -> None:
    """message/delivery-status and its like are text to whoever looks for a bounce."""
    report = b"Content-Type: message/delivery-status\r\n\r\nFinal-Recipient: rfc822; nobody@example.org\r\n"
    assert "nobody@example.org" in searchable(report)


def test_lines_that_are_no_field_are_searched() -> None:
    """TEXT looks into the header, not only into its fields (RFC 9051 section 6.4.4)."""
    message = b"Subject: x\r\nthis line is lost\r\nFrom: a@b\r\n\r\nbody\r\n"
    assert "this line is lost" in searchable(message)


_CONFINED = """
import builtins, codecs, sys
from crymapd.imap.prepared import prepare
from crymapd.store.summary import summarize
from crymapd.mime.charsets import preload
preload()
sys.path[:], sys.meta_path[:] = [], []
print(summarize(b"From: a@j\\xc3\\xb6.de\\r\\n\\r\\n", prepare).prepared.envelope.decode())
"""


def test_domains_where_nothing_can_be_imported() -> None:
    """A confined worker has only what was loaded before."""
    done = subprocess.run([sys.executable, "-c", _CONFINED], capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert '"xn--j-1ga.de"' in done.stdout, done.stderr


def test_nothing_is_lost_for_utf8_clients() -> None:
    summary = summarize("From: a@jö.de\r\nSubject: ö\r\n\r\n".encode(), prepare)
    (envelope,) = summary.answers(("envelope",), utf8=True)
    assert envelope is not None and '"jö.de"'.encode() in envelope
