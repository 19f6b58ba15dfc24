"""Unguessable words in mail and names: none lies readable on the disk, at any time."""

from __future__ import annotations

import base64
import secrets
import tempfile
from pathlib import Path

from tests.testlib.server import PASSWORD, Server, running

PLACES = ("body", "subject", "address", "attachment", "mailbox", "keyword", "search")


def found(words: dict[str, str], *folders: Path) -> list[str]:
    """Which words occur, plain or in base64, in which files or names."""
    needles = {(place, needle) for place, word in words.items() for needle in forms(word)}
    hits = []
    for folder in folders:
        for path in folder.rglob("*"):
            hits += [f"{place} in the name {path}" for place, needle in needles if needle.decode() in path.name]
            if path.is_file() and not path.is_symlink():
                content = path.read_bytes()
                hits += [f"{place} in {path}" for place, needle in needles if needle in content]
    return hits


def forms(word: str) -> list[bytes]:
    """The word as it stands, in other cases, UTF-16, and in base64 at each of three offsets."""
    octets = word.encode()
    encoded = [base64.b64encode(b"x" * shift + octets)[4:-4] for shift in range(3)]
    return [octets, octets.upper(), word.encode("utf-16-le").decode("latin-1").encode("latin-1"), *encoded]


def message(words: dict[str, str]) -> bytes:
    attached = base64.encodebytes(f"{words['body']} in an attachment\n".encode() * 20).replace(b"\n", b"\r\n")
    text = (
        f"From: {words['address']} <{words['address']}@example.org>\r\nTo: alice@example.org\r\n"
        f"Subject: about {words['subject']}\r\nMIME-Version: 1.0\r\n"
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n"
        f"the word is {words['body']}\r\n--b\r\nContent-Type: application/x; name={words['attachment']}\r\n"
        f"Content-Disposition: attachment; filename={words['attachment']}\r\n"
        "Content-Transfer-Encoding: base64\r\n\r\n"
    )
    return text.encode() + attached + b"--b--\r\n"


def test_nothing_is_readable(tmp_path: Path) -> None:
    words = {place: "canary" + secrets.token_hex(12) for place in PLACES}
    temporary = tmp_path / "temporary"
    temporary.mkdir(mode=0o777)
    temporary.chmod(0o1777)
    with running(tmp_path / "root") as server:
        places = (server.root, temporary, *_temporary_folders())
        deliver(server, words)
        assert not found(words, *places), "between delivery and filing"
        with server.client() as client:
            client.ok(f"CREATE {words['mailbox']}")
            client.ok("SELECT INBOX")
            client.ok(f"STORE 1:* +FLAGS ({words['keyword']})")
            client.ok(f"SEARCH TEXT {words['search']}")
            client.ok(f"SEARCH TEXT {words['body']}")
            client.ok("FETCH 1:* (ENVELOPE BODYSTRUCTURE BODY[])")
            client.ok(f"COPY 1 {words['mailbox']}")
            client.ok(f"APPEND {words['mailbox']} {{}}", message(words))
            assert not found(words, *places), "while a session is open"
            client.ok(f"SELECT {words['mailbox']}")
            client.ok("STORE 1 +FLAGS (\\Deleted)")
            client.ok("EXPUNGE")
            client.logout()
        assert not found(words, *places), "after logout"
    assert list((tmp_path / "root" / "users" / "alice" / "backup").glob("meta.db.*"))
    assert not found(words, *places), "after the server has ended"
    assert PASSWORD.encode() not in b"".join(p.read_bytes() for p in server.root.rglob("*") if p.is_file())


def deliver(server: Server, words: dict[str, str]) -> None:
    server.deliver(message(words))
    server.deliver(message(words), "alice", "--mailbox", words["mailbox"], "--flag", words["keyword"])


def _temporary_folders() -> list[Path]:
    """Where a careless library might put something; not where pytest keeps our own clear text."""
    own = Path(tempfile.gettempdir())
    return [path for path in (Path("/dev/shm"), *own.glob("etilqs*")) if path.exists()]


def test_the_search_can_find(tmp_path: Path) -> None:
    """The search itself works: a planted word is found."""
    words = dict.fromkeys(PLACES, "planted" + secrets.token_hex(8))
    (tmp_path / "leak").write_bytes(base64.b64encode(b"xy" + words["body"].encode()))
    assert found(words, tmp_path)
