"""A strict grammar of what a server may say: RFC 9051 and RFC 3501 section 9, and the extensions.

`parse` takes the octets of one response, its CRLF and its literals included, and gives a value of `answers`
or raises `Ungrammatical`. Where the two revisions differ, the stricter one holds where a server can satisfy
both (text is never empty), and the wider one where it adds something. Stricter than a client should be,
never laxer.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from tests.testlib.answers import (
    Answer,
    Capability,
    Continuation,
    Enabled,
    Esearch,
    EsearchValue,
    Exists,
    Expunge,
    ExtensionValue,
    Flags,
    Id,
    Mailbox,
    MailboxStatus,
    Metadata,
    Namespace,
    Namespaces,
    Partial,
    Placed,
    Quota,
    QuotaRoot,
    Recent,
    Response,
    Rights,
    Search,
    Status,
    Tagged,
    Thread,
    ThreadTree,
    Vanished,
)
from tests.testlib.grammar_codes import atoms, capabilities, resp_text
from tests.testlib.grammar_fetch import fetch
from tests.testlib.scanner import NUMBER64, Options, Scanner, Ungrammatical

__all__ = ["Options", "Ungrammatical", "parse"]

_TAG = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\+]+')
_RIGHTS = re.compile(r"[a-z0-9]*")
_EXCLUSIVE = (
    {"\\noselect", "\\nonexistent", "\\marked", "\\unmarked"},
    {"\\haschildren", "\\hasnochildren"},
)


def parse(data: bytes, options: Options = Options()) -> Answer:  # noqa: B008 - Options is frozen
    """One whole response.

    Args:
        data: the octets up to and with the final CRLF.
        options: what the session has enabled.

    Raises:
        Ungrammatical: with the position of the first octet that does not fit.
    """
    s = Scanner(data, options)
    answer = _answer(s)
    s.crlf()
    return answer


def _answer(s: Scanner) -> Answer:
    if s.accept(b"+"):
        s.sp()
        return Continuation(*resp_text(s, empty=True))
    if s.accept(b"*"):
        s.sp()
        return _untagged(s)
    return _tagged(s)


def _tagged(s: Scanner) -> Tagged:
    tag = s.take(_TAG, "a tag, * or +").group().decode()
    s.sp()
    start = s.position
    status = s.word("OK, NO or BAD")
    if status not in ("OK", "NO", "BAD"):
        s.fail("OK, NO or BAD", start)
    s.sp()
    return Tagged(tag, status, *resp_text(s))


def _untagged(s: Scanner) -> Response:
    start = s.position
    if s.data[start : start + 1].isdigit():
        return _numbered(s)
    word = s.word("a response")
    if word in ("OK", "NO", "BAD", "BYE", "PREAUTH"):
        s.sp()
        return Status(word, *resp_text(s))
    if word not in _RESPONSES:
        s.fail("a response known to the grammar", start)
    return _RESPONSES[word](s)


def _numbered(s: Scanner) -> Response:
    start = s.position
    number = s.number()
    s.sp()
    word = s.word("EXISTS, RECENT, EXPUNGE or FETCH")
    if word == "EXISTS":
        return Exists(number)
    if word == "RECENT":
        return Recent(number)
    if number == 0 or s.data[start : start + 1] == b"0":
        s.fail("a message number, not zero", start)
    if word == "EXPUNGE":
        return Expunge(number)
    if word != "FETCH":
        s.fail("EXISTS, RECENT, EXPUNGE or FETCH", start)
    s.sp()
    return fetch(s, number)


def _flags(s: Scanner) -> Flags:
    s.sp()
    return Flags(s.flag_list())


# Mailboxes


def _mailbox(s: Scanner, command: str) -> Mailbox:
    """RFC 9051: mailbox-list."""
    s.sp()
    flags = _mailbox_flags(s)
    s.sp()
    delimiter = s.delimiter()
    s.sp()
    name = s.mailbox()
    extended = _extended(s) if command == "LIST" and s.accept(b" ") else ()
    return Mailbox(command, flags, delimiter, name, extended)


def _mailbox_flags(s: Scanner) -> tuple[str, ...]:
    start = s.position
    flags = s.flag_list()
    lower = [flag.lower() for flag in flags]
    if any(not flag.startswith("\\") for flag in flags):
        s.fail("mailbox attributes that begin with a backslash", start)
    if len(set(lower)) != len(lower):
        s.fail("each mailbox attribute once", start)
    if any(len(group & set(lower)) > 1 for group in _EXCLUSIVE):
        s.fail("one selectability and one children attribute at most", start)
    return flags


def _extended(s: Scanner) -> tuple[tuple[str, ExtensionValue], ...]:
    """RFC 5258 section 6: mbox-list-extended."""
    s.expect(b"(")
    items: list[tuple[str, ExtensionValue]] = []
    while not s.accept(b")"):
        if items:
            s.sp()
        tag = s.astring("an extended data item").upper()
        s.sp()
        items.append((tag, _extension_value(s)))
    return tuple(items)


def _extension_value(s: Scanner) -> ExtensionValue:
    """RFC 4466 section 3: tagged-ext-val."""
    if not s.accept(b"("):
        return _extension_number(s)
    return () if s.accept(b")") else _extension_list(s)


def _extension_number(s: Scanner) -> ExtensionValue:
    start = s.position
    number = s.number(most=NUMBER64)
    if not s.sees(b":") and not s.sees(b","):
        return number
    s.position = start
    return s.numbers()


def _extension_list(s: Scanner) -> tuple[ExtensionValue, ...]:
    values = [_extension_component(s)]
    while not s.accept(b")"):
        s.sp()
        values.append(_extension_component(s))
    return tuple(values)


def _extension_component(s: Scanner) -> ExtensionValue:
    return _extension_list(s) if s.accept(b"(") else s.astring()


def _status(s: Scanner) -> MailboxStatus:
    s.sp()
    mailbox = s.mailbox()
    s.sp()
    s.expect(b"(")
    items: dict[str, int | str | None] = {}
    while not s.accept(b")"):
        if items:
            s.sp()
        _status_item(s, items)
    return MailboxStatus(mailbox, items)


def _status_item(s: Scanner, items: dict[str, int | str | None]) -> None:
    start = s.position
    name = s.word("a STATUS item")
    if name not in _STATUS_ITEMS or name in items:
        s.fail("a STATUS item, each once", start)
    s.sp()
    items[name] = _STATUS_ITEMS[name](s)


def _mailbox_id(s: Scanner) -> str:
    s.expect(b"(")
    value = s.object_id()
    s.expect(b")")
    return value


_STATUS_ITEMS: dict[str, Callable[[Scanner], int | str | None]] = {
    "MESSAGES": Scanner.number,
    "RECENT": Scanner.number,
    "UNSEEN": Scanner.number,
    "DELETED": Scanner.number,
    "UIDNEXT": Scanner.nz_number,
    "UIDVALIDITY": Scanner.nz_number,
    "SIZE": Scanner.number64,
    "DELETED-STORAGE": Scanner.number64,  # RFC 9208 section 7
    "HIGHESTMODSEQ": Scanner.number64,  # RFC 7162 section 7
    "APPENDLIMIT": lambda s: None if s.try_nil() else s.number(),  # RFC 7889 section 5
    "MAILBOXID": _mailbox_id,  # RFC 8474 section 7
}


def _namespaces(s: Scanner) -> Namespaces:
    return Namespaces(_namespace(s), _namespace(s), _namespace(s))


def _namespace(s: Scanner) -> tuple[Namespace, ...]:
    s.sp()
    if s.try_nil():
        return ()
    s.expect(b"(")
    found = [_namespace_descr(s)]
    while not s.accept(b")"):
        found.append(_namespace_descr(s))
    return tuple(found)


def _namespace_descr(s: Scanner) -> Namespace:
    s.expect(b"(")
    prefix = s.string()
    s.sp()
    delimiter = s.delimiter()
    extensions = []
    while s.accept(b" "):
        name = s.string()
        s.sp()
        extensions.append((name, _strings(s)))
    s.expect(b")")
    return Namespace(prefix, delimiter, tuple(extensions))


def _strings(s: Scanner) -> tuple[str, ...]:
    s.expect(b"(")
    values = [s.string()]
    while not s.accept(b")"):
        s.sp()
        values.append(s.string())
    return tuple(values)


# Searches


def _search(s: Scanner, command: str) -> Search:
    """RFC 3501 section 7.2.5, with MODSEQ of RFC 7162 section 7 (only after at least one number)."""
    numbers: list[int] = []
    while s.accept(b" "):
        if numbers and s.accept(b"("):
            return Search(command, tuple(numbers), _search_modseq(s))
        numbers.append(s.nz_number())
    return Search(command, tuple(numbers), None)


def _search_modseq(s: Scanner) -> int:
    s.keyword(b"MODSEQ")
    s.sp()
    value = s.modseq()
    s.expect(b")")
    return value


def _thread(s: Scanner) -> Thread:
    """RFC 5256 section 5: thread-data."""
    threads = []
    if s.accept(b" "):
        threads.append(_thread_list(s))
        while s.sees(b"("):
            threads.append(_thread_list(s))
    return Thread(tuple(threads))


def _thread_list(s: Scanner) -> ThreadTree:
    s.expect(b"(")
    tree: list[int | ThreadTree] = []
    while not s.sees(b"("):
        tree.append(s.nz_number())
        if not s.accept(b" "):
            break
    if s.sees(b"("):
        tree += _thread_nested(s)
    s.expect(b")")
    return tuple(tree)


def _thread_nested(s: Scanner) -> list[ThreadTree]:
    """At least two; a single one would be written in line."""
    found = [_thread_list(s), _thread_list(s)]
    while s.sees(b"("):
        found.append(_thread_list(s))
    return found


def _esearch(s: Scanner) -> Esearch:
    """RFC 4466 section 2.6.2 and RFC 7377 section 4; the tag is a string, as RFC 4466 has it."""
    tag, mailbox, validity = None, None, None
    if s.accept(b" ("):
        s.keyword(b"TAG")
        s.sp()
        tag = s.string()
        if s.accept(b" "):
            mailbox, validity = _correlated_mailbox(s)
        s.expect(b")")
    uid, items = False, dict[str, EsearchValue]()
    while s.accept(b" "):
        if not uid and not items and s.try_word(b"UID"):
            uid = True
            continue
        _esearch_item(s, items)
    return Esearch(tag, uid, items, mailbox, validity)


def _correlated_mailbox(s: Scanner) -> tuple[str, int]:
    s.keyword(b"MAILBOX")
    s.sp()
    mailbox = s.mailbox()
    s.sp()
    s.keyword(b"UIDVALIDITY")
    s.sp()
    return mailbox, s.nz_number()


def _esearch_item(s: Scanner, items: dict[str, EsearchValue]) -> None:
    start = s.position
    name = s.label()
    if name in items and name not in ("ADDTO", "REMOVEFROM"):
        s.fail("each search result once", start)
    s.sp()
    items[name] = _ESEARCH_ITEMS.get(name, _extension_value)(s)


def _partial(s: Scanner) -> Partial:
    """RFC 9394 section 5: ret-data-partial."""
    s.expect(b"(")
    first, last = _partial_range(s)
    s.sp()
    numbers = None if s.try_nil() else s.numbers()
    s.expect(b")")
    return Partial(first, last, numbers)


def _partial_range(s: Scanner) -> tuple[int, int]:
    negative = s.accept(b"-")
    first = s.nz_number()
    s.expect(b":-" if negative else b":")
    last = s.nz_number()
    return (-first, -last) if negative else (first, last)


def _placed(s: Scanner) -> Placed:
    """RFC 5267 section 5: ADDTO and REMOVEFROM."""
    s.expect(b"(")
    placed: Placed = ()
    while not s.accept(b")"):
        if placed:
            s.sp()
        position = s.number()
        s.sp()
        placed += ((position, s.numbers()),)
    if not placed:
        s.fail("a position and a set")
    return placed


def _scores(s: Scanner) -> tuple[int, ...]:
    """RFC 6203 section 7: score-list."""
    s.expect(b"(")
    scores: list[int] = []
    while not s.accept(b")"):
        if scores:
            s.sp()
        scores.append(s.number(least=1, most=100))
    return tuple(scores)


_ESEARCH_ITEMS: dict[str, Callable[[Scanner], EsearchValue]] = {
    "MIN": Scanner.nz_number,
    "MAX": Scanner.nz_number,
    "COUNT": Scanner.number,
    "ALL": Scanner.numbers,
    "MODSEQ": Scanner.modseq,
    "PARTIAL": _partial,
    "ADDTO": _placed,
    "REMOVEFROM": _placed,
    "RELEVANCY": _scores,
}


def _vanished(s: Scanner) -> Vanished:
    """RFC 7162 section 7: expunged-resp."""
    s.sp()
    earlier = s.accept(b"(")
    if earlier:
        s.keyword(b"EARLIER")
        s.expect(b")")
        s.sp()
    return Vanished(earlier, s.numbers())


# The rest


def _id(s: Scanner) -> Id:
    """RFC 2971 section 4; at most 30 fields, names of 30 octets, values of 1,024, each name once."""
    s.sp()
    if s.try_nil():
        return Id(None)
    s.expect(b"(")
    fields: dict[str, str | None] = {}
    while not s.accept(b")"):
        if fields:
            s.sp()
        _id_field(s, fields)
    return Id(fields)


def _id_field(s: Scanner, fields: dict[str, str | None]) -> None:
    start = s.position
    name = s.string()
    s.sp()
    value = s.nstring()
    if name in fields or len(fields) == 30 or len(name) > 30 or len(value or "") > 1024:
        s.fail("at most 30 short ID fields, each once", start)
    fields[name] = value


def _quota(s: Scanner) -> Quota:
    """RFC 9208 section 7: quota-response."""
    s.sp()
    root = s.astring()
    s.sp()
    s.expect(b"(")
    resources = dict([_resource(s)])
    while not s.accept(b")"):
        s.sp()
        name, usage = _resource(s)
        resources[name] = usage
    return Quota(root, resources)


def _resource(s: Scanner) -> tuple[str, tuple[int, int]]:
    name = s.atom("a resource name").upper()
    s.sp()
    usage = s.number64()
    s.sp()
    return name, (usage, s.number64())


def _quota_root(s: Scanner) -> QuotaRoot:
    s.sp()
    return QuotaRoot(s.mailbox(), _astrings(s))


def _astrings(s: Scanner) -> tuple[str, ...]:
    values = []
    while s.accept(b" "):
        values.append(s.astring())
    return tuple(values)


def _rights(s: Scanner, command: str) -> Rights:
    """RFC 4314 section 7. Rights are lower-case letters and digits."""
    s.sp()
    mailbox = s.mailbox()
    start = s.position
    words = _astrings(s)
    first, least, step = {"ACL": (1, 0, 2), "LISTRIGHTS": (1, 2, 1), "MYRIGHTS": (0, 1, 1)}[command]
    wrong = command == "ACL" and len(words) % 2 or command == "MYRIGHTS" and len(words) != 1
    if wrong or len(words) < least or not all(_RIGHTS.fullmatch(word) for word in words[first::step]):
        s.fail(f"identifiers and rights of {command}", start)
    return Rights(command, mailbox, words)


def _metadata(s: Scanner) -> Metadata:
    """RFC 5464 section 5: entry-values or entry-list."""
    s.sp()
    mailbox = s.mailbox()
    s.sp()
    if s.accept(b"("):
        return Metadata(mailbox, _entry_values(s), named=False)
    entries: dict[str, bytes | None] = {_entry(s): None}
    while s.accept(b" "):
        entries[_entry(s)] = None
    return Metadata(mailbox, entries, named=True)


def _entry_values(s: Scanner) -> dict[str, bytes | None]:
    entries: dict[str, bytes | None] = {}
    while not entries or not s.accept(b")"):
        if entries:
            s.sp()
        name = _entry(s)
        s.sp()
        entries[name] = s.literal8() if s.sees(b"~") else s.noctets()
    return entries


def _entry(s: Scanner) -> str:
    start = s.position
    name = s.astring("a metadata entry")
    if not name.startswith("/") or name.endswith("/") or "//" in name or "*" in name or "%" in name:
        s.fail("a metadata entry that begins with / and has no wildcard", start)
    return name


_RESPONSES: dict[str, Callable[[Scanner], Response]] = {
    "CAPABILITY": lambda s: Capability(capabilities(s)),
    "ENABLED": lambda s: Enabled(atoms(s)),
    "FLAGS": _flags,
    "LIST": lambda s: _mailbox(s, "LIST"),
    "LSUB": lambda s: _mailbox(s, "LSUB"),
    "XLIST": lambda s: _mailbox(s, "XLIST"),
    "STATUS": _status,
    "NAMESPACE": _namespaces,
    "SEARCH": lambda s: _search(s, "SEARCH"),
    "SORT": lambda s: _search(s, "SORT"),
    "THREAD": _thread,
    "ESEARCH": _esearch,
    "VANISHED": _vanished,
    "ID": _id,
    "QUOTA": _quota,
    "QUOTAROOT": _quota_root,
    "ACL": lambda s: _rights(s, "ACL"),
    "LISTRIGHTS": lambda s: _rights(s, "LISTRIGHTS"),
    "MYRIGHTS": lambda s: _rights(s, "MYRIGHTS"),
    "METADATA": _metadata,
}
