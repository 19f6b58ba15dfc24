"""Commands on mailboxes: SELECT, LIST, STATUS, and those that create, delete, rename and subscribe to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from crymapd.errors import BadMailboxName, NoSuchMailbox
from crymapd.imap import update
from crymapd.imap.command import mailbox as command
from crymapd.imap.response import Done, Refusal, ok
from crymapd.imap.session import Session
from crymapd.imap.wire import writer
from crymapd.model.names import (
    DELIMITER,
    INBOX,
    SETTABLE_USES,
    MailboxPattern,
    canonical_mailbox,
    mailbox_pattern,
    parents,
)
from crymapd.model.numbers import MAX_UID, NO_SEQNUM, SeqNum, Uid
from crymapd.model.sequence import Range, contains, difference, format_ranges, intersection, ranges_of
from crymapd.store.mailboxes import Mailbox
from crymapd.store.rows import entry_columns
from crymapd.store.view import EVERYTHING, View


def existing(name: str) -> str:
    """Return the canonical form of the name of a mailbox that should exist.

    Raises:
        NoSuchMailbox: no mailbox can have this name (RFC 5530, NONEXISTENT).
    """
    try:
        return canonical_mailbox(name)
    except BadMailboxName as error:
        raise NoSuchMailbox(str(error)) from None


def handle_select(session: Session, asked: command.Select) -> Done:
    """SELECT and EXAMINE; if they fail, no mailbox is selected (RFC 9051 section 6.3.2)."""
    if asked.resync is not None and not session.qresync:
        raise Refusal("BAD", "SELECT with QRESYNC needs ENABLE QRESYNC first", "CLIENTBUG")
    if session.view_or_none is not None:
        session.line(b"OK [CLOSED] the previous mailbox is closed")  # RFC 7162 section 3.2.11
    session.deselect()
    view = _opened(session, asked)
    if asked.condstore or asked.resync is not None:
        session.enable_condstore()
    session.view_or_none = view
    _describe(session, view, asked.name)
    if asked.resync is not None and asked.resync.uidvalidity == view.mailbox.uidvalidity:
        _resync(session, view, asked.resync)
    return ok("selected", "READ-ONLY" if asked.read_only else "READ-WRITE")


def _opened(session: Session, asked: command.Select) -> View:
    """Open the mailbox, under a new UIDVALIDITY if the client has seen more of it than the database has.

    That happens when somebody has put back an older database: it is about to give the UIDs that the client knows to
    other messages.
    """

    def select() -> View:
        return session.store.select(existing(asked.name), read_only=asked.read_only, recent=not session.rev2)

    view, client = select(), asked.resync
    if client is None or client.uidvalidity != view.mailbox.uidvalidity:
        return view
    if client.modseq <= view.mailbox.modseq and not _knows_later_uids(client, view.mailbox.next_uid):
        return view
    session.store.renumber()
    return select()


_PLAUSIBLE = 1 << 20
"""So many messages may have come since the backup was made. What is further off, as `1:2147483647`, means "all"."""


def _knows_later_uids(client: command.Resync, next_uid: Uid) -> bool:
    """Whether a client names UIDs that the database has not given out yet."""
    ranges = [] if client.known_uids is None else client.known_uids.resolve(Uid(0))
    return any(next_uid <= high < next_uid + _PLAUSIBLE for _low, high in ranges)


def _describe(session: Session, view: View, asked_name: str) -> None:
    mailbox = view.mailbox
    names = view.flag_names()
    session.told_flags = frozenset(names)
    flags = " ".join(names).encode("ascii")
    session.line(b"FLAGS (", flags, b")")
    may_make = b"" if session.store.keywords_are_used_up else b" \\*"
    permanent = b"" if view.read_only else flags + may_make
    session.line(b"OK [PERMANENTFLAGS (", permanent, b")] flags that are kept")
    session.line(b"%d EXISTS" % view.exists)
    if session.rev2:
        _renamed(session, mailbox, asked_name)
    else:
        session.line(b"%d RECENT" % view.recent)
        if view.first_unseen:
            session.line(b"OK [UNSEEN %d] first unseen" % view.first_unseen)
    session.line(b"OK [UIDVALIDITY %d] UIDs are valid" % mailbox.uidvalidity)
    session.line(b"OK [UIDNEXT %d] next UID" % mailbox.next_uid)
    session.line(b"OK [HIGHESTMODSEQ %d] highest modseq" % mailbox.modseq)
    session.line(b"OK [MAILBOXID (%b)] object id" % mailbox.object_id.encode("ascii"))  # RFC 8474 section 4.2


def _renamed(session: Session, mailbox: Mailbox, old: str) -> None:
    """Send LIST with the real name and, if it differs, the name that the client used (RFC 9051 section 6.3.9.7)."""
    name_attributes = attributes(mailbox, has_children=session.store.mailboxes.has_children(mailbox.name))
    _list_line(session, name_attributes, mailbox.name, old)


def tell_name(session: Session, name: str, asked: str) -> None:
    """Send LIST with OLDNAME to a client of IMAP4rev2 that has used another name for a mailbox than we do."""
    if not session.rev2 or asked.rstrip(DELIMITER) == name:
        return
    try:
        _renamed(session, session.store.mailboxes.get(name), asked)
    except NoSuchMailbox:
        _list_line(session, ["\\NonExistent"], name, asked)


def _list_line(session: Session, name_attributes: list[str], name: str, old: str) -> None:
    old_name = b"" if old == name else b' ("OLDNAME" (%b))' % session.mailbox_name(old)
    session.line(b"LIST (", " ".join(name_attributes).encode(), b') "/" ', session.mailbox_name(name), old_name)


def _resync(session: Session, view: View, client: command.Resync) -> None:
    """Tell what happened since the client last saw the mailbox, in time proportional to it (RFC 7162 section 3.2.5)."""
    within: Sequence[Range[Uid]] = EVERYTHING if client.known_uids is None else client.known_uids.resolve(Uid(0))
    agreed = _agreed(view.ranks([uid for _number, uid in client.sample]), client.sample)
    vanished = view.vanished_at_select(client.modseq, intersection(within, [(Uid(agreed + 1), MAX_UID)]))
    changed = [entry for entry in view.changed_since(client.modseq) if contains(within, entry.uid)]
    uids = [entry.uid for entry in changed]
    ranks = view.ranks(uids)
    numbers: Sequence[SeqNum] = [ranks.get(uid, NO_SEQNUM) for uid in uids]
    now = view.current()
    if now is None or now.modseq != view.mailbox.modseq:
        # Another session has changed the mailbox since SELECT. Messages that EXISTS counted stay until update tells.
        vanished = difference(vanished, ranges_of(view.uids))
        numbers = view.numbers(uids)
    if vanished:
        session.line(b"VANISHED (EARLIER) ", format_ranges(vanished).encode())
    update.flag_lines(session, view, entry_columns(changed), numbers)


def _agreed(numbers: dict[Uid, SeqNum], sample: Sequence[tuple[SeqNum, Uid]]) -> int:
    """Return the highest UID of a sample that still has the number the client gave for it, or 0.

    The client knows of every expunge below it (RFC 7162 section 3.2.5.2).
    """
    return max((uid for number, uid in sample if numbers.get(uid) == number), default=0)


def handle_close(session: Session, asked: command.Close) -> Done:
    """CLOSE, which expunges without telling (RFC 9051 section 6.4.2), and UNSELECT, which does not expunge."""
    view = session.view
    if asked.expunge and not view.read_only:
        view.expunge()  # before leaving: a client that hears NO is still where it was
    session.deselect()
    return ok()  # without HIGHESTMODSEQ, which would hide the expunges from the client (RFC 7162 section 3.2.8)


def handle_create(session: Session, asked: command.Create) -> Done:
    name = canonical_mailbox(asked.name)
    mailbox = session.store.mailboxes.create(name, _special_use(asked.uses))
    with update.telling(session):
        tell_name(session, name, asked.name)
    return ok(code=f"MAILBOXID ({mailbox.object_id})")  # RFC 8474 section 4.1


def _special_use(uses: tuple[bytes, ...]) -> str | None:
    """Return the special use that CREATE asks for; here a mailbox can have one at most (RFC 6154 section 3)."""
    if not uses:
        return None
    canonical_uses = [SETTABLE_USES.get(use.decode("ascii").lower()) for use in uses]
    if len(canonical_uses) > 1 or canonical_uses[0] is None:
        raise Refusal("NO", f"a mailbox can have one of {' '.join(SETTABLE_USES.values())}", "USEATTR")
    return canonical_uses[0]


def handle_delete(session: Session, asked: command.Delete) -> Done:
    """DELETE; if it deletes the selected mailbox, none is selected afterwards."""
    mailboxes, name = session.store.mailboxes, existing(asked.name)
    mailboxes.delete(name)
    with update.telling(session):
        if session.view_or_none is not None and session.view.current() is None:
            session.deselect()
        tell_name(session, name, asked.name)
    return ok()


def handle_rename(session: Session, asked: command.Rename) -> Done:
    new = canonical_mailbox(asked.new)
    session.store.mailboxes.rename(existing(asked.old), new)
    with update.telling(session):
        if session.rev2 and (asked.new.rstrip(DELIMITER) != new or asked.old != existing(asked.old)):
            _renamed(session, session.store.mailboxes.get(new), asked.old)
    return ok()


def handle_subscribe(session: Session, asked: command.Subscribe) -> Done:
    session.store.mailboxes.subscribe(canonical_mailbox(asked.name))
    return ok()


def handle_unsubscribe(session: Session, asked: command.Unsubscribe) -> Done:
    session.store.mailboxes.unsubscribe(existing(asked.name))
    return ok()


# LIST (RFC 9051 section 6.3.9, RFC 3501 section 6.3.9, RFC 5258)


def handle_list(session: Session, asked: command.List) -> Done:
    """LIST, LSUB and XLIST, with one line for each name, followed by its STATUS if that was asked for."""
    if asked.patterns == ("",) and not asked.extended:
        session.line(asked.response, b' (\\Noselect) "/" ""')
        return ok()
    if asked.status:
        session.store.file_arrivals()
    if b"HIGHESTMODSEQ" in asked.status:
        session.enable_condstore()
    for listed in _listed(session, asked):
        name_attributes = " ".join(listed.attributes).encode()
        below = b' ("CHILDINFO" (%b))' % b" ".join(map(writer.quoted, listed.below)) if listed.below else b""
        name = session.mailbox_name(listed.name)
        session.line(asked.response, b" (", name_attributes, b') "/" ', name, below)
        if asked.status and listed.mailbox is not None and listed.mailbox.selectable:
            _status_line(session, listed.mailbox, asked.status)
    return ok()


@dataclass(frozen=True, slots=True)
class _Listed:
    """One line of LIST, LSUB or XLIST.

    Attributes:
        name: the name, of a mailbox or only of a level above one.
        mailbox: the mailbox of this name; None if there is none, or if it does not meet the selection options itself
            and so gets no STATUS (RFC 5819 section 2).
        attributes: the name attributes, such as \\HasChildren.
        below: the selection options that names below this one meet (CHILDINFO).
    """

    name: str
    mailbox: Mailbox | None
    attributes: list[str]
    below: list[bytes]


def _listed(session: Session, asked: command.List) -> list[_Listed]:
    mailboxes = {mailbox.name: mailbox for mailbox in session.store.mailboxes.all()}
    subscribed = set(session.store.mailboxes.subscriptions())
    patterns = [mailbox_pattern(asked.reference, pattern) for pattern in asked.patterns if pattern]
    if asked.response == b"LSUB":
        return _lsub(mailboxes, subscribed, patterns, levels="%" in asked.patterns[0])
    meets: dict[bytes, Callable[[str], bool]] = {
        b"SUBSCRIBED": subscribed.__contains__,
        b"SPECIAL-USE": lambda name: name in mailboxes and mailboxes[name].special_use is not None,
    }
    criteria = [option for option in meets if option in asked.selection]
    candidates = set(mailboxes)
    if b"SUBSCRIBED" in asked.selection:
        candidates |= subscribed | {parent for name in subscribed for parent in parents(name)}
    selected_names = {name for name in candidates if all(meets[option](name) for option in criteria)}
    names = {name for name in candidates if any(pattern.matches(name) for pattern in patterns)}
    below: dict[str, list[bytes]] = {}
    if b"RECURSIVEMATCH" in asked.selection:
        below = {parent: criteria for name in selected_names for parent in parents(name)}
        # RFC 5258 section 3.5: a parent is added only for names below it that are not listed themselves.
        names &= selected_names | {parent for name in selected_names - names for parent in parents(name)}
    else:
        names &= selected_names
    with_children = {parent for name in mailboxes for parent in parents(name)}
    listed = []
    for name in sorted(names, key=_order):
        mailbox = mailboxes.get(name)
        has_children = name in with_children
        name_attributes = ["\\NonExistent"] if mailbox is None else attributes(mailbox, has_children=has_children)
        if b"SUBSCRIBED" in asked.returns and name in subscribed:
            name_attributes.append("\\Subscribed")
        selected_mailbox = mailbox if name in selected_names else None
        listed.append(_Listed(name, selected_mailbox, name_attributes, below.get(name, [])))
    return listed


def _order(name: str) -> tuple[bool, list[str]]:
    """Sort INBOX first, and parents before their children."""
    return name != INBOX, name.split(DELIMITER)


def attributes(mailbox: Mailbox, *, has_children: bool) -> list[str]:
    """Return name attributes, always with the special use: some clients never ask for it, but use it if they get it."""
    names = [] if mailbox.selectable else ["\\Noselect"]
    names.append("\\HasChildren" if has_children else "\\HasNoChildren")
    if mailbox.special_use:
        names.append(mailbox.special_use)
    return names


def _lsub(
    mailboxes: dict[str, Mailbox], subscribed: set[str], patterns: list[MailboxPattern], *, levels: bool
) -> list[_Listed]:
    """List subscribed names and, for `%`, unsubscribed levels above them as \\Noselect (RFC 3501 section 6.3.9)."""
    attributes_of: dict[str, list[str]] = {}
    for name in subscribed:
        if any(pattern.matches(name) for pattern in patterns):
            attributes_of[name] = [] if name in mailboxes and mailboxes[name].selectable else ["\\Noselect"]
            continue
        for parent in parents(name) if levels else ():
            if parent not in subscribed and any(pattern.matches(parent) for pattern in patterns):
                attributes_of[parent] = ["\\Noselect"]
    return [_Listed(name, mailboxes.get(name), attributes_of[name], []) for name in sorted(attributes_of, key=_order)]


# STATUS

_STATUS: dict[bytes, Callable[[Session, Mailbox], bytes]] = {
    b"MESSAGES": lambda _session, mailbox: b"%d" % mailbox.messages,
    b"RECENT": lambda _session, mailbox: b"%d" % mailbox.recent,
    b"UIDNEXT": lambda _session, mailbox: b"%d" % mailbox.next_uid,
    b"UIDVALIDITY": lambda _session, mailbox: b"%d" % mailbox.uidvalidity,
    b"UNSEEN": lambda _session, mailbox: b"%d" % mailbox.unseen,
    b"HIGHESTMODSEQ": lambda _session, mailbox: b"%d" % mailbox.modseq,
    b"SIZE": lambda _session, mailbox: b"%d" % mailbox.octets,  # RFC 8438
    b"DELETED": lambda _session, mailbox: b"%d" % mailbox.deleted,
    b"DELETED-STORAGE": lambda session, m: b"%d" % (-(-session.store.mailboxes.deleted_octets(m) // 1024)),  # RFC 9208
    b"MAILBOXID": lambda _session, mailbox: b"(%b)" % mailbox.object_id.encode("ascii"),  # RFC 8474
    b"APPENDLIMIT": lambda session, _mailbox: b"%d" % session.store.max_message_size,  # RFC 7889
}


def handle_status(session: Session, asked: command.Status) -> Done:
    """STATUS (RFC 9051 section 6.3.11), which reads counters, so that the size of the mailbox does not matter."""
    session.store.file_arrivals()
    mailbox = session.store.mailboxes.get(existing(asked.name))
    if b"HIGHESTMODSEQ" in asked.items:
        session.enable_condstore()
    _status_line(session, mailbox, asked.items)
    return ok()


def _status_line(session: Session, mailbox: Mailbox, items: Sequence[bytes]) -> None:
    pairs = b" ".join(b"%b %b" % (item, _STATUS[item](session, mailbox)) for item in items)
    session.line(b"STATUS ", session.mailbox_name(mailbox.name), b" (", pairs, b")")
