"""A made-up service without TLS that gives back each line: `python -m tests.testlib.echo` is crymapd with it."""

from __future__ import annotations

import sys

from crymapd.cli.main import main
from crymapd.daemon.client import Client
from crymapd.daemon.services import SERVICES, Conversation, Service, Tls


def converse(client: Client) -> None:
    client.channel.reveal()
    while data := client.channel.read(20):
        if data == b"crash\r\n":
            raise ZeroDivisionError
        client.channel.write(client.service.encode() + b" " + client.address.encode() + b" " + data)
        client.channel.flush()


def load() -> Conversation:
    return converse


ECHO = Service(
    name="echo",
    port=7,
    tls=Tls.NONE,
    load=load,
    greeting=lambda client: b"hello %b\r\n" % client.address.encode(),
    last_words=b"sorry\r\n",
    refusal=b"too many\r\n",
)

if __name__ == "__main__":
    sys.argv[0] = "crymapd"
    SERVICES[ECHO.name] = ECHO
    main()
