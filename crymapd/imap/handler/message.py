"""Messages: STORE, COPY, MOVE, EXPUNGE."""

from __future__ import annotations

from collections.abc import Sequence

from crymapd.errors import NoSuchMailbox
from crymapd.imap import update
from crymapd.imap.command import message as command
from crymapd.imap.handler.mailbox import EVERYTHING, existing
from crymapd.imap.response import Done, Refusal, ok
from crymapd.imap.session import Session
from crymapd.model.sequence import Range, SequenceSet, format_set
from crymapd.store.mailboxes import Mailbox


def handle_store(session: Session, asked: command.Store) -> Done:
    """RFC 9051 section 6.4.6, RFC 7162 section 3.1.3."""
    view = session.writable_view
    if asked.unchanged_since is not None:
        session.enable_condstore()
    ranges = session.uid_ranges(asked.numbers, uid=asked.uid)
    result = session.store.entries.store(view.mailbox.id, ranges, asked.mode, asked.flags, asked.unchanged_since)
    if result.modseq:
        session.own_modseqs.add(result.modseq)
    told = result.flags
    if asked.silent:
        # Another session's change that this client does not know of is no secret because ours was silent.
        news = [row for row in told if result.before[row[0]] > view.told.modseq]
        update.flag_fetches(session, view, news, uid=asked.uid)
        # RFC 7162 section 3.1.3: even then the client is told the new modseqs.
        told = [row for row in told if row[0] in result.changed] if session.condstore else []
    if told:
        update.flag_fetches(session, view, told, uid=asked.uid, flags=not asked.silent)
    if not result.modified:
        return (None if result.flags else _gone(asked.numbers, ranges, uid=asked.uid)) or ok()
    numbers = [view.seq(uid) or 0 for uid in result.modified] if not asked.uid else [int(u) for u in result.modified]
    return ok("some messages had changed", f"MODIFIED {format_set(sorted(filter(None, numbers)))}")


def _gone(numbers: SequenceSet, ranges: Sequence[Range], *, uid: bool) -> Done | None:
    """Message numbers always name messages; where none is left, others have expunged them (RFC 2180 section 4)."""
    if uid or numbers.saved or not ranges:
        return None
    return Done("NO", "another session has expunged them", "EXPUNGEISSUED")


def handle_copy(session: Session, asked: command.Copy) -> Done:
    """COPY and MOVE, with COPYUID (RFC 4315, RFC 6851). Nothing to copy is no failure."""
    view = session.writable_view if asked.move else session.view
    ranges = session.uid_ranges(asked.numbers, uid=asked.uid)
    target = _target(session, asked.target)
    act = session.store.entries.move if asked.move else session.store.entries.copy
    uidvalidity, sources, copies = act(view.mailbox.id, ranges, target.id)
    if not sources:
        return _gone(asked.numbers, ranges, uid=asked.uid) or ok("there was nothing to do")
    code = f"COPYUID {uidvalidity} {format_set(sources)} {format_set(copies)}"
    if not asked.move:
        return ok(code=code)
    # RFC 6851 section 4.3: for MOVE it comes before the EXPUNGEs, untagged.
    session.line(b"OK [", code.encode(), b"] moved")
    return ok()


def _target(session: Session, name: str) -> Mailbox:
    try:
        return session.store.mailboxes.get(existing(name))
    except NoSuchMailbox as error:
        raise Refusal("NO", str(error), "TRYCREATE") from None


def handle_expunge(session: Session, asked: command.Expunge) -> Done:
    """EXPUNGE, UID EXPUNGE and XVANQUISH; the numbers are told by the update that follows."""
    view = session.writable_view
    ranges: list[Range] = list(EVERYTHING)
    if asked.numbers is not None:
        ranges = session.uid_ranges(asked.numbers, uid=True)
    session.store.entries.expunge(view.mailbox.id, ranges, only_deleted=asked.only_deleted)
    return ok()
