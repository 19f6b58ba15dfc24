"""Names of mailboxes and users: each has one canonical form, which every layer uses.

Mailbox names exist only inside the encrypted database, so they may contain anything printable.
User names become directory names and appear in logs, so they may contain few characters.
"""

from __future__ import annotations

import re
import unicodedata

from crymapd.errors import BadMailboxName, UnsafeName

DELIMITER = "/"
INBOX = "INBOX"
MAX_NAME_BYTES = 1000
MAX_DEPTH = 64
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ufffd\ud800-\udfff]")

SPECIAL_USES = ("\\All", "\\Archive", "\\Drafts", "\\Flagged", "\\Important", "\\Junk", "\\Sent", "\\Trash")
"""The special uses of RFC 6154 section 2 and RFC 8457."""
SETTABLE_USES = {use.lower(): use for use in SPECIAL_USES if use not in ("\\All", "\\Flagged")}
"""The uses that a stored mailbox can have; the other two are views over all mail, which we do not offer."""

DEFAULT_MAILBOXES = {
    "Archive": "\\Archive",
    "Drafts": "\\Drafts",
    "Sent": "\\Sent",
    "Spam": "\\Junk",
    "Trash": "\\Trash",
}


def canonical_mailbox(name: str) -> str:
    """Return a mailbox name in NFC, without empty levels, INBOX in capitals (RFC 9051 section 5.1).

    Raises:
        BadMailboxName: the name is empty, has a control character, over 1000 bytes or over 64 levels.
    """
    if _CONTROL.search(name):
        raise BadMailboxName("a mailbox name cannot hold control characters")
    levels = [level for level in unicodedata.normalize("NFC", name).split(DELIMITER) if level]
    if not levels:
        raise BadMailboxName("a mailbox name cannot be empty")
    if levels[0].upper() == INBOX:
        levels[0] = INBOX
    canonical = DELIMITER.join(levels)
    if len(canonical.encode()) > MAX_NAME_BYTES or len(levels) > MAX_DEPTH:
        raise BadMailboxName(f"a mailbox name has at most {MAX_NAME_BYTES} bytes and {MAX_DEPTH} levels")
    return canonical


def parents(name: str) -> list[str]:
    """Return the names of the mailboxes above this one, outermost first."""
    levels = name.split(DELIMITER)
    return [DELIMITER.join(levels[:n]) for n in range(1, len(levels))]


class MailboxPattern:
    """Match names against a pattern with the wildcards `*` and `%`, in one pass over each name.

    Each character of the pattern that is no wildcard has a bit, so a number holds the set of those that may
    come next. A regular expression would take exponential time for a pattern of many `*`.
    """

    def __init__(self, text: str) -> None:
        self._next: dict[str, int] = {}
        self._any = self._within_level = 0
        at = 1
        for character in text:
            if character == "*":
                self._any |= at
            elif character == "%":
                self._within_level |= at
            else:
                self._next[character] = self._next.get(character, 0) | at
                at <<= 1
        self._end = at

    def matches(self, name: str) -> bool:
        """Tell whether the pattern covers the whole name."""
        state = 1
        for character in name:
            loops = self._any if character == DELIMITER else self._any | self._within_level
            state = (state & self._next.get(character, 0)) << 1 | state & loops
        return bool(state & self._end)


def mailbox_pattern(reference: str, pattern: str) -> MailboxPattern:
    """Return the pattern that LIST means by a reference and a pattern; it matches canonical names.

    `*` matches any run of characters, `%` any run within one level (RFC 9051 section 6.3.9). A first level
    that spells INBOX in any case matches INBOX.
    """
    text = (
        reference + pattern
        if not reference or reference.endswith(DELIMITER) or pattern.startswith(DELIMITER)
        else reference + DELIMITER + pattern
    )
    text = re.sub("/+", "/", unicodedata.normalize("NFC", text)).lstrip(DELIMITER)
    if len(text) > 1:
        text = text.rstrip(DELIMITER)
    first, slash, rest = text.partition(DELIMITER)
    if first.upper() == INBOX:
        text = INBOX + slash + rest
    return MailboxPattern(text)


_USER_PUNCTUATION = frozenset("._+@=-")
MAX_USER_BYTES = 128


def canonical_user(name: str) -> str:
    """Return the canonical form of a user name: composed, lower case, with letters of one script.

    Raises:
        UnsafeName: the name is empty, over 128 bytes, resembles a path or an option (`..`, `/`, leading `.`
            or `-`, trailing `.`), or has white space, controls, `%`, or letters of several scripts.
    """
    if len(name) > MAX_USER_BYTES:
        raise UnsafeName("a user name has at most 128 bytes")
    canonical = unicodedata.normalize("NFC", name).lower()
    safe = (
        canonical
        and len(canonical.encode(errors="replace")) <= MAX_USER_BYTES
        and canonical[0] not in ".-+@="
        and not canonical.endswith(".")
        and ".." not in canonical
        and all(c in _USER_PUNCTUATION or c == "_" or c.isalnum() or unicodedata.category(c) == "Mn" for c in canonical)
        and unicodedata.normalize("NFKC", canonical.casefold()) == canonical
        and len(_scripts(canonical)) <= 1
    )
    if not safe:
        raise UnsafeName(
            "a user name begins with a letter or digit and has letters and digits of one script and . _ + @ = -"
        )
    return canonical


def _scripts(name: str) -> set[str]:
    """Return the scripts of the letters: `а` (Cyrillic) in an otherwise Latin name is a disguise."""
    return {unicodedata.name(c, "?").split()[0] for c in name if c.isalpha()} | (
        {"DIGIT"} if any(c.isdigit() and not c.isascii() for c in name) else set()
    )
