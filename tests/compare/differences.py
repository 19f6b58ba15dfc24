"""Where two answers differ, in words: the field of an envelope, the place in a body structure."""

from __future__ import annotations

from collections.abc import Iterator

from crymapd.mime.encoded_words import decode_words
from tests.compare.asking import Value

_ENVELOPE = ("date", "subject", "from", "sender", "reply-to", "to", "cc", "bcc", "in-reply-to", "message-id")
_ADDRESS = ("name", "route", "mailbox", "host")
_PART = ("type", "subtype", "parameters", "id", "description", "encoding", "size")
_ENDING = ("md5", "disposition", "language", "location")


def same(ours: Value, theirs: Value) -> bool:
    """Whether a client reads the same: words decoded, ASCII without case, no difference between NIL and ""."""
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    if isinstance(ours, bytes) and isinstance(theirs, bytes):
        return ours == theirs or decode_words(ours).lower().split() == decode_words(theirs).lower().split()
    return (ours or None) == (theirs or None)


def places(item: str, ours: Value, theirs: Value) -> Iterator[tuple[str, Value, Value]]:
    """The innermost values that differ, each with the name of its place."""
    if isinstance(ours, list) and isinstance(theirs, list):
        if item == "ENVELOPE":
            yield from _named(item, _ENVELOPE, ours, theirs)
        elif item.startswith("ENVELOPE "):
            yield from _addresses(item, ours, theirs)
        elif item in ("BODY", "BODYSTRUCTURE"):
            yield from _structure(item, ours, theirs)
        elif not same(ours, theirs):
            yield item, ours, theirs
    elif not same(ours, theirs):
        yield item, ours, theirs


def _named(
    item: str, names: tuple[str, ...], ours: list[Value], theirs: list[Value]
) -> Iterator[tuple[str, Value, Value]]:
    if len(ours) != len(theirs):
        yield item + " length", ours, theirs
        return
    for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        name = names[number] if number < len(names) else str(number)
        yield from places(f"{item} {name}", one, other)


def _addresses(item: str, ours: list[Value], theirs: list[Value]) -> Iterator[tuple[str, Value, Value]]:
    if len(ours) != len(theirs):
        yield item + " count", ours, theirs
        return
    for one, other in zip(ours, theirs, strict=True):
        if isinstance(one, list) and isinstance(other, list) and not same(one, other):
            wrong = [name for name, a, b in zip(_ADDRESS, one, other, strict=False) if not same(a, b)]
            yield f"{item} {'+'.join(wrong)}", one, other


def _structure(item: str, ours: list[Value], theirs: list[Value]) -> Iterator[tuple[str, Value, Value]]:
    mine, others = _children(ours), _children(theirs)
    if bool(mine) != bool(others) or len(mine) != len(others):
        yield f"{item} parts", ours, theirs
        return
    for one, other in zip(mine, others, strict=True):
        yield from _structure(item, one, other)
    one, other = ours[len(mine) :], theirs[len(mine) :]
    if mine:
        names: tuple[str, ...] = ("subtype", "parameters", *_ENDING[1:])
    elif [str(v).lower() for v in ours[:2]] != [str(v).lower() for v in theirs[:2]] or len(ours) != len(theirs):
        yield f"{item} kind", ours, theirs
        return
    elif len(ours) > 8 and isinstance(ours[7], list) and isinstance(ours[8], list):
        names = (*_PART, "envelope", "body", "lines", *_ENDING)
        inner, outer = ours[8], theirs[8]
        if isinstance(outer, list):
            yield from _structure(item, inner, outer)
            one, other = [*ours[:8], None, *ours[9:]], [*theirs[:8], None, *theirs[9:]]
    else:
        lines = ("lines",) if str(ours[0]).lower() == "b'text'" else ()
        names = (*_PART, *lines, *_ENDING)
    for number, (left, right) in enumerate(zip(one, other, strict=False)):
        if not same(left, right):
            yield f"{item} {names[number] if number < len(names) else number}", left, right
    if len(one) != len(other):
        yield f"{item} length", one, other


def _children(body: list[Value]) -> list[list[Value]]:
    found = []
    for value in body:
        if not isinstance(value, list):
            break
        found.append(value)
    return found
