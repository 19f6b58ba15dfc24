"""SEARCH with the index answers exactly what reading every message answers, whatever the index has."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest

from crymapd.imap.handler import matching
from crymapd.imap.session import Session
from crymapd.mime.text import search_form
from crymapd.model import search as keys
from crymapd.model.numbers import MessageId
from crymapd.model.search import SearchKey
from crymapd.store import account, searching
from crymapd.store.answers import Answers
from crymapd.store.lookup import JudgedRow
from crymapd.store.store import Store
from tests.testlib.hostile import hostile
from tests.testlib.stores import CHEAP, PASSWORD, append, opened, stored
from tests.testlib.varied import varied

ODD = (
    "",
    " ",
    "a",
    "re",
    "Re:",
    "=?utf-8?",
    "?=",
    '"',
    "%",
    "\\",
    "İ",
    "ß",
    "SS",
    "ﬁ",
    "e\u0301",
    "é",
    "\ufffd",
    "日本",
    "お元気",
    "\n",
    "x" * 300,
)
FIELDS = ("subject", "from", "to", "message-id", "received", "x-none")


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    store = opened(account.create(tmp_path_factory.mktemp("search"), PASSWORD, CHEAP))
    for octets in (*varied(30, 7), *hostile(30, 7)):
        if octets:
            append(store, octets)
    append(store, b"Subject: long\r\n\r\n" + b"needle in a long text " * 20_000 + b"\r\n")
    made = Session(lambda _data: None, lambda _credentials: store)
    made.store_or_none = store
    made.view_or_none = store.select("INBOX", read_only=True)
    yield made
    store.close()


def texts(store: Store) -> list[str]:
    """Everything that could be looked for, in search form."""
    found = []
    for row in stored(store, store.mailboxes.get("INBOX").id):
        with store.read(row.message) as message:
            searched = message.search_texts()
        if searched is not None:
            found += [piece for piece in (searched.header, searched.forms, searched.parts, searched.bodies) if piece]
    return found


def questions(store: Store, count: int) -> Iterator[SearchKey]:
    """Pieces of what is there, in odd places and cases, and things that are not."""
    rng = random.Random(9)
    known = texts(store)
    wanted = list(ODD)
    for _number in range(count):
        text = rng.choice(known)
        at = rng.randrange(len(text))
        piece = text[at : at + rng.choice((1, 2, 3, 4, 8, 20, 60))]
        wanted.append(rng.choice((piece, piece.upper(), piece.title(), piece.replace(" ", "  "), piece + "q")))
    for text in wanted:
        body = keys.BodyHas(text, header=rng.random() < 0.5)
        header = keys.HeaderHas(rng.choice(FIELDS), text)
        address = keys.AddressesHave(rng.choice(("from", "to", "cc", "bcc")), text)
        yield from (body, header, address, keys.Not(body), keys.Or((body, header)), keys.And((header, keys.Not(body))))


def found(session: Session, key: SearchKey) -> list[int]:
    return list(matching.matching(session, key).uids)


def by_reading(session: Session, key: SearchKey) -> list[int]:
    """Each message by itself, from its file, without the index."""
    store = session.store
    judge = searching._Judge(
        keys.And((key,)),
        store.components.index,
        store.indexing,
        Answers(store.components.index, store.indexing),
        store.components.reader,
    )
    hits: list[int] = []
    for row in stored(store, session.view.mailbox.id):
        with store.read(row.message) as message:
            header = message.octets(0, message.root.body)
        if searching._matches(searching._Candidate(judge, JudgedRow(row, ()), header), judge._test):
            hits.append(row.uid)
    return hits


def _caught_up(store: Store) -> None:
    store.indexing.behind = True
    store.catch_up(60)
    assert not store.behind and store.components.index.candidates(search_form("needle in a long text"))


def _half(store: Store) -> None:
    store.components.layout.index.unlink()
    unindexed = store.components.entries.messages_after(MessageId(0))[30]
    store.components.index.forget([unindexed], purged=False)
    store.components.index.set_complete(unindexed, (), store.components.index.incarnation())
    for at in store.components.entries.messages_after(MessageId(0))[:30]:
        with store.read(at) as message:
            searched = message.search_texts()
        if searched is not None:
            store.components.index.put_texts([(at, searched)])


def _deleted(store: Store) -> None:
    store.components.layout.index.unlink()


@pytest.mark.parametrize("prepare", [_caught_up, _half, _deleted])
def test_same_as_reading(
    session: Session,
    expected: list[tuple[SearchKey, list[int]]],
    prepare: Callable[[Store], None],
) -> None:
    prepare(session.store)
    for key, uids in expected:
        assert found(session, key) == uids, key


@pytest.fixture(scope="module")
def expected(session: Session) -> list[tuple[SearchKey, list[int]]]:
    """Questions with their answers."""
    answers = [(key, by_reading(session, key)) for key in questions(session.store, 15)]
    assert sum(bool(uids) for _key, uids in answers) > len(answers) // 4
    return answers
