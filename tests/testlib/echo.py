"""A made-up service without TLS that gives back what it is told, for a real listener that has it in its table."""

from __future__ import annotations

from crymapd.daemon.client import Client
from crymapd.daemon.services import Conversation, Service, Tls

ADDED = "crymapd.daemon.services.SERVICES={**SERVICES,'echo':__import__('tests.testlib.echo').testlib.echo.ECHO}"
"""For `limits` of a server in tests: a listener with this service beside the real ones."""


def converse(client: Client) -> None:
    """Answer each read with service, address and what was read; `crash` is a bug."""
    client.channel.reveal()
    while data := client.channel.read(20):
        if data == b"crash\r\n":
            raise ZeroDivisionError
        client.channel.write(client.service.encode() + b" " + client.address.encode() + b" " + data)
        client.channel.flush()


def load() -> Conversation:
    """Nothing needs loading."""
    return converse


ECHO = Service(
    name="echo",
    port=7,
    tls=Tls.NONE,
    load=load,
    greeting=lambda client: b"hello %b\r\n" % client.address.encode(),
    last_words=lambda: b"sorry\r\n",
    refusal=b"too many\r\n",
)
