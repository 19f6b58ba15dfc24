"""What fuzzing begins with: words of the two grammars, and whole examples for each target."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.testlib.corpus import samples
from tests.testlib.hostile import hostile

COMMANDS = (
    b"CAPABILITY", b"NOOP", b"LOGOUT", b"ID", b"STARTTLS", b"LOGIN", b"AUTHENTICATE", b"COMPRESS", b"XYZZY",
    b"ENABLE", b"NAMESPACE", b"SELECT", b"EXAMINE", b"CREATE", b"DELETE", b"RENAME", b"SUBSCRIBE", b"UNSUBSCRIBE",
    b"LIST", b"LSUB", b"XLIST", b"GETQUOTA", b"GETQUOTAROOT", b"STATUS", b"APPEND", b"IDLE", b"CHECK", b"CLOSE",
    b"UNSELECT", b"EXPUNGE", b"FETCH", b"STORE", b"SEARCH", b"SORT", b"THREAD", b"REPLACE", b"XVANQUISH", b"COPY",
    b"MOVE", b"UID",
)  # fmt: skip
_ARGUMENTS = (
    b"A1 ", b"{3}\r\n", b"{3+}\r\nabc", b"~{4+}\r\n", b"{0+}\r\n", b"{99999999999999999999+}\r\n", b"\r\n", b'""',
    b'"a\\"b"', b"NIL", b"INBOX", b"&AOk-", b"(", b")", b"*", b"%", b"$", b"1:*", b"1,2:4", b"4294967295",
    b"RETURN (", b"MIN MAX ALL COUNT SAVE", b"PARTIAL -1:-100", b"CHARSET utf-8", b"CHARSET utf-7", b"OR", b"NOT",
    b"TEXT", b"BODY", b"HEADER", b"SUBJECT", b"FROM", b"SENTON", b"SINCE 1-Feb-2026", b"OLDER 1", b"LARGER 1",
    b"KEYWORD", b"UNSEEN", b"MODSEQ", b'"/flags/\\\\draft" all', b"EMAILID", b"THREADID", b"REFERENCES",
    b"ORDEREDSUBJECT", b"REVERSE", b"DISPLAYFROM", b"ARRIVAL", b"BODY.PEEK[", b"BODYSTRUCTURE", b"ENVELOPE",
    b"BINARY.SIZE[1]", b"BINARY[1]<0.9>", b"HEADER.FIELDS (", b"HEADER.FIELDS.NOT (", b"1.1.MIME]", b"]<0.10>",
    b"RFC822.SIZE", b"PREVIEW (LAZY)", b"INTERNALDATE", b"FLAGS", b"+FLAGS.SILENT", b"(UNCHANGEDSINCE 1)",
    b"\\Seen", b"(CHANGEDSINCE 1 VANISHED)", b"(QRESYNC (1 1 1:9 (1 1)))", b"CONDSTORE", b"(USE (\\Sent))",
    b"RECURSIVEMATCH", b"SUBSCRIBED", b"STATUS (MESSAGES", b"CHILDREN", b"UTF8 (", b'" 1-Feb-2026 12:34:56 +0100"',
)  # fmt: skip
_MAIL = (
    b"Content-Type: multipart/mixed; boundary=b\r\n\r\n", b"--b\r\n", b"--b--\r\n", b"\r\n\r\n",
    b"Content-Type: message/rfc822\r\n", b"Content-Type: text/html; charset=", b"Content-Disposition: attachment",
    b"; filename*0*=utf-8''", b"Content-Language: ", b"Content-Transfer-Encoding: ", b"base64", b"quoted-printable",
    b"From: ", b"To: ", b"Date: ", b"Message-ID: <", b"References: <", b"Subject: ", b"=?utf-8?q?", b"=?big5?b?",
    b"?=", b"group:", b"<@a:b@c>", b"Re: ", b"[fwd: ", b"(fwd)", b"\xff", b"\0", b"\xc3\xa9", b"&#1", b"<style",
)  # fmt: skip
WORDS = (*COMMANDS, *_ARGUMENTS, *_MAIL)


def _fragments() -> Iterator[bytes]:
    for first in (b"0", b"1", b"2"):
        yield first + b" LOGIN {3+}\r\nabc {1}\r\nx\r\nA2 NOOP\r\n"
        yield first + b" APPEND INBOX (\\Seen) {5}\r\nhello {3+}\r\nabc\r\nA2 UID REPLACE 1 {5+}\r\nINBOX ~{9+}\r\n"


def _commands() -> Iterator[bytes]:
    for command in COMMANDS:
        yield b"A " + command + b" 1 x (y)\r\n"
    yield b"A UID FETCH 1:* (FLAGS BODY.PEEK[1.2.HEADER.FIELDS (TO)]<0.9>) (CHANGEDSINCE 1 VANISHED)\r\n"
    yield b'A SEARCH RETURN (SAVE MIN) CHARSET utf-8 OR (NOT TEXT "a") UID 1:*,$ HEADER x {1+}\r\ny\r\n'
    yield b'A LIST (SUBSCRIBED RECURSIVEMATCH) "" ("a%" *) RETURN (STATUS (MESSAGES) CHILDREN)\r\n'
    yield b"A UID SORT RETURN (PARTIAL 1:9) (REVERSE DATE SUBJECT) utf-8 ALL\r\nB THREAD REFERENCES utf-8 1:*\r\n"


def _messages() -> Iterator[bytes]:
    yield from (octets[:4000] for octets in hostile(56))
    yield from (octets[:4000] for _name, octets in samples())


def _reading() -> Iterator[bytes]:
    yield b'\x00TEXT "a" NOT OR FROM x SUBJECT y'
    yield b"\x84RETURN (SAVE COUNT) HEADER Subject {1+}\r\n\xe9 SENTSINCE 1-Feb-2020"
    yield b"\x02(REVERSE SUBJECT FROM DATE) utf-8 ALL"
    yield b"\x04REFERENCES utf-8 ALL"
    yield b"\x06 1:* (FLAGS ENVELOPE BODYSTRUCTURE PREVIEW BODY.PEEK[1.HEADER] BINARY.PEEK[1]<0.9>)"
    yield b'\x08"" (% INBOX) RETURN (STATUS (MESSAGES SIZE))'


SEEDS: dict[str, Callable[[], Iterator[bytes]]] = {
    "fragments": _fragments,
    "commands": _commands,
    "message": _messages,
    "reading": _reading,
}
