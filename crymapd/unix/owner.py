"""Acting as the owner of a user directory: whatever is done there, only the owner's own rights decide about it.

A process that began as root reads and writes nothing of a user with root's rights.  `UserDirectory` has the three
ways to act as the owner instead: for a moment (`impersonated`), in a child (`in_child`), or for good (`take`).  In
each of them the process first makes the directory its working directory, as the owner need not be able to walk to
it.  Without root there is nobody to become, and all three act with the process's own ids.

The directory then has another path than before, and an error that names a file would mislead a person.  `Place`
keeps both paths and puts the one that a person knows into what is told to a person.
"""

from __future__ import annotations

import os
import pwd
import re
import signal
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from crymapd.errors import AccountUnavailable, AccountUnusable, CrymapError

WORKING_DIRECTORY = Path(".")
CHROOT = Path("//")
"""How a chroot is called from inside.  To the kernel that is `/`; pathlib keeps the second slash (POSIX gives it a
meaning of its own), by which a path that needs translating is known from one that does not."""
_PRIVATE = (".", "user.toml", "new", "tmp", "keys", "messages", "backup")
"""What in a user directory belongs to its owner and nobody else may write, if it is there (docs/store.md section 3)."""
_IN_CHROOT = re.compile(r"(?<![\w:/])/{2,}(?=[\w.])")
_LONGEST_ANSWER = 64 * 1024


@dataclass(frozen=True, slots=True)
class Owner:
    """The UNIX user to whom a directory belongs."""

    uid: int
    gid: int
    groups: tuple[int, ...]

    @classmethod
    def of_ids(cls, uid: int, gid: int) -> Owner:
        """Look up the further groups of a uid, which need not have a name."""
        try:
            return cls(uid, gid, tuple(os.getgrouplist(pwd.getpwuid(uid).pw_name, gid)))
        except KeyError:
            return cls(uid, gid, (gid,))


@dataclass(frozen=True, slots=True)
class Place:
    """A directory as this process reaches it and as a person calls it.

    Attributes:
        path: leads there from this process, which may be in a chroot.
        called: the path that a person knows.
    """

    path: Path
    called: Path

    @classmethod
    def of(cls, path: Path) -> Place:
        """A place that is reached by the path that a person knows."""
        return cls(path, path)

    def within(self, path: Path) -> Place:
        """The place of a path that was found by following this place's `path`."""
        return Place(path, self._real(path))

    def _real(self, path: Path) -> Path:
        if path == self.path or not path.is_relative_to(self.path):
            return self.called if path == self.path else path
        return self.called / path.relative_to(self.path)

    def real_name(self, name: str) -> str:
        """The path that a person knows, for a file's name as it stands in an error."""
        return str(self._real(Path(name)))

    def real_names(self, text: str) -> str:
        """Replace each absolute path into this directory by the path that a person knows."""
        if self.path == self.called or not self.path.is_absolute():
            return text
        ours = _IN_CHROOT if self.path == CHROOT else re.compile(rf"(?<![\w:/.]){re.escape(str(self.path))}/(?=[\w.])")
        return ours.sub(lambda _match: str(self.called / "x")[:-1], text)

    @contextmanager
    def translating(self) -> Iterator[None]:
        """Put the paths that a person knows into every error that passes."""
        try:
            yield
        except (OSError, CrymapError) as error:
            self.translate(error)
            raise

    def translate(self, error: OSError | CrymapError) -> None:
        """Put the paths that a person knows into an error."""
        if isinstance(error, CrymapError):
            if error.path is not None:
                error.path = self._real(error.path)
        else:
            if isinstance(error.filename, str):
                error.filename = self.real_name(error.filename)
            if isinstance(error.filename2, str):
                error.filename2 = self.real_name(error.filename2)
        error.args = tuple(self.real_names(part) if isinstance(part, str) else part for part in error.args)


def is_root() -> bool:
    """Whether this process could act as anybody."""
    return os.geteuid() == 0


def change_root(directory: Path | int) -> None:
    """Make a directory the root of this process; only root can, and only before `become`."""
    os.chdir(directory)
    os.chroot(".")
    os.chdir("/")


def become(owner: Owner) -> None:
    """Take a user's ids for good, and prove that root cannot be had back.

    Raises:
        AccountUnusable: the ids did not take.
    """
    os.setgroups(owner.groups)
    os.setresgid(owner.gid, owner.gid, owner.gid)
    os.setresuid(owner.uid, owner.uid, owner.uid)
    if os.getresuid() != (owner.uid,) * 3 or os.getresgid() != (owner.gid,) * 3 or _can_return():
        raise AccountUnusable("could not drop root privileges")


def _can_return() -> bool:
    try:
        os.setuid(0)
    except PermissionError:
        return False
    return True


@contextmanager
def _effective(owner: Owner) -> Iterator[None]:
    """Have a user's effective ids for the length of a `with`, and the former ones afterwards."""
    groups, gid = os.getgroups(), os.getegid()
    try:
        os.setgroups(owner.groups)
        os.setegid(owner.gid)
        os.seteuid(owner.uid)
        yield
    finally:
        os.seteuid(0)
        os.setegid(gid)
        os.setgroups(groups)


@contextmanager
def _working_in(directory: int) -> Iterator[None]:
    """Have another working directory for the length of a `with`."""
    former = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fchdir(directory)
        yield
    finally:
        os.fchdir(former)
        os.close(former)


@dataclass(slots=True)
class UserDirectory:
    """A user directory and the user to whom it belongs.

    Attributes:
        place: where it is.
        owner: None where this process is not root and acts as what it is.
    """

    place: Place
    owner: Owner | None
    _descriptor: int = field(default=-1, repr=False)

    @classmethod
    def open(cls, place: Place) -> UserDirectory:
        """Find out whose a directory is, and hold it: a directory that is put in its place later is another one.

        Raises:
            AccountUnusable: it belongs to root.
            OSError: it is not there, or is no directory.
        """
        if not is_root():
            return cls(place, None)
        descriptor = os.open(place.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        status = os.fstat(descriptor)
        if status.st_uid == 0:
            os.close(descriptor)
            raise AccountUnusable(
                f"{place.called} belongs to root; give it to the account's own UNIX user (chown -R USER {place.called})"
            )
        return cls(place, Owner.of_ids(status.st_uid, status.st_gid), descriptor)

    def close(self) -> None:
        """Let go of the directory."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> UserDirectory:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    @contextmanager
    def impersonated(self) -> Iterator[Path]:
        """Act with the owner's effective ids for the length of a `with`; gives the path of the directory meanwhile.

        What the owner could not pass, be it a symlink or a mode bit, stops root as well.  This is no confinement:
        code that wants root's ids back takes them.
        """
        if self.owner is None:
            _refuse_strangers(self.place, os.geteuid())
            yield self.place.path
            return
        place = Place(WORKING_DIRECTORY, self.place.called)
        with place.translating(), _working_in(self._descriptor), _effective(self.owner):
            _refuse_strangers(place, self.owner.uid)
            yield place.path

    def in_child(self, action: Callable[[Path], None]) -> None:
        """Call `action` with the path of the directory in a child that is the owner and sees nothing else.

        This process stays what it is, and may do so for one owner after another.  Where it is not root, it acts
        itself.

        Raises:
            CrymapError, OSError, SystemExit: what `action` raised, with the paths that a person knows.
            ChildProcessError: somebody killed the child.
            RuntimeError: there is a bug in `action`; the text has the traceback.
        """
        if self.owner is None:
            with self.place.translating():
                action(self.place.path)
            return
        import traceback  # here, as a chroot may hold no modules, and not above, as few processes need it

        read, write = os.pipe()
        with os.fdopen(read, "rb") as pipe:
            try:
                child = os.fork()
                if child == 0:
                    self._act(action, write, traceback.format_exc)
            finally:
                os.close(write)
            try:
                answer = pipe.read(_LONGEST_ANSWER)
            finally:
                status = _waited_for(child)
        _raise_answer(answer, status)

    def _act(self, action: Callable[[Path], None], answer: int, format_traceback: Callable[[], str]) -> NoReturn:
        """In the child: act, answer, end."""
        report: dict[str, Any] = {"bug": "the answer could not be given"}
        try:
            place = self.take(confined=True)
            with place.translating():
                action(place.path)
            report = {}
        except SystemExit as ended:
            report = {"status": ended.code if isinstance(ended.code, int) else int(ended.code is not None)}
        except (OSError, CrymapError) as error:
            report = _report_of(error)
        except BaseException:
            report = {"bug": format_traceback()[-_LONGEST_ANSWER // 8 :]}
        finally:
            with suppress(OSError):
                os.write(answer, msgspec.json.encode(report))
            os._exit(0)

    def take(self, *, confined: bool) -> Place:
        """Become the owner for good; the place of the directory from now on.

        Args:
            confined: also make the directory all that this process can see.

        Raises:
            AccountUnusable: the ids did not take.
            AccountUnavailable: somebody else owns a part of it, or may write there.
        """
        if self.owner is None:
            _refuse_strangers(self.place, os.geteuid())
            return self.place
        if confined:
            change_root(self._descriptor)
        else:
            os.fchdir(self._descriptor)
        self.close()
        become(self.owner)
        place = Place(CHROOT if confined else WORKING_DIRECTORY, self.place.called)
        _refuse_strangers(place, self.owner.uid)
        return place


def _refuse_strangers(place: Place, owner: int) -> None:
    """Check that a user directory is its owner's alone: else whoever may write there would choose who is served.

    A user might put a link to another's directory, into which he may write, in the place of his own, or of a part.

    Raises:
        AccountUnavailable: a part belongs to somebody else, is a link, or can be written by others.
        OSError: a part cannot be looked at.
    """
    for name in _PRIVATE:
        try:
            status = os.stat(place.path / name, follow_symlinks=name == ".")
        except FileNotFoundError:
            continue
        called = place.called / name
        if stat.S_ISLNK(status.st_mode):
            raise AccountUnavailable(f"{called} is a symbolic link; put what it leads to in its place")
        if status.st_uid != owner:
            raise AccountUnavailable(f"{called} belongs to uid {status.st_uid}, not {owner}; chown -R it to one owner")
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise AccountUnavailable(f"{called} can be written by others; chmod go-w {called}")


# A child's answer is JSON and never code: the child may have read what its owner forged, and its parent is root.


def _report_of(error: OSError | CrymapError) -> dict[str, Any]:
    if isinstance(error, CrymapError):
        path = None if error.path is None else str(error.path)
        return {"reason": type(error).__name__, "text": str(error.args[0] if error.args else ""), "path": path}
    if error.errno is None:
        return {"errno": None, "text": str(error)}
    return {"errno": error.errno, "text": str(error.strerror), "path": error.filename and str(error.filename)}


def _waited_for(child: int) -> int:
    """The exit status as `os.waitpid` has it; 0 where a handler of SIGCHLD was there first."""
    try:
        return os.waitpid(child, 0)[1]
    except ChildProcessError:
        return 0


def _raise_answer(answer: bytes, status: int) -> None:
    """Raise in the parent what was raised in the child; return where nothing was."""
    if os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name
        raise ChildProcessError(f"the process that acted for the owner was ended by {name}")
    match msgspec.json.decode(answer or b'{"bug": "no answer"}'):
        case {"reason": str(name), "text": str(text), "path": path}:
            raise _reason(name, text, path)
        case {"errno": int(code), "text": str(text), "path": path}:
            raise OSError(code, text, path)
        case {"errno": None, "text": str(text)}:
            raise OSError(text)
        case {"status": int(code)}:
            raise SystemExit(code)
        case {"bug": str(traceback_text)}:
            raise RuntimeError(f"in the process that acted for the owner:\n{traceback_text}")
        case {**nothing} if not nothing:
            return
        case unknown:
            raise RuntimeError(f"the process that acted for the owner answered {unknown!r}")


def _reason(name: str, text: str, path: str | None) -> CrymapError:
    """A reason by the name of its class, without its constructor: some make their text themselves."""
    kind = next((kind for kind in _kinds(CrymapError) if kind.__name__ == name), CrymapError)
    reason = kind.__new__(kind)
    CrymapError.__init__(reason, text, path=None if path is None else Path(path))
    return reason


def _kinds(kind: type[CrymapError]) -> Iterator[type[CrymapError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _kinds(below)
