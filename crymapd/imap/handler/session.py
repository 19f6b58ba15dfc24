"""The connection itself: capabilities, login, ENABLE, ID, NAMESPACE."""

from __future__ import annotations

import base64
import binascii
import unicodedata

from crymapd import __version__
from crymapd.errors import AccountUnusable, BadCredentials, UnsafeName
from crymapd.imap import capability
from crymapd.imap.command import session as command
from crymapd.imap.response import Done, Goodbye, Refusal, ok
from crymapd.imap.session import Session
from crymapd.imap.wire import writer


def handle_capability(session: Session, _command: command.Capability) -> Done:
    session.line(b"CAPABILITY ", capabilities(session).encode())
    return ok()


def capabilities(session: Session) -> str:
    """What this client may use now."""
    store = session.store_or_none
    if store is None:
        return capability.before_login()
    hidden = store.hidden_capabilities
    return capability.after_login(store.max_message_size, hidden if store.quota.limit else (*hidden, "QUOTA"))


def handle_noop(_session: Session, _command: command.Noop) -> Done:
    return ok()


def handle_logout(session: Session, _command: command.Logout) -> Done:
    session.line(b"BYE goodbye")
    return ok()


def handle_starttls(_session: Session, _command: command.StartTls) -> Done:
    raise Refusal("BAD", "the connection is encrypted already")


def handle_login(session: Session, asked: command.Login) -> Done:
    return log_in(session, _text(asked.user), _text(asked.password))


def log_in(session: Session, user: str, password: str) -> Done:
    """RFC 5530: AUTHENTICATIONFAILED for bad credentials, and never a hint which part was bad."""
    try:
        session.store_or_none = session.authenticate(user, password)
    except (BadCredentials, UnsafeName):
        session.failures += 1
        raise Refusal("NO", "wrong user name or password", "AUTHENTICATIONFAILED") from None
    except AccountUnusable:
        raise Goodbye("the account cannot be served; the server's log says why", "CONTACTADMIN") from None
    return ok("logged in", "CAPABILITY " + capabilities(session))


def _text(octets: bytes) -> str:
    """Credentials as text; octets that are no UTF-8 stay what they are."""
    return unicodedata.normalize("NFC", octets.decode("utf-8", "surrogateescape"))


# SASL: a mechanism is a list of prompts and what to do with the answers

PLAIN, LOGIN = b"PLAIN", b"LOGIN"
PROMPTS = {PLAIN: (b"",), LOGIN: (b"Username:", b"Password:")}
"""RFC 4616; draft-murchison-sasl-login-00, whose prompts some clients insist on."""


def prompt(mechanism: bytes, answers: int) -> bytes | None:
    """The next challenge line without its end, or None when every answer is there."""
    prompts = PROMPTS.get(mechanism)
    if prompts is None:
        raise Refusal("NO", "the mechanisms are PLAIN and LOGIN", "CANNOT")
    if answers >= len(prompts):
        return None
    return b"+ " + base64.b64encode(prompts[answers])


def decode_answer(line: bytes) -> bytes:
    """A client's base64 line; `*` cancels, `=` is an empty initial response (RFC 4959)."""
    if line == b"*":
        raise Refusal("BAD", "cancelled")
    if line == b"=":
        return b""
    try:
        return binascii.a2b_base64(line, strict_mode=True)
    except binascii.Error:
        raise Refusal("BAD", "expected base64", "PARSE") from None


def finish_sasl(session: Session, mechanism: bytes, answers: list[bytes]) -> Done:
    if mechanism == LOGIN:
        return log_in(session, _text(answers[0]), _text(answers[1]))
    pieces = answers[0].split(b"\0")
    if len(pieces) != 3:
        raise Refusal("BAD", "expected authzid NUL authcid NUL password", "PARSE")
    authzid, authcid, password = map(_text, pieces)
    if authzid not in ("", authcid):
        raise Refusal("NO", "one user cannot log in as another", "AUTHORIZATIONFAILED")
    return log_in(session, authcid, password)


def handle_enable(session: Session, asked: command.Enable) -> Done:
    """RFC 9051 section 6.3.1, RFC 7162 section 3.2.3, RFC 6855 section 3."""
    enabled = [capability.ENABLEABLE[name] for name in dict.fromkeys(asked.names) if name in capability.ENABLEABLE]
    session.line(b" ".join([b"ENABLED", *(name.encode("ascii") for name in enabled)]))
    if "CONDSTORE" in enabled or "QRESYNC" in enabled:
        session.enable_condstore()
    session.qresync = session.qresync or "QRESYNC" in enabled
    session.utf8 = session.utf8 or "UTF8=ACCEPT" in enabled
    if "IMAP4rev2" in enabled:
        session.rev2 = True
        if session.view_or_none is not None:
            session.view.forget_recent()
    return ok()


# Quota (RFC 9208): one root for the whole account, without a name; where nothing is limited, none


def handle_get_quota(session: Session, asked: command.GetQuota) -> Done:
    if asked.root or not session.store.quota.limit:
        raise Refusal("NO", "there is no such quota root", "NONEXISTENT")
    _quota_line(session)
    return ok()


def handle_get_quota_root(session: Session, asked: command.GetQuotaRoot) -> Done:
    """The mailbox need not exist (RFC 9208 section 4.1.2)."""
    limited = bool(session.store.quota.limit)
    session.line(b"QUOTAROOT ", session.mailbox_name(asked.mailbox), b' ""' if limited else b"")
    if limited:
        _quota_line(session)
    return ok()


def _quota_line(session: Session) -> None:
    """Usage and limit in units of 1024 octets."""
    quota = session.store.quota
    session.line(b'QUOTA "" (STORAGE %d %d)' % (-(-quota.used() // 1024), quota.limit // 1024))


def handle_id(session: Session, asked: command.Id) -> Done:
    """RFC 2971; a client's words are for the log, without anything that could forge a line."""
    session.on_client_id({_printable(name): _printable(value) for name, value in asked.fields})
    fields = (("name", "crymapd"), ("version", __version__), *session.identification)
    pairs = b" ".join(writer.quoted(item.encode("ascii", "replace")) for pair in fields for item in pair)
    session.line(b"ID (", pairs, b")")
    return ok()


def _printable(octets: bytes) -> str:
    return "".join(c if c.isprintable() else "?" for c in octets.decode("utf-8", "replace"))[:64]


def handle_namespace(session: Session, _command: command.Namespace) -> Done:
    session.line(b'NAMESPACE (("" "/")) NIL NIL')
    return ok()
