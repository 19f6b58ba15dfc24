"""The response of THREAD (RFC 5256 section 4)."""

from __future__ import annotations

from collections.abc import Iterable

from crymapd.mime.threads import Node


def thread_list(roots: Iterable[Node]) -> bytes:
    """Write threads as `(1)(2 3)(4 (5)(6 7))`, without recursion because they may be deep."""
    out: list[bytes] = []
    stack: list[Node | bytes] = []
    for root in roots:
        stack.append(root)
        while stack:
            item = stack.pop()
            if isinstance(item, bytes):
                out.append(item)
                continue
            out.append(b"(")
            line: list[bytes] = []
            node = item
            while True:
                if node.message is not None:
                    line.append(b"%d" % node.message.result)
                if len(node.children) != 1:
                    break
                node = node.children[0]
            out.append(b" ".join(line))
            if node.children and line:
                out.append(b" ")
            stack.append(b")")
            stack.extend(reversed(node.children))
    return b"".join(out)
