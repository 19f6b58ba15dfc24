"""The mail that tests and demonstrations deliver. All of it is ours, and the same octets on every machine.

`samples` are a dozen messages with names, one for each thing worth showing; `varied` an endless supply of
ordinary oddity; `hostile` what no honest program sends.
"""

from __future__ import annotations

import random
from functools import cache

from tests.testlib.building import (
    Entity,
    attachment,
    crlf,
    encoded_words,
    message_part,
    multipart,
    png,
    text,
)
from tests.testlib.hostile import hostile
from tests.testlib.varied import varied

__all__ = ["as_literal", "hostile", "sample", "samples", "varied"]

LARGE = 5_000_000


@cache
def as_literal(message: bytes) -> bytes:
    """A message as BODY[] gives it, since a literal cannot hold NUL (RFC 9051 section 9); BINARY[] gives what it is."""
    return message.replace(b"\0", b"\x80")


def samples() -> list[tuple[str, bytes]]:
    """Name and octets of each; lines end with CRLF (but for the inside of `binary`)."""
    makers = (
        _welcome, _alternative, _attachments, _forward, _utf8, _latin1, _binary, _emoji, _digest, _invitation,
        _newsletter, _large,
    )  # fmt: skip
    return [(maker.__name__[1:], _message(index, maker()).octets()) for index, maker in enumerate(makers)]


def sample(name: str) -> bytes:
    """The message of this name."""
    return dict(samples())[name]


def _message(index: int, entity: Entity) -> Entity:
    """The header fields all samples have, before their own."""
    return entity.under(
        b"Date: Mon, %02d Jun 2026 09:%02d:00 +0200" % (1 + index, 3 * index),
        b"Message-ID: <sample-%02d@example.org>" % index,
        b"MIME-Version: 1.0",
    )


def _head(entity: Entity, sender: str, subject: bytes | str, to: str = "Alice <alice@example.org>") -> Entity:
    title = subject if isinstance(subject, bytes) else subject.encode("ascii")
    return entity.under(f"From: {sender}".encode("ascii"), f"To: {to}".encode("ascii"), b"Subject: " + title)


_WELCOME = """\
Hello Alice,

welcome to your mailbox. Every message that arrives here is encrypted before
it reaches the disk, with a key that only your password opens. You need to do
nothing for that: your mail program speaks plain IMAP, as it always did.

Three things to know:

 - While you are away, mail can be put in, but nobody can take it out.
 - If you change your password, your mail stays readable to you.
 - If you lose it, nobody can help. Please keep a recovery key on paper.

From this line on there is only one more thing to say: enjoy.
.
(That full stop on a line of its own is on purpose.)

-- \nYour postmaster
"""


def _welcome() -> Entity:
    return _head(
        text(_WELCOME, charset="us-ascii", encoding="7bit"),
        "Postmaster <postmaster@example.org>",
        "Welcome to your encrypted mailbox",
    )


_PLAIN = "Dear reader,\n\nour mail now has a lock on every drawer.\n\nRead more: https://example.net/locks\n"
_HTML = """\
<!DOCTYPE html>
<html><head><title>Locks</title></head>
<body><p>Dear reader,</p>
<p>our mail now has a <b>lock on every drawer</b>.</p>
<p><a href="https://example.net/locks">Read more</a></p>
</body></html>
"""


def _alternative() -> Entity:
    parts = [
        text(_PLAIN, charset="us-ascii", encoding="7bit"),
        text(_HTML, subtype="html", encoding="quoted-printable"),
    ]
    return _head(
        multipart("alternative", parts, "=_alternative_01"),
        "The Locksmith <news@example.net>",
        "A lock on every drawer",
    )


def _attachments() -> Entity:
    pixels = bytes((x * 8 + y * 8) % 256 for y in range(16) for x in range(16))
    table = b"month,messages,megabytes\r\nApril,812,93\r\nMay,790,101\r\nJune,903,120\r\n"
    parts = [
        text("Hi Alice,\n\nthe chart and the numbers behind it.\n\nBob\n", charset="us-ascii", encoding="7bit"),
        attachment("chart.png", "image/png", png(16, 16, pixels)),
        attachment("numbers.csv", "text/csv", table),
    ]
    return _head(
        multipart("mixed", parts, "=_mixed_02", preamble=b"This is a message in several parts.\r\n"),
        "Bob Example <bob@example.net>",
        "Chart and numbers for June",
    )


def _forward() -> Entity:
    inner = _head(
        text("Shall we meet at the lake on Sunday?\n\nCarol\n", charset="us-ascii", encoding="7bit"),
        "Carol <carol@example.net>",
        "Sunday",
        "bob@example.net",
    ).under(b"Date: Fri, 29 May 2026 18:00:00 +0000", b"Message-ID: <lake@example.net>")
    parts = [
        text("Would you come too?\n", charset="us-ascii", encoding="7bit"),
        message_part(inner.octets()),
    ]
    return _head(multipart("mixed", parts, "=_forward_03"), "Bob <bob@example.net>", "Fwd: Sunday").under(
        b"References: <lake@example.net>"
    )


def _utf8() -> Entity:
    content = "Grüße aus Zürich, καλημέρα, доброе утро, おはよう!\n\nThis body is UTF-8 in 8 bits.\n"
    return _head(text(content), "Jana <jana@example.net>", encoded_words("Grüße aus Zürich", "utf-8", "q"))


def _latin1() -> Entity:
    content = "Chère Alice,\n\nle café est prêt. À bientôt, à l'été !\n\nRené\n"
    subject = encoded_words("Le café est prêt", "iso-8859-1", "q")
    return _head(text(content, charset="iso-8859-1"), "=?iso-8859-1?q?Ren=E9?= <rene@example.net>", subject)


def _binary() -> Entity:
    data = bytes(range(256)) + b"\0\0a bare LF\nand a bare CR\rand both\r\nand NUL\0 at last"
    headers = (
        b"Content-Type: application/octet-stream",
        b"Content-Transfer-Encoding: binary",
        b"Content-Disposition: attachment; filename=octets.bin",
    )
    parts = [
        text("Octets as they are, for servers that speak BINARY.\n", charset="us-ascii", encoding="7bit"),
        Entity(headers, data),
    ]
    mixed = multipart("mixed", parts, "=_binary_06").under(b"Content-Transfer-Encoding: binary")
    return _head(mixed, "Probe <probe@example.net>", "Every octet there is")


def _emoji() -> Entity:
    content = "Your key is safe. 🔐\n\nSo are 👩‍👩‍👧‍👦, 🇪🇺 and ✨.\n"
    return _head(text(content), "Alice <alice@example.org>", encoded_words("Your key is safe 🔐✨"))


def _digest() -> Entity:
    topics = ("Which client do you use?", "Re: Which client do you use?", "IDLE on the train")
    posts = []
    for index, topic in enumerate(topics):
        post = Entity(
            (
                b"From: Member %d <member%d@example.net>" % (index, index),
                b"Subject: " + topic.encode(),
                b"Date: Tue, 09 Jun 2026 1%d:00:00 +0000" % index,
                b"Message-ID: <post-%d@lists.example.net>" % index,
            ),
            crlf(f"{topic}\n\nThat is post number {index + 1}.\n"),
        )
        posts.append(Entity((), post.octets()))
    parts = [
        text("Today's topics:\n\n" + "".join(f"  {t}\n" for t in topics), charset="us-ascii", encoding="7bit"),
        multipart("digest", posts, "=_digest_08_inner"),
    ]
    return _head(
        multipart("mixed", parts, "=_digest_08"),
        "imap-users-request@lists.example.net",
        "imap-users Digest, Vol 3, Issue 8",
        "imap-users@lists.example.net",
    ).under(
        b"List-Id: People who read mail <imap-users.lists.example.net>",
        b"List-Unsubscribe: <mailto:imap-users-leave@lists.example.net>",
        b"Precedence: list",
    )


_CALENDAR = """\
BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//example.net//corpus//EN
METHOD:REQUEST
BEGIN:VEVENT
UID:picnic@example.net
DTSTAMP:20260601T080000Z
DTSTART:20260614T110000Z
DTEND:20260614T140000Z
SUMMARY:Picnic at the lake
LOCATION:The big willow
ORGANIZER:mailto:carol@example.net
ATTENDEE;RSVP=TRUE:mailto:alice@example.org
END:VEVENT
END:VCALENDAR
"""


def _invitation() -> Entity:
    calendar = Entity(
        (
            b"Content-Type: text/calendar; method=REQUEST; charset=utf-8",
            b"Content-Transfer-Encoding: 7bit",
        ),
        crlf(_CALENDAR),
    )
    parts = [text("Picnic on Sunday at one?\n", charset="us-ascii", encoding="7bit"), calendar]
    return _head(
        multipart("alternative", parts, "=_invitation_09"),
        "Carol <carol@example.net>",
        "Invitation: Picnic at the lake",
    )


_NEWS = """\
What is new in June — the short version

• Push: your phone hears of new mail at once, without asking every minute.
• Search: “words like these” are found in attachments too, and the index is encrypted as the mail is. This \
line is long on purpose, so that quoted-printable has to break it softly = once or twice.
• Price: still 0 €.

To leave this list, write to leave@example.net.
"""


def _newsletter() -> Entity:
    return _head(
        text(_NEWS, encoding="quoted-printable"),
        "Encrypted Mail News <news@example.net>",
        encoded_words("What is new in June — the short version", "utf-8", "q"),
    )


def _large() -> Entity:
    data = random.Random("corpus: large").randbytes(LARGE)
    parts = [
        text("Five megabytes of noise, to see how the bar moves.\n", charset="us-ascii", encoding="7bit"),
        attachment("noise.bin", "application/octet-stream", data),
    ]
    return _head(multipart("mixed", parts, "=_large_11"), "Probe <probe@example.net>", "A large attachment")
