"""`tools/decrypt.py`, which knows the store from `docs/store.md` alone, opens what the real program has written."""

from __future__ import annotations

import base64
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.testlib.corpus import samples
from tests.testlib.patience import PATIENCE_SECONDS, until
from tests.testlib.server import PASSWORD, REAL_SLOT, Server

DECRYPT = Path(__file__).parents[2] / "tools" / "decrypt.py"
NOISE = random.Random("decrypt").randbytes(300_000)
APPENDED = dict(samples()) | {
    "8-bit": "Subject: Grüße\r\n\r\n".encode() + bytes(range(128, 256)) + b"\r\n",
    "chunks": b"Subject: binary\r\nContent-Transfer-Encoding: binary\r\n\r\n" + NOISE,
    "compressible": b"Subject: compressible\r\n\r\n" + b"the same line, again and again\r\n" * 20_000,
    "base64 with LF": b"Subject: LF\r\n\r\n" + base64.encodebytes(NOISE),
    "base64 with CRLF": b"Subject: CRLF\r\n\r\n" + base64.encodebytes(NOISE).replace(b"\n", b"\r\n"),
}
DELIVERED = [b"Subject: delivered %d\r\n\r\nZ\xfcrich\r\n\0%b" % (size, NOISE[:size]) for size in (0, 1_000, 150_000)]


def decrypt(account: Path, output: Path, password: str = PASSWORD) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, DECRYPT, account, output],
        input=f"{password}\n",
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert "Traceback" not in done.stderr
    return done


def sealed_files(account: Path) -> dict[str, Path]:
    """By the names that the decrypted messages shall have."""
    filed = {f"{path.parent.name}{path.name}.eml": path for path in account.glob("messages/*/*")}
    return filed | {f"{path.name}.eml": path for path in account.glob("new/*")}


def decrypted(output: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in output.iterdir()}


@pytest.fixture(scope="module")
def account(server: Server) -> Path:
    """The directory of an account to which somebody appended mail, and which got more after he had gone."""
    directory = server.add_user("decrypted")
    with server.client("decrypted") as client:
        for message in APPENDED.values():
            client.ok("APPEND Archive (\\Flagged work) ~{}", message)
        client.logout()
    until((directory / "maintained").exists, what=server.log)
    for message in DELIVERED:
        server.deliver(message, "decrypted", "--mailbox", "Archive", "--flag", "\\Seen")
    assert len(list(directory.glob("messages/*/*"))) == len(APPENDED)
    assert len(list(directory.glob("new/*"))) == len(DELIVERED)
    return directory


@pytest.fixture
def copy(account: Path, tmp_path: Path) -> Path:
    """A copy of that directory, for tests that change it."""
    return shutil.copytree(account, tmp_path / "copy")


@pytest.mark.parametrize("hidden", [None, ["IDLE"], ["thread", "É", "COMPRESS=DEFLATE"], []], ids=str)
def test_every_octet(server: Server, account: Path, tmp_path: Path, hidden: list[str] | None) -> None:
    """Whether preferences were never set, are set, or were set once."""
    if hidden is not None:
        command = [*server.program, "--root", server.root, "user", "hide", "decrypted", "--password-stdin", *hidden]
        subprocess.run(command, input=PASSWORD.encode() + b"\n", check=True, timeout=PATIENCE_SECONDS)
    done = decrypt(account, tmp_path / "mail")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    mail = decrypted(tmp_path / "mail")
    assert mail.keys() == sealed_files(account).keys()
    assert sorted(mail.values()) == sorted([*APPENDED.values(), *DELIVERED])


def test_a_password_at_its_real_cost(server: Server, tmp_path: Path) -> None:
    """The password is composed, as logins have it (NFC)."""
    costly = replace(server, slot=REAL_SLOT).add_user("costly", "gl\u00fcck")
    assert "memory_kib = 65536" in (costly / "user.toml").read_text()
    server.deliver(DELIVERED[0], "costly")
    assert decrypt(costly, tmp_path / "mail", "glu\u0308ck").returncode == 0
    assert list(decrypted(tmp_path / "mail").values()) == [DELIVERED[0]]


def test_a_wrong_password(account: Path, tmp_path: Path) -> None:
    done = decrypt(account, tmp_path / "mail", PASSWORD + "!")
    assert done.returncode == 1 and "the password is wrong" in done.stderr
    assert not (tmp_path / "mail").exists()


def test_no_account(tmp_path: Path) -> None:
    done = decrypt(tmp_path, tmp_path / "mail")
    assert done.returncode == 1 and "user.toml" in done.stderr


def flip(octets: bytes) -> bytes:
    """Another bit somewhere in the last chunk."""
    return octets[:-30] + bytes([octets[-30] ^ 1]) + octets[-29:]


def flip_head(octets: bytes) -> bytes:
    return octets[:500] + bytes([octets[500] ^ 1]) + octets[501:]


@pytest.mark.parametrize(
    "damage",
    [flip, flip_head, lambda octets: octets[:-1], lambda octets: octets + b"\0", lambda octets: b"", lambda octets: b"?" * 99],
    ids=["flipped", "flipped in the head", "cut", "longer", "empty", "something else"],
)  # fmt: skip
def test_damaged_messages(copy: Path, tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    """Each is named, and all others are written."""
    files = sealed_files(copy)
    filed = next(name for name, path in files.items() if path.parent.name != "new")
    delivered = next(name for name, path in files.items() if path.parent.name == "new")
    for name in (filed, delivered):
        files[name].write_bytes(damage(files[name].read_bytes()))
    done = decrypt(copy, tmp_path / "mail")
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 2
    assert all(str(files[name]) in done.stderr for name in (filed, delivered))
    assert decrypted(tmp_path / "mail").keys() == files.keys() - {filed, delivered}


@pytest.mark.parametrize("copies", ["", "backup"], ids=["the files", "their copies"])
def test_damaged_keys(copy: Path, tmp_path: Path, copies: str) -> None:
    """Of `user.toml` and of each key file, one good copy is enough; so it is for a message that was not placed yet."""
    toml = copy / copies / "user.toml"
    toml.write_text(toml.read_text().replace("external-%Y", "extern-%Y"))
    internal, external = sorted((copy / copies / "keys").iterdir(), reverse=True)
    internal.write_bytes(external.read_bytes())
    external.unlink()
    path = next(copy.glob("messages/*/*"))
    path.rename(copy / "tmp" / f"{path.parent.name}{path.name}")
    assert decrypt(copy, tmp_path / "mail").returncode == 0
    assert sorted(decrypted(tmp_path / "mail").values()) == sorted([*APPENDED.values(), *DELIVERED])


def test_altered_for_good(copy: Path, tmp_path: Path) -> None:
    """An account is not used when the MAC of both files fails; nor is a key pair, but mail of the other one opens."""
    for path in (copy / "keys", copy / "backup" / "keys"):
        (external,) = path.glob("external-*")
        external.write_text(external.read_text().replace("created = 1", "created = 2"))
    done = decrypt(copy, tmp_path / "mail")
    assert done.returncode == 1 and len(done.stderr.splitlines()) == len(DELIVERED)
    assert sorted(decrypted(tmp_path / "mail").values()) == sorted(APPENDED.values())
    for path in (copy / "user.toml", copy / "backup" / "user.toml"):
        path.write_text(path.read_text().replace("external-%Y", "extern-%Y"))
    done = decrypt(copy, tmp_path / "more")
    assert done.returncode == 1 and "MAC" in done.stderr and not (tmp_path / "more").exists()
