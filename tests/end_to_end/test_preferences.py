"""`crymapd user hide`: an account hides capabilities from clients that take them wrongly."""

from __future__ import annotations

import subprocess

from tests.testlib.server import PASSWORD, Server


def hide(server: Server, *words: str, password: str = PASSWORD) -> subprocess.CompletedProcess[bytes]:
    command = [*server.program, "--root", server.root, "user", "hide", "alice", "--password-stdin", *words]
    return subprocess.run(command, input=password.encode() + b"\n", capture_output=True, check=False)


def announced(server: Server) -> set[str]:
    with server.imaplib() as client:
        return set(client.capability()[1][0].decode().split())


def test_hidden_capabilities(server: Server) -> None:
    everything = announced(server)
    assert hide(server, "compress=deflate", "THREAD").returncode == 0
    assert everything - announced(server) == {"COMPRESS=DEFLATE", "THREAD=ORDEREDSUBJECT", "THREAD=REFERENCES"}
    assert hide(server).returncode == 0
    assert announced(server) == everything


def test_only_the_owner_decides(server: Server) -> None:
    done = hide(server, "IDLE", password="wrong")
    assert done.returncode != 0 and b"Traceback" not in done.stderr and b"password" in done.stderr
    assert "IDLE" in announced(server)
