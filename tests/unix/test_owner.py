"""Acting as the owner of a directory: with whose rights, how everything is put back, and which paths a person reads."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from crymapd.cli.failure import describe
from crymapd.errors import AccountUnavailable, AccountUnusable, BadCredentials, CrymapError, NoDeliveryKey, TooBig
from crymapd.unix.owner import CHROOT, Owner, Place, UserDirectory
from tests.testlib.server import NOBODY

OTHER = 65533

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as somebody else")


@pytest.fixture
def mail(tmp_path: Path) -> Path:
    """A directory of somebody who may not walk to it."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    return given_to(closed / "mail", NOBODY)


def given_to(directory: Path, uid: int) -> Path:
    directory.mkdir(mode=0o700)
    if os.geteuid() == 0:
        os.chown(directory, uid, uid)
    return directory


def opened(directory: Path) -> UserDirectory:
    return UserDirectory.open(Place.of(directory))


def ids() -> tuple[object, ...]:
    return os.getresuid(), os.getresgid(), sorted(os.getgroups()), os.getcwd(), len(os.listdir("/proc/self/fd"))


# For a moment


@as_root
def test_for_a_moment(mail: Path) -> None:
    with opened(mail) as directory:
        before = ids()
        with directory.impersonated() as path:
            assert (os.geteuid(), os.getegid(), os.getgroups()) == (NOBODY, NOBODY, [NOBODY])
            (path / "mine").touch()
            with pytest.raises(PermissionError):
                os.listdir(mail)
        assert ids() == before
    assert (mail / "mine").stat().st_uid == NOBODY


@as_root
@pytest.mark.parametrize("error", [BadCredentials("no"), OSError(5, "x"), ValueError("a bug"), KeyboardInterrupt()])
def test_everything_is_put_back_after_an_error(mail: Path, error: BaseException) -> None:
    with opened(mail) as directory:
        before = ids()
        with pytest.raises(type(error)), directory.impersonated():
            raise error
        assert ids() == before


@as_root
def test_what_the_owner_may_not_read_root_does_not_read_for_them(mail: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("of root")
    (tmp_path / "secret").chmod(0o600)
    (mail / "link").symlink_to(tmp_path / "secret")
    with opened(mail) as directory, directory.impersonated() as path, pytest.raises(PermissionError):
        (path / "link").read_text()


def test_an_error_for_a_moment_names_the_real_path(mail: Path) -> None:
    with opened(mail) as directory:
        with pytest.raises(FileNotFoundError) as system, directory.impersonated() as path:
            (path / "user.toml").read_text()
        with pytest.raises(NoDeliveryKey) as reason, directory.impersonated() as path:
            raise NoDeliveryKey("cannot be read", path=path / "keys" / "x")
    assert describe(system.value) == f"{mail}/user.toml: No such file or directory"
    assert str(reason.value) == f"{mail}/keys/x: cannot be read"


def test_other_paths_stay_as_they_are(mail: Path) -> None:
    with opened(mail) as directory, pytest.raises(FileNotFoundError) as error, directory.impersonated():
        os.stat("/nonexistent/message")
    assert error.value.filename == "/nonexistent/message"


# Nobody else's


def link(path: Path, victim: Path) -> None:
    path.rmdir() if path.is_dir() else path.unlink()
    path.symlink_to(victim)


STRANGE: dict[str, Callable[[Path, Path], object]] = {
    "a symbolic link": link,
    "can be written by others": lambda path, _victim: path.chmod(0o777),
    "can be written by others, of the group": lambda path, _victim: path.chmod(0o770),
    "belongs to uid": lambda path, _victim: os.chown(path, OTHER, OTHER),
}


PARTS = ("user.toml", "new", "tmp", "keys", "messages", "backup")


@as_root
@pytest.mark.parametrize(
    ("name", "strange"),
    # Whoever the directory itself belongs to is its owner.
    [*((name, strange) for name in PARTS for strange in STRANGE), *(("", way) for way in STRANGE if "written" in way)],
)
def test_a_directory_in_which_others_have_a_hand_is_not_acted_in(
    mail: Path, tmp_path: Path, name: str, strange: str
) -> None:
    """Else its owner would choose as whom others' files are read and written, by putting a link to them in its place."""
    for folder in ("new", "tmp", "keys", "messages", "backup"):
        given_to(mail / folder, NOBODY)
    (mail / "user.toml").touch()
    os.chown(mail / "user.toml", NOBODY, NOBODY)
    victim = given_to(tmp_path / "victim", OTHER)
    victim.chmod(0o777)
    with opened(mail) as directory:
        with directory.impersonated():
            pass
        STRANGE[strange](mail / name, victim)
        for action in (lambda: directory.impersonated().__enter__(), lambda: directory.in_child(lambda _inside: None)):
            with pytest.raises(AccountUnavailable, match=strange.partition(",")[0]) as refused:
                action()
            assert str(mail / name) in str(refused.value) and not refused.value.permanent
    assert not list(victim.iterdir())


# In a child


@as_root
def test_several_owners_one_after_another(tmp_path: Path) -> None:
    """As who delivers to several recipients does it, from one process that stays root."""
    homes = {uid: given_to(tmp_path / str(uid), uid) for uid in (NOBODY, OTHER)}
    before = ids()
    for uid, home in (*homes.items(), *homes.items()):
        with opened(home) as directory:
            directory.in_child(lambda path, uid=uid: (path / f"{os.getuid()} {os.listdir('/')}").touch())  # type: ignore[misc]
        assert ids() == before
    for uid, home in homes.items():
        assert {path.name for path in home.iterdir()} == {f"{uid} []", f"{uid} ['{uid} []']"}


@as_root
def test_a_child_cannot_come_back_or_out(mail: Path, tmp_path: Path) -> None:
    def attack(path: Path) -> None:
        allowed = []
        for action in (lambda: os.setuid(0), lambda: os.listdir(tmp_path), lambda: os.chroot(path)):
            try:
                action()
                allowed.append(action)
            except OSError:
                pass
        (path / f"allowed {len(allowed)}").touch()

    with opened(mail) as directory:
        directory.in_child(attack)
    assert [path.name for path in mail.iterdir()] == ["allowed 0"]


def fails(error: BaseException) -> Callable[[Path], None]:
    def action(_path: Path) -> None:
        raise error

    return action


@pytest.mark.parametrize("reason", [BadCredentials("wrong"), TooBig(7), NoDeliveryKey("none")])
def test_a_reason_comes_back_as_what_it_was(mail: Path, reason: CrymapError) -> None:
    with opened(mail) as directory, pytest.raises(type(reason)) as caught:
        directory.in_child(fails(reason))
    assert (str(caught.value), caught.value.permanent) == (str(reason), reason.permanent)


def test_an_error_of_the_system_comes_back_with_the_real_path(mail: Path) -> None:
    def action(path: Path) -> None:
        (path / "tmp" / "x").touch()

    with opened(mail) as directory, pytest.raises(FileNotFoundError) as error:
        directory.in_child(action)
    assert (error.value.errno, describe(error.value)) == (errno.ENOENT, f"{mail}/tmp/x: No such file or directory")


def test_a_path_in_a_text_comes_back_as_the_real_one(mail: Path) -> None:
    def action(path: Path) -> None:
        raise OSError(f"{path / 'meta.db'}: disk I/O error, see https://sqlite.org/rescode.html // or not")

    with opened(mail) as directory, pytest.raises(OSError, match="disk") as error:
        directory.in_child(action)
    assert str(error.value) == f"{mail}/meta.db: disk I/O error, see https://sqlite.org/rescode.html // or not"


def test_an_exit_status_comes_back(mail: Path) -> None:
    with opened(mail) as directory, pytest.raises(SystemExit) as ended:
        directory.in_child(fails(SystemExit(65)))
    assert ended.value.code == 65


@as_root
def test_a_bug_comes_back_with_its_traceback(mail: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with opened(mail) as directory, pytest.raises(RuntimeError, match="ZeroDivisionError"):
        directory.in_child(lambda _path: print(1 // 0))
    assert capfd.readouterr() == ("", "")


@as_root
def test_a_child_that_is_killed_may_do_better_the_next_time(mail: Path) -> None:
    with opened(mail) as directory, pytest.raises(ChildProcessError, match="SIGKILL"):
        directory.in_child(lambda _path: os.kill(os.getpid(), signal.SIGKILL))


@as_root
def test_a_child_that_says_nothing_has_done_nothing(mail: Path) -> None:
    with opened(mail) as directory, pytest.raises(RuntimeError, match="no answer"):
        directory.in_child(lambda _path: os._exit(0))


# For good


@as_root
@pytest.mark.parametrize("confined", [True, False])
def test_for_good(mail: Path, tmp_path: Path, confined: bool) -> None:
    """Tried in a child, which answers by the files that it makes."""
    child = os.fork()
    if child == 0:
        place = opened(mail).take(confined=confined)
        (place.path / "mine").touch()
        (place.path / f"{os.getresuid()} {os.path.exists('/etc')}").touch()
        with pytest.raises(FileNotFoundError) as error, place.translating():
            os.stat(place.path / "new")
        (place.path / str(error.value.filename).replace("/", "|")).touch()
        os._exit(0)
    os.waitpid(child, 0)
    names = {path.name for path in mail.iterdir()}
    assert names == {"mine", f"{(NOBODY,) * 3} {not confined}", f"{mail}/new".replace("/", "|")}


# Whose it is


@as_root
def test_a_directory_of_root_is_refused(tmp_path: Path) -> None:
    before = ids()
    with pytest.raises(AccountUnusable, match=f"{tmp_path} belongs to root"):
        opened(tmp_path)
    assert ids() == before


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), opened(tmp_path / "none") as directory, directory.impersonated() as path:
        os.stat(path)


def test_an_owner_without_a_name_has_its_own_group() -> None:
    assert Owner.of_ids(4_000_000, 4_000_001) == Owner(4_000_000, 4_000_001, (4_000_001,))


# Names


def test_a_place_in_a_chroot_of_the_system() -> None:
    """`security.chroot_system` has made `users` the root; links that lead nowhere else are below it."""
    users = Place(Path("/"), Path("/etc/crymap/users"))
    assert users.within(Path("/bob")) == Place(Path("/bob"), Path("/etc/crymap/users/bob"))
    assert Place.of(Path("/users")).within(Path("/home/bob/mail")) == Place.of(Path("/home/bob/mail"))


def test_names_in_a_text() -> None:
    place = Place(CHROOT, Path("/home/bob/mail"))
    assert place.real_names(f"'{CHROOT / 'new' / 'ab'}' and ///tmp, not http://x nor and//or") == (
        "'/home/bob/mail/new/ab' and /home/bob/mail/tmp, not http://x nor and//or"
    )
    assert Place(CHROOT, Path("/")).real_names("//meta.db") == "/meta.db"
    below = Place(Path("/bob"), Path("/etc/crymap/users/bob"))
    assert below.real_names("'/bob/tmp/x' /bobby/x ./bob/x") == "'/etc/crymap/users/bob/tmp/x' /bobby/x ./bob/x"
