"""The parser: the same tree however the octets come, in linear time, and never an error for any mail."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crymapd.imap.prepared import prepare
from crymapd.imap.wire.envelope import envelope
from crymapd.imap.wire.section import Section, locate
from crymapd.imap.wire.structure import structure
from crymapd.imap.wire.thread import thread_list
from crymapd.mime import addresses, content, dates, encoded_words, references, subject, text, threads
from crymapd.mime.header import Header, select_fields
from crymapd.mime.parts import MAX_DEPTH, MAX_HEADER, MAX_LATE_FIELDS, MAX_PARTS, Parser, Part, parse
from crymapd.mime.text import ReadOctets, header_lines, search_texts
from crymapd.store.summary import Summarizer, Summary, summarize
from tests.testlib.corpus import hostile, samples, varied
from tests.testlib.linear import assert_linear

FRAGMENTS = st.lists(
    st.one_of(
        st.sampled_from(
            (
                b"\r\n",
                b"\n",
                b"\r",
                b"\r\n\r\n",
                b"\n\n",
                b"--",
                b"--a",
                b"--a\r\n",
                b"--a--",
                b"--a--\r\n",
                b"--aa\r\n",
                b"--b\r\n",
                b"--b--\n",
                b"-",
                b" ",
                b"\t",
                b":",
                b"\0",
                b"a",
                b"\xff",
                b"Content-Type: multipart/mixed; boundary=a\r\n\r\n",
                b"Content-Type: multipart/mixed; boundary=b\n\n",
                b'Content-Type: multipart/digest; boundary="aa"\r\n\r\n',
                b"Content-Type: message/rfc822\r\n\r\n",
                b"Content-Type: message/rfc822\r\n",
                b"Content-Type: multipart/mixed;\r\n boundary=a\r\n",
                b"Subject: x\r\n",
                b"Content-Type: text/plain\r\n\r\n",
                b"Content-Type: multipart/mixed\r\n\r\n",
                b"text\r\n",
                b"x" * 5000,
            )
        ),  # fmt: skip
        st.binary(max_size=8),
    ),
    max_size=25,
).map(b"".join)

Tree = tuple[int, int, int, int, bytes, bytes, bytes, list[object]]


def tree(root: Part) -> Tree:
    """All that is known of a part and those below it."""
    done: dict[int, Tree] = {}
    stack = [(root, False)]
    while stack:
        part, visited = stack.pop()
        if not visited:
            stack.append((part, True))
            stack += [(child, False) for child in part.children]
            continue
        children: list[object] = [done[id(child)] for child in part.children]
        own = (part.start, part.body, part.end, part.lines, part.header.block, part.type, part.subtype)
        done[id(part)] = (*own, children)
    return done[id(root)]


def reading(message: bytes) -> ReadOctets:
    return lambda start, end: iter((message[start:end],))


def in_pieces(message: bytes, size: int) -> Part:
    parser = Parser()
    for at in range(0, len(message), size):
        parser.feed(message[at : at + size])
    return parser.close()


@settings(max_examples=600, deadline=None)
@given(FRAGMENTS, st.integers(2, 6000))
def test_pieces_do_not_matter(message: bytes, size: int) -> None:
    whole = tree(parse(message))
    assert tree(in_pieces(message, 1)) == whole
    assert tree(in_pieces(message, size)) == whole


@pytest.mark.parametrize("size", [1, 3, 997, 4099])
def test_pieces_do_not_matter_to_samples(size: int) -> None:
    for _name, message in samples():
        part = message[:60_000]
        assert tree(in_pieces(part, size)) == tree(parse(part))


def test_pieces_do_not_matter_to_hostile_mail() -> None:
    for message in hostile(84, seed=3):
        part = message[:100_000]
        assert tree(in_pieces(part, 61)) == tree(parse(part))


@settings(max_examples=400, deadline=None)
@given(FRAGMENTS)
def test_offsets_make_sense(message: bytes) -> None:
    """Parts lie in their parents, in order, and lines are counted as they are."""
    root = parse(message)
    assert (root.start, root.end) == (0, len(message))
    stack = [root]
    while stack:
        part = stack.pop()
        assert part.start <= part.body <= part.end
        assert part.lines == message.count(b"\n", part.body, part.end)
        assert message[part.start : part.body].startswith(part.header.raw)
        at = part.body
        for child in part.children:
            assert at <= child.start and child.end <= part.end
            at = child.end
        stack += part.children


@settings(max_examples=400, deadline=None)
@given(st.one_of(FRAGMENTS, st.binary(max_size=2000)))
def test_garbage_has_a_structure(message: bytes) -> None:
    """No octets whatever make anything raise; what is made is ASCII (or UTF-8) and its parentheses agree."""
    summary = summarize(message, prepare)
    for utf8 in (False, True):
        for wire in summary.answers(("envelope", "body", "structure"), utf8=utf8):
            assert wire is not None and wire.startswith(b"(") and wire.endswith(b")")
            assert wire.isascii() or utf8
            wire.decode("utf-8")
    assert len(summary.preview) <= 256
    root = parse(message)
    list(header_lines(root.header))
    search_texts(root, lambda start, end: iter((message[start:end],)))
    for what in ("", "HEADER", "TEXT", "MIME"):
        for path in ((), (1,), (1, 1), (2,), (1, 2, 3)):
            located = locate(root, Section(path, what))
            assert located is None or 0 <= located.start <= located.end <= len(message)
    select_fields(root.header.raw, (b"subject",), inverted=False)


ODD_HEADERS = st.lists(
    st.tuples(
        st.sampled_from(
            (b"From", b"to", b"Subject", b"Date", b"Content-Type", b"Content-Disposition", b"Content-Language")
        ),
        st.lists(
            st.one_of(
                st.sampled_from(
                    (
                        b"<",
                        b">",
                        b"@",
                        b",",
                        b";",
                        b":",
                        b'"',
                        b"\\",
                        b"(",
                        b")",
                        b"=?",
                        b"?=",
                        b"=?utf-8?q?",
                        b"?b?",
                        b"=",
                        b"\r\n ",
                        b"\n\t",
                        b"multipart/mixed",
                        b"boundary",
                        b"*0*=",
                        b"utf-8''",
                        b"name",
                        b"a",
                        b"\xe9",
                        b"\0",
                    )
                ),  # fmt: skip
                st.binary(max_size=6),
            ),
            max_size=20,
        ).map(b"".join),
    ),
    max_size=6,
)


@settings(max_examples=400, deadline=None)
@given(ODD_HEADERS)
def test_odd_headers(fields: list[tuple[bytes, bytes]]) -> None:
    raw = b"".join(name + b": " + value + b"\r\n" for name, value in fields) + b"\r\n"
    header = Header(raw)
    assert envelope(header).isascii()
    root = parse(raw + b"body")
    assert structure(root, extended=True).isascii() and structure(root, extended=False).isascii()
    for value in header.all(b"subject"):
        encoded_words.decode_words(value)
    selected = select_fields(raw, (b"subject", b"to"), inverted=False)
    rest = select_fields(raw, (b"subject", b"to"), inverted=True)
    assert selected.endswith(b"\r\n") and rest.endswith(b"\r\n")


def test_hostile_and_varied_mail_in_pieces() -> None:
    """The summary of what comes in pieces is that of the whole."""
    for message in (*hostile(56, seed=5), *varied(40, seed=5)):
        summarizer = Summarizer()
        for at in range(0, len(message), 8191):
            summarizer.feed(message[at : at + 8191])
        whole = summarize(message, prepare)
        assert summarizer.finish_reading(prepare, reading(message)) == whole
        assert (finished := summarizer.finish(prepare)) is None or finished.preview == whole.preview


def test_parts_below_the_nesting_limit_are_a_leaf() -> None:
    """Dovecot's answer: one part of application/octet-stream with all that is there."""
    deep = (Path(__file__).parent / "golden" / "nested-103-deep.eml").read_bytes()
    root = parse(deep)
    shown = structure(root, extended=False)
    assert shown.startswith(b"(" * 100 + b'"application" "octet-stream" ("boundary" "b100") NIL NIL "7bit" 262)')
    for depth in (99, 100):
        leaf = locate(root, Section((1,) * depth))
        assert leaf is not None and leaf.end - leaf.start == 262
        assert deep[leaf.start : leaf.end].startswith(b"--b100\r\n") and deep[leaf.start : leaf.end].endswith(
            b"--b100--"
        )
    assert locate(root, Section((2,) * 100)) is None and locate(root, Section((*(1,) * 99, 2))) is None


def test_messages_below_the_nesting_limit_are_a_leaf() -> None:
    shown = structure(
        parse(b"Content-Type: message/rfc822\r\n\r\n" * 103 + b"Subject: x\r\n\r\ntext\r\n"), extended=False
    )
    assert shown.count(b'"message" "rfc822"') == 99
    assert b'("application" "octet-stream" NIL NIL NIL "7bit" 116)' in shown


@pytest.mark.parametrize("size", [61, 997, 65536, 1 << 22])
def test_header_blocks_over_a_mebibyte(size: int) -> None:
    """What everybody asks for is seen wherever it stands; Dovecot sees it as well."""
    junk = b"X-Junk: " + b"a" * 70 + b"\r\n"
    before = junk * ((MAX_HEADER - 1000) // len(junk))
    before += b"X: " + b"b" * (MAX_HEADER - 1 - len(before) - 5) + b"\r\n"
    assert len(before) == MAX_HEADER - 1  # the limit lies inside `Cc`
    late = (
        b"Cc: carbon@example.org\r\n%bSubject: =?utf-8?q?l=C3=A4te?=\r\n and folded\r\nTo:\r\n to@example.org\r\n"
        b"FROM : from@example.org\r\nDate: Tue, 5 Mar 2024 07:08:09 +0100\r\nMessage-ID: <a@b>\r\n"
        b"Content-Type: text/html\r\n"
    )
    message = before + late % junk + junk * 10 + b"\r\n<p>body</p>\r\n"
    root = in_pieces(message, size)
    assert tree(root) == tree(parse(message))
    assert message[root.body : root.end] == b"<p>body</p>\r\n" and root.subtype == b"html"
    shown = envelope(root.header)
    for word in (
        b"=?utf-8?q?l=C3=A4te?= and folded",
        b'"to" "example.org"',
        b'"from"',
        b'"carbon"',
        b"<a@b>",
        b"5 Mar",
    ):
        assert word in shown
    assert Header(root.header.block).fields == root.header.fields
    assert len(root.header.block) > MAX_HEADER >= len(root.header.raw)


def test_what_is_kept_of_late_fields_is_bounded() -> None:
    root = parse(b"X: y\r\n" * 200_000 + b"Subject: x\r\n" * 100_000 + b"\r\nbody")
    assert len(root.header.late) == MAX_LATE_FIELDS
    one = parse(b"Subject: " + b"word \r\n " * 300_000 + b"\r\nFrom: a@b.example\r\n\r\nx\r\n")
    assert b'"a" NIL "b.example"' not in envelope(one.header) and b'"a" "b.example"' in envelope(one.header)


def test_bounds() -> None:
    """Neither depth nor number of parts is without end."""
    deep = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(1000))
    depth, level = 0, [parse(deep)]
    while level:
        depth, level = depth + 1, [child for part in level for child in part.children]
    assert depth <= MAX_DEPTH + 1
    messages = parse(b"Content-Type: message/rfc822\r\n\r\n" * 1000)
    assert structure(messages, extended=True)
    many = parse(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\n" * 20_000)
    assert len(many.children) == MAX_PARTS - 1


# Linear time

Work = tuple[str, Callable[[int], bytes], Callable[[bytes], object]]
HTML = b"Content-Type: text/html\r\n\r\n"
MULTIPART = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"


def repeated(unit: bytes, head: bytes = b"", tail: bytes = b"") -> Callable[[int], bytes]:
    return lambda size: head + unit * (size // len(unit)) + tail


def nested(size: int) -> bytes:
    unit = b"Content-Type: multipart/mixed; boundary=%06d\r\n\r\n--%06d\r\n"
    return b"".join(unit % (n, n) for n in range(size // 60))


def thread_of(references_of: Callable[[int], tuple[bytes, ...]]) -> Callable[[int], bytes]:
    """Messages of about a hundred octets each: their references, one message a line."""
    return lambda size: b"\n".join(b" ".join(references_of(n)) for n in range(size // 100))


def _by_references(lines: bytes) -> object:
    messages = [
        threads.Threadable(n, n % 7, "subject", bool(n % 3), b"%d" % n, tuple(line.split()))
        for n, line in enumerate(lines.split(b"\n"))
    ]
    return thread_list(threads.by_references(messages)), thread_list(threads.by_subject(messages))


def _list(made: object) -> object:
    return list(made)  # type: ignore[call-overload]


def prepared(message: bytes) -> Summary:
    """The summary as IMAP has it made."""
    return summarize(message, prepare)


WORK: tuple[Work, ...] = (
    ("many fields", repeated(b"X-Field: some value\r\n", tail=b"\r\n"), lambda m: Header(m).fields),
    ("one folded field", repeated(b" fold\r\n", b"Subject: x\r\n"), lambda m: Header(m).first(b"subject")),
    ("a line without colon", repeated(b"x"), lambda m: Header(m).fields),
    ("white space before no colon", repeated(b" "), lambda m: Header(b"X" + m).fields),
    ("white space lines", repeated(b" \r\n"), lambda m: Header(m).fields),
    ("carriage returns", repeated(b"\r"), lambda m: Header(m).fields),
    ("selected fields", repeated(b"To: a\r\n"), lambda m: select_fields(m, (b"to",), inverted=False)),
    ("header without end", repeated(b"X: y\r\n"), prepared),
    ("empty parts", repeated(b"--b\r\n\r\n\r\n", MULTIPART), prepared),
    ("unknown boundaries", repeated(b"--c\r\n", MULTIPART), prepared),
    ("dashes", repeated(b"--", MULTIPART), prepared),
    ("longer boundaries", repeated(b"--bx\r\n", MULTIPART), prepared),
    ("equal boundaries", repeated(b"--b\r\n" + MULTIPART + b"--b--\r\n", MULTIPART), prepared),
    ("half boundaries", repeated(b"\r\n--", MULTIPART), prepared),
    ("nested multiparts", nested, prepared),
    ("nested messages", repeated(b"Content-Type: message/rfc822\r\n\r\n"), prepared),
    ("one boundary again and again", repeated(b"--b\r\n" + MULTIPART), lambda m: prepared(MULTIPART + m)),
    ("small lines", repeated(b"\n"), prepared),
    ("addresses", repeated(b"A <a@example.org>, "), addresses.parse),
    ("commas", repeated(b","), addresses.parse),
    ("open comments", repeated(b"("), addresses.parse),
    ("open quotes", repeated(b'" \\'), addresses.parse),
    ("open angles", repeated(b"<"), addresses.parse),
    ("groups", repeated(b"g: a@b;"), addresses.parse),
    ("at signs", repeated(b"@a"), addresses.parse),
    ("colons in an angle", repeated(b":", b"<@"), addresses.parse),
    ("words without address", repeated(b"a "), addresses.parse),
    ("addresses without commas", repeated(b"a@b "), addresses.parse),
    ("open brackets", repeated(b"["), addresses.parse),
    ("escaped brackets", repeated(b"[\\["), addresses.parse),
    ("comments in an open comment", repeated(b"(a)", b"("), addresses.parse),
    ("quotes in an open comment", repeated(b'"(', b"("), addresses.parse),
    ("angles after angles", repeated(b"<>"), addresses.parse),
    ("a route without end", repeated(b"@a,", b"<"), addresses.parse),
    ("address headers", repeated(b"a@b, ", b"To: ", b"\r\n\r\n"), prepared),
    ("encoded words", repeated(b"=?utf-8?q?x?= "), encoded_words.decode_words),
    ("openings of encoded words", repeated(b"=?"), encoded_words.decode_words),
    ("encoded words without end", repeated(b"=?a?q?"), encoded_words.decode_words),
    ("encoded words with spaces", repeated(b"=?a?q? "), encoded_words.decode_words),
    ("question marks", repeated(b"?"), lambda m: encoded_words.decode_words(b"=?utf-8?q?" + m)),
    ("spaces between words", repeated(b" ", b"=?a?q?x?=", b"x"), encoded_words.decode_words),
    ("ends and spaces", repeated(b"?= \t"), lambda m: encoded_words.decode_words(b"=?" + m)),
    ("parameters", repeated(b"; a=b", b"text/plain"), content.valued),
    ("parameters without value", repeated(b"; a", b"text/plain"), content.valued),
    ("parameters in pieces", repeated(b"; a*0=b; a*1=c", b"text/plain"), content.valued),
    ("semicolons", repeated(b";", b"text/plain"), content.valued),
    ("quotes in parameters", repeated(b';"', b"text/plain"), content.valued),
    ("an open quote in parameters", repeated(b"\\x", b'text/plain; a="'), content.valued),
    ("quotes between parameters", repeated(b'"" ', b"text/plain;"), content.valued),
    ("spaces in parameters", repeated(b" ", b"text/plain;a"), content.valued),
    ("open comments in parameters", repeated(b"(", b"text/plain;"), content.valued),
    ("comments in parameters", repeated(b"(a)", b"text/plain;"), content.valued),
    ("escapes in comments", repeated(b"(\\", b"text/plain;"), content.valued),
    ("escaped quotes before a comment", repeated(b'"\\', b"text/plain;(a)"), content.valued),
    ("escaped quotes in parameters", repeated(b';"\\', b"text/plain"), content.valued),
    ("languages", repeated(b"en, "), content.tokens_of),
    ("comments for a token", repeated(b"(", b""), content.token_of),
    ("base64", repeated(b"QUJD\r\n"), lambda m: _list(content.decode_stream([m], b"base64"))),
    ("quoted-printable", repeated(b"=3D=\r\n"), lambda m: _list(content.decode_stream([m], b"quoted-printable"))),
    ("spaces in quoted-printable", repeated(b" "), lambda m: _list(content.decode_stream([m], b"quoted-printable"))),
    ("equal signs and spaces", repeated(b"= "), lambda m: _list(content.decode_stream([m], b"quoted-printable"))),
    ("colons after an address", lambda size: b"a " * (size // 4) + b"@" + b":" * (size // 2), addresses.parse),
    ("comments that end in backslashes", repeated(b"(a\\"), addresses.parse),
    ("charsets", lambda size: b"".join(b"=?x-%05d?q?a?= " % n for n in range(size // 16)), encoded_words.decode_words),
    ("many dates", repeated(b"(x)1 Jan 2026 ("), lambda m: (dates.sent_day(m), dates.sent_moment(m))),
    ("ids", repeated(b"<a@b> "), references.message_ids),
    ("open ids", repeated(b"<"), references.message_ids),
    ("escaped quotes in ids", repeated(b'<"\\"'), references.message_ids),
    ("escaped quotes before ids", repeated(b'<\\"'), references.message_ids),
    ("open quotes in an id", repeated(b'"\\"', b"<"), references.message_ids),
    ("references of a message", repeated(b" <a@b>", b"References:"), lambda m: references.references(Header(m))),
    ("marks of replies", repeated(b"Re: "), subject.base_subject),
    ("blobs", repeated(b"[a]"), subject.base_subject),
    ("blobs before a word", repeated(b"[a] ", tail=b"x"), subject.base_subject),
    ("forwards in forwards", repeated(b"[fwd: "), subject.base_subject),
    ("trailers", repeated(b" (fwd)"), subject.base_subject),
    ("tags", repeated(b"<a>", HTML), prepared),
    ("open tags", repeated(b"<style", HTML), prepared),
    ("open comments in HTML", repeated(b"<!--", HTML), prepared),
    ("numbers of characters", repeated(b"1", HTML + b"&#"), prepared),
    ("ampersands", repeated(b"&#x1", HTML), prepared),
    ("words", repeated(b"ab cd "), lambda m: text.search_form(m.decode())),
    ("combining marks", repeated("e\u0301\u0323".encode()), lambda m: text.search_form(m.decode())),
    ("header text", repeated(b"Subject: =?utf-8?q?a?= b\r\n"), lambda m: _list(text.header_lines(Header(m)))),
    ("forms of fields", repeated(b"X: =?utf-8?q?a?=\r\n"), lambda m: text.header_search_texts(parse(m))),
    ("addresses in many fields", repeated(b"To: a@b\r\n\tx, \"\r\n"), lambda m: text.header_search_texts(parse(m))),
    ("text parts", repeated(b"--b\r\n\r\nx\r\n", MULTIPART), prepared),
    ("a chain of replies", thread_of(lambda n: (b"%d" % (n - 1),)), _by_references),
    ("replies to one", thread_of(lambda n: (b"0",)), _by_references),
    ("one subject", thread_of(lambda n: ()), _by_references),
)  # fmt: skip


@pytest.mark.parametrize(("make", "work"), [one[1:] for one in WORK], ids=[one[0] for one in WORK])
def test_linear(make: Callable[[int], bytes], work: Callable[[bytes], object]) -> None:
    """Eight times the octets do not take the square of that."""
    assert_linear(make, work, size=8192, largest=1 << 21)
