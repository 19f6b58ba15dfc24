"""Makes NO answers of the reasons that lower layers raise, by one table (RFC 5530), which a test proves complete."""

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
    errors.SearchTooComplex: "LIMIT",
    errors.TooBig: "TOOBIG",
    errors.OverQuota: "OVERQUOTA",
    errors.MessageGone: "EXPUNGEISSUED",
    errors.MessageUnavailable: "UNAVAILABLE",
    errors.Damaged: "CORRUPTION",
    errors.KeyMissing: "CORRUPTION",
    errors.NewerStore: "CONTACTADMIN",
    errors.StoreBusy: "INUSE",
    errors.CrymapError: "SERVERBUG",
}
_FOR_CLIENTS = (errors.MailboxError, errors.TooBig, errors.SearchTooComplex, errors.OverQuota)
"""Reasons whose text tells the client what is wrong with its request; the text of any other goes to the log only."""


def answer(error: errors.CrymapError) -> Done:
    """Return the NO for a reason."""
    code = next(code for kind, code in ANSWERS.items() if isinstance(error, kind))
    text = str(error) if isinstance(error, _FOR_CLIENTS) else "this cannot be done now; the server's log says why"
    return Done("NO", text, code)
