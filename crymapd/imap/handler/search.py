"""SEARCH: what is told of the result (RFC 9051 section 6.4.4, RFC 4731, RFC 5182, RFC 9394)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

import msgspec

from crymapd.imap.columns import Row
from crymapd.imap.command.search import Returns, Search
from crymapd.imap.handler.matching import matching, mentions_modseq
from crymapd.imap.response import Done, Refusal, ok
from crymapd.imap.session import Session
from crymapd.imap.wire import writer
from crymapd.model.search import SearchKey
from crymapd.model.sequence import Range, format_set, ranges_of

Found = tuple[int, Row]
"""Sequence number and row."""
_ALL = Returns(frozenset((b"ALL",)))


def handle_search(session: Session, asked: Search) -> Done:
    returns = asked.returns or (_ALL if session.rev2 else None)
    with_modseq = mentions_modseq(asked.key)
    if with_modseq:
        session.enable_condstore()
    found = search(session, asked.key, returns)
    if returns is None:
        plain(session, b"SEARCH", found, uid=asked.uid, with_modseq=with_modseq)
    else:
        told = told_of(found, returns)
        numbers = format_set(numbers_of(told, uid=asked.uid))
        extended(session, returns, found, told, numbers, uid=asked.uid, with_modseq=with_modseq)
    return ok()


def search(session: Session, key: SearchKey, returns: Returns | None, *, whole: bool = False) -> list[Found]:
    """Every hit, with rows as `matching` has them.

    A search that was to be saved and fails leaves nothing saved, one that is BAD what was (RFC 5182 section 2.1).
    """
    try:
        return list(matching(session, key, whole=whole))
    except Refusal:
        raise  # a number beyond the mailbox
    except Exception:
        if returns is not None and b"SAVE" in returns.options:
            session.saved = []
        raise


def numbers_of(found: Iterable[Found], *, uid: bool) -> list[int]:
    """What the client calls the hits."""
    return [row[0] for _number, row in found] if uid else [number for number, _row in found]


def plain(session: Session, name: bytes, found: Sequence[Found], *, uid: bool, with_modseq: bool) -> None:
    """`* SEARCH 2 3 6 (MODSEQ 917162500)`: told also when nothing was found."""
    words = [name]
    if found:
        # Ten thousand numbers in 0.1 ms rather than 2.
        words.append(msgspec.json.encode(numbers_of(found, uid=uid))[1:-1].replace(b",", b" "))
        if with_modseq:  # RFC 7162 sections 3.1.5 and 3.1.6
            words.append(b"(MODSEQ %d)" % max(row[2] for _number, row in found))
    session.line(b" ".join(words))


_T = TypeVar("_T")


def cut(found: Sequence[_T], partial: Range) -> Sequence[_T]:
    """RFC 9394 section 3.1: the first result is 1, the last is -1; the ends come in either order."""
    low, high = sorted(partial)
    if low > 0:
        return found[low - 1 : high]
    count = len(found)
    return found[max(count + low, 0) : max(count + high + 1, 0)]


def told_of(found: Sequence[Found], returns: Returns) -> Sequence[Found]:
    """The hits that ALL or PARTIAL lists."""
    return found if returns.partial is None else cut(found, returns.partial)


def save(session: Session, found: Sequence[Found], returns: Returns) -> None:
    """What `$` means from now on, as UIDs, where that was asked for."""
    if b"SAVE" in returns.options:
        session.saved = ranges_of(sorted({row[0] for _number, row in _saved(found, returns)}))


def _saved(found: Sequence[Found], returns: Returns) -> Sequence[Found]:
    """RFC 5182 section 2.4, RFC 9394 section 3.2."""
    options = returns.options
    if options & {b"ALL", b"COUNT"} or (returns.partial is None and not options & {b"MIN", b"MAX"}):
        return found
    chosen = list(cut(found, returns.partial)) if returns.partial is not None else []
    if found and b"MIN" in options:
        chosen.append(found[0])
    if found and b"MAX" in options:
        chosen.append(found[-1])
    return chosen


def extended(
    session: Session,
    returns: Returns,
    found: Sequence[Found],
    told: Sequence[Found],
    numbers: str,
    *,
    uid: bool,
    with_modseq: bool,
) -> None:
    """Save it, then `* ESEARCH (TAG "A1") UID MIN 2 MAX 9 ALL 2,4:9 COUNT 7`; `numbers` are those told, as a set."""
    save(session, found, returns)
    options = returns.options
    parts: list[str] = []
    shown: list[Found] = []
    for option, at in ((b"MIN", 0), (b"MAX", -1)):
        if option in options and found:
            shown.append(found[at])
            parts.append(f"{option.decode()} {numbers_of(shown[-1:], uid=uid)[0]}")
    if b"ALL" in options and found:
        parts.append(f"ALL {numbers}")
    if returns.partial is not None:
        first, last = returns.partial
        parts.append(f"PARTIAL ({first}:{last} {numbers or 'NIL'})")
        shown.extend(told)
    if b"COUNT" in options:
        parts.append(f"COUNT {len(found)}")
    if options & {b"ALL", b"COUNT"}:
        shown = list(found)
    if with_modseq and shown:
        parts.append(f"MODSEQ {max(row[2] for _number, row in shown)}")  # RFC 4731 section 3.2
    if not parts and options == {b"SAVE"}:
        return
    line = [b"ESEARCH (TAG ", writer.quoted(session.tag), b")"]
    if uid:
        line.append(b" UID")
    session.line(*line, *(b" " + part.encode("ascii") for part in parts))
