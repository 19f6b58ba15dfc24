"""Tells a client what other sessions did, when the protocol allows it (RFC 9051 sections 5.2 and 7.5.1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from crymapd import log
from crymapd.errors import CrymapError, Damaged
from crymapd.imap import columns
from crymapd.imap.response import Goodbye
from crymapd.imap.session import Session, goodbye_damaged, goodbye_deleted
from crymapd.model.numbers import SeqNum, Uid
from crymapd.model.sequence import format_set
from crymapd.store.rows import EntryColumns, entry_columns
from crymapd.store.view import View

_PAGE = 5_000


@contextmanager
def telling(session: Session) -> Iterator[None]:
    """Surround whatever is told after the work of a command has been committed.

    If telling fails, the command must not fail with it: a client that gets NO repeats the command, and doubles mail.
    The failure is logged, and a reason to end the connection waits until the command has been answered.
    """
    try:
        yield
    except Goodbye as goodbye:
        session.ending = goodbye
    except Damaged as error:
        session.ending = goodbye_damaged(session, error)
    except (CrymapError, OSError) as error:
        log.not_told(str(error))
        session.telling_failed = True


def tell(session: Session, *, expunges: bool) -> None:
    """Tell all changes of the selected mailbox since the last time; expunges only if `expunges`.

    Raises:
        Goodbye: the mailbox was deleted, or so much was expunged that the store no longer remembers it.
    """
    view = session.view_or_none
    if view is None:
        return
    session.store.file_arrivals()
    told_next_uid = view.told.next_uid
    changes = view.changes(session.own_modseqs)
    if changes.gone:
        session.deselect()
        raise goodbye_deleted()
    if changes.forgotten:
        raise Goodbye("so many messages were expunged meanwhile that they cannot be told one by one")
    if not expunges:
        view.count_exactly()  # a view that is loaded later would count messages that came and went untold
    if expunges and changes.expunged:
        _expunged(session, view.remove(changes.expunged))
    if expunges or not changes.expunged:
        view.told.expunged = changes.modseq
    _arrivals(session, view, [entry.uid for entry in changes.changed if entry.uid >= told_next_uid], changes.next_uid)
    changed = [entry for entry in changes.changed if entry.uid < told_next_uid]
    if changed:
        flag_fetches(session, view, entry_columns(changed))
    view.told.modseq = changes.modseq
    session.own_modseqs.clear()


def _expunged(session: Session, expunged: list[tuple[SeqNum, Uid]]) -> None:
    """Tell expunges, each with an EXPUNGE or all with one VANISHED (RFC 7162 section 3.2.10)."""
    if session.qresync:
        if expunged:
            session.line(b"VANISHED ", format_set(sorted(uid for _number, uid in expunged)).encode())
        return
    for number, _uid in expunged:
        session.line(b"%d EXPUNGE" % number)


def _arrivals(session: Session, view: View, new: list[Uid], next_uid: Uid) -> None:
    view.told.next_uid = max(view.told.next_uid, next_uid)
    if not new:
        return
    view.add(new)
    session.line(b"%d EXISTS" % view.exists)
    if session.rev2:
        return  # IMAP4rev2 has no \Recent (RFC 9051 appendix E): leave it to sessions of IMAP4rev1
    view.claim_arrivals(next_uid)
    session.line(b"%d RECENT" % view.recent)


def keywords(session: Session) -> None:
    """Send FLAGS again if the mailbox has new keywords, of which this client has not been told."""
    names = session.view.flag_names()
    if not session.told_flags.issuperset(names):
        session.told_flags = frozenset(names)
        session.line(b"FLAGS (", " ".join(names).encode("ascii"), b")")


def flag_fetches(session: Session, view: View, entries: EntryColumns, *, uid: bool = True, flags: bool = True) -> None:
    """Send a FETCH with the flags of each message that this session counts.

    Args:
        session: the session of the client.
        view: the view of its selected mailbox.
        entries: the messages, ascending by UID.
        uid: whether UID is told; after CONDSTORE was enabled it always is, and MODSEQ too.
        flags: whether FLAGS is told.
    """
    if entries.uids:
        keywords(session)
        flag_lines(session, view, entries, view.numbers(entries.uids), uid=uid, flags=flags)


def flag_lines(
    session: Session,
    view: View,
    entries: EntryColumns,
    numbers: Sequence[SeqNum],
    *,
    uid: bool = True,
    flags: bool = True,
) -> None:
    """Send what `flag_fetches` sends, for messages whose sequence numbers the caller has; without new keywords."""
    items = [columns.UID] * (uid or session.condstore) + [columns.FLAGS] * flags + [columns.MODSEQ] * session.condstore
    texts = columns.FlagTexts(session, view)
    for at in range(0, len(entries.uids), _PAGE):
        page = slice(at, at + _PAGE)
        batch = columns.EntryBatch(entries.cut(page), texts)
        session.send(columns.fetch_lines(numbers[page], items, batch))


def note_delay(session: Session) -> None:
    """Tell a QRESYNC client how far it knows everything, if the command told it later modseqs (RFC 7162 section 3.2).

    A client takes the highest modseq that it has seen as the point from which it asks for changes when it comes back.
    If expunges were held back, they may lie before that modseq, and the client would never hear of them.
    """
    view = session.view_or_none
    failed, session.telling_failed = session.telling_failed, False
    if view is not None and session.qresync and (failed or view.told.expunged < view.told.modseq):
        session.line(b"OK [HIGHESTMODSEQ %d] later changes are not all told yet" % view.told.expunged)
