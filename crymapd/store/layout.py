"""Where things lie in a user directory; the only place that spells these names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from crymapd.unix import files


@dataclass(frozen=True, slots=True)
class Layout:
    """The user directory (`docs/store.md` sections 2 and following)."""

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
    def lock(self) -> Path:
        return self.home / "lock"

    @property
    def maintained(self) -> Path:
        """Empty; its time says when daily maintenance last succeeded."""
        return self.home / "maintained"

    @property
    def recovering(self) -> Path:
        """There while the rows of message files may be incomplete: recovery was begun and not finished."""
        return self.home / "recovering"

    @property
    def user_copy(self) -> Path:
        return self.backup / "user.toml"

    @property
    def keys_copy(self) -> Path:
        return self.backup / "keys"

    @property
    def damaged(self) -> Path:
        """Where unusable databases and key files are put aside: nothing is thrown away."""
        return self.home / "damaged"

    def message(self, name: str) -> Path:
        """The final place of a sealed message, by its 64 hexadecimal digits."""
        return self.messages / name[:2] / name[2:]

    def places(self, name: str) -> tuple[Path, Path, Path]:
        """Where the file of a committed row may be: filed, delivered, or staged by an APPEND."""
        return self.message(name), self.new / name, self.tmp / name

    def looked_for(self, name: str) -> Iterator[str]:
        """The same in the order to look: it may move on between two looks, so the final place comes twice."""
        final = f"{self.home}/messages/{name[:2]}/{name[2:]}"
        yield final
        yield f"{self.tmp}/{name}"
        yield f"{self.new}/{name}"
        yield final

    def make(self) -> None:
        """Create what is missing of the directories."""
        for path in (self.keys, self.new, self.messages, self.tmp, self.backup, self.keys_copy):
            files.make_dir(path)

    def put_aside(self, path: Path, stamp: str) -> Path:
        """Move something unusable to `damaged/` under a name that does not clash."""
        files.make_dir(self.damaged)
        target = self.damaged / f"{path.name}.{stamp}"
        number = 1
        while target.exists():
            number += 1
            target = self.damaged / f"{path.name}.{stamp}.{number}"
        files.move(path, target)
        return target
