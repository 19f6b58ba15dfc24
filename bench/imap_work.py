"""What is measured of a server that speaks IMAP. Every function that takes a subject alone returns one figure for it."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache

from bench import mail
from bench.client import Imap, Refused, number
from bench.servers import Subject
from bench.work import Work, median, milliseconds, small_messages
from tests.testlib.server import PASSWORD

THUNDERBIRD = (
    b"UID FETCH 1:* (UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (From To Cc Bcc Subject Date Message-ID Priority"
    b" X-Priority References Newsgroups In-Reply-To Content-Type Reply-To)])"
)
META = b"FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE)"
TEN_THOUSAND, HUNDRED_THOUSAND, THOUSAND = 10_000, 100_000, 1_000
IDLE_SESSIONS = 100


# What measurements share


@cache
def _mixed() -> list[bytes]:
    return mail.mixed()


def fresh(client: Imap, mailbox: bytes) -> None:
    """Make an empty mailbox of that name, instead of the one that was there."""
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
        fill(client, mailbox, small_messages() * (TEN_THOUSAND // mail.DISTINCT))
        client.logout()
        subject.prepared.add(mailbox)
        _settle(subject, mailbox)
    return mailbox


def _settle(subject: Subject, mailbox: bytes) -> None:
    """Wait, with a session in the mailbox, until the server has finished what it does in the background."""
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


# Connections


def greeting(subject: Subject) -> float:
    return median(lambda: milliseconds(lambda: Imap(subject.services["imaps"]).close()), 50)


def session(subject: Subject, user: str = "alice") -> float:
    return median(lambda: milliseconds(lambda: Imap(subject.services["imaps"]).login(user, PASSWORD).logout()), 20)


def strong_session(subject: Subject) -> float:
    return session(subject, "strong")


# FETCH


def _fetch(subject: Subject, mailbox: bytes, command: bytes) -> float:
    client = subject.client()
    client.command(b"EXAMINE " + mailbox)
    found = milliseconds(lambda: client.command(command, keep=False))
    client.logout()
    return found


def flags(subject: Subject) -> float:
    return _fetch(subject, _ten_thousand(subject), b"UID FETCH 1:* (UID FLAGS)")


def _first(command: bytes) -> Callable[[Subject], float]:
    """Measures a command in a mailbox that no session has ever read."""

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
    """Measures a SEARCH in a session of its own, and checks how many messages it finds."""

    def measure(subject: Subject) -> float:
        client = subject.client()
        client.command(b"EXAMINE " + _ten_thousand(subject))
        answers: list[bytes] = []
        found = milliseconds(lambda: answers.append(client.command(b"UID SEARCH " + key)))
        client.logout()
        told = [line for line in answers[0].split(b"\r\n") if line.startswith(b"* SEARCH")]  # others tell of progress
        hits = len(told[0].split()) - 2
        assert mark is None or hits == mail.marked(TEN_THOUSAND, mark), (key, hits)
        return found

    return measure


# SELECT


def select(subject: Subject) -> float:
    """SELECT as the first command of a session."""
    return median(lambda: _at_once(subject, b"SELECT " + _hundred_thousand(subject)), 10)


def status(subject: Subject) -> float:
    command = b"STATUS " + _hundred_thousand(subject) + b" (MESSAGES UNSEEN UIDNEXT UIDVALIDITY)"
    return median(lambda: _at_once(subject, command), 10)


def _at_once(subject: Subject, command: bytes) -> float:
    """Milliseconds that a command takes as the first one of a session."""
    client = subject.client()
    found = milliseconds(lambda: client.command(command))
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
        found = milliseconds(lambda: again.command(b"SELECT %b (QRESYNC (%b))" % (mailbox, known)))
        again.logout()
        return found

    return median(once, 5)


# Changes


def store(subject: Subject) -> float:
    client = subject.client()
    client.command(b"SELECT " + _ten_thousand(subject))
    found = [
        milliseconds(lambda sign=sign: client.command(b"STORE 1:* %bFLAGS (\\Flagged)" % sign, keep=False))  # type: ignore[misc]
        for sign in (b"+", b"-")
    ]
    client.logout()
    return statistics.mean(found)


def _moved(command: bytes) -> Callable[[Subject], float]:
    """Measures COPY or MOVE of 1,000 messages into an empty mailbox."""

    def measure(subject: Subject) -> float:
        source = _ten_thousand(subject)
        client = subject.client()
        for mailbox in (b"from", b"to"):
            fresh(client, mailbox)
        client.command(b"SELECT " + source)
        client.command(b"COPY 1:1000 from")
        client.command(b"SELECT from")
        found = milliseconds(lambda: client.command(command + b" 1:* to", keep=False))
        client.command(b"SELECT INBOX")
        for mailbox in (b"from", b"to"):
            client.command(b"DELETE " + mailbox)
        client.logout()
        return found

    return measure


def append(subject: Subject) -> float:
    """Messages a second, with one command for each."""
    client = subject.client()
    fresh(client, b"small")
    messages = small_messages()[:500]
    seconds = milliseconds(lambda: [client.append(b"small", message) for message in messages]) / 1000
    client.logout()
    return len(messages) / seconds


def multiappend(subject: Subject) -> float:
    """Messages a second, with one command for 100 of them."""
    client = subject.client()
    seconds = milliseconds(lambda: fill(client, b"small", small_messages()[:1000], 100)) / 1000
    client.logout()
    return THOUSAND / seconds


# Waiting


def _notices(subject: Subject) -> list[float]:
    """For 100 messages, the milliseconds from the OK of APPEND to the EXISTS that another session gets; ascending."""
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
    for message in small_messages()[:100]:
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
    """The median; `late_notice` uses the same measurement."""
    subject.notices = _notices(subject)
    return statistics.median(subject.notices)


def late_notice(subject: Subject) -> float:
    return (subject.notices or _notices(subject))[98]


def _memory(prepare: Callable[[Imap], object] | None, count: int) -> Callable[[Subject], float]:
    """Measures the proportional set size of one connection in MB, as the mean of so many."""

    def measure(subject: Subject) -> float:
        before = subject.memory()
        clients = []
        for _number in range(count):
            client = Imap(subject.services["imaps"])
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
    """Milliseconds of processor time that 100 idling sessions take in 10 seconds."""
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
    """Octets on disk for one octet of mixed mail, indexes and everything else included."""
    client = subject.client()
    before = subject.disk()
    fill(client, b"disk", _mixed(), 1)
    client.logout()
    _settle(subject, b"disk")
    found = (subject.disk() - before) / sum(map(len, _mixed()))
    subject.client().command(b"DELETE disk")
    return found


def disk_messages(subject: Subject) -> float:
    """Octets on disk for one octet of mixed mail, in the files of the messages alone."""
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
