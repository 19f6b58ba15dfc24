"""What the store has to say to the postmaster: one function per event, handed to a sink.

The daemon points `sink` at its log; until then events go nowhere.  No event carries mail, an
address, a mailbox name or a secret.
"""

from __future__ import annotations

from collections.abc import Callable


def _nowhere(_line: str) -> None:
    """Before a log is set."""


sink: Callable[[str], None] = _nowhere


def message_damaged(name: str, reason: str) -> None:
    sink(f"damaged message {name[:16]}...: {reason}; a note stands in its place, put the file back from a backup")


def message_missing(name: str) -> None:
    sink(f"missing message file {name[:2]}/{name[2:16]}...; a note stands in its place, put it back from a backup")


def message_unavailable(name: str, reason: str) -> None:
    sink(f"message file {name[:2]}/{name[2:16]}... cannot be read now: {reason}")


def delivery_unreadable(name: str, reason: str) -> None:
    sink(f"delivered file new/{name[:16]}... cannot be opened: {reason}; a note was put into INBOX")


def not_filed(name: str, reason: str) -> None:
    sink(f"delivered file new/{name[:16]}... was not filed: {reason}; it stays in new/ and is tried again later")


def not_placed(name: str, reason: str) -> None:
    sink(f"message file {name[:2]}/{name[2:16]}... was not moved out of tmp/: {reason}; a later login does it")


def directory_made_again(name: str) -> None:
    sink(f"{name}/ was missing and has been made again; what was in it is lost unless a backup has it")


def not_listed(name: str, reason: str) -> None:
    sink(f"{name}/ cannot be listed: {reason}; what is in it stays there until it can")


def not_a_message(name: str) -> None:
    sink(f"new/{name[:80]!r} is not a plain file of ours and was left alone")


def key_rejected(name: str, reason: str) -> None:
    sink(f"key file keys/{name[:64]!r} was not used: {reason}")


def key_restored(name: str) -> None:
    sink(f"key file keys/{name} was damaged or missing and has been restored from backup/keys")


def user_restored(reason: str) -> None:
    sink(f"user.toml was unusable ({reason}) and has been restored from backup/user.toml")


def database_put_aside(name: str, reason: str) -> None:
    sink(f"{name} is damaged ({reason}); it was moved to damaged/")


def database_restored(source: str) -> None:
    sink(f"meta.db was rebuilt from {source}; every UIDVALIDITY changes")


def database_older() -> None:
    sink("meta.db is older than what clients have seen (a restored backup?); every UIDVALIDITY changes")


def index_rebuilt(reason: str) -> None:
    sink(f"index.db was unusable ({reason}) and starts anew")


def index_not_used(reason: str) -> None:
    sink(f"index.db cannot be used now: {reason}; what it would tell is read from the messages, which takes longer")


def not_indexed(number: int, reason: str) -> None:
    sink(f"message {number} was not indexed: {reason}, a mistake in crymapd; each search reads it")


def orphans_filed(count: int) -> None:
    sink(f"{count} message file(s) without a database row were put into INBOX")


def maintenance_failed(step: str, reason: str) -> None:
    sink(f"daily maintenance: {step} failed: {reason}; it will be tried again")
