"""The work that is measured, a line of the table each, and how much of Dovecot's time it may take."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

from bench import mail
from bench.client import Imap, Lmtp, Refused, number
from bench.servers import Subject
from tests.testlib.server import PASSWORD

THUNDERBIRD = (
    b"UID FETCH 1:* (UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (From To Cc Bcc Subject Date Message-ID Priority"
    b" X-Priority References Newsgroups In-Reply-To Content-Type Reply-To)])"
)
META = b"FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE)"
TEN_THOUSAND, HUNDRED_THOUSAND, THOUSAND = 10_000, 100_000, 1_000
IDLE_SESSIONS = 100


@dataclass(frozen=True, slots=True)
class Work:
    """One line of the table.

    Attributes:
        unit: of what `measure` returns.
        limit: of the ratio to Dovecot, or of the figure itself where `absolute`.
        more: whether more is better.
    """

    name: str
    measure: Callable[[Subject], float]
    limit: float
    unit: str = "ms"
    more: bool = False
    absolute: bool = False
    rounds: int = 5

    def met(self, ours: float, ratio: float | None) -> bool | None:
        """None where there is nothing to compare with."""
        found = ours if self.absolute else ratio
        if found is None:
            return None
        return found >= self.limit if self.more else found <= self.limit


# What measurements share


@cache
def _small() -> list[bytes]:
    return mail.small(mail.DISTINCT)


@cache
def _mixed() -> list[bytes]:
    return mail.mixed()


def fresh(client: Imap, mailbox: bytes) -> None:
    """An empty mailbox of that name."""
    with suppress(Refused):
        client.command(b"DELETE " + mailbox)
    client.command(b"CREATE " + mailbox)


def fill(client: Imap, mailbox: bytes, messages: list[bytes], at_once: int = 250) -> None:
    fresh(client, mailbox)
    for at in range(0, len(messages), at_once):
        client.append(mailbox, *messages[at : at + at_once])


def _ten_thousand(subject: Subject, mailbox: bytes = b"k10") -> bytes:
    if mailbox not in subject.prepared:
        client = subject.client()
        fill(client, mailbox, _small() * (TEN_THOUSAND // mail.DISTINCT))
        client.logout()
        subject.prepared.add(mailbox)
        _settle(subject, mailbox)
    return mailbox


def _settle(subject: Subject, mailbox: bytes) -> None:
    """Let a server that works in the background come to rest, with a client that waits."""
    client = subject.client()
    client.command(b"SELECT " + mailbox)
    before = -1.0
    while (now := subject.cpu()) - before > 0.05:
        before = now
        time.sleep(0.5)
    client.logout()


def _hundred_thousand(subject: Subject) -> bytes:
    mailbox = b"k100"
    if mailbox not in subject.prepared:
        source = _ten_thousand(subject)
        client = subject.client()
        fresh(client, mailbox)
        client.command(b"SELECT " + source)
        for _turn in range(HUNDRED_THOUSAND // TEN_THOUSAND):
            client.command(b"COPY 1:* " + mailbox)
        client.logout()
        subject.prepared.add(mailbox)
        _settle(subject, mailbox)
    return mailbox


def _mixed_box(subject: Subject) -> bytes:
    mailbox = b"mixed"
    if mailbox not in subject.prepared:
        client = subject.client()
        fill(client, mailbox, _mixed(), 1)
        client.logout()
        subject.prepared.add(mailbox)
        _settle(subject, mailbox)
    return mailbox


def _ms(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return (time.perf_counter() - start) * 1000


def _median(action: Callable[[], float], times: int) -> float:
    return statistics.median(action() for _time in range(times))


# Connections


def greeting(subject: Subject) -> float:
    return _median(lambda: _ms(lambda: Imap(subject.port).close()), 50)


def session(subject: Subject, user: str = "alice") -> float:
    return _median(lambda: _ms(lambda: Imap(subject.port).login(user, PASSWORD).logout()), 20)


def strong_session(subject: Subject) -> float:
    return session(subject, "strong")


# FETCH


def _fetch(subject: Subject, mailbox: bytes, command: bytes) -> float:
    client = subject.client()
    client.command(b"EXAMINE " + mailbox)
    found = _ms(lambda: client.command(command, keep=False))
    client.logout()
    return found


def flags(subject: Subject) -> float:
    return _fetch(subject, _ten_thousand(subject), b"UID FETCH 1:* (UID FLAGS)")


def _first(command: bytes) -> Callable[[Subject], float]:
    """In a mailbox nobody has looked at."""

    def measure(subject: Subject) -> float:
        subject.prepared.discard(b"first")
        found = _fetch(subject, _ten_thousand(subject, b"first"), command)
        subject.client().command(b"DELETE first")
        return found

    return measure


def _again(command: bytes) -> Callable[[Subject], float]:
    def measure(subject: Subject) -> float:
        mailbox = _ten_thousand(subject)
        _fetch(subject, mailbox, command)
        return _fetch(subject, mailbox, command)

    return measure


def mixed_bodies(subject: Subject) -> float:
    """MB/s."""
    size = sum(map(len, _mixed())) / 1e6
    return size / _fetch(subject, _mixed_box(subject), b"UID FETCH 1:* (UID BODY.PEEK[])") * 1000


def small_bodies(subject: Subject) -> float:
    return _fetch(subject, _ten_thousand(subject), b"UID FETCH 1:* (UID BODY.PEEK[])")


# SEARCH


def _search(key: bytes, mark: int | None = None) -> Callable[[Subject], float]:
    """With a session of its own; the number of hits is checked."""

    def measure(subject: Subject) -> float:
        client = subject.client()
        client.command(b"EXAMINE " + _ten_thousand(subject))
        answers: list[bytes] = []
        found = _ms(lambda: answers.append(client.command(b"UID SEARCH " + key)))
        client.logout()
        told = [line for line in answers[0].split(b"\r\n") if line.startswith(b"* SEARCH")]  # others tell of progress
        hits = len(told[0].split()) - 2
        assert mark is None or hits == mail.marked(TEN_THOUSAND, mark), (key, hits)
        return found

    return measure


# SELECT


def select(subject: Subject) -> float:
    """By a session that has just logged in."""
    return _median(lambda: _at_once(subject, b"SELECT " + _hundred_thousand(subject)), 10)


def status(subject: Subject) -> float:
    command = b"STATUS " + _hundred_thousand(subject) + b" (MESSAGES UNSEEN UIDNEXT UIDVALIDITY)"
    return _median(lambda: _at_once(subject, command), 10)


def _at_once(subject: Subject, command: bytes) -> float:
    """The first command of a session."""
    client = subject.client()
    found = _ms(lambda: client.command(command))
    client.logout()
    return found


def resync(subject: Subject) -> float:
    """SELECT (QRESYNC ...) of 100,000 messages of which 100 have changed."""
    mailbox = _hundred_thousand(subject)
    client = subject.client()
    client.command(b"ENABLE QRESYNC")
    answer = client.command(b"SELECT " + mailbox)
    subject.turns += 1
    known = b"%d %d" % (number(answer, b"UIDVALIDITY"), number(answer, b"HIGHESTMODSEQ"))
    for at in range(100):
        client.command(b"STORE %d %bFLAGS.SILENT (\\Draft)" % (1 + at * 1000, b"+-"[subject.turns % 2 :][:1]))
    client.logout()

    def once() -> float:
        again = subject.client()
        again.command(b"ENABLE QRESYNC")
        found = _ms(lambda: again.command(b"SELECT %b (QRESYNC (%b))" % (mailbox, known)))
        again.logout()
        return found

    return _median(once, 5)


# Changes


def store(subject: Subject) -> float:
    client = subject.client()
    client.command(b"SELECT " + _ten_thousand(subject))
    found = [
        _ms(lambda sign=sign: client.command(b"STORE 1:* %bFLAGS (\\Flagged)" % sign, keep=False))  # type: ignore[misc]
        for sign in (b"+", b"-")
    ]
    client.logout()
    return statistics.mean(found)


def _moved(command: bytes) -> Callable[[Subject], float]:
    """COPY or MOVE of 1,000 messages into an empty mailbox."""

    def measure(subject: Subject) -> float:
        source = _ten_thousand(subject)
        client = subject.client()
        for mailbox in (b"from", b"to"):
            fresh(client, mailbox)
        client.command(b"SELECT " + source)
        client.command(b"COPY 1:1000 from")
        client.command(b"SELECT from")
        found = _ms(lambda: client.command(command + b" 1:* to", keep=False))
        client.command(b"SELECT INBOX")
        for mailbox in (b"from", b"to"):
            client.command(b"DELETE " + mailbox)
        client.logout()
        return found

    return measure


def append(subject: Subject) -> float:
    """Messages a second, one command each."""
    client = subject.client()
    fresh(client, b"small")
    messages = _small()[:500]
    seconds = _ms(lambda: [client.append(b"small", message) for message in messages]) / 1000
    client.logout()
    return len(messages) / seconds


def multiappend(subject: Subject) -> float:
    """Messages a second, 100 in a command."""
    client = subject.client()
    seconds = _ms(lambda: fill(client, b"small", _small()[:1000], 100)) / 1000
    client.logout()
    return THOUSAND / seconds


def lmtp(subject: Subject) -> float:
    """Messages a second, on one connection."""
    connection = Lmtp(subject.lmtp, "alice")
    messages = _small()[:300]
    start = time.perf_counter()
    for message in messages:
        connection.deliver(message)
    seconds = time.perf_counter() - start
    connection.close()
    return len(messages) / seconds


# Waiting


def _notices(subject: Subject) -> list[float]:
    """Milliseconds from an APPEND's OK to the EXISTS of another session, for 100."""
    writer, idler = subject.client(), subject.client()
    fresh(writer, b"heard")
    idler.command(b"SELECT heard")
    idler.idle()
    told: list[float] = []
    ready = threading.Event()

    def listen() -> None:
        seen = 0
        while seen < 100:
            for line in idler.notice().split(b"\r\n"):
                if line.endswith(b" EXISTS"):
                    seen = int(line.split()[1])
                    told.append(time.perf_counter())
                    ready.set()

    thread = threading.Thread(target=listen)
    thread.start()
    time.sleep(0.3)
    delays = []
    for message in _small()[:100]:
        ready.clear()
        writer.append(b"heard", message)
        done = time.perf_counter()
        ready.wait(40)
        delays.append(max(told[-1] - done, 0.0) * 1000)
    thread.join(60)
    idler.close()
    writer.logout()
    return sorted(delays)


def notice(subject: Subject) -> float:
    """The median; what was seen is kept for `late_notice`."""
    subject.notices = _notices(subject)
    return statistics.median(subject.notices)


def late_notice(subject: Subject) -> float:
    return (subject.notices or _notices(subject))[98]


def _memory(prepare: Callable[[Imap], object] | None, count: int) -> Callable[[Subject], float]:
    """MB of proportional set size for each of so many connections."""

    def measure(subject: Subject) -> float:
        before = subject.memory()
        clients = []
        for _number in range(count):
            client = Imap(subject.port)
            if prepare is not None:
                client.login("alice", PASSWORD)
                prepare(client)
            clients.append(client)
        time.sleep(1.5)
        found = (subject.memory() - before) / count * 1024 / 1e6
        for client in clients:
            client.close()
        time.sleep(0.5)
        return found

    return measure


def _idling(mailbox: bytes) -> Callable[[Imap], object]:
    def prepare(client: Imap) -> None:
        client.command(b"SELECT " + mailbox)
        client.idle()

    return prepare


def idle_in_large(subject: Subject) -> float:
    return _memory(_idling(_hundred_thousand(subject)), 20)(subject)


def idle_cpu(subject: Subject) -> float:
    """Milliseconds of processor time that 100 idling sessions take in 10 s."""
    clients = [subject.client() for _number in range(IDLE_SESSIONS)]
    for client in clients:
        _idling(b"INBOX")(client)
    time.sleep(2)
    before = subject.cpu()
    time.sleep(10)
    found = (subject.cpu() - before) * 1000
    for client in clients:
        client.close()
    return found


def disk(subject: Subject) -> float:
    """Octets on disk for an octet of mail, everything included; of ours the mixed mail is the account's only."""
    client = subject.client()
    before = subject.disk()
    fill(client, b"disk", _mixed(), 1)
    client.logout()
    _settle(subject, b"disk")
    found = (subject.disk() - before) / sum(map(len, _mixed()))
    subject.client().command(b"DELETE disk")
    return found


def disk_messages(subject: Subject) -> float:
    """The same for the files of the messages alone."""
    client = subject.client()
    folder = "messages" if (subject.mail / "messages").exists() else ".disk/new"
    before = subject.disk(folder)
    fill(client, b"disk", _mixed(), 1)
    client.logout()
    found = (subject.disk(folder) - before) / sum(map(len, _mixed()))
    subject.client().command(b"DELETE disk")
    return found


TABLE = (
    Work("connect to greeting", greeting, 1.0),
    Work("login + logout session, cheap slot", session, 1.0),
    Work("FLAGS of 10k", flags, 1.0, rounds=9),
    Work("Thunderbird header FETCH of 10k, first", _first(THUNDERBIRD), 0.5, rounds=3),
    Work("Thunderbird header FETCH of 10k, again", _again(THUNDERBIRD), 1.0),
    Work("ENVELOPE BODYSTRUCTURE of 10k, first", _first(META), 0.3, rounds=3),
    Work("ENVELOPE BODYSTRUCTURE of 10k, again", _again(META), 0.5),
    Work("SEARCH TEXT, 10k", _search(b"TEXT " + mail.BODY_MARK.encode(), 42), 0.05),
    Work("SEARCH BODY, 10k", _search(b"BODY " + mail.BODY_MARK.upper().encode(), 42), 0.05),
    Work("SEARCH FROM, 10k", _search(b"FROM " + mail.FROM_MARK.encode(), 7), 0.5),
    Work("SEARCH SUBJECT, 10k", _search(b"SUBJECT " + mail.SUBJECT_MARK.encode(), 13), 0.5),
    Work("SEARCH HEADER Message-ID, 10k", _search(b"HEADER Message-ID bench.2.77@"), 0.5),
    Work("SEARCH UNSEEN, 10k", _search(b"UNSEEN"), 1.0),
    Work("SEARCH SINCE, 10k", _search(b"SINCE 1-Jan-2020"), 1.0),
    Work("SELECT 100k", select, 1.5),
    Work("STATUS 100k", status, 1.5),
    Work("QRESYNC, 100 changes of 100k", resync, 0.2, rounds=3),
    Work("STORE on 10k", store, 0.3),
    Work("COPY of 1,000", _moved(b"COPY"), 0.7),
    Work("MOVE of 1,000", _moved(b"MOVE"), 0.7),
    Work("BODY.PEEK[] of mixed mail", mixed_bodies, 0.5, "MB/s", more=True),
    Work("BODY.PEEK[] of 10k small", small_bodies, 3.0, rounds=3),
    Work("APPEND small", append, 0.8, "/s", more=True, rounds=3),
    Work("MULTIAPPEND small, 100 at once", multiappend, 0.8, "/s", more=True, rounds=3),
    Work("IDLE notice, p50", notice, 5, absolute=True, rounds=1),
    Work("IDLE notice, p99", late_notice, 20, absolute=True, rounds=1),
    Work("PSS of a connection before login", _memory(None, 50), 2.5, "MB", absolute=True, rounds=3),
    Work("PSS of a session idling in INBOX", _memory(_idling(b"INBOX"), 50), 2.5, "MB", absolute=True, rounds=3),
    Work("PSS of a session idling in 100k", idle_in_large, 4.0, "MB", absolute=True, rounds=3),
    Work("CPU of 100 idle sessions in 10 s", idle_cpu, 0.0, absolute=True, rounds=1),
    Work("octets on disk for one of mail, messages", disk_messages, 0.75, "x", absolute=True, rounds=1),
    Work("octets on disk for one of mail, everything", disk, 1.3, "x", absolute=True, rounds=1),
)
