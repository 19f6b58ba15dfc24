"""What no import contract can see: the data that crosses a boundary is what that boundary owns."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import crymapd

PACKAGE = Path(crymapd.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

SQL = re.compile(r"\bSELECT\b.*\bFROM\b|\bINSERT\b.*\bINTO\b|\bUPDATE\b.*\bSET\b|\bDELETE FROM\b|\bPRAGMA\b", re.S)
IMAP = re.compile(r"\bNIL\b|\{%d\+?\}\r\n|\* (OK|NO|BAD|BYE|%d|PREAUTH)\b|\bBODY(STRUCTURE)?\b|\bENVELOPE\b|\bUID ")
"""Words and marks that only somebody who speaks IMAP writes."""
FACE = {
    "incoming",
    "mailboxes",
    "message",
    "rows",
    "store",
    "summary",
    "view",
    "watch",
}
"""The modules of the store that `imap/` may name: its face (`store/store.py`), and the types that it hands out."""

INSIDE = {"components", "indexing"}
"""Attributes of a store that are for `store/`, and for tests that look behind its face."""


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def docstrings(module: ast.Module) -> set[int]:
    """The ids of constants that nobody but a reader sees."""
    return {
        id(node.value)
        for node in ast.walk(module)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """(line, text) of every string and octet string that the program uses."""
    module = tree(path)
    said = docstrings(module)
    for node in ast.walk(module):
        if isinstance(node, ast.Constant) and id(node) not in said and isinstance(node.value, str | bytes):
            yield node.lineno, node.value if isinstance(node.value, str) else node.value.decode("latin-1")


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def outside(*parts: str) -> list[Path]:
    folder = PACKAGE.joinpath(*parts)
    return [path for path in FILES if folder not in path.parents and path != folder]


def within(*parts: str) -> list[Path]:
    folder = PACKAGE.joinpath(*parts)
    return [path for path in FILES if folder in path.parents]


def named(paths: list[Path]) -> list[object]:
    return [pytest.param(path, id=str(path.relative_to(PACKAGE))) for path in paths]


@pytest.mark.parametrize("path", named(outside("store")))
def test_no_sql_outside_the_store(path: Path) -> None:
    assert not [(line, text) for line, text in texts(path) if SQL.search(text)]


def test_only_one_module_knows_the_database_library() -> None:
    assert [path.name for path in FILES if any(name.startswith("apsw") for name in imported(path))] == ["database.py"]


SPEAKS_IMAP = {
    "daemon/rehearsal.py": "plays a client to warm up the program",
}


@pytest.mark.parametrize("path", named(outside("imap")))
def test_no_imap_outside_imap(path: Path) -> None:
    if str(path.relative_to(PACKAGE)) in SPEAKS_IMAP:
        assert [text for _line, text in texts(path) if IMAP.search(text)], "no exception is needed any more"
    else:
        assert not [(line, text) for line, text in texts(path) if IMAP.search(text)]


@pytest.mark.parametrize("path", named(within("imap")))
def test_imap_sees_only_the_face_of_the_store(path: Path) -> None:
    modules = {name.split(".")[2] for name in imported(path) if name.startswith("crymapd.store.")}
    assert modules <= FACE
    used = [node.lineno for node in ast.walk(tree(path)) if isinstance(node, ast.Attribute) and node.attr in INSIDE]
    assert not used, f"{', '.join(sorted(INSIDE))}: what the store works with inside"


def test_the_rules_can_fail() -> None:
    assert SQL.search("SELECT uid\nFROM entries") and SQL.search("DELETE FROM x") and not SQL.search("SELECT INBOX")
    for text in ("NIL", "{%d}\r\n", "~{%d+}\r\n", "* OK [ALERT]", "* %d FETCH", "UID FETCH", "BODY[]"):
        assert IMAP.search(text), text
    assert not IMAP.search("body of the message") and not IMAP.search("NILS")


_LOADED = "import sys, crymapd.cli.mda; print(*sorted({name.partition('.')[0] for name in sys.modules}))"


def test_delivery_loads_neither_the_database_nor_argon2() -> None:
    """An MTA starts it once for each message, and it opens nothing of its owner's."""
    loaded = subprocess.run([sys.executable, "-c", _LOADED], capture_output=True, text=True, check=True).stdout.split()
    assert "cryptography" in loaded and "nacl" in loaded
    assert not {"apsw", "argon2", "OpenSSL", "click"} & set(loaded)
