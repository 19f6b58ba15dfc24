"""What is kept of a message for quick answers, made while its octets pass by."""

from __future__ import annotations

from dataclasses import dataclass

from crymapd.mime.envelope import envelope
from crymapd.mime.parts import Parser
from crymapd.mime.structure import structure


@dataclass(frozen=True, slots=True)
class Summary:
    """The top-level header block, and ENVELOPE, BODY and BODYSTRUCTURE as they go over the wire."""

    header: bytes
    envelope: bytes
    body: bytes
    structure: bytes


class Summarizer:
    """Feed it the message; `finish` gives the summary."""

    def __init__(self) -> None:
        self._parser = Parser()
        self.size = 0

    def feed(self, data: bytes) -> None:
        self._parser.feed(data)
        self.size += len(data)

    def finish(self) -> Summary:
        root = self._parser.close()
        return Summary(
            root.header.raw, envelope(root.header), structure(root, extended=False), structure(root, extended=True)
        )


def summarize(message: bytes) -> Summary:
    """The summary of a whole message."""
    summarizer = Summarizer()
    summarizer.feed(message)
    return summarizer.finish()
