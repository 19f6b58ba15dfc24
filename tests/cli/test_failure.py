"""Every reason has an exit status, and whatever may pass has 75."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from crymapd import errors
from crymapd.cli import failure
from crymapd.cli.mda import STATUSES
from crymapd.errors import CrymapError
from crymapd.unix import sysexits

UNREACHABLE = {
    errors.CrymapError: "only its subclasses are raised",
    errors.MessageGone: "only an IMAP session reads messages",
    errors.MailboxError: "only an IMAP session works on mailboxes",
    errors.BadMailboxName: "delivery takes INBOX instead",
    errors.NoSuchMailbox: "only an IMAP session works on mailboxes",
    errors.MailboxExists: "only an IMAP session works on mailboxes",
    errors.MailboxHasChildren: "only an IMAP session works on mailboxes",
    errors.NotAllowedOnInbox: "only an IMAP session works on mailboxes",
    errors.RenameIntoSelf: "only an IMAP session works on mailboxes",
    errors.SearchTooComplex: "only an IMAP session searches",
    errors.MailboxFull: "delivery gives no UIDs",
}


def reasons(kind: type[CrymapError] = CrymapError) -> Iterator[type[CrymapError]]:
    """Every class of errors.py, the base included."""
    if kind.__module__ == errors.__name__:
        yield kind
    for below in kind.__subclasses__():
        yield from reasons(below)


PERMANENT = [kind for kind in reasons() if kind.permanent]
TEMPORARY = [kind for kind in reasons() if not kind.permanent]


def made(kind: type[CrymapError]) -> CrymapError:
    return kind(7) if kind is errors.TooBig else kind("a reason")


def test_the_table_is_whole() -> None:
    """A permanent reason has a row or cannot reach a program; a temporary one needs none."""
    assert set(PERMANENT) == set(failure.EXIT_STATUS) | set(UNREACHABLE)
    assert not set(failure.EXIT_STATUS) & set(UNREACHABLE)


def test_no_row_hides_another() -> None:
    rows = list(failure.EXIT_STATUS)
    assert not [(one, other) for one in rows for other in rows if one is not other and issubclass(one, other)]


@pytest.mark.parametrize("kind", TEMPORARY, ids=lambda kind: kind.__name__)
def test_what_may_pass_is_75(kind: type[CrymapError]) -> None:
    assert failure.exit_status(made(kind)) == failure.exit_status(made(kind), STATUSES) == sysexits.TEMPFAIL


@pytest.mark.parametrize("kind", PERMANENT, ids=lambda kind: kind.__name__)
def test_what_is_permanent_has_its_row(kind: type[CrymapError]) -> None:
    expected = failure.EXIT_STATUS.get(kind, sysexits.SOFTWARE)
    assert failure.exit_status(made(kind)) == expected != sysexits.TEMPFAIL
    assert failure.exit_status(made(kind), STATUSES) == STATUSES.get(kind, expected)


def test_an_error_of_the_system_may_pass() -> None:
    assert failure.exit_status(OSError(28, "No space left on device")) == sysexits.TEMPFAIL


def test_a_bug_is_temporary_for_a_mail_transfer_agent_and_a_traceback_elsewhere() -> None:
    assert failure.exit_status(ValueError("a bug"), STATUSES) == sysexits.TEMPFAIL
    assert failure.exit_status(ValueError("a bug")) is None


def test_a_reason_about_a_file_begins_with_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, failure.reported("crymap-deliver"):
        raise FileNotFoundError(2, "No such file or directory", "/home/bob/mail/new")
    assert ended.value.code == sysexits.TEMPFAIL
    assert capsys.readouterr().err == "crymap-deliver: /home/bob/mail/new: No such file or directory\n"
