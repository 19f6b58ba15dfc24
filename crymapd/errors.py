"""The reasons every layer may raise; what a client is told of them is decided at the edge.

`imap/failure.py` holds the table from reasons to response codes, `cli/failure.py` the one to exit statuses.
A reason never carries mail, a password or a key.
"""

from __future__ import annotations

from pathlib import Path


class CrymapError(Exception):
    """Any reason of ours.

    Attributes:
        permanent: whether the same attempt fails again for as long as nobody changes anything.  What is not
            permanent is told to a mail transfer agent as temporary, whatever its type.
        path: the file that the reason is about, as this process reaches it, where it is about one; the text
            begins with it.  `unix.owner` puts the path in its place by which a person calls the file.
    """

    permanent = True

    def __init__(self, text: str = "", *, path: Path | None = None) -> None:
        super().__init__(text)
        self.path = path

    def __str__(self) -> str:
        text = super().__str__()
        return text if self.path is None else f"{self.path}: {text}"


class ConfigError(CrymapError):
    """A configuration file is missing or wrong; the text names file, key and what was expected."""


# Accounts and login


class UnsafeName(CrymapError):
    """A user or key name that could be mistaken for another or for a path."""


class NoSuchUser(CrymapError):
    """There is no account of that name."""


class AccountExists(CrymapError):
    """There is an account of that name already."""


class BadCredentials(CrymapError):
    """The user is unknown or the password wrong: one reason for both, so that nobody can tell which."""


class AccountUnusable(CrymapError):
    """The account cannot be served although its password is right, or must not be served (it belongs to root)."""


class AccountUnavailable(CrymapError):
    """The account is not served now: its directory or `user.toml` cannot be read, or others may write there."""

    permanent = False


class KeyMissing(CrymapError):
    """Mail is sealed with a key pair that is not in `keys/`."""


class NoDeliveryKey(CrymapError):
    """There is no readable public key to seal for: the account was never opened, or `keys/` is damaged."""

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
    """The message was expunged, and its file has been removed."""


class MessageUnavailable(CrymapError):
    """The file of a message is there but cannot be read now (no right, a disk error); later it may be."""

    permanent = False


# Mailboxes


class MailboxError(CrymapError):
    """A mailbox stands in the way; the subclasses say how."""


class BadMailboxName(MailboxError):
    """The name is empty, too long, or holds control characters."""


class NoSuchMailbox(MailboxError):
    """There is no mailbox of that name (or only a \\Noselect remnant where a real one is needed)."""


class MailboxExists(MailboxError):
    """There is a mailbox of the new name already."""


class MailboxHasChildren(MailboxError):
    """A \\Noselect mailbox cannot be deleted while it has children."""


class NotAllowedOnInbox(MailboxError):
    """INBOX can neither be created nor deleted, nor be the target of a rename."""


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
