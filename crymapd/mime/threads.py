"""THREAD: messages grouped into conversations (RFC 5256 section 3, REFERENCES and ORDEREDSUBJECT).

A thread is a tree of numbers; nothing here recurses, as a conversation may be thousands of replies deep.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

MAX_STEPS = 2_000_000
"""How far loops are looked for in one THREAD; no honest mailbox comes near. What is undecided then stays unlinked."""


@dataclass(frozen=True, slots=True)
class Threadable:
    """What threading asks of a message.

    Attributes:
        number: what the answer names it by.
        sent: its sent date, seconds UTC.
        subject: collation key of its base subject.
        answers: whether the subject shows a reply or forward.
        id: its Message-ID, None without.
        references: its ancestors, oldest first.
    """

    number: int
    sent: int
    subject: str
    answers: bool
    id: bytes | None = None
    references: tuple[bytes, ...] = ()


@dataclass(slots=True, eq=False)
class Node:
    """A message in a tree, or a dummy for one that is only referred to."""

    message: Threadable | None = None
    parent: Node | None = None
    children: list[Node] = field(default_factory=list)

    def adopt(self, child: Node) -> None:
        child.parent = self
        self.children.append(child)

    @property
    def first(self) -> Threadable:
        """The message, or of a dummy its first child's (dummies left in a tree have some)."""
        node = self
        while node.message is None:
            node = node.children[0]
        return node.message


def _sent(node: Node) -> tuple[int, int]:
    return node.first.sent, node.first.number


# REFERENCES


def by_references(messages: Sequence[Threadable]) -> list[Node]:
    """The threads, by the sent date of their first message."""
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
    """Parents and children while the links are made (step 1); a link that would close a loop is not made."""

    def __init__(self) -> None:
        self._below: dict[Node, dict[Node, None]] = {}
        self._steps = MAX_STEPS

    def link(self, parent: Node, child: Node) -> None:
        """For a child without parent."""
        if not self._closes_loop(parent, child):
            child.parent = parent
            self._below.setdefault(parent, {})[child] = None

    def cut(self, child: Node) -> None:
        if child.parent is not None:
            del self._below[child.parent][child]
            child.parent = None

    def _closes_loop(self, parent: Node, child: Node) -> bool:
        """Whether `child` is `parent` or above it.

        One walk goes up from the parent, one down from the child, in step: the shorter way decides.
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
    """Step 1: a parent for every message that has one."""
    by_id: dict[bytes, Node] = {}
    nodes: list[Node] = []
    links = _Links()
    for message in messages:
        node = Node(message)
        nodes.append(node)
        if message.id is not None:
            by_id.setdefault(message.id, node)
    # An id without a message that only one message names ties nothing together: its dummy would be pruned anyway. But
    # where it is all that a message names, it is a parent, and others do not give it another (step 1, A).
    named = Counter(reference for message in messages for reference in set(message.references))
    for message, node in zip(messages, tuple(nodes), strict=True):
        previous: Node | None = None
        for reference in message.references:
            is_last = reference is message.references[-1]
            if named[reference] == 1 and reference not in by_id and not (is_last and previous is None):
                continue
            if reference not in by_id:
                by_id[reference] = Node()
                nodes.append(by_id[reference])
            current = by_id[reference]
            if previous is not None and current.parent is None:
                links.link(previous, current)
            previous = current
        if node.parent is not previous:  # one that others gave it was a guess
            links.cut(node)
            if previous is not None:
                links.link(previous, node)
    for node in nodes:
        if node.parent is not None:
            node.parent.children.append(node)
    return nodes


def _pruned(roots: list[Node]) -> list[Node]:
    """Step 3: dummies go; their children take their place, but several do not become threads of their own."""
    order: list[Node] = []
    stack = list(roots)
    while stack:
        node = stack.pop()
        order.append(node)
        stack.extend(node.children)
    for node in reversed(order):  # children before parents
        kept: list[Node] = []
        for child in node.children:
            kept.extend([child] if child.message is not None else child.children)
        for child in kept:
            child.parent = node
        node.children = kept
    found: list[Node] = []
    for node in roots:
        if node.message is not None or len(node.children) > 1:
            found.append(node)
        else:
            found.extend(node.children)
    for node in found:
        node.parent = None
    return found


def _merged(roots: list[Node]) -> list[Node]:
    """Step 5: threads of one base subject become one."""
    table: dict[str, Node] = {}
    for node in roots:
        subject = node.first.subject
        if not subject:
            continue
        known = table.get(subject)
        if known is None or (
            known.message is not None and (node.message is None or (known.message.answers and not node.message.answers))
        ):
            table[subject] = node
    found: dict[int, Node] = {id(node): node for node in roots}
    for node in roots:
        known = table.get(node.first.subject) if node.first.subject else None
        if known is None or known is node:
            continue
        if known.message is None and node.message is None:
            for child in node.children:
                known.adopt(child)
        elif known.message is None or (node.message is not None and node.message.answers and not known.message.answers):
            known.adopt(node)
        else:
            dummy = Node()
            table[node.first.subject] = dummy
            found[id(dummy)] = dummy
            dummy.adopt(known)
            dummy.adopt(node)
            del found[id(known)]
        del found[id(node)]
    return list(found.values())


def _sort(roots: list[Node]) -> None:
    """Step 6: siblings by sent date, the deepest first, so that a dummy's first child is the right one."""
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
    """Messages of one base subject, the first of them the parent of the others."""
    threads: dict[str, Node] = {}
    for message in sorted(messages, key=lambda m: (m.sent, m.number)):
        if message.subject in threads:
            threads[message.subject].adopt(Node(message))
        else:
            threads[message.subject] = Node(message)
    return sorted(threads.values(), key=_sent)
