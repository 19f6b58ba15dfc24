"""From fragments to the tagged answer: read by the row of COMMANDS, done by the handler of its type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from crymapd import log
from crymapd.errors import CrymapError, Damaged
from crymapd.imap import failure, update
from crymapd.imap.command import fetch, mailbox, message, search, session
from crymapd.imap.handler import fetch as fetch_handler
from crymapd.imap.handler import mailbox as mailbox_handler
from crymapd.imap.handler import message as message_handler
from crymapd.imap.handler import search as search_handler
from crymapd.imap.handler import session as session_handler
from crymapd.imap.handler import sort as sort_handler
from crymapd.imap.response import Done, Goodbye, Refusal, ok
from crymapd.imap.session import Session
from crymapd.imap.state import COMMANDS, Row, State, Tell
from crymapd.imap.wire.reader import BadSyntax, Reader
from crymapd.mime.charsets import charset_names

HANDLERS: dict[type, Callable[[Session, Any], Done]] = {
    session.Capability: session_handler.handle_capability,
    session.Noop: session_handler.handle_noop,
    session.Logout: session_handler.handle_logout,
    session.StartTls: session_handler.handle_starttls,
    session.Login: session_handler.handle_login,
    session.Enable: session_handler.handle_enable,
    session.Id: session_handler.handle_id,
    session.Namespace: session_handler.handle_namespace,
    mailbox.Select: mailbox_handler.handle_select,
    mailbox.Create: mailbox_handler.handle_create,
    mailbox.Delete: mailbox_handler.handle_delete,
    mailbox.Rename: mailbox_handler.handle_rename,
    mailbox.Subscribe: mailbox_handler.handle_subscribe,
    mailbox.Unsubscribe: mailbox_handler.handle_unsubscribe,
    mailbox.List: mailbox_handler.handle_list,
    mailbox.Status: mailbox_handler.handle_status,
    mailbox.Close: mailbox_handler.handle_close,
    message.Store: message_handler.handle_store,
    message.Copy: message_handler.handle_copy,
    message.Expunge: message_handler.handle_expunge,
    fetch.Fetch: fetch_handler.handle_fetch,
    search.Search: search_handler.handle_search,
    search.Sort: sort_handler.handle_sort,
    search.Thread: sort_handler.handle_thread,
    session.GetQuota: session_handler.handle_get_quota,
    session.GetQuotaRoot: session_handler.handle_get_quota_root,
}
"""AUTHENTICATE, COMPRESS, IDLE and APPEND are conversations of their own: `server` leads them."""


class Parsed:
    """A command that was understood: its tag, its row and its value."""

    __slots__ = ("command", "row", "tag")

    def __init__(self, tag: bytes, row: Row, command: Any) -> None:
        self.tag = tag
        self.row = row
        self.command = command


class Malformed(Exception):
    """A command that was not understood, with the answer to it; `unsaved`: and `$` means nothing from now on."""

    def __init__(self, tag: bytes, done: Done, *, unsaved: bool = False) -> None:
        super().__init__(done.text)
        self.tag = tag
        self.done = done
        self.unsaved = unsaved


def parse(fragments: list[bytes], state: State, *, utf8: bool = False, utf8_only: bool = False) -> Parsed:
    """Read a command (as `Reader` does) and check that it is allowed now. Raises Malformed."""
    reader = Reader(fragments, utf8=utf8, utf8_only=utf8_only)
    tag = b"*"
    try:
        tag = reader.tag()
        reader.space()
        name = reader.keyword()
        if name == b"UID":
            reader.space()
            name = b"UID " + reader.keyword()
        row = COMMANDS.get(name)
        if row is None:
            raise BadSyntax(f"there is no command {name[:40].decode('ascii', 'replace')}")
        if not row.states & state:
            raise Malformed(tag, Done("BAD", _wrong_state(name, row, state)))
        command = row.parse(reader)
        reader.end()
    except BadSyntax as error:
        raise Malformed(tag, Done("BAD", str(error), "PARSE")) from None
    except search.BadCharset as error:
        known = " ".join(charset_names())
        done = Done("NO", f"unknown charset {error}", f"BADCHARSET ({known})")
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
    """Do it, then tell what else happened, as far as the command allows it.

    Raises:
        Goodbye, Broken: the connection ends.
    """
    tell = parsed.row.tell
    current.tag = parsed.tag
    if tell in (Tell.AROUND, Tell.NEW_BEFORE):
        attempt(current, lambda: told_all(current, expunges=tell is Tell.AROUND))
    done = attempt(current, lambda: HANDLERS[type(parsed.command)](current, parsed.command))
    if tell is not Tell.NOTHING:
        told = attempt(current, lambda: told_all(current, expunges=tell is not Tell.NO_EXPUNGE))
        done = done if told.status == "OK" else told
    return with_highest_modseq(current, done) if _expunges(parsed.command) else done


def _expunges(command: Any) -> bool:
    return isinstance(command, message.Expunge) or (isinstance(command, message.Copy) and command.move)


def with_highest_modseq(current: Session, done: Done) -> Done:
    """After an expunge of ours the client learns how far it has been told (RFC 7162 section 3.2.7)."""
    if current.qresync and done.status == "OK" and not done.code and current.view_or_none is not None:
        return ok(done.text, f"HIGHESTMODSEQ {current.view.told.modseq}")
    return done


def told_all(current: Session, *, expunges: bool) -> Done:
    update.tell(current, expunges=expunges)
    return ok()


def caught_up(current: Session, seconds: float) -> Done:
    current.store.catch_up(seconds)
    return ok()


def rested(current: Session) -> Done:
    current.store.rest()
    return ok()


def attempt(current: Session, action: Callable[[], Done]) -> Done:
    """The answer of an action, or the answer to the reason why it failed; the log hears of ours.

    A damaged database ends the connection: the next login puts it right.

    Raises:
        Goodbye, Broken.
    """
    try:
        return action()
    except Refusal as refusal:
        return refusal.done
    except BadSyntax as error:
        return Done("BAD", str(error), "PARSE")
    except Damaged as error:
        log.command_failed(str(error))
        if current.store_or_none is not None:
            current.store_or_none.mark_damaged()
        raise Goodbye("the mailbox database is damaged; log in again to have it restored", "CORRUPTION") from error
    except CrymapError as error:
        done = failure.answer(error)
        if done.text != str(error):
            log.command_failed(str(error))
        return done
    except OSError as error:
        log.command_failed(str(error))
        return Done("NO", "the server has a problem of its own; nothing was changed, try again later", "UNAVAILABLE")
