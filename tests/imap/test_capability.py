"""No capability is announced that a transcript does not prove."""

from __future__ import annotations

import re

import pytest

from crymapd.imap import capability
from tests.imap.test_transcripts import FILES
from tests.testlib import script

ANNOUNCED = sorted({name.partition("={")[0] for name in (*capability.BEFORE_LOGIN, *capability.AFTER_LOGIN)})
REASONS = [script.read(path).reason for path in FILES]


@pytest.mark.parametrize("name", ANNOUNCED)
def test_a_transcript_names_it(name: str) -> None:
    word = re.compile(rf"(?<![\w-]){re.escape(name)}(?![\w-])")
    assert any(word.search(reason) for reason in REASONS), f"no transcript names {name} on its first line"


@pytest.mark.parametrize("text", [capability.before_login(), capability.after_login(1000, ())])
def test_rev1_comes_first_and_nothing_twice(text: str) -> None:
    names = text.split()
    assert names[0] == "IMAP4rev1"
    assert len(names) == len({name.upper() for name in names})


def test_an_account_hides_what_its_clients_take_wrongly() -> None:
    text = capability.after_login(1000, ("compress", "THREAD=REFERENCES", "IMAP4rev1"))
    assert "COMPRESS" not in text and "THREAD=REFERENCES" not in text and "THREAD=ORDEREDSUBJECT" in text
    assert text.startswith("IMAP4rev1 ") and " APPENDLIMIT=1000 " in text


def test_what_can_be_enabled_is_announced() -> None:
    assert set(capability.ENABLEABLE.values()) <= set(capability.AFTER_LOGIN)


def test_mechanisms_are_announced_before_login_only() -> None:
    assert not [name for name in capability.AFTER_LOGIN if name.startswith("AUTH=")]
