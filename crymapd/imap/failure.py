"""Reasons of the layers below as NO answers: one table (RFC 5530). A test proves it whole."""

from __future__ import annotations

from crymapd import errors
from crymapd.imap.response import Done

ANSWERS: dict[type[errors.CrymapError], str] = {
    errors.NoSuchMailbox: "NONEXISTENT",
    errors.MailboxExists: "ALREADYEXISTS",
    errors.MailboxHasChildren: "HASCHILDREN",
    errors.BadMailboxName: "CANNOT",
    errors.NotAllowedOnInbox: "CANNOT",
    errors.RenameIntoSelf: "CANNOT",
    errors.MailboxFull: "LIMIT",
    errors.TooBig: "TOOBIG",
    errors.OverQuota: "OVERQUOTA",
    errors.MessageGone: "EXPUNGEISSUED",
    errors.MessageUnavailable: "UNAVAILABLE",
    errors.BadCredentials: "AUTHENTICATIONFAILED",
    errors.AccountUnusable: "CONTACTADMIN",
    errors.Damaged: "CORRUPTION",
    errors.KeyMissing: "CORRUPTION",
    errors.NewerStore: "CONTACTADMIN",
    errors.StoreBusy: "INUSE",
    errors.CrymapError: "SERVERBUG",
}
_TOLD = (errors.MailboxError, errors.TooBig, errors.OverQuota, errors.BadCredentials)
"""Reasons whose text is about the client's request; of the others only the log has details."""


def answer(error: errors.CrymapError) -> Done:
    """The NO for a reason."""
    code = next(code for kind, code in ANSWERS.items() if isinstance(error, kind))
    text = str(error) if isinstance(error, _TOLD) else "this cannot be done now; the server's log says why"
    return Done("NO", text, code)
