"""Commands on messages: STORE, COPY, MOVE, EXPUNGE and XVANQUISH."""

from __future__ import annotations

from collections.abc import Sequence

from crymapd.errors import NoSuchMailbox
from crymapd.imap import update
from crymapd.imap.command import message as command
from crymapd.imap.handler.mailbox import existing
from crymapd.imap.response import Done, Refusal, ok
from crymapd.imap.session import Session
from crymapd.model.numbers import Uid
from crymapd.model.sequence import Range, SequenceSet, format_set
from crymapd.store.mailboxes import Mailbox
from crymapd.store.rows import StoreResult
from crymapd.store.view import EVERYTHING, View


def handle_store(session: Session, asked: command.StoreFlags) -> Done:
    """STORE (RFC 9051 section 6.4.6, RFC 7162 section 3.1.3)."""
    view = session.writable_view
    if asked.unchanged_since is not None:
        session.enable_condstore()
    ranges = session.uid_ranges(asked.sequence_set, uid=asked.uid)
    result = view.store_flags(ranges, asked.mode, asked.flags, asked.unchanged_since)
    if result.modseq:
        session.own_modseqs.add(result.modseq)
    with update.telling(session):
        _tell_stored(session, view, asked, result)
    if session.telling_failed:
        session.own_modseqs.discard(result.modseq)  # what was not told now must be told later
    if not result.modified:
        return (None if result.before.uids else _gone(asked.sequence_set, ranges, uid=asked.uid)) or ok()
    modified = result.modified if asked.uid else [number for number in map(view.seq, result.modified) if number]
    return ok("some messages have changed since then", f"MODIFIED {format_set(sorted(modified))}")


def _tell_stored(session: Session, view: View, asked: command.StoreFlags, result: StoreResult) -> None:
    """Tell the flags as STORE has left them; after .SILENT, only what the client cannot know."""
    entries = result.entries
    if not asked.silent:
        update.flag_fetches(session, view, entries, uid=asked.uid)
        return
    # .SILENT hides only our own change: the client must still hear of what other sessions changed before it.
    missed = entries.chosen([modseq > view.told.modseq for modseq in result.before.modseqs])
    update.flag_fetches(session, view, missed, uid=asked.uid)
    if session.condstore:  # RFC 7162 section 3.1.3: the client is told the new modseqs in spite of .SILENT
        update.flag_fetches(session, view, entries.chosen(result.changed), uid=asked.uid, flags=False)


def _gone(sequence_set: SequenceSet, ranges: Sequence[Range[Uid]], *, uid: bool) -> Done | None:
    """Return the NO for a command by numbers if other sessions have expunged all its messages (RFC 2180 section 4)."""
    if uid or sequence_set.saved or not ranges:
        return None
    return Done("NO", "another session has expunged these messages", "EXPUNGEISSUED")


def handle_copy(session: Session, asked: command.Copy) -> Done:
    """COPY and MOVE, with COPYUID (RFC 4315, RFC 6851); UIDs that name no message are no failure."""
    view = session.writable_view if asked.move else session.view
    ranges = session.uid_ranges(asked.sequence_set, uid=asked.uid)
    target = _target(session, asked.target)
    copied = view.move(ranges, target.id) if asked.move else view.copy(ranges, target.id)
    if not copied.uids:
        return _gone(asked.sequence_set, ranges, uid=asked.uid) or ok("there was no message to copy or move")
    code = f"COPYUID {copied.uidvalidity} {format_set(copied.sources)} {format_set(copied.uids)}"
    if not asked.move:
        return ok(code=code)
    # RFC 6851 section 4.3: MOVE sends the code before the EXPUNGEs, so it cannot be in the tagged answer.
    session.line(b"OK [", code.encode(), b"] moved")
    return ok()


def _target(session: Session, name: str) -> Mailbox:
    try:
        return session.store.mailboxes.get(existing(name))
    except NoSuchMailbox as error:
        raise Refusal("NO", str(error), "TRYCREATE") from None


def handle_expunge(session: Session, asked: command.Expunge) -> Done:
    """EXPUNGE, UID EXPUNGE and XVANQUISH; the update after the command tells the client what was expunged."""
    view = session.writable_view
    ranges = EVERYTHING if asked.sequence_set is None else session.uid_ranges(asked.sequence_set, uid=True)
    view.expunge(ranges, only_deleted=asked.only_deleted)
    return ok()
