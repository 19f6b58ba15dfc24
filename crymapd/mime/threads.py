"""THREAD: messages are grouped into conversations (RFC 5256 section 3, REFERENCES and ORDEREDSUBJECT).

A thread is a tree. Nothing here recurses, because a conversation may be thousands of replies deep.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

MAX_STEPS = 2_000_000
"""The steps that one THREAD spends on finding loops, far more than honest mail needs. Then it makes no more links."""


@dataclass(frozen=True, slots=True)
class Threadable:
    """Hold what threading needs to know of a message.

    Attributes:
        result: the sequence number or UID that the answer has for it.
        sent: its sent date in seconds since 1970 UTC.
        subject: the collation key of its base subject.
        answers: whether its subject bears the mark of a reply or forward.
        id: its Message-ID, or None.
        references: the ids of its ancestors, oldest first.
    """

    result: int
    sent: int
    subject: str
    answers: bool
    id: bytes | None = None
    references: tuple[bytes, ...] = ()


@dataclass(slots=True, eq=False)
class Node:
    """Represent a message in a tree, or a dummy for a message that is only referred to."""

    message: Threadable | None = None
    parent: Node | None = None
    children: list[Node] = field(default_factory=list)

    def adopt(self, child: Node) -> None:
        child.parent = self
        self.children.append(child)

    @property
    def first(self) -> Threadable:
        """The message, or for a dummy the first message below it (a dummy that stays in the tree has children)."""
        node = self
        while node.message is None:
            node = node.children[0]
        return node.message


def _sent(node: Node) -> tuple[int, int]:
    return node.first.sent, node.first.result


# REFERENCES


def by_references(messages: Sequence[Threadable]) -> list[Node]:
    """Return the threads, ordered by the sent date of their first message."""
    nodes = _linked(messages)
    roots = _pruned([node for node in nodes if node.parent is None])
    for node in roots:
        if node.message is None:
            node.children.sort(key=_sent)
    roots.sort(key=_sent)
    roots = _merged(roots)
    _sort(roots)
    return roots


class _Links:
    """Make links between parents and children (step 1), but none that would close a loop."""

    def __init__(self) -> None:
        self._below: dict[Node, dict[Node, None]] = {}
        self._steps = MAX_STEPS

    def link(self, parent: Node, child: Node) -> None:
        """Link a child that has no parent yet."""
        if not self._closes_loop(parent, child):
            child.parent = parent
            self._below.setdefault(parent, {})[child] = None

    def cut(self, child: Node) -> None:
        if child.parent is not None:
            del self._below[child.parent][child]
            child.parent = None

    def _closes_loop(self, parent: Node, child: Node) -> bool:
        """Tell whether `child` is `parent` or one of its ancestors.

        One walk goes up from the parent while another goes down from the child; the shorter one decides.
        """
        above: Node | None = parent
        below: list[Iterator[Node]] = [iter((child,))]
        while above is not child:
            above = above.parent if above is not None else None
            if above is None or not below:
                return False
            node = next(below[-1], None)
            if node is parent:
                return True
            if node is None:
                below.pop()
            else:
                below.append(iter(self._below.get(node, ())))
            self._steps -= 1
            if self._steps < 0:
                return True
        return True


def _linked(messages: Sequence[Threadable]) -> list[Node]:
    """Give every message its parent (step 1)."""
    by_id: dict[bytes, Node] = {}
    nodes: list[Node] = []
    links = _Links()
    for message in messages:
        node = Node(message)
        nodes.append(node)
        if message.id is not None:
            by_id.setdefault(message.id, node)
    # An id that only one message mentions, and that belongs to no message, ties nothing together: its dummy would be
    # pruned anyway. If it is all that a message mentions, though, the message has it as parent, and the references of
    # others must not give the message another one (step 1, A).
    mentions = Counter(reference for message in messages for reference in set(message.references))
    for message, node in zip(messages, tuple(nodes), strict=True):
        previous: Node | None = None
        for reference in message.references:
            is_last = reference is message.references[-1]
            if mentions[reference] == 1 and reference not in by_id and not (is_last and previous is None):
                continue
            if reference not in by_id:
                by_id[reference] = Node()
                nodes.append(by_id[reference])
            current = by_id[reference]
            if previous is not None and current.parent is None:
                links.link(previous, current)
            previous = current
        if node.parent is not previous:  # a parent that the references of others gave it was a guess
            links.cut(node)
            if previous is not None:
                links.link(previous, node)
    for node in nodes:
        if node.parent is not None:
            node.parent.children.append(node)
    return nodes


def _pruned(roots: list[Node]) -> list[Node]:
    """Replace dummies by their children (step 3), but keep one whose several children would become separate threads."""
    order: list[Node] = []
    stack = list(roots)
    while stack:
        node = stack.pop()
        order.append(node)
        stack.extend(node.children)
    for node in reversed(order):  # children before parents
        children: list[Node] = []
        for child in node.children:
            children.extend([child] if child.message is not None else child.children)
        for child in children:
            child.parent = node
        node.children = children
    threads: list[Node] = []
    for node in roots:
        if node.message is not None or len(node.children) > 1:
            threads.append(node)
        else:
            threads.extend(node.children)
    for node in threads:
        node.parent = None
    return threads


def _merged(roots: list[Node]) -> list[Node]:
    """Merge threads that have the same base subject (step 5)."""
    table: dict[str, Node] = {}
    for node in roots:
        subject = node.first.subject
        if not subject:
            continue
        first = table.get(subject)
        if first is None or (
            first.message is not None and (node.message is None or (first.message.answers and not node.message.answers))
        ):
            table[subject] = node
    threads: dict[int, Node] = {id(node): node for node in roots}
    for node in roots:
        first = table.get(node.first.subject) if node.first.subject else None
        if first is None or first is node:
            continue
        if first.message is None and node.message is None:
            for child in node.children:
                first.adopt(child)
        elif first.message is None or (node.message is not None and node.message.answers and not first.message.answers):
            first.adopt(node)
        else:
            dummy = Node()
            table[node.first.subject] = dummy
            threads[id(dummy)] = dummy
            dummy.adopt(first)
            dummy.adopt(node)
            del threads[id(first)]
        del threads[id(node)]
    return list(threads.values())


def _sort(roots: list[Node]) -> None:
    """Sort siblings by sent date, the deepest first, so that the first child of a dummy is the right one (step 6)."""
    order: list[Node] = []
    stack = list(roots)
    while stack:
        node = stack.pop()
        order.append(node)
        stack.extend(node.children)
    for node in reversed(order):
        node.children.sort(key=_sent)
    roots.sort(key=_sent)


# ORDEREDSUBJECT


def by_subject(messages: Sequence[Threadable]) -> list[Node]:
    """Return a thread for each base subject; its first message is the parent of all others."""
    threads: dict[str, Node] = {}
    for message in sorted(messages, key=lambda m: (m.sent, m.result)):
        if message.subject in threads:
            threads[message.subject].adopt(Node(message))
        else:
            threads[message.subject] = Node(message)
    return sorted(threads.values(), key=_sent)
