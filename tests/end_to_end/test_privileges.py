"""As root, with two real UNIX users who try to reach each other's mail from inside a worker.

The attack runs in a process that has gone the very way of a worker: the real steps of a login, then the attacker's code
where the session would be.
"""

from __future__ import annotations

import ctypes
import os
import platform
import pwd
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from crymapd.authentication.credentials import Credentials
from crymapd.authentication.gate import Gate
from crymapd.authentication.login import Authenticator, confine
from crymapd.cli import user_add
from crymapd.daemon.services import SERVICES
from crymapd.imap.prepared import prepare
from crymapd.store import account
from crymapd.store.store import Store
from crymapd.unix.owner import Place
from tests.testlib.answers import Status
from tests.testlib.corpus import sample
from tests.testlib.process import workers
from tests.testlib.server import CRYMAPD, PASSWORD, UNMEASURED, Server, running

USERS = ("crytest1", "crytest2")


pytestmark = pytest.mark.root


@contextmanager
def unix_user(name: str) -> Iterator[pwd.struct_passwd]:
    """A UNIX user without a home, who is gone afterwards. One whom a killed run has left behind is used, and goes too."""
    if name not in {entry.pw_name for entry in pwd.getpwall()}:
        subprocess.run(["useradd", "--no-create-home", name], check=True)
    try:
        yield pwd.getpwnam(name)
    finally:
        subprocess.run(["userdel", "--force", name], check=True)


@pytest.fixture(scope="module")
def unix_users() -> Iterator[tuple[pwd.struct_passwd, ...]]:
    with ExitStack() as stack:
        yield tuple(stack.enter_context(unix_user(name)) for name in USERS)


@pytest.fixture
def two(tmp_path: Path, unix_users: tuple[pwd.struct_passwd, ...], cheap_hash: None) -> Server:
    server = Server(tmp_path / "root")
    server.prepare()
    for entry in unix_users:
        server.add_user(entry.pw_name, uid=entry.pw_uid)
        server.deliver(sample("welcome"), entry.pw_name)
    return server


def in_worker(server: Server, user: str, attack: Callable[[], str]) -> str:
    """What `attack` returns in a child that logged in as a worker does."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            state = os.open(server.root, os.O_RDONLY | os.O_DIRECTORY)
            users = Place.of(server.root / "users")
            authenticator = Authenticator(users, Gate(state, 1, "127.0.0.1", time.sleep), "127.0.0.1")
            Store(confine(authenticator.authenticate(Credentials(user, PASSWORD))), prepare, 1 << 20)
            os.write(write, attack().encode())
        except BaseException as error:
            os.write(write, repr(error).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as answer:
        found = answer.read().decode()
    os.waitpid(child, 0)
    return found


def attempt(*actions: Callable[[], object]) -> str:
    """One word for each action: how it was refused, or that it was not."""
    words = []
    for action in actions:
        try:
            action()
            words.append("ALLOWED")
        except OSError as error:
            words.append(type(error).__name__)
    return " ".join(words)


def test_worker_has_the_owners_ids_for_good(two: Server, unix_users: tuple[pwd.struct_passwd, ...]) -> None:
    def ids() -> str:
        refused = attempt(lambda: os.setuid(0), lambda: os.seteuid(0), lambda: os.setgid(0), lambda: os.setgroups([0]))
        return f"{os.getresuid()} {os.getresgid()} {0 in os.getgroups()} {refused}"

    uid, gid = unix_users[0].pw_uid, unix_users[0].pw_gid
    expected = f"{(uid,) * 3} {(gid,) * 3} False " + " ".join(["PermissionError"] * 4)
    assert in_worker(two, USERS[0], ids) == expected


def test_worker_sees_only_its_own_directory(two: Server) -> None:
    other = two.root / "users" / USERS[1]

    def attack() -> str:
        return str(sorted(os.listdir("/"))) + attempt(
            lambda: os.listdir(other),
            lambda: open("/etc/passwd"),
            lambda: os.listdir("/../../.."),
            lambda: os.chroot("tmp"),
            lambda: os.link("/user.toml", "/../out"),
        )

    found = in_worker(two, USERS[0], attack)
    assert "'user.toml'" in found and "'etc'" not in found
    # `/..` of a chroot is the chroot itself: listing it shows the user's own directory only.
    assert found.endswith("FileNotFoundError FileNotFoundError ALLOWED PermissionError ALLOWED")


def kernel_calls() -> str:
    """What code in a worker gets that asks the kernel for a way out."""
    libc = ctypes.CDLL(None, use_errno=True)

    def call(*arguments: int) -> None:
        if libc.syscall(*arguments) < 0:
            raise OSError(ctypes.get_errno(), "refused")

    return attempt(
        lambda: os.execv("/bin/true", ["true"]),
        lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
        lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
        lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
        lambda: os.memfd_create("x"),
        lambda: call(IO_URING_SETUP, 1, 0),
        lambda: call(UNSHARE, CLONE_NEWUSER),
        lambda: call(PTRACE, 0, 0, 0, 0),
        lambda: call(KEYCTL, 0, 0, 0, 0, 0),
    )


IO_URING_SETUP, UNSHARE, PTRACE, KEYCTL = 425, 272, 101, 250
"""Numbers on x86-64."""
CLONE_NEWUSER = 0x10000000


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers of system calls are of x86-64")
def test_worker_may_ask_the_kernel_for_no_way_out(two: Server) -> None:
    assert in_worker(two, USERS[0], kernel_calls) == " ".join(["PermissionError"] * 9)


def test_worker_keeps_only_its_connection_and_its_directory(tmp_path: Path) -> None:
    """No lock or count of others' logins, no directory outside, no line to the listener."""
    with running(tmp_path / "root", environment=UNMEASURED) as server, server.client() as client:
        client.ok("SELECT INBOX")
        assert server.process is not None
        (worker,) = workers(server.process.pid)
        open_files = {os.readlink(fd) for fd in Path(f"/proc/{worker}/fd").iterdir() if fd.name not in ("0", "1", "2")}
        state, home = server.root / "state", server.root / "users" / "alice"
        outside = {path for path in open_files if path.startswith("/") and not Path(path).is_relative_to(home)}
        assert {Path(path).name.partition("-")[0] for path in outside if Path(path).is_relative_to(state)} <= {"seen"}
        assert {path for path in outside if not Path(path).is_relative_to(state)} <= {
            "/dev/null",
            str(server.root / "log"),
        }
        limits = Path(f"/proc/{worker}/limits").read_text()
        assert re.search(r"Max core file size +0 +0 ", limits)


def test_symlinks_do_not_lead_out(two: Server, unix_users: tuple[pwd.struct_passwd, ...]) -> None:
    """A user who replaces files by links to another's gets nothing through a server that began as root."""
    victim, attacker = two.root / "users" / USERS[1], two.root / "users" / USERS[0]
    (attacker / "user.toml").unlink()
    (attacker / "user.toml").symlink_to(victim / "user.toml")
    (attacker / "backup" / "user.toml").unlink()
    assert "AccountUnavailable" in in_worker(two, USERS[0], lambda: "in")
    assert in_worker(two, USERS[1], lambda: "in") == "in"


def test_as_black_box_landlock_confines(two: Server, unix_users: tuple[pwd.struct_passwd, ...]) -> None:
    """Not root: no chroot is possible, and both accounts have one uid; Landlock alone keeps them apart."""
    one = unix_users[0]
    subprocess.run(["chown", "-R", f"{one.pw_uid}:{one.pw_gid}", two.root / "users" / USERS[1]], check=True)
    for folder in (two.root, *two.root.parents):
        if folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    other = two.root / "users" / USERS[1]

    def attack() -> str:
        return attempt(
            lambda: open(other / "user.toml"),
            lambda: os.listdir(other),
            lambda: open("/etc/passwd"),
            lambda: open(two.root / "users" / USERS[0] / "user.toml"),
        )

    SERVICES["imaps"].load()  # as a listener does, while Python's library can be read
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(one.pw_gid)
            os.setuid(one.pw_uid)
            os.write(write, in_worker(two, USERS[0], attack).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as answer:
        assert answer.read() == "PermissionError PermissionError PermissionError ALLOWED"
    os.waitpid(child, 0)


def test_account_of_root_is_refused(tmp_path: Path) -> None:
    """Whoever does not know its password hears what anybody hears who has given a wrong one."""
    with running(tmp_path / "root") as server:
        subprocess.run(["chown", "-R", "0:0", server.root / "users" / "alice"], check=True)
        answers = set()
        for user, password in (("alice", PASSWORD), ("alice", "wrong"), ("nobody-here", "wrong")):
            with server.client(None) as client:
                result = client.command("LOGIN {} {}", user.encode(), password.encode())
                answers.add((result.status, result.code and result.code.name, result.text))
        assert len(answers) == 1 and answers.pop()[:2] == ("NO", "AUTHENTICATIONFAILED")
        assert server.log().count("belongs to root") == 2 and "login failed user='alice'" not in server.log()
        assert server.try_deliver(sample("welcome")).returncode == 77


def test_user_add_as_root_wants_a_unix_user(tmp_path: Path) -> None:
    server = Server(tmp_path / "root")
    server.prepare()
    for name, status in (("nosuchunixuser", 67), ("root", 77), ("../x", 67), ("-rf", 67)):
        command = [*CRYMAPD, "--root", server.root, "user", "add", "--password-stdin", "--", name]
        done = subprocess.run(command, input=b"pw\n", capture_output=True)
        assert done.returncode == status, (name, done.stderr)
        assert b"Traceback" not in done.stderr
    assert not list((server.root / "users").iterdir())


# The paths that a person reads, of a directory to which its owner cannot walk


@pytest.fixture
def closed(tmp_path: Path, unix_users: tuple[pwd.struct_passwd, ...]) -> tuple[Server, Path]:
    """A server, and a user directory below one that only root can enter."""
    server = Server(tmp_path / "root")
    server.prepare()
    (tmp_path / "closed").mkdir(mode=0o700)
    home = tmp_path / "closed" / "mail"
    options: list[str | Path] = ["user", "add", "--password-stdin", USERS[0], home]
    subprocess.run([*CRYMAPD, "--root", server.root, *options], input=PASSWORD.encode(), check=True)
    return server, home


def test_delivery_names_real_paths(closed: tuple[Server, Path]) -> None:
    server, home = closed
    server.deliver(sample("welcome"), USERS[0])
    (home / "new").chmod(0)
    done = server.try_deliver(sample("welcome"), USERS[0])
    assert (done.returncode, done.stderr.count(b"\n")) == (75, 1)
    assert done.stderr.startswith(f"crymap-deliver: {home}/".encode()) and b": Permission denied" in done.stderr
    (home / "new").chmod(0o700)
    for path in (home / "user.toml", home / "backup" / "user.toml"):
        path.unlink()
    done = server.try_deliver(sample("welcome"), USERS[0])
    assert (done.returncode, done.stderr) == (75, f"crymap-deliver: {home}/user.toml: cannot be read\n".encode())


def test_a_command_on_an_account_names_real_paths(closed: tuple[Server, Path]) -> None:
    server, home = closed
    command = [*CRYMAPD, "--root", server.root, "user", "hide", USERS[0], "--password-stdin", "IDLE"]
    assert subprocess.run(command, input=PASSWORD.encode()).returncode == 0
    (home / "tmp").chmod(0o500)
    done = subprocess.run(command, input=PASSWORD, capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (75, 1)
    assert done.stderr.startswith(f"crymapd: {home}/tmp/stage-") and done.stderr.endswith(": Permission denied\n")
    done = subprocess.run(command, input="wrong\n", capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (77, "crymapd: wrong user name or password\n")


def test_user_add_names_real_paths_and_leaves_nothing(
    closed: tuple[Server, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, home = closed
    monkeypatch.setattr(account, "create", lambda home, _password: (home / "none" / "x").touch())
    other = home.parent / "other"
    with pytest.raises(FileNotFoundError) as error:
        user_add.run(server.root, USERS[1], other, uid=None, stdin=False, prompt=False)
    assert error.value.filename == f"{other}/none/x"
    assert not other.exists() and not (server.root / "users" / USERS[1]).is_symlink()


def test_the_log_names_real_paths(closed: tuple[Server, Path]) -> None:
    server, home = closed
    (home / "meta.db").unlink()
    (home / "keys").chmod(0)
    server.start()
    try:
        with server.client(None) as client:
            client.send(f'LOGIN {USERS[0]} "{PASSWORD}"')
            assert isinstance(answer := client.read_response(), Status) and answer.status == "BYE"
        line = next(line for line in server.log().splitlines() if "cannot be served" in line)
        assert f"'{home}/keys" in line, line
        (home / "keys").chmod(0o700)
        with server.client(USERS[0]) as client:
            client.ok("SELECT INBOX")
    finally:
        server.stop()
