"""From fragments to the tagged answer: a row of COMMANDS says how to parse a command, its handler carries it out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from crymapd import log
from crymapd.errors import CrymapError, Damaged
from crymapd.imap import failure, update
from crymapd.imap.command import fetch, general, mailbox, message, search
from crymapd.imap.handler import fetch as fetch_handler
from crymapd.imap.handler import general as general_handler
from crymapd.imap.handler import mailbox as mailbox_handler
from crymapd.imap.handler import message as message_handler
from crymapd.imap.handler import search as search_handler
from crymapd.imap.handler import sort as sort_handler
from crymapd.imap.response import Done, Refusal, ok
from crymapd.imap.session import Session, goodbye_damaged
from crymapd.imap.state import COMMANDS, Row, State, Tell
from crymapd.imap.wire.reader import BadSyntax, Reader, TooMany
from crymapd.mime.charsets import charset_names

HANDLERS: dict[type, Callable[[Session, Any], Done]] = {
    general.Capability: general_handler.handle_capability,
    general.Noop: general_handler.handle_noop,
    general.Logout: general_handler.handle_logout,
    general.StartTls: general_handler.handle_starttls,
    general.Login: general_handler.handle_login,
    general.Enable: general_handler.handle_enable,
    general.Id: general_handler.handle_id,
    general.Namespace: general_handler.handle_namespace,
    mailbox.Select: mailbox_handler.handle_select,
    mailbox.Create: mailbox_handler.handle_create,
    mailbox.Delete: mailbox_handler.handle_delete,
    mailbox.Rename: mailbox_handler.handle_rename,
    mailbox.Subscribe: mailbox_handler.handle_subscribe,
    mailbox.Unsubscribe: mailbox_handler.handle_unsubscribe,
    mailbox.List: mailbox_handler.handle_list,
    mailbox.Status: mailbox_handler.handle_status,
    mailbox.Close: mailbox_handler.handle_close,
    message.StoreFlags: message_handler.handle_store,
    message.Copy: message_handler.handle_copy,
    message.Expunge: message_handler.handle_expunge,
    fetch.Fetch: fetch_handler.handle_fetch,
    search.Search: search_handler.handle_search,
    search.Sort: sort_handler.handle_sort,
    search.Thread: sort_handler.handle_thread,
    general.GetQuota: general_handler.handle_get_quota,
    general.GetQuotaRoot: general_handler.handle_get_quota_root,
}
"""AUTHENTICATE, COMPRESS, IDLE, APPEND and REPLACE are missing: `server`, `idle` and `appending` carry them out, as
they talk with the client while they run."""


class Parsed:
    """A command that follows the grammar: its tag, its row of COMMANDS and its value."""

    __slots__ = ("command", "row", "tag")

    def __init__(self, tag: bytes, row: Row, command: Any) -> None:
        self.tag = tag
        self.row = row
        self.command = command


class Malformed(Exception):
    """A command cannot be parsed, or is not allowed now.

    Attributes:
        tag: the tag of the command, or `*` if it has none.
        done: the answer.
        unsaved: whether `$` becomes empty (RFC 5182 section 2.1).
    """

    def __init__(self, tag: bytes, done: Done, *, unsaved: bool = False) -> None:
        super().__init__(done.text)
        self.tag = tag
        self.done = done
        self.unsaved = unsaved


def parse(fragments: list[bytes], state: State, *, utf8: bool = False, utf8_only: bool = False) -> Parsed:
    """Parse a command and check that it is allowed in this state; `Reader` explains the other arguments.

    Raises:
        Malformed: the command cannot be parsed, or is not allowed now.
    """
    reader = Reader(fragments, utf8=utf8, utf8_only=utf8_only)
    tag = b"*"
    try:
        tag = reader.tag()
        reader.space()
        name = reader.word()
        if name == b"UID":
            reader.space()
            name = b"UID " + reader.word()
        row = COMMANDS.get(name)
        if row is None:
            raise BadSyntax(f"there is no command {name[:40].decode('ascii', 'replace')}")
        if not row.states & state:
            raise Malformed(tag, Done("BAD", _wrong_state(name, row, state)))
        command = row.parse(reader)
        reader.end()
    except TooMany as error:
        raise Malformed(tag, Done("NO", str(error), "LIMIT")) from None
    except BadSyntax as error:
        raise Malformed(tag, Done("BAD", str(error), "PARSE")) from None
    except search.TooManyKeys as error:
        raise Malformed(tag, Done("NO", str(error), "LIMIT"), unsaved=error.saving) from None
    except search.BadCharset as error:
        charsets = " ".join(charset_names())
        done = Done("NO", f"unknown charset {error}", f"BADCHARSET ({charsets})")
        raise Malformed(tag, done, unsaved=error.saving) from None
    return Parsed(tag, row, command)


def _wrong_state(name: bytes, row: Row, state: State) -> str:
    word = name.decode("ascii")
    if state is State.NOT_AUTHENTICATED:
        return f"{word} comes after login"
    if state is State.AUTHENTICATED and row.states is State.SELECTED:
        return f"{word} needs a selected mailbox"
    return f"{word} is not possible now"


def perform(current: Session, parsed: Parsed) -> Done:
    """Carry out a command, and tell what other sessions did as far as its row allows that; return its answer.

    Raises:
        Goodbye: the connection must end with a BYE.
        Broken: the connection must end in the middle of a response.
    """
    tell = parsed.row.tell
    current.tag = parsed.tag
    if tell in (Tell.AROUND, Tell.NEW_BEFORE):
        attempt(current, lambda: tell_changes(current, expunges=tell is Tell.AROUND))
    done = attempt(current, lambda: HANDLERS[type(parsed.command)](current, parsed.command))
    if tell is not Tell.NOTHING:
        told = _tell(current, expunges=tell is not Tell.NO_EXPUNGE, writes=parsed.row.writes)
        done = done if told.status == "OK" else told
        update.note_delay(current)
    if done.status == "NO" and _saves(parsed.command):
        current.saved = []  # RFC 5182 section 2.1; after BAD, `$` keeps its value
    return with_highest_modseq(current, done) if _expunges(parsed.command) else done


def _tell(current: Session, *, expunges: bool, writes: bool) -> Done:
    """Tell what other sessions did; if that fails, a command that has committed its work is still OK."""
    if not writes:
        return attempt(current, lambda: tell_changes(current, expunges=expunges))
    with update.telling(current):
        update.tell(current, expunges=expunges)
    return ok()


def _saves(command: Any) -> bool:
    return isinstance(command, (search.Search, search.Sort)) and search.saves(command.returns)


def _expunges(command: Any) -> bool:
    return isinstance(command, message.Expunge) or (isinstance(command, message.Copy) and command.move)


def with_highest_modseq(current: Session, done: Done) -> Done:
    """Add to an OK how far the client has been told, as a command that expunges must (RFC 7162 section 3.2.7)."""
    if current.qresync and done.status == "OK" and not done.code and current.view_or_none is not None:
        return ok(done.text, f"HIGHESTMODSEQ {current.view.told.expunged}")
    return done


def tell_changes(current: Session, *, expunges: bool) -> Done:
    update.tell(current, expunges=expunges)
    return ok()


def catch_up(current: Session, seconds: float) -> Done:
    current.store.catch_up(seconds)
    return ok()


def rest(current: Session) -> Done:
    current.store.rest()
    return ok()


def attempt(current: Session, action: Callable[[], Done]) -> Done:
    """Return the answer of an action or, if it fails, the answer for the reason; trouble of the server is logged.

    Raises:
        Goodbye: the connection must end, for example because the database is damaged, which the next login repairs.
        Broken: the connection must end in the middle of a response.
    """
    try:
        return action()
    except Refusal as refusal:
        return refusal.done
    except BadSyntax as error:
        return Done("BAD", str(error), "PARSE")
    except Damaged as error:
        raise goodbye_damaged(current, error) from error
    except CrymapError as error:
        done = failure.answer(error)
        if done.text != str(error):
            log.command_failed(str(error))
        return done
    except OSError as error:
        log.command_failed(str(error))
        return Done("NO", "the server has a problem of its own; try again later", "UNAVAILABLE")
