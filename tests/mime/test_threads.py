"""THREAD (RFC 5256 section 3): known answers, and answers in time for mailboxes that somebody else has filled."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crymapd.imap.wire.thread import thread_list
from crymapd.mime.threads import Node, Threadable, by_references, by_subject
from tests.testlib.linear import assert_linear

Build = Callable[[Sequence[Threadable]], list[Node]]


def message(
    number: int, subject: str = "", *references: str, answers: bool = False, sent: int | None = None
) -> Threadable:
    """Message `number` with the id `<number>`, sent in the order of the numbers."""
    ids = tuple(reference.encode() for reference in references)
    when = number if sent is None else sent
    return Threadable(number, when, subject or f"SUBJECT {number}", answers, str(number).encode(), ids)


def threaded(*messages: Threadable, build: Build = by_references) -> str:
    return thread_list(build(messages)).decode()


def chain(count: int) -> list[Threadable]:
    """Each answers the one before."""
    return [message(n, "", *([str(n - 1)] if n > 1 else ())) for n in range(1, count + 1)]


def test_nothing() -> None:
    assert threaded() == ""
    assert threaded(build=by_subject) == ""


def test_the_example_of_the_response() -> None:
    """RFC 5256 section 4: `(2)(3 6 (4 23)(44 7 96))`."""
    mailbox = [
        message(2),
        message(3),
        message(6, "", "3"),
        message(4, "", "3", "6"),
        message(23, "", "4"),
        message(44, "", "6"),
        message(7, "", "44"),
        message(96, "", "44", "7"),
    ]
    assert threaded(*sorted(mailbox, key=lambda m: m.result)) == "(2)(3 6 (4 23)(44 7 96))"


def test_siblings_of_a_missing_parent() -> None:
    """RFC 5256 section 4: `((3)(5))`."""
    assert threaded(message(3, "", "gone"), message(5, "", "gone")) == "((3)(5))"
    assert threaded(message(3, "", "gone", "gone too"), message(5, "", "gone")) == "((3)(5))"
    assert threaded(message(3, "", "gone", "gone too")) == "(3)"


def test_an_existing_link_is_kept_but_a_message_knows_its_parent_best() -> None:
    assert threaded(message(1), message(2), message(3, "", "1", "2"), message(4, "", "2")) == "(1 2 (3)(4))"
    assert threaded(message(1), message(2, "", "1"), message(3, "", "2", "1"), message(4, "", "1")) == "(1 (2)(3)(4))"
    # It was linked below 1 by 2's references, and says itself that it has no parent.
    assert threaded(message(1), message(2, "", "1", "3"), message(3)) == "(1)(3 2)"


@pytest.mark.parametrize(
    ("mailbox", "answer"),
    [
        # The answers are Dovecot's.
        ([message(1), message(2, "", "gone"), message(3, "", "1", "2")], "(1)(2 3)"),
        ([message(1), message(3, "", "1", "2"), message(2, "", "gone")], "(1)(2 3)"),
        ([message(1), message(2, "", "gone", "gone too"), message(3, "", "1", "2")], "(1)(2 3)"),
        ([message(1), message(2, "", "gone", "1"), message(3, "", "2")], "(1 2 3)"),
        ([message(1), message(2, "", "1", "gone"), message(3, "", "gone", "2")], "(1 2 3)"),
    ],
)
def test_a_missing_parent_keeps_its_child(mailbox: list[Threadable], answer: str) -> None:
    """RFC 5256 section 3, step 1 (A): links that are there are not changed."""
    assert threaded(*mailbox) == answer


@pytest.mark.parametrize(
    ("mailbox", "answer"),
    [
        ([message(1, "", "1")], "(1)"),
        ([message(1, "", "2"), message(2, "", "1")], "(2 1)"),
        ([message(1, "", "3"), message(2, "", "1"), message(3, "", "2")], "(3 1 2)"),
        ([message(1, "", "a", "b", "a"), message(2, "", "b", "a")], "((1)(2))"),
    ],
)
def test_loops(mailbox: list[Threadable], answer: str) -> None:
    assert threaded(*mailbox) == answer


def test_the_second_with_an_id_is_another_message() -> None:
    first, second = message(1), Threadable(2, 2, "OTHER", False, b"1", (b"3",))
    assert threaded(first, second, message(3), message(4, "", "1")) == "(1 4)(3 2)"
    assert threaded(Threadable(1, 1, "A", False), Threadable(2, 2, "B", False, None, (b"x",))) == "(1)(2)"


@pytest.mark.parametrize(
    ("mailbox", "answer"),
    [
        ([message(1, "S"), message(2, "S", answers=True)], "(1 2)"),
        ([message(1, "S", answers=True), message(2, "S")], "(2 1)"),
        ([message(1, "S"), message(2, "S")], "((1)(2))"),
        ([message(1, "S", answers=True), message(2, "S", answers=True)], "((1)(2))"),
        ([message(1, "S"), message(2, "S"), message(3, "S", answers=True)], "((1)(2)(3))"),
        ([message(1, "S"), message(2, "S", "gone"), message(3, "T", "gone")], "((1)(2)(3))"),
        ([message(n, "S", "x" if n < 3 else "y") for n in range(1, 5)], "((1)(2)(3)(4))"),
        ([message(1, "S"), message(2, "T", "1"), message(3, "S", answers=True)], "(1 (2)(3))"),
    ],
)
def test_subjects_join_threads(mailbox: list[Threadable], answer: str) -> None:
    """RFC 5256 section 3, step 5."""
    assert threaded(*mailbox) == answer


def test_an_empty_subject_joins_nothing() -> None:
    assert threaded(Threadable(1, 1, "", False, b"1"), Threadable(2, 2, "", True, b"2")) == "(1)(2)"


def test_order_is_by_sent_date_then_number() -> None:
    mailbox = [message(1, sent=9), message(2, sent=3), message(3, "", "1", sent=8), message(4, "", "1", sent=7)]
    assert threaded(*mailbox, message(5, sent=3)) == "(2)(5)(1 (4)(3))"
    # A dummy stands where its first child does.
    assert threaded(message(1, "", "x", sent=9), message(2, sent=5), message(3, "", "x", sent=1)) == "((3)(1))(2)"


def test_ordered_subject() -> None:
    mailbox = [message(1, "B", sent=5), message(2, "A", sent=2), message(3, "B", sent=1), message(4, "B", sent=6)]
    assert threaded(*mailbox, build=by_subject) == "(3 (1)(4))(2)"
    assert threaded(message(1, "A"), message(2, "A"), build=by_subject) == "(1 2)"
    assert threaded(message(1, "A"), message(2, "B"), build=by_subject) == "(1)(2)"


@pytest.mark.parametrize("order", ["oldest first", "newest first", "shuffled"])
def test_five_thousand_replies(order: str) -> None:
    """One thread without a branch, whatever order the messages lie in."""
    mailbox = chain(5000)
    if order == "newest first":
        mailbox.reverse()
    elif order == "shuffled":
        random.Random(5).shuffle(mailbox)
    expected = "(" + " ".join(str(n) for n in range(1, 5001)) + ")"
    assert threaded(*mailbox) == expected


RANDOM_MAILBOX = st.lists(
    st.tuples(
        st.sampled_from([None, *"abcdef"]),
        st.lists(st.sampled_from("abcdefgh"), max_size=5),
        st.sampled_from(["", "S", "T"]),
        st.booleans(),
        st.integers(0, 3),
    ),
    max_size=12,
)


@settings(max_examples=400, deadline=None)
@given(RANDOM_MAILBOX)
def test_every_message_is_told_once(mailbox: list[tuple[str | None, list[str], str, bool, int]]) -> None:
    """Whatever the references say: no message is lost, none is told twice, nothing turns in a loop."""
    messages = [
        Threadable(number, sent, subject, answers, own.encode() if own else None, tuple(r.encode() for r in references))
        for number, (own, references, subject, answers, sent) in enumerate(mailbox, 1)
    ]
    for build in (by_references, by_subject):
        answer = thread_list(build(messages)).decode()
        numbers = answer.replace("(", " ").replace(")", " ").split()
        assert sorted(map(int, numbers)) == list(range(1, len(messages) + 1))
        assert answer.count("(") == answer.count(")")


# Linear time


def _crossed(count: int) -> list[Threadable]:
    """References that name each other in both directions."""
    return [message(n, "", *(str(m) for m in (n + 1, n - 1, n + 2, n - 2) if m > 0)) for n in range(1, count + 1)]


def _under_one(count: int) -> list[Threadable]:
    return [message(n, "", "gone", str(max(n // 2, 1))) for n in range(1, count + 1)]


WORK: dict[str, Callable[[int], list[Threadable]]] = {
    "a chain": chain,
    "a chain, newest first": lambda count: chain(count)[::-1],
    "a shuffled chain": lambda count: random.Random(count).sample(chain(count), count),
    "many references": lambda count: [message(n, "", *map(str, range(max(n - 50, 1), n))) for n in range(1, count + 1)],
    "one subject": lambda count: [message(n, "S", answers=n % 2 == 0) for n in range(1, count + 1)],
    "answers to nothing": lambda count: [message(n, f"S{n % 9}", f"x{n // 2}") for n in range(1, count + 1)],
    "under one": _under_one,
}


@pytest.mark.parametrize("name", WORK)
def test_linear(name: str) -> None:
    """Eight times the messages do not take the square of that."""
    assert_linear(WORK[name], lambda mailbox: thread_list(by_references(mailbox)), size=500, largest=8_000)


def test_loops_are_looked_for_so_long_and_no_longer() -> None:
    """A mailbox made to have every link looked for far and wide: some stay unlinked, all are told, and soon."""
    before = time.process_time()
    answer = threaded(*_crossed(20_000))
    assert time.process_time() - before < 20
    assert len(answer.replace("(", " ").replace(")", " ").split()) == 20_000
