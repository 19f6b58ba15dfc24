"""Mailboxes: SELECT, LIST, STATUS and the changes to the tree."""

from __future__ import annotations

from collections.abc import Callable

from crymapd.errors import BadMailboxName, NoSuchMailbox
from crymapd.imap.command import mailbox as command
from crymapd.imap.response import Done, Refusal, ok
from crymapd.imap.session import Session
from crymapd.imap.wire import writer
from crymapd.model.names import DELIMITER, INBOX, SETTABLE_USES, canonical_mailbox, mailbox_pattern, parents
from crymapd.model.sequence import Range
from crymapd.store.mailboxes import Mailbox
from crymapd.store.view import View

UNSEEN_TOLD_UP_TO = 10_000
"""SELECT looks for the first unseen message only in mailboxes up to this size: it must not cost more in larger ones."""
EVERYTHING: tuple[Range, ...] = ((1, 2**32 - 1),)


def existing(name: str) -> str:
    """The canonical form of a name that should exist: an impossible one does not (RFC 5530 NONEXISTENT)."""
    try:
        return canonical_mailbox(name)
    except BadMailboxName as error:
        raise NoSuchMailbox(str(error)) from None


def handle_select(session: Session, asked: command.Select) -> Done:
    """RFC 9051 section 6.3.2: even a SELECT that fails leaves nothing selected."""
    session.deselect()
    view = session.store.select(existing(asked.name), read_only=asked.read_only)
    if asked.condstore:
        session.enable_condstore()
    session.view_or_none = view
    _describe(session, view)
    return ok("selected", "READ-ONLY" if asked.read_only else "READ-WRITE")


def _describe(session: Session, view: View) -> None:
    mailbox = view.mailbox
    names = session.store.flag_names()
    session.told_keywords = len(names)
    flags = " ".join(names).encode("ascii")
    session.line(b"FLAGS (", flags, b")")
    permanent = b"" if view.read_only else flags + b" \\*"
    session.line(b"OK [PERMANENTFLAGS (", permanent, b")] flags that are kept")
    session.line(b"%d EXISTS" % view.exists)
    session.line(b"%d RECENT" % view.recent)
    unseen = _first_unseen(session, mailbox)
    if unseen:
        session.line(b"OK [UNSEEN %d] first unseen" % unseen)
    session.line(b"OK [UIDVALIDITY %d] UIDs are valid" % mailbox.uidvalidity)
    session.line(b"OK [UIDNEXT %d] next UID" % mailbox.next_uid)
    session.line(b"OK [HIGHESTMODSEQ %d] highest modseq" % mailbox.modseq)


def _first_unseen(session: Session, mailbox: Mailbox) -> int | None:
    """RFC 3501 section 7.1: the number of the first message without \\Seen."""
    if not mailbox.unseen or mailbox.messages > UNSEEN_TOLD_UP_TO:
        return None
    if mailbox.unseen == mailbox.messages:
        return 1
    uid = session.store.entries.first_unseen(mailbox.id)
    return None if uid is None else session.store.entries.count(mailbox.id, 1, uid)


def handle_close(session: Session, asked: command.Close) -> Done:
    """CLOSE expunges silently (RFC 9051 section 6.4.2); UNSELECT only leaves."""
    view = session.view
    session.deselect()
    if asked.expunge and not view.read_only:
        session.store.entries.expunge(view.mailbox.id, EVERYTHING)
    return ok()


def handle_create(session: Session, asked: command.Create) -> Done:
    name = canonical_mailbox(asked.name)
    session.store.mailboxes.create(name, _special_use(asked.uses))
    return ok()


def _special_use(uses: tuple[bytes, ...]) -> str | None:
    """RFC 6154 section 3: at most one here, and only those a mailbox can have."""
    if not uses:
        return None
    known = [SETTABLE_USES.get(use.decode("ascii").lower()) for use in uses]
    if len(known) > 1 or known[0] is None:
        raise Refusal("NO", f"one of {' '.join(SETTABLE_USES.values())}", "USEATTR")
    return known[0]


def handle_delete(session: Session, asked: command.Delete) -> Done:
    """Who deletes what he has selected has nothing selected afterwards, and is told OK."""
    mailboxes = session.store.mailboxes
    mailboxes.delete(existing(asked.name))
    if session.view_or_none is not None and mailboxes.by_id(session.view.mailbox.id) is None:
        session.deselect()
    return ok()


def handle_rename(session: Session, asked: command.Rename) -> Done:
    session.store.mailboxes.rename(existing(asked.old), canonical_mailbox(asked.new))
    return ok()


def handle_subscribe(session: Session, asked: command.Subscribe) -> Done:
    session.store.mailboxes.subscribe(canonical_mailbox(asked.name))
    return ok()


def handle_unsubscribe(session: Session, asked: command.Unsubscribe) -> Done:
    session.store.mailboxes.unsubscribe(existing(asked.name))
    return ok()


# LIST

Matches = Callable[[str], bool]


def handle_list(session: Session, asked: command.List) -> Done:
    """LIST and LSUB (RFC 3501 sections 6.3.8 and 6.3.9)."""
    answer = b"LSUB" if asked.subscribed else b"LIST"
    if not asked.pattern:
        session.line(answer, b' (\\Noselect) "/" ""')
        return ok()
    pattern = mailbox_pattern(asked.reference, asked.pattern)
    if asked.subscribed:
        lines = _subscribed(session, pattern.matches, levels="%" in asked.pattern)
    else:
        lines = _listed(session, pattern.matches)
    for attributes, name in lines:
        session.line(answer, b" (", " ".join(attributes).encode(), b') "/" ', writer.mailbox(name))
    return ok()


def _listed(session: Session, matches: Matches) -> list[tuple[list[str], str]]:
    every = session.store.mailboxes.all()
    with_children = {parent for mailbox in every for parent in parents(mailbox.name)}
    return [
        (attributes(mailbox, has_children=mailbox.name in with_children), mailbox.name)
        for mailbox in every
        if matches(mailbox.name)
    ]


def attributes(mailbox: Mailbox, *, has_children: bool) -> list[str]:
    """Special use in every LIST: some clients never ask for it but use it when it is there."""
    found = [] if mailbox.selectable else ["\\Noselect"]
    found.append("\\HasChildren" if has_children else "\\HasNoChildren")
    if mailbox.special_use:
        found.append(mailbox.special_use)
    return found


def _subscribed(session: Session, matches: Matches, *, levels: bool) -> list[tuple[list[str], str]]:
    """Subscribed names, and with `%` the unsubscribed levels above them as \\Noselect (RFC 3501 section 6.3.9)."""
    names = session.store.mailboxes.subscriptions()
    selectable = {mailbox.name for mailbox in session.store.mailboxes.all() if mailbox.selectable}
    found: dict[str, list[str]] = {}
    for name in names:
        if matches(name):
            found[name] = [] if name in selectable else ["\\Noselect"]
            continue
        for parent in parents(name) if levels else ():
            if matches(parent) and parent not in names:
                found[parent] = ["\\Noselect"]
    return [(found[name], name) for name in sorted(found, key=lambda n: (n != INBOX, n.split(DELIMITER)))]


# STATUS

_STATUS: dict[bytes, Callable[[Session, Mailbox], int]] = {
    b"MESSAGES": lambda _session, mailbox: mailbox.messages,
    b"RECENT": lambda session, m: session.store.entries.count(m.id, m.recent_uid, m.next_uid),
    b"UIDNEXT": lambda _session, mailbox: mailbox.next_uid,
    b"UIDVALIDITY": lambda _session, mailbox: mailbox.uidvalidity,
    b"UNSEEN": lambda _session, mailbox: mailbox.unseen,
    b"HIGHESTMODSEQ": lambda _session, mailbox: mailbox.modseq,
}


def handle_status(session: Session, asked: command.Status) -> Done:
    """RFC 9051 section 6.3.11; every number is a counter, whatever the size of the mailbox."""
    session.store.file_arrivals()
    mailbox = session.store.mailboxes.get(existing(asked.name))
    if b"HIGHESTMODSEQ" in asked.items:
        session.enable_condstore()
    pairs = [b"%b %d" % (item, _STATUS[item](session, mailbox)) for item in dict.fromkeys(asked.items)]
    session.line(b"STATUS ", writer.mailbox(mailbox.name), b" (", b" ".join(pairs), b")")
    return ok()
