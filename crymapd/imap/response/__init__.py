"""What we answer: tagged results with the response codes of RFC 9051 section 7.1 and RFC 5530."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Done:
    """The tagged answer: OK, NO or BAD, a response code without brackets, and a text for people."""

    status: str
    text: str
    code: str = ""

    def line(self, tag: bytes) -> bytes:
        code = f"[{self.code}] " if self.code else ""
        text = "".join(c if " " <= c < "\x7f" else "?" for c in self.text)[:500] or "done"
        return tag + f" {self.status} {code}{text}\r\n".encode("ascii", "replace")


def ok(text: str = "done", code: str = "") -> Done:
    return Done("OK", text, code)


class Refusal(Exception):
    """A handler's NO or BAD."""

    def __init__(self, status: str, text: str, code: str = "") -> None:
        super().__init__(text)
        self.done = Done(status, text, code)


class Goodbye(Exception):
    """The connection must end: `* BYE`."""

    def __init__(self, text: str, code: str = "") -> None:
        super().__init__(text)
        self.line = Done("BYE", text, code).line(b"*")


class Broken(Exception):
    """Something went wrong in the middle of a response: the connection is closed without a word."""
