"""Mozilla's remote control, as far as the tests need it: run JavaScript inside the program, take a picture.

The protocol is a length in decimal, a colon, and JSON: `[0, id, command, parameters]` there,
`[1, id, error, result]` back.
"""

from __future__ import annotations

import base64
import json
import socket
from types import TracebackType
from typing import Any

REPLY_SECONDS = 60.0


class Marionette:
    """A session with full rights (the program runs with `--remote-allow-system-access`)."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=REPLY_SECONDS)
        self._buffer = b""
        self._last = 0
        self._packet()  # who it is
        self._command("WebDriver:NewSession", {"strictFileInteractability": True})
        self._command("Marionette:SetContext", {"value": "chrome"})

    def __enter__(self) -> Marionette:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _value: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def run(self, script: str, *arguments: object) -> Any:
        """The value that the body of an asynchronous function returns; `arguments` are its arguments."""
        body = f"""
            const done = arguments[arguments.length - 1];
            (async (...arguments) => {{ {script} }})(...[...arguments].slice(0, -1))
                .then(value => done({{value}}), error => done({{error: String(error) + "\\n" + error.stack}}));
        """
        given = {"script": body, "args": list(arguments), "newSandbox": True, "scriptTimeout": 30000, "sandbox": None}
        answer = self._command("WebDriver:ExecuteAsyncScript", given)["value"]
        assert "error" not in answer, answer["error"]
        return answer.get("value")

    def screenshot(self) -> bytes:
        """The main window as PNG."""
        answer = self._command("WebDriver:TakeScreenshot", {"full": True, "hash": False})
        return base64.b64decode(answer["value"])

    def quit(self) -> None:
        """Ask the program to end in its ordinary way."""
        self._command("Marionette:Quit", {"flags": ["eAttemptQuit"]})

    def _command(self, name: str, parameters: dict[str, object]) -> Any:
        self._last += 1
        packet = json.dumps([0, self._last, name, parameters]).encode()
        self._socket.sendall(b"%d:%b" % (len(packet), packet))
        kind, number, error, result = self._packet()
        assert (kind, number) == (1, self._last), "an answer out of turn"
        assert error is None, f"{name}: {error}"
        return result

    def _packet(self) -> Any:
        while b":" not in self._buffer:
            self._receive()
        size, _colon, self._buffer = self._buffer.partition(b":")
        while len(self._buffer) < int(size):
            self._receive()
        packet, self._buffer = self._buffer[: int(size)], self._buffer[int(size) :]
        return json.loads(packet)

    def _receive(self) -> None:
        data = self._socket.recv(1 << 16)
        assert data, "the program has closed the connection"
        self._buffer += data
