"""Commands that concern no mailbox: capabilities, login, ENABLE, quota, ID and NAMESPACE."""

from __future__ import annotations

import base64
from collections.abc import Callable

from crymapd import __version__, log
from crymapd.authentication import sasl
from crymapd.authentication.credentials import Credentials
from crymapd.errors import AccountUnavailable, AccountUnusable, BadCredentials
from crymapd.imap import capability
from crymapd.imap.command import general as command
from crymapd.imap.response import Done, Goodbye, Refusal, ok
from crymapd.imap.session import Session
from crymapd.imap.wire import writer


def handle_capability(session: Session, _command: command.Capability) -> Done:
    session.line(b"CAPABILITY ", capabilities(session).encode())
    return ok()


def capabilities(session: Session) -> str:
    """Return the capabilities that this client may use now, separated by spaces."""
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
    return log_in(session, Credentials.from_octets(asked.user, asked.password))


def log_in(session: Session, credentials: Credentials) -> Done:
    """Log in, and never give a hint which part of the credentials is wrong (RFC 5530, AUTHENTICATIONFAILED).

    Raises:
        Refusal: the credentials are wrong, or nobody can tell now.
        Goodbye: the account cannot be served.
    """
    try:
        session.store_or_none = session.log_in(credentials)
    except BadCredentials:
        session.failures += 1
        raise Refusal("NO", "wrong user name or password", "AUTHENTICATIONFAILED") from None
    except AccountUnavailable:
        session.failures += 1
        raise Refusal("NO", "the account cannot be read now; try again later", "UNAVAILABLE") from None
    except AccountUnusable:
        raise Goodbye("the account cannot be served; the server's log says why", "CONTACTADMIN") from None
    return ok("logged in", "CAPABILITY " + capabilities(session))


_SASL_ANSWERS: dict[type[sasl.SaslError], tuple[str, str]] = {
    sasl.UnknownMechanism: ("NO", "CANNOT"),
    sasl.Cancelled: ("BAD", ""),
    sasl.MalformedResponse: ("BAD", "PARSE"),
    sasl.NotAuthorized: ("NO", "AUTHORIZATIONFAILED"),
}
"""The status and the response code of the answer when a SASL exchange has failed."""


def authenticate(session: Session, asked: command.Authenticate, ask: Callable[[bytes], bytes]) -> Done:
    """Run the SASL exchange of AUTHENTICATE, then log in (RFC 9051 section 6.2.2, RFC 4959).

    Args:
        session: the session of the client.
        asked: the command.
        ask: sends a continuation request and returns the line with which the client answers it.

    Raises:
        Refusal: the exchange failed, or the credentials are wrong.
        Goodbye: the account cannot be served.
    """
    try:
        exchange = sasl.Exchange(asked.mechanism.decode("ascii"))
        if asked.initial is not None:
            exchange.respond(sasl.decode_response(asked.initial))
        while (challenge := exchange.challenge) is not None:
            exchange.respond(sasl.decode_response(ask(b"+ " + base64.b64encode(challenge))))
        credentials = exchange.credentials()
    except sasl.SaslError as error:
        status, code = _SASL_ANSWERS[type(error)]
        raise Refusal(status, str(error), code) from None
    return log_in(session, credentials)


_LONGEST_WORD = 64
"""How many characters of a client's name or version are logged."""


def handle_enable(session: Session, asked: command.Enable) -> Done:
    """ENABLE (RFC 9051 section 6.3.1, RFC 7162 section 3.2.3, RFC 6855 section 3)."""
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


# Quota (RFC 9208): the whole account has one root, whose name is empty; without a limit it has no root


def handle_get_quota(session: Session, asked: command.GetQuota) -> Done:
    if asked.root or not session.store.quota.limit:
        raise Refusal("NO", "there is no such quota root", "NONEXISTENT")
    _quota_line(session)
    return ok()


def handle_get_quota_root(session: Session, asked: command.GetQuotaRoot) -> Done:
    """GETQUOTAROOT, for which the mailbox need not exist (RFC 9208 section 4.1.2)."""
    limited = bool(session.store.quota.limit)
    session.line(b"QUOTAROOT ", session.mailbox_name(asked.mailbox), b' ""' if limited else b"")
    if limited:
        _quota_line(session)
    return ok()


def _quota_line(session: Session) -> None:
    """Send usage and limit in units of 1024 octets, rounding usage up."""
    quota = session.store.quota
    session.line(b'QUOTA "" (STORAGE %d %d)' % (-(-quota.used() // 1024), quota.limit // 1024))


def handle_id(session: Session, asked: command.Id) -> Done:
    """ID (RFC 2971); name and version of the client go to the log."""
    words = {name.lower(): value.decode("utf-8", "replace")[:_LONGEST_WORD] for name, value in asked.fields}
    log.client_identified(words.get(b"name", "?"), words.get(b"version", ""))
    fields = (("name", "crymapd"), ("version", __version__), *session.identification)
    pairs = b" ".join(writer.quoted(item.encode("ascii", "replace")) for pair in fields for item in pair)
    session.line(b"ID (", pairs, b")")
    return ok()


def handle_namespace(session: Session, _command: command.Namespace) -> Done:
    session.line(b'NAMESPACE (("" "/")) NIL NIL')
    return ok()
