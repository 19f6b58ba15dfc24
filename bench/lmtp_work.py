"""What is measured of a server that speaks LMTP."""

from __future__ import annotations

from bench.client import Lmtp
from bench.servers import Subject
from bench.work import Work, milliseconds, small_messages


def small(subject: Subject) -> float:
    """Messages a second, one after the other on one connection, each to one recipient."""
    connection = Lmtp(subject.services["lmtp"], "alice")
    messages = small_messages()[:300]

    def deliver() -> None:
        for message in messages:
            connection.deliver(message)

    seconds = milliseconds(deliver) / 1000
    connection.close()
    return len(messages) / seconds


TABLE = (Work("LMTP small", small, 0.8, "/s", more=True, rounds=3, service="lmtp"),)
