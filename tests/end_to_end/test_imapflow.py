"""imapflow, the IMAP client of the Node world, does all it can; `imapflow/session.mjs` compares what comes back."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.testlib.corpus import as_literal, sample, samples
from tests.testlib.patience import PATIENCE_SECONDS
from tests.testlib.server import PASSWORD, Server

USER = "imapflow"
FOLDER = Path(__file__).parent / "imapflow"
NEWS = sample("emoji")
NUL = b"Subject: nul\r\n\r\nbefore\0behind\r\n"


@pytest.mark.peer("node", "npm")
def test_imapflow(server: Server, tmp_path: Path) -> None:
    assert (FOLDER / "node_modules" / "imapflow").exists(), f"run make test, or npm ci --prefix {FOLDER}"
    messages = [*(message for name, message in samples() if name != "large"), NUL]
    server.add_user(USER)
    server.deliver_files(messages, USER)
    trace = tmp_path / "trace"
    talk(server, settings(server, tmp_path, messages, trace))
    said(trace.read_text(), server.log())


def settings(server: Server, folder: Path, messages: list[bytes], trace: Path) -> Path:
    files = [folder / f"message-{number}" for number in range(len(messages))]
    for path, message in zip(files, messages, strict=True):
        path.write_bytes(as_literal(message))
    news = folder / "news"
    news.write_bytes(NEWS)
    path = folder / "settings.json"
    account = {"port": server.port("imaps"), "user": USER, "password": PASSWORD}
    content = {
        **account,
        "certificate": f"{server.root}/cert.pem",
        "messages": list(map(str, files)),
        "news": str(news),
        "trace": str(trace),
    }
    path.write_text(json.dumps(content))
    return path


def talk(server: Server, config: Path) -> None:
    """Run the session, deliver when it asks for it; as long as patience lasts."""
    command: list[str | Path] = ["timeout", str(PATIENCE_SECONDS), "node", FOLDER / "session.mjs", config]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        lines = []
        for line in process.stdout:
            lines.append(line.strip())
            if line == "deliver\n":
                server.deliver(NEWS, USER)
        errors = process.stderr.read()
    assert (process.returncode, lines) == (0, ["deliver", "done"]), errors


def said(trace: str, log: str) -> None:
    """The extensions were really used, and nothing was refused."""
    assert re.search(r"client name='imapflow test' version='\d+\.", log)  # it says so before it logs in
    for used in (
        "ENABLE .*QRESYNC",
        "COMPRESS DEFLATE",
        "LIST .*RETURN .*STATUS",
        r"SELECT INBOX \(QRESYNC \(\d+ \d+\)\)",
        "UID SEARCH RETURN",
        "UID MOVE",
        "UID EXPUNGE",
        "IDLE",
    ):
        assert re.search(f"(?m)^c: \\w+ {used}", trace), f"{used} was not used:\n{trace}"
    assert "s: * VANISHED (EARLIER) 6" in trace
    assert not re.search(r"(?m)^s: \w+ (NO|BAD) ", trace), trace
