"""What lies ready of messages in the index; what does not is made from the messages and kept."""

from __future__ import annotations

import contextlib
from collections.abc import Container, Sequence

from crymapd.errors import MessageGone, MessageUnavailable
from crymapd.model.numbers import MessageId
from crymapd.store.index import Index
from crymapd.store.indexing import Indexing
from crymapd.store.summary import Summary


class Answers:
    """Header blocks and a protocol's answers, by message id; messages that cannot be read are left out."""

    def __init__(self, index: Index, indexing: Indexing) -> None:
        self._index = index
        self._indexing = indexing

    def headers(self, messages: Sequence[MessageId]) -> dict[MessageId, bytes]:
        """The top-level header blocks."""
        headers = self._index.headers(messages)
        for message, summary in self._missing(messages, headers):
            headers[message] = summary.header
        return headers

    def answers(
        self, messages: Sequence[MessageId], names: Sequence[str], *, utf8: bool
    ) -> dict[MessageId, tuple[bytes | None, ...]]:
        """The answers with these names (some of `index.ANSWERS`), in their order."""
        answers = self._index.answers(messages, names, utf8=utf8)
        for message, summary in self._missing(messages, answers):
            answers[message] = summary.answers(names, utf8=utf8)
        return answers

    def _missing(self, messages: Sequence[MessageId], present: Container[MessageId]) -> list[tuple[MessageId, Summary]]:
        made: list[tuple[MessageId, Summary]] = []
        kept: list[tuple[MessageId, Summary]] = []
        for message in messages:
            if message not in present:
                with contextlib.suppress(MessageGone, MessageUnavailable):
                    summary, is_note = self._indexing.make_summary(message)
                    made.append((message, summary))
                    if not is_note:
                        kept.append(made[-1])
        if kept:
            self._index.put(kept)
        return made
