r"""What the transcript runner must know of a protocol, and the protocols it knows.

The language of transcripts is the same for all of them.  What differs is a `Dialect`: where a response ends and which
one is the last of an answer, the grammar that responses must follow, and what comes before the first line.

| | `imap` | `smtp` | `lmtp` |
|---|---|---|---|
| one response is | a line with its literals | a reply, `250-` lines included | the same |
| the answer ends with | the tagged response | every reply | every reply |
| before the first line | greeting, LOGIN | greeting, EHLO | greeting, LHLO |
| after `!login` | the same | and AUTH PLAIN | and AUTH PLAIN |
| `{CL}`, where the next CL has five octets | `{5}` | `5` | `5` |
| further directives | `!append`, `!select` | | |

The folder of a transcript names its dialect, the innermost one first: `tests/imap/transcripts/noop.txt` is IMAP,
`tests/smtp/transcripts/lmtp/data.txt` LMTP.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

from tests.testlib.answers import Enabled
from tests.testlib.client import quote
from tests.testlib.framing import Framing, ImapFraming, SmtpFraming
from tests.testlib.grammar import Options, parse
from tests.testlib.scanner import Ungrammatical
from tests.testlib.script import unescape


class Conversation(Protocol):
    """One connection, on which the preparation of a transcript talks before the transcript does."""

    def send(self, data: bytes) -> None: ...

    def receive(self) -> bytes:
        """The next whole response, which follows the grammar."""
        ...


@dataclass(frozen=True, slots=True)
class Account:
    """Whom the sessions of a transcript log in as."""

    user: str
    password: str


Opening = Callable[[Conversation, Account], None]
"""Reads the greeting of a new connection, and does what the transcript takes for granted."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """A protocol, as far as the transcript runner must know it.

    Attributes:
        name: names folders of transcripts.
        framing: makes what cuts the octets of one connection into responses.
        grammar: makes the check of the responses of one connection, which raises Ungrammatical.  What it has seen may
            change what it accepts: IMAP allows UTF-8 after ENABLED.
        is_final: whether no other response to the same command comes after this one.
        continues: whether the response goes on with the next S line after an S line with this text.
        size: how a command announces the octets after it, given their number and the `+` of `{CL+}`.
        begin: opens a session, unless the transcript says otherwise.
        login: opens a session after `!login`.
        directives: further preparations by their word.  They are given the rest of the line, and raise ValueError with
            the right form when that is wrong.
    """

    name: str
    framing: Callable[[], Framing]
    grammar: Callable[[], Callable[[bytes], None]]
    is_final: Callable[[bytes], bool]
    continues: Callable[[str], bool]
    size: Callable[[int, str], str]
    begin: Opening
    login: Opening
    directives: Mapping[str, Callable[[Conversation, str], None]] = field(default_factory=dict)


def begin_with_nothing(_conversation: Conversation, _account: Account) -> None:
    """The opening after `!nologin`, in every dialect: the transcript itself expects the greeting."""


# IMAP

_TAGGED = re.compile(rb"(?![*+] )[^ ]+ (?:OK|NO|BAD)\b")


class _ImapGrammar:
    """The strict grammar, which allows UTF-8 in quoted strings once the server has said ENABLED (RFC 6855 section 3)."""

    def __init__(self) -> None:
        self._utf8 = False

    def __call__(self, frame: bytes) -> None:
        answer = parse(frame, Options(utf8=self._utf8))
        names = answer.names if isinstance(answer, Enabled) else ()
        self._utf8 |= bool({"IMAP4REV2", "UTF8=ACCEPT"} & {name.upper() for name in names})


def _imap_login(conversation: Conversation, account: Account) -> None:
    if conversation.receive().startswith(b"* OK"):
        _imap_unseen(conversation, f"LOGIN {quote(account.user)} {quote(account.password)}")


def _imap_unseen(conversation: Conversation, command: str) -> None:
    """Do a command that must succeed. It may end with one literal, which waits for the server to ask for it."""
    line, *literals = re.split(rb"(?<=\}\r\n)", command.encode("utf-8", "surrogateescape"), maxsplit=1)
    conversation.send(b"unseen " + line + (b"" if literals else b"\r\n"))
    while not (frame := conversation.receive()).startswith(b"unseen "):
        if frame.startswith(b"+") and literals:
            conversation.send(literals.pop() + b"\r\n")
    assert frame.startswith(b"unseen OK "), f"preparation failed: {command[:80]!r}: {frame!r}"


def _imap_append(conversation: Conversation, rest: str) -> None:
    match = re.fullmatch(r'(\S+|".*?") (?:(\([^)]*\)) )?"(.*)"', rest)
    if not match:
        raise ValueError('!append MAILBOX [(flags)] "message"')
    mailbox, flags, message = match[1], match[2], unescape(match[3])
    command = f"APPEND {mailbox} {flags + ' ' if flags else ''}{{{len(message)}}}\r\n"
    _imap_unseen(conversation, command + message.decode("utf-8", "surrogateescape"))


def _imap_select(conversation: Conversation, rest: str) -> None:
    _imap_unseen(conversation, f"SELECT {quote(rest.strip())}")


IMAP = Dialect(
    "imap",
    framing=ImapFraming,
    grammar=_ImapGrammar,
    is_final=lambda frame: bool(_TAGGED.match(frame)),
    continues=lambda _text: False,
    size=lambda octets, plus: f"{{{octets}{plus}}}",
    begin=_imap_login,
    login=_imap_login,
    directives={"append": _imap_append, "select": _imap_select},
)


# SMTP and LMTP

_CONTINUED = re.compile(r"[0-9]{3}-")
# A space must be followed by text, except in a challenge of AUTH (RFC 4954 section 4).
_REPLY_LINE = re.compile(rb"(?!(?!334)... \r\n)([2-5][0-5][0-9])(?:[ -]([\t\x20-\x7e]*))?\r\n")
_ENHANCED = re.compile(rb"([245])\.[0-9]{1,3}\.[0-9]{1,3}(?= |\Z)")
_REPLY_LINE_OCTETS = 512


def check_reply(frame: bytes) -> None:
    """The strict grammar of a reply.

    Every line has the same code, at most 512 octets and only ASCII (RFC 5321 sections 4.2 and 4.5.3.1.5).  Where there
    is an enhanced status code, all lines have it, and its class is that of the reply (RFC 2034 section 4).

    Raises:
        Ungrammatical: with the octet at which the offending line begins.
    """
    codes: set[bytes] = set()
    enhanced: set[bytes] = set()
    position = 0
    for line in frame.splitlines(keepends=True):
        match = _REPLY_LINE.fullmatch(line)
        if not match or len(line) > _REPLY_LINE_OCTETS:
            raise Ungrammatical("a reply line", frame, position)
        status = _ENHANCED.match(match[2] or b"")
        codes.add(match[1])
        enhanced.add(status[0] if status else b"")
        if len(codes) > 1:
            raise Ungrammatical("the same code on every line", frame, position)
        if len(enhanced) > 1:
            raise Ungrammatical("the same enhanced status code on every line", frame, position)
        if status and status[1] != match[1][:1]:
            raise Ungrammatical("an enhanced status code of the reply's class", frame, position)
        position += len(line)


def _smtp_hello(verb: str, conversation: Conversation, _account: Account) -> None:
    greeting = conversation.receive()
    assert greeting.startswith(b"220"), f"not a greeting: {greeting!r}"
    _smtp_unseen(conversation, f"{verb} client.example", b"250")


def _smtp_login(verb: str, conversation: Conversation, account: Account) -> None:
    _smtp_hello(verb, conversation, account)
    response = base64.b64encode(f"\0{account.user}\0{account.password}".encode()).decode()
    _smtp_unseen(conversation, f"AUTH PLAIN {response}", b"235")


def _smtp_unseen(conversation: Conversation, command: str, code: bytes) -> None:
    """Do a command whose reply must have this code."""
    conversation.send(command.encode() + b"\r\n")
    reply = conversation.receive()
    assert reply.startswith(code), f"preparation failed: {command!r}: {reply!r}"


def _smtp(name: str, hello: str) -> Dialect:
    return Dialect(
        name,
        framing=SmtpFraming,
        grammar=lambda: check_reply,
        is_final=lambda _frame: True,
        continues=lambda text: bool(_CONTINUED.match(text)),
        size=lambda octets, _plus: str(octets),
        begin=partial(_smtp_hello, hello),
        login=partial(_smtp_login, hello),
    )


SMTP = _smtp("smtp", "EHLO")
LMTP = _smtp("lmtp", "LHLO")

DIALECTS = {dialect.name: dialect for dialect in (IMAP, SMTP, LMTP)}


def dialect_of(path: Path) -> Dialect:
    """The dialect that the innermost folder with such a name gives to a transcript.

    Raises:
        ValueError: no folder has the name of a dialect.
    """
    for folder in path.absolute().parents:
        if folder.name in DIALECTS:
            return DIALECTS[folder.name]
    raise ValueError(f"{path}: no folder above it is named after a dialect: {', '.join(DIALECTS)}")
