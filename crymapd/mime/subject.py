"""The base subject: a subject without the marks of replies and forwards (RFC 5256 section 2.1)."""

from __future__ import annotations

import re

from crymapd.mime.encoded_words import decode_words

_SPACES = re.compile(r"[ \t\r\n]+")
_TRAILER = re.compile(r"(?:\(fwd\)|[ \t])\Z", re.IGNORECASE)
_BLOB = re.compile(r"\[[^\[\]]*+\][ \t]*+")
_REPLY = re.compile(r"(?:re|fwd?)[ \t]*+(?:\[[^\[\]]*+\][ \t]*+)?:", re.IGNORECASE)
_FORWARD = "[fwd:"
MAX_SUBJECT = 2000


def base_subject(field: bytes | None) -> tuple[str, bool]:
    """Return the base subject and whether the subject bears the mark of a reply or forward."""
    if field is None:
        return "", False
    text = _SPACES.sub(" ", decode_words(field[: MAX_SUBJECT * 4])[:MAX_SUBJECT])
    answers = False
    while True:
        text, forwarded = _without_trailers(text)
        text, replied = _without_leaders(text)
        answers = answers or forwarded or replied
        if not (text[: len(_FORWARD)].lower() == _FORWARD and text.endswith("]")):
            return text, answers
        text = text[len(_FORWARD) : -1]
        answers = True


def _without_trailers(text: str) -> tuple[str, bool]:
    """Remove `(fwd)` and white space from the end (step 2)."""
    forwarded = False
    while match := _TRAILER.search(text, max(len(text) - 5, 0)):
        forwarded = forwarded or len(match[0]) > 1
        text = text[: match.start()]
    return text, forwarded


def _without_leaders(text: str) -> tuple[str, bool]:
    """Remove `Re:`, `[blob] Fwd[1]:`, white space, and a blob that something follows (steps 3 to 5)."""
    at, replied = 0, False
    while True:
        while text[at : at + 1] in (" ", "\t"):
            at += 1
        last = ahead = at
        while blob := _BLOB.match(text, ahead):
            last, ahead = ahead, blob.end()
        reply = _REPLY.match(text, ahead)
        if reply is None:
            return text[last if ahead == len(text) else ahead :], replied
        at, replied = reply.end(), True
