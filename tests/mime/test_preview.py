"""PREVIEW is a message's own text (RFC 8970), wherever in the message it stands."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import pytest

from crymapd.imap.prepared import prepare
from crymapd.mime.parts import parse
from crymapd.mime.preview import preview
from crymapd.store.summary import MAX_SEARCHED, Summarizer, summarize
from tests.testlib.linear import assert_linear

GOLDEN = Path(__file__).parent / "golden"


def part(kind: str, text: str = "", *fields: str) -> str:
    return "\r\n".join((f"Content-Type: {kind}", *fields, "", text, ""))


def multipart(kind: str, *parts: str, boundary: str = "b") -> str:
    body = "".join(f"--{boundary}\r\n{one}" for one in parts)
    name, _, rest = kind.partition(";")
    return f"Content-Type: multipart/{name}; boundary={boundary};{rest}\r\n\r\n{body}--{boundary}--\r\n"


def shown(message: str | bytes) -> str:
    octets = message.encode() if isinstance(message, str) else message
    text = preview(parse(octets), lambda start, end: iter((octets[start:end],)))
    assert summarize(octets, prepare).preview == text
    return text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("preview-empty-plain", "Everything is in the HTML."),
        ("preview-of-attached-message", "The words I wrote myself."),
        ("preview-of-list-footer", "The message itself."),
    ],
)
def test_reported(name: str, text: str) -> None:
    assert shown((GOLDEN / f"{name}.eml").read_bytes()) == text


PLAIN, HTML, EMPTY = part("text/plain", "plain"), part("text/html", "<p>html</p>"), part("text/plain", " \r\n\t")
PICTURE = part("image/png", "AAAA", "Content-Transfer-Encoding: base64")
FORWARDED = "Content-Type: message/rfc822\r\n\r\n" + part("text/plain", "forwarded")
FOOTER = part("text/plain", "_" * 47 + "\r\nlist mailing list\r\n")
LOG = part("text/plain; name=x.log", "log")


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (multipart("alternative", PLAIN, HTML), "plain"),
        (multipart("alternative", HTML, PLAIN), "plain"),
        (multipart("alternative", EMPTY, HTML), "html"),
        (multipart("alternative", EMPTY, multipart("related", HTML, PICTURE, boundary="c")), "html"),
        (multipart("alternative", part("text/plain", "\u00a0\u200b"), HTML), "html"),
        (multipart("alternative", EMPTY, part("text/html", "<img src=x>")), ""),
        (multipart("mixed", HTML, FORWARDED), "html"),
        (multipart("mixed", FORWARDED, HTML), "html"),
        (multipart("mixed", FORWARDED), ""),
        (multipart("mixed", EMPTY, FORWARDED), ""),
        ("Content-Type: message/rfc822\r\n\r\n" + PLAIN, ""),
        (multipart("digest", "\r\n" + PLAIN), ""),
        (multipart("mixed", HTML, FOOTER), "html"),
        (multipart("mixed", PICTURE, FOOTER), ""),
        (multipart("mixed", part("text/html", "<img src=x>"), FOOTER), ""),
        (multipart("mixed", HTML, part("text/plain", "-- \r\nYou received this message because")), "html"),
        (multipart("mixed", multipart("alternative", EMPTY, HTML, boundary="c"), FOOTER), "html"),
        (multipart("mixed", EMPTY, PICTURE, PLAIN), "plain"),
        (multipart("mixed", PICTURE, PLAIN), "plain"),
        (multipart("mixed", HTML, PLAIN), "html"),
        (multipart("mixed", LOG, PLAIN), "plain"),
        (multipart("mixed", EMPTY, LOG), ""),
        (multipart("mixed", EMPTY, part("text/plain", "no", "Content-Disposition: ATTACHMENT")), ""),
        (multipart("mixed", EMPTY, part("text/html", "no", "Content-Disposition: inline; filename*=utf-8''x.html")), ""),
        (multipart("mixed", multipart("mixed", PLAIN, boundary="c") .replace("\r\n", "\r\nContent-Disposition: attachment\r\n", 1), HTML), "html"),
        (multipart("alternative", part("text/plain; name=body.txt", "plain"), HTML), "plain"),
        (part("text/plain; name=x.txt", "plain"), "plain"),
        (multipart("signed", PLAIN, part("text/plain", "signature")), "plain"),
        (multipart("signed", EMPTY, part("text/plain", "signature")), ""),
        (multipart("report", PLAIN, part("message/delivery-status", "status"), FORWARDED), "plain"),
        (multipart("encrypted", part("application/pgp-encrypted", "Version: 1"), PLAIN), ""),
        (multipart("related", PICTURE, HTML), ""),
        (multipart("related; start=\"<r@x>\"", PICTURE, part("text/html", "root", "Content-ID: <r@x>")), "root"),
        (multipart("mixed"), ""),
    ],
)  # fmt: skip
def test_which_part(message: str, text: str) -> None:
    assert shown(message) == text


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("wor<b>d</b>s <i>and</i><p>more<td>x", "words and more x"),
        ("<a title=\"x > y\" href='a>b'>link</a>", "link"),
        ("<p title=it's>one</p><p class=\"x>two</p>", "one two"),
        ("<!--[if mso]><p>no</p><![endif]--><![if !mso]>yes<![endif]>", "yes"),
        ('<!DOCTYPE html PUBLIC "-//W3C//DTD"><?xml version=1?><html><head><title>no</title><body>yes', "yes"),
        ("<head><meta x><body>an open head", "an open head"),
        ("a < b & c > d &lt;e&gt; &#x41;&amp;amp;", "a < b & c > d <e> A&amp;"),
        ("<script>if (a < b) { document.write('<p>no</p>') }</script>yes", "yes"),
        ("<style>p { color: red } /* </p> */</style>yes<style>no", "yes"),
        ("<template>no</template>yes<title>no", "yes"),
        ("<!-->yes<!-- -- > no --> too", "yes too"),
        ("yes<a href=", "yes"),
        ("&zwnj;&nbsp;&#847;&shy;" * 300 + "text", "text"),
        ("x" * 300, "x" * 200),
    ],
)
def test_markup_is_not_shown(markup: str, text: str) -> None:
    assert shown(part("text/html", markup)) == text


STYLE = "<style>" + "p { margin: 0 }\n" * 20_000 + "</style>"
DATA = '<img src="data:image/png;base64,' + "QUJD" * 200_000 + '">'
BIG_PICTURE = part("image/png", "QUJD" * 100_000, "Content-Transfer-Encoding: base64")


def base64_part(kind: str, text: str) -> str:
    return part(kind, base64.encodebytes(text.encode()).decode(), "Content-Transfer-Encoding: base64")


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (multipart("mixed", BIG_PICTURE, part("text/plain", "Text under the picture.")), "Text under the picture."),
        (multipart("mixed", BIG_PICTURE, base64_part("text/html", STYLE + "<p>text")), "text"),
        (part("text/html", STYLE + "text"), "text"),
        (part("text/html", DATA + "text"), "text"),
        (multipart("alternative", EMPTY, base64_part("text/html", DATA + STYLE + "text")), "text"),
        (multipart("mixed", EMPTY, BIG_PICTURE, BIG_PICTURE, HTML, FOOTER), "html"),
        (multipart("mixed", part("text/plain", "first"), BIG_PICTURE), "first"),
        (multipart("mixed", BIG_PICTURE, FOOTER), ""),
        (part("text/plain", "word " * 200_000), ("word " * 40).strip()),
    ],
)
def test_behind_large_things(message: str, text: str) -> None:
    assert shown(message) == text
    summarizer = Summarizer()
    octets = message.encode()
    for at in range(0, len(octets), 65536):
        summarizer.feed(octets[at : at + 65536])
    assert len(octets) > MAX_SEARCHED and summarizer.held < 2 * MAX_SEARCHED
    held = summarizer.finish(prepare)
    assert held is None or held.preview == text
    read = summarizer.finish_reading(prepare, lambda start, end: iter((octets[start:end],)))
    assert read == summarize(octets, prepare)
    if text.startswith(("first", "word")):
        assert held is not None


Work = tuple[str, Callable[[int], str]]
WORK: tuple[Work, ...] = (
    ("open tags", lambda size: "<a" * (size // 2)),
    ("open values", lambda size: '<a ="' * (size // 5)),
    ("open values of two kinds", lambda size: "<a =\" =' >" * (size // 10)),
    ("equal signs", lambda size: "<a " + "= " * (size // 2)),
    ("equal signs and spaces", lambda size: "<a =" + " " * size),
    ("spaces", lambda size: "<p> " * (size // 4)),
    ("open invisible elements", lambda size: "<style>" * (size // 7)),
    ("ends of comments", lambda size: "<!---->" * (size // 7)),
    ("references", lambda size: "&#0;" * (size // 4)),
)


@pytest.mark.parametrize(("make",), [one[1:] for one in WORK], ids=[one[0] for one in WORK])
def test_linear(make: Callable[[int], str]) -> None:
    """Eight times the octets do not take the square of that."""
    assert_linear(lambda size: part("text/html", make(size)).encode(), shown, size=8192, largest=1 << 18)
