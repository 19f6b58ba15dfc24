"""The grammar of resp-text (RFC 9051 section 9): the response code in brackets and the words after it."""

from __future__ import annotations

import re
from collections.abc import Callable

from tests.testlib.answers import Code, CodeValue, CopyUid
from tests.testlib.scanner import Scanner, decode

_TEXT = re.compile(rb"[^\x00\r\n\x80-\xff]*")
_TEXT_UTF8 = re.compile(rb"[^\x00\r\n]*")
_REST = re.compile(rb"[^\x00\r\n\x80-\xff\]]+")

_ALONE = """
    ALERT PARSE READ-ONLY READ-WRITE TRYCREATE UIDNOTSTICKY UNAVAILABLE AUTHENTICATIONFAILED
    AUTHORIZATIONFAILED EXPIRED PRIVACYREQUIRED CONTACTADMIN NOPERM INUSE EXPUNGEISSUED CORRUPTION
    SERVERBUG CLIENTBUG CANNOT LIMIT OVERQUOTA ALREADYEXISTS NONEXISTENT NOTSAVED HASCHILDREN CLOSED
    UNKNOWN-CTE NOMODSEQ COMPRESSIONACTIVE USEATTR TOOBIG NOTIFICATIONOVERFLOW
"""
ALONE = frozenset(_ALONE.split())


def resp_text(s: Scanner, *, empty: bool = False) -> tuple[Code | None, str]:
    """RFC 9051: resp-text, but never without words, which RFC 3501 section 9 demands (`empty` allows it)."""
    code = None
    if s.accept(b"["):
        code = _code(s)
        s.expect(b"]")
        s.sp()
    text = _text(s)
    if not text and not empty:
        s.fail("text for a person")
    return code, text


def _text(s: Scanner) -> str:
    start = s.position
    octets = s.take(_TEXT_UTF8 if s.options.utf8 else _TEXT, "text").group()
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        s.fail("text in UTF-8", start)


def _code(s: Scanner) -> Code:
    name = s.atom("a response code").upper()
    if name in _VALUES:
        return Code(name, _VALUES[name](s))
    if name in ALONE:
        return Code(name)
    return Code(name, decode(s.take(_REST, "the rest of a code").group()) if s.accept(b" ") else None)


def capabilities(s: Scanner) -> tuple[str, ...]:
    """RFC 9051: capability-data; one of the IMAP4rev names must be among them."""
    start = s.position
    names = atoms(s)
    if not {"IMAP4REV1", "IMAP4REV2"} & {name.upper() for name in names}:
        s.fail("IMAP4rev1 or IMAP4rev2 among the capabilities", start)
    return names


def atoms(s: Scanner) -> tuple[str, ...]:
    names = []
    while s.accept(b" "):
        names.append(s.atom("a capability"))
    return tuple(names)


def _permanent_flags(s: Scanner) -> CodeValue:
    s.sp()
    return s.flag_list(star=True)


def _nz(s: Scanner) -> CodeValue:
    s.sp()
    return s.nz_number()


def _modseq(s: Scanner) -> CodeValue:
    s.sp()
    return s.modseq()


def _set(s: Scanner) -> CodeValue:
    s.sp()
    return s.numbers()


def _append_uid(s: Scanner) -> CodeValue:
    """RFC 4315 section 4; more than one UID after MULTIAPPEND (RFC 3502)."""
    s.sp()
    validity = s.nz_number()
    s.sp()
    return CopyUid(validity, None, s.numbers())


def _copy_uid(s: Scanner) -> CodeValue:
    s.sp()
    validity = s.nz_number()
    s.sp()
    source = s.numbers()
    s.sp()
    target = s.numbers()
    if len(source) != len(target):
        s.fail("as many UIDs in the target as in the source")
    return CopyUid(validity, source, target)


def _bad_charset(s: Scanner) -> CodeValue:
    if not s.accept(b" "):
        return None
    s.expect(b"(")
    names = [_charset(s)]
    while not s.accept(b")"):
        s.sp()
        names.append(_charset(s))
    return tuple(names)


def _charset(s: Scanner) -> str:
    return decode(s.quoted()) if s.sees(b'"') else s.atom("a charset")


def _mailbox_id(s: Scanner) -> CodeValue:
    s.sp()
    s.expect(b"(")
    value = s.object_id()
    s.expect(b")")
    return value


def _no_update(s: Scanner) -> CodeValue:
    s.sp()
    return decode(s.quoted())


def _metadata(s: Scanner) -> CodeValue:
    """RFC 5464 section 5: LONGENTRIES n, MAXSIZE n, TOOMANY, NOPRIVATE."""
    s.sp()
    start = s.position
    word = s.word("LONGENTRIES, MAXSIZE, TOOMANY or NOPRIVATE")
    if word in ("LONGENTRIES", "MAXSIZE"):
        s.sp()
        return word, str(s.number())
    if word not in ("TOOMANY", "NOPRIVATE"):
        s.fail("LONGENTRIES, MAXSIZE, TOOMANY or NOPRIVATE", start)
    return (word,)


def _in_progress(s: Scanner) -> CodeValue:
    """RFC 9585 section 5: nothing, or the tag, what is done, and the goal, which is more; each may be NIL."""
    if not s.accept(b" "):
        return None
    s.expect(b"(")
    tag = None if s.try_nil() else decode(s.quoted())
    s.sp()
    start = s.position
    done = None if s.try_nil() else s.number()
    s.sp()
    goal = None if s.try_nil() else s.nz_number()
    if goal is not None and (done is None or done >= goal):
        s.fail("a progress, and a goal beyond it", start)
    s.expect(b")")
    return tuple("" if value is None else str(value) for value in (tag, done, goal))


_VALUES: dict[str, Callable[[Scanner], CodeValue]] = {
    "CAPABILITY": capabilities,
    "PERMANENTFLAGS": _permanent_flags,
    "UIDNEXT": _nz,
    "UIDVALIDITY": _nz,
    "UNSEEN": _nz,  # RFC 3501 section 7.1
    "HIGHESTMODSEQ": _modseq,  # RFC 7162 section 7
    "MODIFIED": _set,
    "APPENDUID": _append_uid,
    "COPYUID": _copy_uid,
    "BADCHARSET": _bad_charset,
    "MAILBOXID": _mailbox_id,  # RFC 8474 section 7
    "NOUPDATE": _no_update,  # RFC 5267 section 5
    "METADATA": _metadata,
    "INPROGRESS": _in_progress,
}
