"""Shrinks a message before it is encrypted: base64 is decoded, the result is compressed with brotli.

`padme` computes how far the packed form is padded, so that a file's length says little about its message.

The packed form is a sequence of records, compressed as a whole when that helps:

    0x00  varint n, n octets                              octets as they are
    0x01  u8 w, u8 e, varint k, k*w*3/4 octets            k lines of w base64 characters, each
                                                          ended by CRLF (e=0) or LF (e=1)
    0xff  varint total                                    the end, and the length of the original

A record 0x01 is written only if encoding its octets again gives back exactly the original text.  The
first octet of the packed stream is the codec: 0 stored, 1 brotli.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from typing import Any

import brotli

from crymapd.errors import Damaged

WINDOW = 256 * 1024
_VERBATIM, _BASE64, _END = 0x00, 0x01, 0xFF
_STORED, _BROTLI = 0, 1
_LINE_ENDS = (b"\r\n", b"\n")
# One line that may begin a run of base64. `_run_pattern` then demands its length of at least four lines.
_CANDIDATE = re.compile(rb"(?<![^\n])([A-Za-z0-9+/]{40,250})(\r?\n)")
_RUNS: dict[tuple[int, bytes], re.Pattern[bytes]] = {}
_LEAST_LINES = 4
_QUALITY = 5
_BROTLI_WINDOW = 20
_BROTLI_BLOCK = 18
_OUTPUT_LIMIT = 1 << 18


def varint(value: int) -> bytes:
    """Encode a non-negative integer as LEB128: seven bits in each octet, the least significant first."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def padme(length: int) -> int:
    """Round a length up as Padme does (`docs/store.md` section 6): by at most 12 %, to one of few distinct lengths."""
    if length < 2:
        return length
    exponent = length.bit_length() - 1
    low_bits = exponent - exponent.bit_length()
    mask = (1 << low_bits) - 1
    return (length + mask) & ~mask


class Packer:
    """Takes clear octets and gives packed octets, a window at a time.

    Attributes:
        clear_length: octets taken so far.
        packed_length: octets given so far.
    """

    def __init__(self) -> None:
        self._window = bytearray()
        self._codec: int | None = None
        self._brotli: brotli.Compressor | None = None
        self.clear_length = 0
        self.packed_length = 0

    def process(self, data: bytes) -> bytes:
        """Take the next octets of the message; return the packed octets that are ready, often none."""
        self._window += data
        self.clear_length += len(data)
        if len(self._window) < WINDOW:
            return b""
        # Keep the unfinished last line, so that a base64 run is not cut more often than necessary.
        cut = self._window.rfind(b"\n", 0, len(self._window)) + 1 or len(self._window)
        ready = bytes(self._window[:cut])
        del self._window[:cut]
        return self._emit(b"".join(records(ready)))

    def finish(self) -> bytes:
        """Return the remaining packed octets, including the end record."""
        ready = b"".join(records(bytes(self._window))) + bytes((_END,)) + varint(self.clear_length)
        self._window.clear()
        if self._codec is None:
            return self._pack_whole(ready)
        out = self._emit(ready)
        if self._brotli is not None:
            last = self._brotli.finish()
            self.packed_length += len(last)
            out += last
        return out

    def _pack_whole(self, ready: bytes) -> bytes:
        """Pack a message that fits into one window: its codec can be chosen by compressing all of it."""
        compressor = _compressor()
        packed = compressor.process(ready) + compressor.finish()
        out = bytes((_BROTLI,)) + packed if _pays(packed, ready) else bytes((_STORED,)) + ready
        self.packed_length += len(out)
        return out

    def _emit(self, ready: bytes) -> bytes:
        head = b""
        if self._codec is None:
            # Compressing a sample quickly shows whether compressing the message is worth the time.
            sample = ready[:65536]
            self._codec = _BROTLI if _pays(brotli.compress(sample, quality=1), sample) else _STORED
            head = bytes((self._codec,))
            if self._codec == _BROTLI:
                self._brotli = _compressor()
        packed = head + (self._brotli.process(ready) if self._brotli is not None else ready)
        self.packed_length += len(packed)
        return packed


def _compressor() -> Any:
    return brotli.Compressor(mode=brotli.MODE_TEXT, quality=_QUALITY, lgwin=_BROTLI_WINDOW, lgblock=_BROTLI_BLOCK)


def _pays(packed: bytes, clear: bytes) -> bool:
    return len(packed) < len(clear) * 0.95


def records(data: bytes) -> Iterator[bytes]:
    """Split a window into records, without the end record."""
    written = position = 0  # up to where records cover the data, and where the search goes on
    while True:
        candidate = _CANDIDATE.search(data, position)
        if candidate is None:
            break
        width, ending = len(candidate[1]), candidate[2]
        position = candidate.end()
        if width % 4:
            continue  # tested before matching the run, which every one of its lines would match again
        run = _run_pattern(width, ending).match(data, candidate.start())
        if run is None:
            continue
        text = run[0]
        decoded = binascii.a2b_base64(text)
        if encode_lines(decoded, width, ending) != text:
            continue
        if run.start() > written:
            yield from _verbatim(data[written : run.start()])
        lines = len(text) // (width + len(ending))
        yield bytes((_BASE64, width, _LINE_ENDS.index(ending))) + varint(lines) + decoded
        written = position = run.end()
    if written < len(data):
        yield from _verbatim(data[written:])


def _verbatim(data: bytes) -> Iterator[bytes]:
    yield bytes((_VERBATIM,)) + varint(len(data)) + data


def _run_pattern(width: int, ending: bytes) -> re.Pattern[bytes]:
    pattern = _RUNS.get((width, ending))
    if pattern is None:
        pattern = re.compile(b"(?:[A-Za-z0-9+/]{%d}%s){%d,}" % (width, ending, _LEAST_LINES))
        _RUNS[width, ending] = pattern
    return pattern


def encode_lines(data: bytes, width: int, ending: bytes) -> bytes:
    """Encode octets as lines of exactly `width` base64 characters.

    Raises:
        Damaged: the last line would be shorter.
    """
    step = width * 3 // 4
    text = binascii.b2a_base64(data, newline=False)
    if len(data) % step:
        raise Damaged("a base64 record does not end with a whole line")
    return b"".join([text[at : at + width] + ending for at in range(0, len(text), width)])


class Unpacker:
    """Takes packed octets and gives clear octets, never more than `limit` octets in all."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._codec: int | None = None
        self._brotli: brotli.Decompressor | None = None
        self._rest = b""
        self._verbatim_left = 0
        self._lines_left = 0
        self._width = 0
        self._ending = b""
        self.clear_length = 0
        self.ended = False

    def process(self, data: bytes) -> Iterator[bytes]:
        """Take the next packed octets and yield the clear octets that they complete. Raises Damaged."""
        if self._codec is None and data:
            self._codec = data[0]
            data = data[1:]
            if self._codec == _BROTLI:
                self._brotli = brotli.Decompressor()
            elif self._codec != _STORED:
                raise Damaged("unknown codec")
        while piece := self._decompress(data):
            data = b""
            if self.ended:
                raise Damaged("there is something after the end record")
            for clear in self._read_records(self._rest + piece):
                self.clear_length += len(clear)
                if self.clear_length > self._limit:
                    raise Damaged("the message is longer than it may be")
                yield clear

    def finish(self) -> None:
        """Check that the end record and the end of the compressed stream have been read. Raises Damaged."""
        if not self.ended or (self._brotli is not None and not self._brotli.is_finished()):
            raise Damaged("the message has no end")

    def _decompress(self, data: bytes) -> bytes:
        """Decompress as much as may be held at once, and return nothing when more input is needed.

        The caller passes new input once, and then empty data until nothing is returned. It must not stop at the end
        record, because brotli may end its stream with an octet after the one that completed the record.
        """
        if self._brotli is None:
            return data
        if self._brotli.is_finished():
            if data:
                raise Damaged("there is something after the compressed data")
            return b""
        try:
            piece: bytes = self._brotli.process(data, output_buffer_limit=_OUTPUT_LIMIT)
        except brotli.error as error:
            raise Damaged("the compressed data is not what was written") from error
        return piece

    def _read_records(self, data: bytes) -> Iterator[bytes]:
        """Yield the content of records; an incomplete record head or line is kept until more octets come."""
        at = 0
        while at < len(data):
            if self._verbatim_left:
                piece = data[at : at + self._verbatim_left]
                self._verbatim_left -= len(piece)
                at += len(piece)
                yield piece
            elif self._lines_left:
                step = self._width * 3 // 4
                lines = min(self._lines_left, (len(data) - at) // step)
                if not lines:
                    break
                decoded = data[at : at + lines * step]
                self._lines_left -= lines
                at += len(decoded)
                yield encode_lines(decoded, self._width, self._ending)
            elif end := self._read_record_head(data, at):
                at = end
            else:
                break
        self._rest = data[at:]

    def _read_record_head(self, data: bytes, at: int) -> int:
        """Read the head of a record and return where it ends, or 0 if it is not complete."""
        kind = data[at]
        length, end = _read_varint(data, at + (3 if kind == _BASE64 else 1))
        if not end:
            return 0
        if kind == _VERBATIM:
            self._verbatim_left = length
        elif kind == _BASE64:
            self._width, ending = data[at + 1], data[at + 2]
            if self._width % 4 or not self._width or ending >= len(_LINE_ENDS):
                raise Damaged("a base64 record is malformed")
            self._ending, self._lines_left = _LINE_ENDS[ending], length
        elif kind == _END:
            if length != self.clear_length or len(data) != end:
                raise Damaged("the message has another length than it says")
            self.ended = True
        else:
            raise Damaged("unknown record")
        return end


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Decode a LEB128 integer: its value and where it ends, or (0, 0) if it does not end within the data."""
    value = shift = 0
    while at < len(data):
        octet = data[at]
        value |= (octet & 0x7F) << shift
        at += 1
        if octet < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise Damaged("a number is too long")
    return 0, 0
