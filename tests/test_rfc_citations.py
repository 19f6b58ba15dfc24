"""Every RFC that the code cites is in `docs/rfc.md`, and that table can be read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
STATES = ("yes", "partial", "no")
_CITED = re.compile(r"\bRFC (\d{3,5})((?:, \d{4,5})*)\b")
_HEADER = "| RFC | Subject | State | Why, or what is missing |"


def rows() -> list[list[str]]:
    """The cells of the table in docs/rfc.md, without its head."""
    lines = (ROOT / "docs" / "rfc.md").read_text().splitlines()
    start = lines.index(_HEADER) + 2
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[start:] if line.startswith("|")]


def cited_in(text: str) -> set[int]:
    """The numbers in `RFC 9051 section 6` and in `RFC 2045, 2183`."""
    found: set[int] = set()
    for first, more in _CITED.findall(text):
        found.update(int(number) for number in (first, *more.split(", ")) if number)
    return found


def test_the_table_parses() -> None:
    table = rows()
    assert len(table) > 20
    for row in table:
        assert len(row) == 4, row
        number, subject, state, why = row
        assert number.isdecimal() and subject, row
        assert state in STATES, row
        assert state == "yes" or why, f"RFC {number}: {state} needs a reason"
    numbers = [int(row[0]) for row in table]
    assert numbers == sorted(set(numbers)), "ascending, each once"


@pytest.mark.parametrize("path", sorted((ROOT / "crymapd").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_what_is_cited_is_listed(path: Path) -> None:
    missing = cited_in(path.read_text()) - {int(row[0]) for row in rows()}
    assert not missing, f"{path}: not in docs/rfc.md: {sorted(missing)}"


def test_citations_are_found() -> None:
    assert cited_in("(RFC 2045, 2183, 2231). See RFC 9051 section 6.4.7, 12 and RFC 3501.") == {
        2045,
        2183,
        2231,
        9051,
        3501,
    }
    assert cited_in("RFC822.SIZE, RFC 9051 section 9") == {9051}
