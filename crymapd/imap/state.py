"""The table of commands: how each is parsed, in which states it is allowed, what it lets us tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, Flag, auto
from typing import Any

from crymapd.imap.command import fetch, general, mailbox, message, search
from crymapd.imap.wire.reader import Reader


class State(Flag):
    """The state of a session (RFC 9051 section 3)."""

    NOT_AUTHENTICATED = auto()
    AUTHENTICATED = auto()
    SELECTED = auto()


ANY = State.NOT_AUTHENTICATED | State.AUTHENTICATED | State.SELECTED
LOGGED_IN = State.AUTHENTICATED | State.SELECTED


class Tell(Enum):
    """Which changes by other sessions may be told with a command, before its tagged answer (RFC 9051 section 7.5.1)."""

    NOTHING = auto()
    NO_EXPUNGE = auto()  # all but expunges, as the numbers that the command uses must not change
    ALL = auto()
    AROUND = auto()  # all, before the command too, so that `UID FETCH n:*` finds new messages
    NEW_BEFORE = auto()  # all, but before the command no expunges, as its search keys may hold numbers


@dataclass(frozen=True, slots=True)
class Row:
    """What is fixed about a command.

    Attributes:
        parse: reads its arguments and returns its value; raises BadSyntax.
        states: the states in which it is allowed.
        tell: which changes by other sessions may be told with it.
        writes: whether its work is committed before changes are told, so that it is OK even if telling them fails.
    """

    parse: Callable[[Reader], Any]
    states: State
    tell: Tell
    writes: bool = False


def _bare(kind: Callable[[], Any]) -> Callable[[Reader], Any]:
    """Make the parser of a command without arguments."""
    return lambda _reader: kind()


def _with_uid(parse: Callable[[Reader], Any]) -> Callable[[Reader], Any]:
    """Make the parser of the UID form of a command."""
    return lambda reader: replace(parse(reader), uid=True)


COMMANDS: dict[bytes, Row] = {
    b"CAPABILITY": Row(_bare(general.Capability), ANY, Tell.ALL),
    b"NOOP": Row(_bare(general.Noop), ANY, Tell.ALL),
    b"LOGOUT": Row(_bare(general.Logout), ANY, Tell.NOTHING),
    b"ID": Row(general.identification, ANY, Tell.ALL),
    b"STARTTLS": Row(_bare(general.StartTls), ANY, Tell.NOTHING),
    b"LOGIN": Row(general.login, State.NOT_AUTHENTICATED, Tell.NOTHING),
    b"AUTHENTICATE": Row(general.authenticate, State.NOT_AUTHENTICATED, Tell.NOTHING),
    b"COMPRESS": Row(general.compress, LOGGED_IN, Tell.NOTHING),
    b"XYZZY": Row(_bare(general.Noop), ANY, Tell.ALL),
    b"ENABLE": Row(general.enable, LOGGED_IN, Tell.ALL),
    b"NAMESPACE": Row(_bare(general.Namespace), LOGGED_IN, Tell.ALL),
    b"SELECT": Row(mailbox.select, LOGGED_IN, Tell.NOTHING),
    b"EXAMINE": Row(mailbox.examine, LOGGED_IN, Tell.NOTHING),
    b"CREATE": Row(mailbox.create, LOGGED_IN, Tell.ALL, writes=True),
    b"DELETE": Row(mailbox.delete, LOGGED_IN, Tell.ALL, writes=True),
    b"RENAME": Row(mailbox.rename, LOGGED_IN, Tell.ALL, writes=True),
    b"SUBSCRIBE": Row(mailbox.subscribe, LOGGED_IN, Tell.ALL, writes=True),
    b"UNSUBSCRIBE": Row(mailbox.unsubscribe, LOGGED_IN, Tell.ALL, writes=True),
    b"LIST": Row(mailbox.list_, LOGGED_IN, Tell.ALL),
    b"LSUB": Row(mailbox.lsub, LOGGED_IN, Tell.ALL),
    b"XLIST": Row(mailbox.xlist, LOGGED_IN, Tell.ALL),
    b"GETQUOTA": Row(general.get_quota, LOGGED_IN, Tell.ALL),
    b"GETQUOTAROOT": Row(general.get_quota_root, LOGGED_IN, Tell.ALL),
    b"STATUS": Row(mailbox.status, LOGGED_IN, Tell.ALL),
    b"APPEND": Row(message.append_without_message, LOGGED_IN, Tell.ALL),
    b"IDLE": Row(_bare(general.Idle), LOGGED_IN, Tell.ALL),
    b"CHECK": Row(_bare(general.Noop), State.SELECTED, Tell.ALL),
    b"CLOSE": Row(_bare(lambda: mailbox.Close(expunge=True)), State.SELECTED, Tell.NOTHING),
    b"UNSELECT": Row(_bare(lambda: mailbox.Close(expunge=False)), State.SELECTED, Tell.NOTHING),
    b"EXPUNGE": Row(message.expunge, State.SELECTED, Tell.ALL, writes=True),
    b"FETCH": Row(fetch.fetch, State.SELECTED, Tell.NO_EXPUNGE),
    b"STORE": Row(message.store, State.SELECTED, Tell.NO_EXPUNGE, writes=True),
    b"SEARCH": Row(search.search, State.SELECTED, Tell.NO_EXPUNGE),
    b"SORT": Row(search.sort, State.SELECTED, Tell.NO_EXPUNGE),
    b"THREAD": Row(search.thread, State.SELECTED, Tell.NO_EXPUNGE),
    b"REPLACE": Row(message.append_without_message, State.SELECTED, Tell.ALL),
    b"XVANQUISH": Row(message.vanquish, State.SELECTED, Tell.AROUND, writes=True),
    b"COPY": Row(message.copy, State.SELECTED, Tell.ALL, writes=True),
    b"MOVE": Row(message.move, State.SELECTED, Tell.ALL, writes=True),
    b"UID FETCH": Row(fetch.uid_fetch, State.SELECTED, Tell.AROUND),
    b"UID STORE": Row(_with_uid(message.store), State.SELECTED, Tell.AROUND, writes=True),
    b"UID SEARCH": Row(_with_uid(search.search), State.SELECTED, Tell.NEW_BEFORE),
    b"UID SORT": Row(_with_uid(search.sort), State.SELECTED, Tell.NEW_BEFORE),
    b"UID THREAD": Row(_with_uid(search.thread), State.SELECTED, Tell.NEW_BEFORE),
    b"UID REPLACE": Row(message.append_without_message, State.SELECTED, Tell.ALL),
    b"UID COPY": Row(_with_uid(message.copy), State.SELECTED, Tell.AROUND, writes=True),
    b"UID MOVE": Row(_with_uid(message.move), State.SELECTED, Tell.AROUND, writes=True),
    b"UID EXPUNGE": Row(message.uid_expunge, State.SELECTED, Tell.AROUND, writes=True),
}
"""An APPEND or REPLACE is parsed by its row only if it has no message; `appending` leads all others."""
