"""The note that stands in the place of a message that cannot be read."""

from __future__ import annotations


def note(file: bytes, reason: str) -> bytes:
    """Write the note about a sealed file as a small message; the same file and reason give the same octets."""
    name = file.hex()
    path = f"messages/{name[:2]}/{name[2:]}"
    safe_reason = "".join(c if " " <= c < "\x7f" else "?" for c in reason)[:300]
    lines = (
        "From: crymapd <crymapd@localhost>",
        "Subject: [unreadable message]",
        "Date: Thu, 01 Jan 1970 00:00:00 +0000",
        f"Message-ID: <{name}@unreadable.invalid>",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=us-ascii",
        "",
        "A message belongs here, but its sealed file cannot be read:",
        "",
        f"    {safe_reason}",
        "",
        "The file is, in the user directory:",
        "",
        f"    {path[:46]}",
        f"    {path[46:]}",
        "",
        "If you have a backup, put that one file back: the message will be here again.",
        "If not, delete this note.",
        "",
    )
    return "\r\n".join(lines).encode("ascii")
