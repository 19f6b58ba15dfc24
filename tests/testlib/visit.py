"""Visit `make run` as a newcomer does: start it, fetch a message over IMAPS, and end it: `python3 -m tests.testlib.visit`.

It needs nothing but the standard library, for it runs where nothing has been installed yet; `.ci/first-hour` uses it.
"""

from __future__ import annotations

import imaplib
import ssl
import subprocess
import sys
import time

PORT, USER, PASSWORD = 1993, "demo", "demo"  # as tests/testlib/demo.py says, which cannot be imported yet
START_SECONDS = 600  # the first run installs what crymapd needs
STEP_SECONDS = 0.2


def main() -> int:
    """Return 0 if the first message came and the server ended when it was told to."""
    with subprocess.Popen(["make", "run"]) as server:
        try:
            subject = _subject_of_the_first_message(server)
        finally:
            server.terminate()
            server.wait(timeout=60)
    print(f"make run served {subject!r}")
    return 0


def _subject_of_the_first_message(server: subprocess.Popen[bytes]) -> str:
    client = _connected(server)
    client.login(USER, PASSWORD)
    client.select("INBOX", readonly=True)
    _status, answer = client.fetch("1", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
    client.logout()
    assert isinstance(answer[0], tuple), answer
    return answer[0][1].decode().strip()


def _connected(server: subprocess.Popen[bytes]) -> imaplib.IMAP4_SSL:
    """Connect as soon as the server listens."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # its certificate is self-signed
    deadline = time.monotonic() + START_SECONDS
    while True:
        assert server.poll() is None, "make run has ended"
        assert time.monotonic() < deadline, "make run does not listen"
        try:
            return imaplib.IMAP4_SSL("127.0.0.1", PORT, ssl_context=context)
        except ConnectionRefusedError:
            time.sleep(STEP_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
