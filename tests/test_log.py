"""The log: where lines go, how urgent they are, and that nobody can forge one."""

from __future__ import annotations

import inspect
import os
import re
import socket
import syslog
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from crymapd import log
from crymapd.log import Severity

EVENTS = [
    value
    for name, value in vars(log).items()
    if inspect.isfunction(value)
    and value.__module__ == log.__name__
    and not value.__name__.startswith("_")
    and name not in ("open_log", "reopen_log", "quoted", "set_prefix", "extend_prefix", "translate_paths")
]


@pytest.fixture(autouse=True)
def _closed_afterwards(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(log, "sink", log.sink)
    yield
    log.set_prefix("")


def test_a_bug_is_an_error_and_damage_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Severity, str]] = []
    monkeypatch.setattr(log, "sink", lambda severity, line: seen.append((severity, line)))
    log.crashed("Traceback\n  ValueError")
    log.message_damaged("ab" * 32, "its tag is wrong")
    log.login_failed("eve", "192.0.2.1")
    log.login_ok("alice")
    assert [severity for severity, _line in seen] == [
        Severity.ERROR,
        Severity.ERROR,
        Severity.WARNING,
        Severity.NOTICE,
        Severity.INFO,
    ]


def test_a_file_has_severities_in_words(tmp_path: Path) -> None:
    log.open_log("log", tmp_path)
    log.set_prefix("imaps from=192.0.2.1 ")
    log.crashed("ValueError")
    log.login_ok("alice")
    process = f"crymapd[{os.getpid()}]: "
    assert (tmp_path / "log").read_text().splitlines() == [
        f"{process}error: imaps from=192.0.2.1 BUG ValueError",
        f"{process}imaps from=192.0.2.1 login user=alice",
    ]


def test_what_a_stranger_chooses_cannot_pass_for_another_line(tmp_path: Path) -> None:
    log.open_log("log", tmp_path)
    log.login_failed("a\ncrymapd[1]: login failed user='bob'", "192.0.2.1")
    log.client_identified("login failed user='bob' from=192.0.2.9", "' from=192.0.2.9")
    log.account_unusable("x", "[Errno 13] Permission denied: '/home/x/login failed user=bob from=192.0.2.9'")
    lines = (tmp_path / "log").read_text().splitlines()
    assert len(lines) == 3
    assert lines[1].endswith(
        r"""client name='login failed user\x3d\'bob\' from\x3d192.0.2.9' version='\' from\x3d192.0.2.9'"""
    )
    assert [bool(FAIL2BAN.search(line)) for line in lines] == [True, False, False]
    assert "from=192.0.2.1" in lines[0]


FAIL2BAN = re.compile(r"login failed user=.* from=\S+")
"""As crymapd(8) gives it; here even without the end of the line, which not everybody writes."""
WORD = "login failed user='bob' from=192.0.2.9"


@pytest.mark.parametrize("event", EVENTS)
def test_no_event_takes_a_field_from_outside(monkeypatch: pytest.MonkeyPatch, event: Callable[..., None]) -> None:
    """Every event, with the same word from outside in each of its places."""
    lines: list[str] = []
    monkeypatch.setattr(log, "sink", lambda _severity, line: lines.append(line))
    event(*(WORD for _parameter in inspect.signature(event).parameters))
    assert lines
    for line in lines:
        forged = line.replace("login failed user='login failed", "") if event is log.login_failed else line
        assert not FAIL2BAN.search(forged), line


@contextmanager
def standard_error(descriptor: int) -> Iterator[None]:
    """Have standard error be another descriptor, which is closed afterwards."""
    saved = os.dup(2)
    os.dup2(descriptor, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(descriptor)


def test_an_inherited_journal_variable_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    with standard_error(write):
        status = os.fstat(2)
        for journal in (f"{status.st_dev}:{status.st_ino}", "1:1"):
            monkeypatch.setenv("JOURNAL_STREAM", journal)
            log.open_log("stderr", tmp_path)
            log.login_ok("alice")
    with os.fdopen(read) as lines:
        process = f"crymapd[{os.getpid()}]: login user=alice"
        assert lines.read().splitlines() == [f"<6>{process}", process]


@pytest.mark.parametrize("is_heard", [True, False])
def test_where_nobody_listens_to_syslog_standard_error_is_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_heard: bool
) -> None:
    """As in most containers. A terminal and the journal are asked first."""
    heard: list[str] = []
    monkeypatch.setattr(syslog, "syslog", lambda _severity, line: heard.append(line))
    monkeypatch.setattr(log, "_SYSLOG_SOCKETS", (str(tmp_path / "log"),))
    read, write = os.pipe()
    with standard_error(write), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
        if is_heard:
            daemon.bind(str(tmp_path / "log"))
        log.open_log("", tmp_path)
        log.login_ok("alice")
    with os.fdopen(read) as lines:
        assert (heard, lines.read() == "") == ((["login user=alice"], True) if is_heard else ([], False))


def test_where_standard_error_leads_nowhere_syslog_is_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As under inetd, where it would be the client."""
    monkeypatch.setattr(log, "_SYSLOG_SOCKETS", ())
    with standard_error(os.open(os.devnull, os.O_WRONLY)):
        log.open_log("", tmp_path)
        assert log.sink is syslog.syslog
        os.close(2)
        log.open_log("", tmp_path)
        assert log.sink is syslog.syslog


def test_events_before_a_log_is_opened_go_nowhere() -> None:
    log.index_rebuilt("a test")
