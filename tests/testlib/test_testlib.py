"""Tests of what the other tests are made of: the IMAP grammar, the client against fake servers, and the corpus."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone

import pytest

from tests.testlib.answers import (
    Address,
    Body,
    Code,
    Continuation,
    CopyUid,
    Envelope,
    Esearch,
    Exists,
    Expunge,
    Fetch,
    Mailbox,
    Multipart,
    Numbers,
    Part,
    Partial,
    Search,
    Status,
    Tagged,
    Thread,
    Vanished,
)
from tests.testlib.client import Client, Closed
from tests.testlib.corpus import hostile, sample, samples, varied
from tests.testlib.grammar import Options, Ungrammatical, parse
from tests.testlib.hostile import KINDS
from tests.testlib.plays import Peer, Play, serving

# Grammar

_HEADER = b"""\
Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)
From: Terry Gray <gray@cac.washington.edu>
Subject: IMAP4rev1 WG mtg summary and minutes
To: imap@cac.washington.edu
cc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>
Message-Id: <B27397-0100000@cac.washington.edu>
MIME-Version: 1.0
Content-Type: TEXT/PLAIN; CHARSET=US-ASCII

""".replace(b"\n", b"\r\n")

_ENVELOPE = (
    b'("Wed, 17 Jul 1996 02:23:25 -0700 (PDT)" "IMAP4rev1 WG mtg summary and minutes"'
    b' (("Terry Gray" NIL "gray" "cac.washington.edu")) (("Terry Gray" NIL "gray" "cac.washington.edu"))'
    b' (("Terry Gray" NIL "gray" "cac.washington.edu")) ((NIL NIL "imap" "cac.washington.edu"))'
    b' ((NIL NIL "minutes" "CNRI.Reston.VA.US")("John Klensin" NIL "KLENSIN" "MIT.EDU"))'
    b' NIL NIL "<B27397-0100000@cac.washington.edu>")'
)
_TEXT_PART = b'("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 3028 92)'
_TWO_PARTS = (
    b'(("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 1152 23)("TEXT" "PLAIN" ("CHARSET" "US-ASCII"'
    b' "NAME" "cc.diff") "<960723163407.20117h@cac.washington.edu>" "Compiler diff" "BASE64" 4554 73)'
    b' "MIXED")'
)

# The RFCs' own examples, long lines joined.
EXAMPLES = (
    # RFC 3501
    b"* CAPABILITY IMAP4rev1 STARTTLS AUTH=GSSAPI",
    b"* 22 EXPUNGE",
    b"* 23 EXISTS",
    b"* 3 RECENT",
    rb"* 14 FETCH (FLAGS (\Seen \Deleted))",
    b"* BYE IMAP4rev1 Server logging out",
    b"* OK [UNSEEN 12] Message 12 is first unseen",
    b"* OK [UIDVALIDITY 3857529045] UIDs valid",
    rb"* FLAGS (\Answered \Flagged \Deleted \Seen \Draft)",
    rb"* OK [PERMANENTFLAGS (\Deleted \Seen \*)] Limited",
    b"* OK [PERMANENTFLAGS ()] No permanent flags permitted",
    b'* LIST () "/" blurdybloop',
    rb'* LIST (\Noselect) "/" ""',
    rb'* LIST (\Noselect) "." #news.',
    rb'* LIST (\Noselect) "/" ~/Mail/foo',
    rb'* LSUB (\NoSelect) "." #news.comp.mail',
    rb'* XLIST (\HasNoChildren \Sent) "/" Sent',
    b"* STATUS blurdybloop (MESSAGES 231 UIDNEXT 44292)",
    b"+ Ready for literal data",
    b"* SEARCH 2 84 882",
    b"* SEARCH",
    rb"* 23 FETCH (FLAGS (\Seen) UID 4827313)",
    b"* OK [ALERT] System shutdown in 10 minutes",
    b"* NO Disk is 98% full, please delete unnecessary data",
    b"* BAD Disk crash, attempting salvage to a new disk!",
    b"* PREAUTH IMAP4rev1 server logged in as Smith",
    rb"* 23 FETCH (FLAGS (\Seen) RFC822.SIZE 44827)",
    b'A044 BAD No such command as "BLURDYBLOOP"',
    b"A683 NO Reference error: can't fetch that data",
    b"+ YDMGCSqGSIb3EgECAgIBAAD/////6jcyG4GE3KkTzBeBiVHe",
    b"* 12 FETCH (BODY[HEADER] {342}\r\n" + _HEADER + b")",
    rb'* 12 FETCH (FLAGS (\Seen) INTERNALDATE "17-Jul-1996 02:44:25 -0700" RFC822.SIZE 4286'
    b" ENVELOPE " + _ENVELOPE + b" BODY " + _TEXT_PART + b")",
    b"* 1 FETCH (BODYSTRUCTURE " + _TWO_PARTS + b")",
    # RFC 9051
    b"* OK [CAPABILITY STARTTLS AUTH=SCRAM-SHA-256 LOGINDISABLED IMAP4rev2] IMAP4rev2 Service Ready",
    b"* ENABLED X-GOOD-IDEA",
    b"* OK [CLOSED] Previous mailbox is now closed",
    b'* LIST () "/" "Normalized" ("OLDNAME" ("NonNormalized"))',
    rb'* LIST (\Subscribed \NonExistent) "/" "Fruit/Peach"',
    rb'* LIST (\Marked \NoInferiors \Subscribed) "/" "inbox"',
    b'* LIST () "." "foo" (CHILDINFO ("SUBSCRIBED"))',
    b'* NAMESPACE (("" "/")) NIL NIL',
    b'* NAMESPACE (("" "/")) (("~" "/")) (("#shared/" "/")("#public/" "/")("#ftp/" "/")("#news." "."))',
    b'* NAMESPACE (("" "/")("#mh/" "/" "X-PARAM" ("FLAG1" "FLAG2"))) NIL NIL',
    b"A003 OK [APPENDUID 38505 3955] APPEND completed",
    b"A004 OK [COPYUID 38505 304,319:320 3956:3958] Done",
    b"* NO [UIDNOTSTICKY] Non-persistent UIDs",
    b"+ idling",
    b'* ESEARCH (TAG "A282") MIN 2 COUNT 3',
    b'* ESEARCH (TAG "A284")',
    b'* ESEARCH (TAG "A285") UID MIN 7 MAX 3800',
    b'* ESEARCH (TAG "C286") MIN 2 ALL 2,10:15,21',
    b'o356 NO [ALREADYEXISTS] Mailbox "that" already exists',
    b"d NO [EXPIRED] That password isn't valid any more",
    # the extensions
    b"* ID NIL",
    b'* ID ("name" "Cyrus" "version" "1.5" "os" "sunos" "os-version" "5.5")',
    b'* QUOTA "#user/alice" (STORAGE 54 111 MESSAGE 42 1000)',
    b'* QUOTAROOT INBOX "#user/alice" "!partition/sda4"',
    b"* QUOTAROOT comp.mail.mime",
    b"* STATUS INBOX (MESSAGES 12 DELETED 4 DELETED-STORAGE 8)",
    b'* METADATA "" (/shared/comment "Shared comment")',
    b'* METADATA "INBOX" /shared/comment /private/comment',
    b"* ACL INBOX Fred rwipslxetad -Fred wetd $team w",
    b"* LISTRIGHTS ~/Mail/saved smith la r swicdkxte",
    b"* MYRIGHTS INBOX rwiptsldaex",
    b"* 1 FETCH (UID 4 MODSEQ (12121231000))",
    b"d105 OK [MODIFIED 7,9] Conditional STORE failed",
    b"* OK [HIGHESTMODSEQ 715194045007] Highest",
    b"* SEARCH 2 5 6 7 11 12 18 19 20 23 (MODSEQ 917162500)",
    b"* VANISHED (EARLIER) 41,43:116,118,120:211,214:540",
    b"* VANISHED 405,407,410,425",
    b"* SORT 5 3 4 1 2",
    b"* THREAD (2)(3 6 (4 23)(44 7 96))",
    b"* THREAD ((3)(5))",
    b'* ESEARCH (TAG "A01") UID PARTIAL (-1:-100 264:300)',
    b'* ESEARCH (TAG "B01") UID ADDTO (0 32768:32769)',
    b'* ESEARCH (TAG "tag1" MAILBOX "folder1" UIDVALIDITY 1) UID ALL 4001,4003,4005,4007,4009',
)


@pytest.mark.parametrize("example", EXAMPLES, ids=repr)
def test_examples_of_the_rfcs_are_grammatical(example: bytes) -> None:
    parse(example + b"\r\n")


def _fetch_body(structure: bytes) -> bytes:
    return b"* 1 FETCH (BODYSTRUCTURE " + structure + b")"


def _fetch_envelope(envelope: bytes) -> bytes:
    return b"* 1 FETCH (ENVELOPE " + envelope + b")"


# First the RFCs' own slips, then slips of servers.
MALFORMED = (
    b"+",  # RFC 9051 section 6.2.2, the example
    b"* OK [UIDVALIDITY 9877410381] UIDs valid",  # RFC 9051 section 6.3.2: more than 32 bits
    b"* OK [UIDVALIDITY 1]",  # RFC 9051 section 6.3.13: no space, no text
    b"B283 NO [BADCHARSET UTF-8] KOI8-R is not supported",  # RFC 9051 section 6.4.4.4: no parentheses
    b'* LIST () "."  "INBOX"',  # RFC 9051 section 6.3.9.8: two spaces
    b'* NAMESPACE (("INBOX." ".")) NIL  NIL',  # RFC 9051 section 6.3.10: two spaces
    b"* 1 FETCH (UID 1 ....)",
    b"",
    b"OK done",
    b"A1 BYE not tagged",
    b"A+1 OK a plus in the tag",
    b"A1 OK",
    b"A1 OK ",
    b"A1  OK two spaces",
    b"*  OK two spaces",
    b"A1 OK a\rb",
    b"A1 OK a\nb",
    b"A1 OK a\0b",
    b"A1 OK caf\xc3\xa9",
    b"A1 OK [] empty code",
    b"A1 OK [ALERT 1] ALERT has no value",
    b"A1 OK [COPYUID 1 1:3 5:6] three for two",
    b"A1 OK [COPYUID 1 * 5] a star",
    b"A1 OK [APPENDUID 0 1] zero",
    b"* CAPABILITY AUTH=PLAIN IDLE",
    b"* CAPABILITY IMAP4rev1  IDLE",
    b"* CAPABILITY IMAP4rev1 ",
    rb"* FLAGS (\Seen \*)",
    rb"* FLAGS (\Seen \Recent)",
    rb"* FLAGS (\Seen  \Draft)",
    rb"* FLAGS (\Seen \Draft ",
    rb"* FLAGS \Seen",
    rb'* LIST (\Noselect \NonExistent) "/" a',
    rb'* LIST (\HasChildren \HasNoChildren) "/" a',
    rb'* LIST (\Sent \sent) "/" a',
    b'* LIST (Sent) "/" a',
    b"* LIST () / a",
    b'* LIST () "//" a',
    b'* LIST () "/" a b',
    b'* LIST () "/" caf\xc3\xa9',
    b'* LIST () "/" "caf\xc3\xa9"',
    b'* LIST () "/" a%b',
    b'* LSUB () "/" a ("CHILDINFO" ("SUBSCRIBED"))',
    b"* STATUS a (MESSAGES)",
    b"* STATUS a (MESSAGES 1 MESSAGES 1)",
    b"* STATUS a (UIDNEXT 0)",
    b"* STATUS a (MESSAGES -1)",
    b"* STATUS a b (MESSAGES 1)",
    b"* SEARCH 0",
    b"* SEARCH 1 ",
    b"* SEARCH (MODSEQ 5)",
    b"* SEARCH 1,2",
    b"* ESEARCH (TAG A1) ALL 1",
    b'* ESEARCH (TAG "A1") COUNT',
    b'* ESEARCH (TAG "A1") ALL 1:*',
    b'* ESEARCH (TAG "A1") ALL NIL',
    b'* ESEARCH (TAG "A1") MIN 0',
    b'* ESEARCH (TAG "A1") MIN 1 MIN 2',
    b'* ESEARCH (TAG "A1") COUNT 1 UID',
    b'* ESEARCH UID (TAG "A1") COUNT 1',
    b"* VANISHED (LATER) 1",
    b"* VANISHED",
    b"* VANISHED 1:*",
    b"* THREAD ()",
    b"* THREAD (1 (2))",
    b"* THREAD (1)(2) (3)",
    b"* 0 EXPUNGE",
    b"* -1 EXISTS",
    b"* 4294967296 EXISTS",
    b"* 1 EXISTS ",
    b"* 1 STORE",
    b"* EXISTS 1",
    b"* XPIG-LATIN ow-nay eaking-spay ig-pay atin-lay",
    b"* 1 FETCH ()",
    b"* 1 FETCH FLAGS ()",
    b"* 0 FETCH (UID 1)",
    b"* 1 FETCH (UID 0)",
    b"* 1 FETCH (UID 01)",
    b"* 1 FETCH (UID 1 )",
    b"* 1 FETCH ( UID 1)",
    b"* 1 FETCH (UID 1 FLAGS)",
    b"* 1 FETCH (MODSEQ 5)",
    b"* 1 FETCH (MODSEQ (0))",
    b"* 1 FETCH (MODSEQ (9223372036854775808))",
    b"* 1 FETCH (BODY.PEEK[] NIL)",
    b"* 1 FETCH (BODY[]<0.5> NIL)",
    b"* 1 FETCH (BODY[MIME] NIL)",
    b"* 1 FETCH (BODY[0] NIL)",
    b"* 1 FETCH (BODY[1.] NIL)",
    b"* 1 FETCH (BODY[HEADER.FIELDS] NIL)",
    b"* 1 FETCH (BODY[HEADER.FIELDS ()] NIL)",
    b"* 1 FETCH (BODY[] ~{1}\r\na)",
    b"* 1 FETCH (BODY[] {1+}\r\na)",
    b"* 1 FETCH (BODY[] {2}\r\na)",
    b"* 1 FETCH (BODY[] {3}\r\na\0b)",
    b'* 1 FETCH (BODY[] "a\\b")',
    b'* 1 FETCH (BODY[] "a\r\nb")',
    b'* 1 FETCH (BODY[] "a)',
    b"* 1 FETCH (BODY[] a)",
    b"* 1 FETCH (BODY[] )",
    b"* 1 FETCH (BINARY[HEADER] NIL)",
    b"* 1 FETCH (BINARY.SIZE[1] NIL)",
    b'* 1 FETCH (INTERNALDATE "1-Jan-2026 00:00:00 +0000")',
    b'* 1 FETCH (INTERNALDATE "31-Feb-2026 00:00:00 +0000")',
    b'* 1 FETCH (INTERNALDATE "01-Jan-2026 00:00:00 GMT")',
    b"* 1 FETCH (INTERNALDATE NIL)",
    b"* 1 FETCH (EMAILID abc)",
    _fetch_envelope(_ENVELOPE.replace(b" NIL NIL ", b" NIL ")),  # nine fields
    _fetch_envelope(_ENVELOPE.replace(b" NIL NIL ", b" NIL NIL NIL ")),  # eleven
    _fetch_envelope(_ENVELOPE.replace(b" NIL NIL ", b" () NIL ")),  # an empty list of addresses
    _fetch_envelope(_ENVELOPE.replace(b")(", b") (")),  # a space between addresses
    _fetch_envelope(_ENVELOPE.replace(b'NIL "gray"', b'"gray"')),  # three fields in an address
    _fetch_envelope(_ENVELOPE.replace(b'"gray"', b"gray")),
    _fetch_body(_TEXT_PART.replace(b" 92", b"")),  # text without lines
    _fetch_body(_TEXT_PART.replace(b'"7BIT"', b"NIL")),
    _fetch_body(_TEXT_PART.replace(b'("CHARSET" "US-ASCII")', b"()")),
    _fetch_body(_TEXT_PART.replace(b'("CHARSET" "US-ASCII")', b'("CHARSET")')),
    _fetch_body(_TEXT_PART.replace(b'("CHARSET" "US-ASCII")', b'("CHARSET" NIL)')),
    _fetch_body(_TEXT_PART.replace(b"3028", b'"3028"')),
    _fetch_body(_TEXT_PART[:-1] + b" NIL NIL NIL NIL)extra"),
    _fetch_body(_TEXT_PART[:-1] + b' NIL "attachment")'),  # a disposition is a list
    _fetch_body(_TEXT_PART[:-1] + b' NIL ("attachment"))'),  # with parameters or NIL
    _fetch_body(_TEXT_PART[:-1] + b" NIL NIL ())"),  # languages, at least one
    _fetch_body(_TWO_PARTS.replace(b")(", b") (")),
    _fetch_body(_TWO_PARTS.replace(b' "MIXED"', b"")),
    _fetch_body(b'("IMAGE" "PNG" NIL NIL NIL "BASE64" 12 5)'),  # lines where the MD5 belongs
    _fetch_body(b'("MESSAGE" "RFC822" NIL NIL NIL "7BIT" 12)'),
    _fetch_body(b'("MESSAGE" "RFC822" NIL NIL NIL "7BIT" 12 ' + _ENVELOPE + b" " + _TEXT_PART + b")"),
    _fetch_body(b"()"),
    b"* 1 FETCH (BODY " + _TEXT_PART[:-1] + b" NIL))",  # extension data in BODY
    b'* NAMESPACE (("" "/")) NIL',
    b"* NAMESPACE () NIL NIL",
    b'* NAMESPACE (("" "/") ("a" "/")) NIL NIL',
    b'* ID ("name")',
    b'* ID ("name" "a" "name" "b")',
    b'* ID (name "a")',
    b"* QUOTA a (STORAGE 1)",
    b"* QUOTA a ()",
    b"* MYRIGHTS INBOX LR",
    b"* ACL INBOX fred",
    b"* METADATA INBOX (comment NIL)",
    b"* METADATA INBOX ()",
    b"* ENABLED  IDLE",
)


@pytest.mark.parametrize("answer", MALFORMED, ids=repr)
def test_malformed_answers_are_ungrammatical(answer: bytes) -> None:
    with pytest.raises(Ungrammatical) as caught:
        parse(answer + b"\r\n")
    assert 0 <= caught.value.position <= len(answer) + 2
    assert "-->" in str(caught.value)


@pytest.mark.parametrize("example", EXAMPLES, ids=repr)
def test_no_example_may_be_cut_or_followed(example: bytes) -> None:
    for wrong in (example, example + b"\n", example + b"\r\n\r\n", example + b" \r\n "):
        with pytest.raises(Ungrammatical):
            parse(wrong)


def test_the_position_of_a_fault() -> None:
    with pytest.raises(Ungrammatical) as caught:
        parse(b"* 1 FETCH (UID 1 FLAGS (\\Seen)) \r\n")
    assert caught.value.position == 31


def test_a_fetch_becomes_values() -> None:
    line = rb"* 12 FETCH (FLAGS (\Seen $x \Recent)"
    line += b' INTERNALDATE " 7-Jul-1996 02:44:25 -0700" UID 7'
    line += b" ENVELOPE "
    answer = parse(line + _ENVELOPE + b' BODY[1.header.FIELDS (to "a b")]<5> {2}\r\nhi BINARY[2] ~{2}\r\n\0\n)\r\n')
    assert isinstance(answer, Fetch) and answer.number == 12 and answer.uid == 7
    assert answer.flags == {"\\Seen", "$x", "\\Recent"}
    assert answer.octets('BODY[1.HEADER.FIELDS (TO "A B")]<5>') == b"hi"
    assert answer.octets("BINARY[2]") == b"\0\n"
    when = answer.get("INTERNALDATE", datetime)
    assert when == datetime(1996, 7, 7, 2, 44, 25, tzinfo=timezone(-timedelta(hours=7)))
    envelope = answer.get("ENVELOPE", Envelope)
    assert envelope.cc[1] == Address("John Klensin", None, "KLENSIN", "MIT.EDU")
    assert envelope.bcc == () and envelope.in_reply_to is None


def test_a_body_structure_becomes_values() -> None:
    inner = b'("MESSAGE" "RFC822" NIL NIL NIL "7BIT" 12 ' + _ENVELOPE + b" " + _TEXT_PART + b" 4"
    extension = b' NIL ("attachment" ("filename" "a.eml")) ("de" "fr") "loc" 1 (NIL ("x")))'
    structure = b"(" + inner + extension + b' "MIXED" ("boundary" "b") NIL NIL NIL)'
    answer = parse(_fetch_body(structure) + b"\r\n")
    assert isinstance(answer, Fetch)
    whole = answer.get("BODYSTRUCTURE", Multipart)
    assert whole.parameters == (("boundary", "b"),) and whole.extension.present == 4
    part = whole.parts[0]
    assert isinstance(part, Part) and part.lines == 4 and part.envelope and isinstance(part.body, Part)
    assert part.extension.present == 6 and part.extension.language == ("de", "fr")
    assert part.extension.disposition and part.extension.disposition.parameters == (("filename", "a.eml"),)
    assert part.extension.others == (1, (None, ("x",)))
    assert _depth(whole) == 3


def _depth(body: Body) -> int:
    if isinstance(body, Multipart):
        return 1 + max(map(_depth, body.parts))
    return 1 + (_depth(body.body) if body.body else 0)


def test_other_answers_become_values() -> None:
    assert parse(b"a OK [COPYUID 5 1:2 8:9] x\r\n") == Tagged(
        "a", "OK", Code("COPYUID", CopyUid(5, Numbers(((1, 2),)), Numbers(((8, 9),)))), "x"
    )
    assert parse(b"+ \r\n") == Continuation(None, "")
    assert parse(b'* LIST (\\Sent) NIL {5}\r\nInBoX ("X" (a (b)))\r\n') == Mailbox(
        "LIST", ("\\Sent",), None, "INBOX", (("X", ("a", ("b",))),)
    )
    assert parse(b"* SEARCH 3 1 (MODSEQ 9)\r\n") == Search("SEARCH", (3, 1), 9)
    assert parse(b"* THREAD (3 6 (4 23)(44))\r\n") == Thread(((3, 6, (4, 23), (44,)),))
    assert parse(b'* ESEARCH (TAG "a") UID PARTIAL (-1:-2 NIL) COUNT 3\r\n') == Esearch(
        "a", True, {"PARTIAL": Partial(-1, -2, None), "COUNT": 3}
    )
    assert parse(b"* VANISHED (EARLIER) 5,3:1\r\n") == Vanished(True, Numbers(((5, 5), (3, 1))))


def test_numbers_count_and_contain() -> None:
    numbers = Numbers(((5, 5), (3, 1)))
    assert list(numbers) == [5, 3, 2, 1] and len(numbers) == 4
    assert 2 in numbers and 4 not in numbers


def test_utf8_is_an_option() -> None:
    quoted = '* LIST () "/" "café"\r\n'.encode()
    assert isinstance(parse(quoted, Options(utf8=True)), Mailbox)
    with pytest.raises(Ungrammatical):
        parse(b'* LIST () "/" "caf\xe9"\r\n', Options(utf8=True))


# Client


@contextmanager
def _client(play: Play) -> Iterator[Client]:
    with serving(play) as connect:
        client = Client.from_socket(connect())
        try:
            yield client
        finally:
            client.close()


def test_the_client_sends_literals_when_asked_to() -> None:
    def play(peer: Peer) -> None:
        peer.say(b"* OK hello\r\n")
        peer.hear(b"A0001 APPEND INBOX {5}\r\n")
        peer.say(b"* 3 EXISTS\r\n+ go\r\n")
        peer.hear(b"hello {2+}\r\nyo ~{1}\r\n")
        peer.say(b"+ go\r\n")
        peer.hear(b"\0\r\n")
        peer.say(b"A0001 OK [APPENDUID 1 2] done {3}\r\n")

    with _client(play) as client:
        assert client.greeting == Status("OK", None, "hello")
        result = client.ok("APPEND INBOX {} {+} ~{}", b"hello", b"yo", b"\0")
        assert result.one(Exists).count == 3
        assert result.codes()["APPENDUID"].value == CopyUid(1, None, Numbers(((2, 2),)))
        assert result.text == "done {3}"


def test_a_refused_literal_ends_the_command() -> None:
    def play(peer: Peer) -> None:
        peer.say(b"* OK hello\r\n")
        peer.hear(b"A0001 APPEND INBOX {999}\r\n")
        peer.say(b"A0001 NO [TOOBIG] no\r\n")
        peer.hear(b"A0002 NOOP\r\n")
        peer.say(b"A0002 OK fine\r\n")

    with _client(play) as client:
        assert client.command("APPEND INBOX {999}", b"x").status == "NO"
        assert client.command("NOOP").status == "OK"
        with pytest.raises(ValueError, match="1 literals for 2 markers"):
            client.command("X {} {}", b"x")


def test_the_client_reads_literals_in_pieces() -> None:
    body = b"a\r\n* 1 EXISTS\r\n)" * 1000

    def play(peer: Peer) -> None:
        peer.say(b"* OK hello\r\n")
        peer.line()
        answer = b"* 1 FETCH (BODY[] {%d}\r\n%s BODY[1] {0}\r\n)\r\nA0001 OK done\r\n" % (len(body), body)
        for i in range(60):
            peer.say(answer[i : i + 1])
        peer.say(answer[60:])

    with _client(play) as client:
        fetch = client.ok("FETCH 1 BODY[]").one(Fetch)
        assert fetch.octets("BODY[]") == body and fetch.octets("BODY[1]") == b""


def test_the_client_notices_what_is_wrong() -> None:
    def play(peer: Peer) -> None:
        peer.say(b"* OK hello\r\n")
        peer.line()
        peer.say(b"* 1 EXISTS \r\n")
        peer.line()
        peer.say(b"A0009 OK wrong tag\r\n")
        peer.line()
        peer.say(b"* 1 EX")

    with _client(play) as client:
        with pytest.raises(Ungrammatical):
            client.command("NOOP")
        with pytest.raises(AssertionError, match="expected the end of A0002"):
            client.command("NOOP")
        with pytest.raises(Closed, match=r"1 EX"):
            client.command("NOOP")


def test_idle_waits_and_ends() -> None:
    def play(peer: Peer) -> None:
        peer.say(b"* OK hello\r\n")
        peer.hear(b"A0001 IDLE\r\n")
        peer.say(b"* 1 EXISTS\r\n+ idling\r\n* 2 EXISTS\r\n* 1 EXPUNGE\r\n")
        peer.hear(b"DONE\r\n")
        peer.say(b"* 3 EXISTS\r\nA0001 OK idled\r\n")

    with _client(play) as client:
        with client.idle() as idle:
            assert idle.wait() == Exists(1)
            assert idle.wait_for(Expunge, 5) == Expunge(1)
            with pytest.raises(TimeoutError):
                idle.wait(0.01)
        assert idle.result and idle.result.all(Exists) == [Exists(3)]


def test_authenticate_enable_compress_and_logout() -> None:
    def play(peer: Peer) -> None:
        peer.say(b"* OK hello\r\n")
        peer.hear(b"A0001 AUTHENTICATE PLAIN\r\n")
        peer.say(b"+ \r\n")
        peer.hear(b"AGEAYg==\r\n")
        peer.say(b"A0001 OK in\r\n")
        peer.hear(b'A0002 LOGIN "a\\"" "b"\r\n')
        peer.say(b"A0002 OK in\r\n")
        peer.line()
        peer.say("* ENABLED UTF8=ACCEPT\r\nA0003 OK café\r\n".encode())
        peer.line()
        peer.say(b"* BYE bye\r\nA0004 OK out\r\n")

    with _client(play) as client:
        client.authenticate("PLAIN", b"\0a\0b")
        client.login('a"', "b")
        assert client.ok("ENABLE UTF8=ACCEPT").text == "café"
        client.logout()


# Corpus

_BARE = re.compile(rb"(?<!\r)\n|\r(?!\n)")


def test_samples_are_what_they_say() -> None:
    assert len(samples()) == 12 and len(dict(samples())) == 12
    for name, message in samples():
        assert message.endswith(b"\r\n") and b"\r\n\r\n" in message
        assert bool(_BARE.search(message)) is (name == "binary"), name
    assert b"\0" in sample("binary") and len(sample("large")) > 6_000_000
    assert b"\x89PNG" not in sample("attachments") and b"iVBORw0KGgo" in sample("attachments")


def test_samples_are_the_same_everywhere() -> None:
    digest = hashlib.sha256(b"".join(message for _, message in samples())).hexdigest()
    assert digest == "7808a398db1991552a7d87e86488972e77fd2d9ac562d69615d8261b1b1ef8a3"


def test_varied_mail_is_varied_and_the_same_every_time() -> None:
    messages = list(varied(300))
    assert messages[:20] == list(varied(20)) and messages[:5] != list(varied(5, seed=2))
    assert len({re.search(rb"(?m)^Message-ID: (.*)\r$", m)[1] for m in messages}) == 300  # type: ignore[index]
    assert all(300 <= len(message) <= 300_000 for message in messages)
    assert sum(1_000 <= len(message) <= 20_000 for message in messages) > 200
    assert not any(_BARE.search(message) or b"\0" in message for message in messages)
    assert any(not message.endswith(b"\r\n") for message in messages)
    digest = hashlib.sha256(b"".join(messages)).hexdigest()
    assert digest == "fdbbb0644557a7a747ec9c99390a4b646afe2888bbdcae558cd027341ac893eb"


def test_hostile_mail_has_every_kind() -> None:
    messages = list(hostile(3 * len(KINDS)))
    assert messages == list(hostile(3 * len(KINDS)))
    assert b"" in messages and any(b"\0" in message for message in messages)
    assert max(map(len, messages)) < 400_000


def test_dates_are_aware() -> None:
    answer = parse(b'* 1 FETCH (SAVEDATE "01-Jan-2026 00:00:00 +0000" PREVIEW NIL)\r\n')
    assert isinstance(answer, Fetch)
    assert answer["SAVEDATE"] == datetime(2026, 1, 1, tzinfo=UTC) and answer["PREVIEW"] is None
