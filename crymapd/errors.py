"""The reasons every layer may raise; what a client is told of them is decided at the edge.

`imap/failure.py` holds one table from these to response codes, `cli/` one from these to
sysexits values.  A reason never carries mail, a password or a key.
"""

from __future__ import annotations


class CrymapError(Exception):
    """Any reason of ours. `permanent` says whether trying again later can help."""

    permanent = True


class ConfigError(CrymapError):
    """A configuration file is missing or wrong; the text names file, key and what was expected."""


# Accounts and login


class UnsafeName(CrymapError):
    """A user or key name that could be mistaken for another or for a path."""


class NoSuchUser(CrymapError):
    """No account of that name."""


class AccountExists(CrymapError):
    """An account of that name is there already."""


class BadCredentials(CrymapError):
    """Unknown user or wrong password: one reason, so that nobody can tell which."""


class AccountUnusable(CrymapError):
    """The password was right, but the account cannot be served (owned by root, unreadable, ...)."""


class KeyMissing(CrymapError):
    """Mail is sealed with a key pair that is not in `keys/`."""


class NoDeliveryKey(CrymapError):
    """No readable public key to seal for: the account was never opened, or `keys/` is damaged."""

    permanent = False


# Messages


class Damaged(CrymapError):
    """A sealed file or a database is not what was written."""


class TooBig(CrymapError):
    """A message exceeds `[limits] max_message_size`."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the message is larger than {limit} bytes ([limits] max_message_size)")
        self.limit = limit


class OverQuota(CrymapError):
    """The account's sealed mail would take more room than it may (RFC 9208)."""

    permanent = False


class MessageGone(CrymapError):
    """The message was expunged and its file removed."""


class MessageUnavailable(CrymapError):
    """The file of a message is there but cannot be read now (no right, disk error): later it may be."""

    permanent = False


# Mailboxes


class MailboxError(CrymapError):
    """Something about a mailbox; its subclasses say what."""


class BadMailboxName(MailboxError):
    """The name is empty, too long, or holds control characters."""


class NoSuchMailbox(MailboxError):
    """No mailbox of that name (or only a \\Noselect remnant where a real one is needed)."""


class MailboxExists(MailboxError):
    """The new name is taken."""


class MailboxHasChildren(MailboxError):
    """A \\Noselect mailbox that still has children cannot be deleted."""


class NotAllowedOnInbox(MailboxError):
    """INBOX cannot be created, deleted, or be the target of a rename."""


class RenameIntoSelf(MailboxError):
    """A mailbox cannot become its own child."""


class MailboxFull(MailboxError):
    """UIDs, keywords or another counter of the mailbox are used up."""


class SearchTooComplex(CrymapError):
    """A search has more keys than can be answered in one query."""


# The store


class NewerStore(CrymapError):
    """The database was written by a newer program; this one would damage it."""


class StoreBusy(CrymapError):
    """Another process held the database for longer than we wait."""

    permanent = False
