"""The names of files and directories in a user directory. No other module spells them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from crymapd.unix import files


@dataclass(frozen=True, slots=True)
class Layout:
    """The user directory (`docs/store.md` section 3)."""

    home: Path

    @property
    def user(self) -> Path:
        return self.home / "user.toml"

    @property
    def keys(self) -> Path:
        return self.home / "keys"

    @property
    def new(self) -> Path:
        return self.home / "new"

    @property
    def messages(self) -> Path:
        return self.home / "messages"

    @property
    def tmp(self) -> Path:
        return self.home / "tmp"

    @property
    def backup(self) -> Path:
        return self.home / "backup"

    @property
    def meta(self) -> Path:
        return self.home / "meta.db"

    @property
    def index(self) -> Path:
        return self.home / "index.db"

    @property
    def epoch(self) -> Path:
        return self.home / "epoch"

    @property
    def reserve(self) -> Path:
        """A file that keeps disk space, and is removed when the disk is full (`store/reserve.py`)."""
        return self.home / "reserve"

    @property
    def lock(self) -> Path:
        return self.home / "lock"

    @property
    def maintained(self) -> Path:
        """An empty file whose modification time says when daily maintenance last succeeded."""
        return self.home / "maintained"

    @property
    def recovering(self) -> Path:
        """An empty file that exists while a recovery is not finished, so that there may be orphans."""
        return self.home / "recovering"

    @property
    def user_copy(self) -> Path:
        return self.backup / "user.toml"

    @property
    def keys_copy(self) -> Path:
        return self.backup / "keys"

    @property
    def damaged(self) -> Path:
        """The directory for unusable databases and key files, which are put aside and never deleted."""
        return self.home / "damaged"

    @property
    def staging_lock(self) -> Path:
        """Shared by all who write messages into `tmp/`; whoever sweeps it needs the lock for itself."""
        return self.tmp / "staging.lock"

    def message(self, name: str) -> Path:
        """Return the final place of the sealed file with this name of 64 hexadecimal digits."""
        return self.messages / name[:2] / name[2:]

    def places(self, name: str) -> tuple[Path, Path, Path]:
        """Return where a sealed file with a row may be: placed, delivered, or brought in by an APPEND."""
        return self.message(name), self.new / name, self.tmp / name

    def search_order(self, name: str) -> Iterator[str]:
        """Yield where to look for a sealed file, in order; the final place twice, as the file may move meanwhile."""
        final = f"{self.home}/messages/{name[:2]}/{name[2:]}"
        yield final
        yield f"{self.tmp}/{name}"
        yield f"{self.new}/{name}"
        yield final

    def make(self) -> None:
        """Create the directories that are missing."""
        for path in (self.keys, self.new, self.messages, self.tmp, self.backup, self.keys_copy):
            files.make_dir(path)

    def put_aside(self, path: Path, stamp: str) -> Path:
        """Move something unusable to `damaged/`, under its name with a stamp, and return where it is now."""
        files.make_dir(self.damaged)
        target = self.damaged / f"{path.name}.{stamp}"
        attempt = 1
        while target.exists():
            attempt += 1
            target = self.damaged / f"{path.name}.{stamp}.{attempt}"
        files.move(path, target)
        return target
