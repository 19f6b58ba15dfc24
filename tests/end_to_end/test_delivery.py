"""`crymap-deliver`: what it takes, what it leaves as it is, and honest exit statuses."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.testlib.answers import Fetch
from tests.testlib.corpus import as_literal
from tests.testlib.patience import PATIENCE_SECONDS
from tests.testlib.server import DELIVER, NOBODY, Server

CASES = {
    "lf": (b"Subject: a\n\nb\n", b"Subject: a\r\n\r\nb\r\n"),
    "crlf": (b"Subject: a\r\n\r\nb\r\n", b"Subject: a\r\n\r\nb\r\n"),
    "mbox": (b"From me Mon Jan  1 00:00:00 2026\nSubject: a\n\nFrom b\n", b"Subject: a\r\n\r\nFrom b\r\n"),
    "mbox crlf": (b"From me Mon Jan  1 00:00:00 2026\r\nSubject: a\r\n\r\nb\r\n", b"Subject: a\r\n\r\nb\r\n"),
    "binary": (b"Subject: a\r\n\r\n\x00\xff\n\r\r\n\n", b"Subject: a\r\n\r\n\x00\xff\n\r\r\n\n"),
    "mixed after lf": (b"Subject: a\nX: y\r\n\nb\rc\n", b"Subject: a\r\nX: y\r\n\r\nb\rc\r\n"),
    "no line end": (b"Subject: a", b"Subject: a"),
    "from header": (b"From: a@b\n\nx\n", b"From: a@b\r\n\r\nx\r\n"),
    "long": (b"Subject: a\n\n" + b"x" * 65523 + b"\n" + b"y\n" * 70000, None),
}


@pytest.mark.parametrize("name", CASES)
def test_octets(server: Server, name: str) -> None:
    given, expected = CASES[name]
    if expected is None:
        expected = given.replace(b"\n", b"\r\n")
    user = "octets" + str(list(CASES).index(name))
    server.add_user(user)
    server.deliver(given, user)
    with server.client(user) as client:
        client.ok("SELECT INBOX")
        (answer,) = client.ok("FETCH 1 (BINARY.PEEK[] RFC822.SIZE)").all(Fetch)
        assert answer.octets("BINARY[]") == expected and answer["RFC822.SIZE"] == len(expected)
    library = server.imaplib(user)
    library.select("INBOX")
    fetched = library.fetch("1", "(BODY.PEEK[])")[1][0]
    library.logout()
    assert isinstance(fetched, tuple) and fetched[1] == as_literal(expected)


def test_folder_and_flags(server: Server) -> None:
    server.add_user("sorted")
    server.deliver(b"Subject: a\n\nb\n", "sorted", "--mailbox", "Archive", "--flag", "\\Seen", "-f", "work")
    server.deliver(b"Subject: a\n\nb\n", "sorted", "--mailbox", "No such", "--flag", "\\Flagged")
    library = server.imaplib("sorted")
    assert library.select("Archive") == ("OK", [b"1"])
    assert library.fetch("1", "(FLAGS)")[1] == [b"1 (FLAGS (\\Recent \\Seen work))"]
    assert library.select("INBOX") == ("OK", [b"1"])
    assert library.fetch("1", "(FLAGS)")[1] == [b"1 (FLAGS (\\Recent \\Flagged))"]
    library.logout()


def test_maildir_names(server: Server, tmp_path: Path) -> None:
    server.add_user("maildir")
    folder = Path("/var/tmp") / f"maildir-{os.getpid()}"
    folder.mkdir()
    folder.chmod(0o755)
    try:
        path = folder / "1.2.DESKTOP:2,FS"
        path.write_bytes(b"Subject: a\n\nb\n")
        command = [*DELIVER, "--root", server.root, "-u", "maildir", "--maildir-flags", path]
        subprocess.run(command, check=True)
    finally:
        shutil.rmtree(folder)
    library = server.imaplib("maildir")
    library.select("INBOX")
    assert library.fetch("1", "(FLAGS)")[1] == [b"1 (FLAGS (\\Recent \\Seen \\Flagged))"]
    library.logout()


def test_exit_statuses(server: Server, tmp_path: Path) -> None:
    message = b"Subject: a\n\nb\n"
    for user in ("nosuch", "..", "-x", "a/b", "a\nb", "", "x" * 300):
        done = subprocess.run([*DELIVER, "--root", server.root, f"--user={user}"], input=message, capture_output=True)
        assert done.returncode == (67 if user else 67), (user, done.stderr)
        assert done.stderr.count(b"\n") == 1
    assert server.try_deliver(message, "alice", "--flag", "\\Nonsense").returncode == 64
    assert server.try_deliver(message, "alice", "/nonexistent/file").returncode == 66
    nowhere = subprocess.run([*DELIVER, "--root", tmp_path / "none", "-u", "alice"], input=message, capture_output=True)
    assert nowhere.returncode == 75


def test_too_large_is_bad_data(tmp_path: Path) -> None:
    small = Server(tmp_path / "root", "[limits]\nmax_message_size = 2000\n")
    small.prepare()
    home = small.add_user()
    done = small.try_deliver(b"Subject: a\n\n" + b"x" * 3000)
    assert done.returncode == 65 and b"max_message_size" in done.stderr
    assert not list((home / "new").iterdir()) and not list((home / "tmp").glob("stage-*"))


@pytest.mark.parametrize("given", [b"", b"From me Mon Jan  1 00:00:00 2026\n", b"From me\r\n"])
def test_nothing_is_bad_data(server: Server, given: bytes) -> None:
    """A filter before us has failed, most likely: 0 would make the message it was given vanish."""
    server.add_user(user := f"nothing{len(given)}")
    done = server.try_deliver(given, user)
    assert (done.returncode, done.stderr) == (65, b"crymap-deliver: standard input: the message is empty\n")
    home = server.root / "users" / user
    assert not list((home / "new").iterdir()) and not list((home / "tmp").glob("stage-*"))


def test_an_empty_file_is_bad_data(server: Server, tmp_path: Path) -> None:
    """Named, as what is wrong must be; those before it are delivered, as ever."""
    server.add_user("nofile")
    folder = Path("/var/tmp") / f"nofile-{os.getpid()}"
    folder.mkdir(mode=0o755)
    try:
        for name, octets in (("1", b"Subject: a\n\nb\n"), ("2", b""), ("3", b"Subject: c\n\nd\n")):
            (folder / name).write_bytes(octets)
        done = server.try_deliver(b"", "nofile", *(str(folder / name) for name in "123"))
    finally:
        shutil.rmtree(folder)
    assert done.returncode == 65 and done.stderr == f"crymap-deliver: {folder}/2: the message is empty\n".encode()
    assert len(list((server.root / "users" / "nofile" / "new").iterdir())) == 1


def test_one_line_end_is_a_message(server: Server) -> None:
    """Empty header, empty body: odd, but it is not nothing."""
    server.add_user("lineend")
    server.deliver(b"\n", "lineend")
    with server.client("lineend") as client:
        client.ok("SELECT INBOX")
        assert client.ok("FETCH 1 BODY.PEEK[]").one(Fetch).octets("BODY[]") == b"\r\n"


def test_what_may_pass_is_temporary(tmp_path: Path) -> None:
    """No keys, no right to write, no room: the MTA must keep the mail and try again."""
    server = Server(tmp_path / "root")
    server.prepare()
    home = server.add_user()
    new = home / "new"
    new.rename(home / "gone")
    assert server.try_deliver(b"Subject: a\n\nb\n").returncode == 75
    (home / "gone").rename(new)
    new.chmod(0o500)
    assert server.try_deliver(b"Subject: a\n\nb\n").returncode == 75
    new.chmod(0o700)
    keys = home / "keys"
    keys.rename(home / "elsewhere")
    (home / "backup" / "keys").rename(home / "elsewhere2")
    assert server.try_deliver(b"Subject: a\n\nb\n").returncode == 75
    (home / "elsewhere").rename(keys)
    limited = ["prlimit", "--fsize=1000", *DELIVER, "--root", str(server.root), "-u", "alice"]
    full = subprocess.run(limited, input=b"Subject: a\n\n" + os.urandom(20000), capture_output=True)
    assert full.returncode == 75, full.stderr
    assert server.try_deliver(b"Subject: a\n\nb\n").returncode == 0
    assert NOBODY == 65534


@pytest.mark.peer("procmail")
def test_procmail(server: Server, tmp_path: Path) -> None:
    """As in a .procmailrc: a pipe whose status procmail believes."""
    server.add_user("procmail")
    rc = tmp_path / "procmailrc"
    rc.write_text(f":0 w\n| {' '.join(map(str, DELIVER))} --root {server.root} --user procmail --mailbox Archive\n")
    message = b"From: a@example.org\nSubject: by procmail\n\nhello\n"
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    subprocess.run(["procmail", "-p", "-m", str(rc)], input=message, check=True, env=environment)
    library = server.imaplib("procmail")
    assert library.select("Archive") == ("OK", [b"1"])
    fetched = library.fetch("1", "(BODY.PEEK[])")[1][0]
    library.logout()
    assert isinstance(fetched, tuple) and fetched[1].endswith(
        b"\r\n\r\nhello\r\n\r\n"
    )  # procmail ends a pipe with an empty line


BREAKAGES = {
    "missing": "raise ImportError('gone')",
    "half written": "def (",
    "without memory": "raise MemoryError",
    "ending by itself": "raise SystemExit(1)",
    "interrupted": "raise KeyboardInterrupt",
}


@pytest.mark.parametrize("how", BREAKAGES)
@pytest.mark.parametrize("module", ["cryptography", "msgspec", "nacl", "crymapd"])
def test_a_program_that_cannot_be_loaded_is_temporary(server: Server, tmp_path: Path, module: str, how: str) -> None:
    """In the middle of an upgrade an MTA must keep the mail: 1, which Python would give, makes it bounce."""
    broken = tmp_path / module
    broken.mkdir()
    (broken / "__init__.py").write_text(BREAKAGES[how])
    script = Path(__file__).parents[2] / "scripts" / "crymap-deliver"
    done = subprocess.run(
        [sys.executable, script, "--root", server.root, "--user", "alice"],
        input=b"Subject: x\n\n",
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == 75, done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("descriptors", [(1,), (2,), (1, 2)])
@pytest.mark.parametrize(
    ("arguments", "status"), [(("--user", "alice"), 0), (("--user", "nobodyhere"), 67), (("--x",), 64)]
)
def test_a_status_needs_no_output(
    server: Server, descriptors: tuple[int, ...], arguments: tuple[str, ...], status: int
) -> None:
    """Closed or full, standard output and error do not change what became of the mail."""

    def close() -> None:
        for fd in descriptors:
            os.close(fd)

    def fill() -> None:
        for fd in descriptors:
            os.dup2(os.open("/dev/full", os.O_WRONLY), fd)

    for prepare in (close, fill):
        command = [*DELIVER, "--root", server.root, *arguments]
        done = subprocess.run(command, input=b"Subject: x\n\n", preexec_fn=prepare, timeout=PATIENCE_SECONDS)
        assert done.returncode == status, prepare


@pytest.mark.peer("faketime")
@pytest.mark.parametrize("clock", ["-32d", "-3650d"])
def test_a_clock_that_was_set_back_stops_no_delivery(server: Server, clock: str) -> None:
    command = ["faketime", "-f", clock, *DELIVER, "--root", server.root, "--user", "alice"]
    subprocess.run(command, input=b"Subject: x\n\n", check=True, timeout=PATIENCE_SECONDS)
