"""Answers to commands, with the response codes of RFC 9051 section 7.1 and RFC 5530, and what stands in for them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Done:
    """The tagged answer to a command.

    Attributes:
        status: OK, NO or BAD.
        text: the text for people.
        code: the response code without its brackets; empty if there is none.
    """

    status: str
    text: str
    code: str = ""

    def line(self, tag: bytes) -> bytes:
        """Write the answer for the command with this tag; characters that may not stand in it become `?`."""
        code = f"[{self.code}] " if self.code else ""
        text = "".join(c if " " <= c < "\x7f" else "?" for c in self.text)[:500] or "done"
        return tag + f" {self.status} {code}{text}\r\n".encode("ascii", "replace")


def ok(text: str = "done", code: str = "") -> Done:
    return Done("OK", text, code)


class Refusal(Exception):
    """A handler refuses a command with NO or BAD; `done` is the answer."""

    def __init__(self, status: str, text: str, code: str = "") -> None:
        super().__init__(text)
        self.done = Done(status, text, code)


class Goodbye(Exception):
    """The connection must end; `line` is the `* BYE` to send."""

    def __init__(self, text: str, code: str = "") -> None:
        super().__init__(text)
        self.line = Done("BYE", text, code).line(b"*")


class Broken(Exception):
    """Something failed in the middle of a response, so the connection must be closed without a further word."""
