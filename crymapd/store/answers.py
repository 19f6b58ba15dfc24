"""Header blocks and prepared answers from the index; what is missing there is made from the messages and kept."""

from __future__ import annotations

import contextlib
from collections.abc import Container, Sequence

from crymapd.errors import MessageGone, MessageUnavailable
from crymapd.model.numbers import MessageId
from crymapd.store.index import Index
from crymapd.store.indexing import Indexing
from crymapd.store.summary import Summary


class Answers:
    """Header blocks and prepared answers by message id. Messages that cannot be read are left out."""

    def __init__(self, index: Index, indexing: Indexing) -> None:
        self._index = index
        self._indexing = indexing

    def headers(self, messages: Sequence[MessageId]) -> dict[MessageId, bytes]:
        """Return the top-level header blocks of messages."""
        headers = self._index.headers(messages)
        for message, summary in self._missing(messages, headers):
            headers[message] = summary.header
        return headers

    def answers(
        self, messages: Sequence[MessageId], names: Sequence[str], *, utf8: bool
    ) -> dict[MessageId, tuple[bytes | None, ...]]:
        """Return the prepared answers with these names (from `index.ANSWERS`), in the order of the names."""
        answers = self._index.answers(messages, names, utf8=utf8)
        for message, summary in self._missing(messages, answers):
            answers[message] = summary.answers(names, utf8=utf8)
        return answers

    def _missing(self, messages: Sequence[MessageId], present: Container[MessageId]) -> list[tuple[MessageId, Summary]]:
        """Make the summaries of messages that are not among those present, and keep them unless they are of notes."""
        summaries: list[tuple[MessageId, Summary]] = []
        lasting: list[tuple[MessageId, Summary]] = []
        for message in messages:
            if message not in present:
                with contextlib.suppress(MessageGone, MessageUnavailable):
                    summary, is_note = self._indexing.make_summary(message)
                    summaries.append((message, summary))
                    if not is_note:
                        lasting.append((message, summary))
        if lasting:
            self._index.put(lasting)
        return summaries
