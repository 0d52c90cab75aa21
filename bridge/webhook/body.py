"""The body of an answer, gathered under a limit that counts before and after decompression: a kilobyte can hold a gigabyte."""

from __future__ import annotations

import zlib
from typing import Protocol

from waitline.bridge.webhook.faults import Failure, Fault

ACCEPTED_ENCODINGS = "gzip"
_STEP = 64 * 1024
_OVERHEAD = 1024


class Gathered(Protocol):
    """Takes the body's pieces as they come."""

    def feed(self, piece: bytes) -> None:
        """Raises Failure TOO_LARGE as soon as the limit is passed, PROTOCOL for what cannot be decompressed."""
        ...

    def finish(self) -> bytes:
        """The whole body; Failure PROTOCOL if it broke off."""
        ...


def gatherer(encoding: str, *, limit: int) -> Gathered:
    """For a Content-Encoding (empty where there is none) and ``limit`` bytes. Raises Failure PROTOCOL for an encoding nobody asked for."""
    match encoding.strip().lower():
        case "" | "identity":
            return PlainBody(limit=limit)
        case "gzip" | "x-gzip" | "deflate":
            return CompressedBody(limit=limit)
    raise Failure(Fault.PROTOCOL, f"Content-Encoding {encoding!r}")


class PlainBody:
    def __init__(self, *, limit: int) -> None:
        self._limit = limit
        self._body = bytearray()

    def feed(self, piece: bytes) -> None:
        self._body += piece
        if len(self._body) > self._limit:
            raise Failure(Fault.TOO_LARGE, f"more than {self._limit} bytes")

    def finish(self) -> bytes:
        return bytes(self._body)


class CompressedBody:
    """gzip, several members too, and zlib ("deflate", RFC 9110 §8.4.1.2)."""

    def __init__(self, *, limit: int) -> None:
        self._plain = PlainBody(limit=limit)
        self._fed = 0
        self._limit = limit
        self._inflater = zlib.decompressobj(wbits=47)  # gzip or zlib, by its header
        self._started = False

    def feed(self, piece: bytes) -> None:
        self._fed += len(piece)
        if self._fed > self._limit + _OVERHEAD:  # blocks without content would never reach the other limit
            raise Failure(Fault.TOO_LARGE, f"more than {self._limit} compressed bytes")
        while piece:
            piece = self._step(piece)

    def finish(self) -> bytes:
        if self._started and not self._inflater.eof:
            self._plain.feed(self._inflater.flush())  # what a full step left inside: at most one copy of a match
        if self._started and not self._inflater.eof:
            raise Failure(Fault.PROTOCOL, "the compressed body broke off")
        return self._plain.finish()

    def _step(self, piece: bytes) -> bytes:
        """Inflate a little, and return what is left to do."""
        if self._inflater.eof:
            self._inflater = zlib.decompressobj(wbits=47)  # the next member
        self._plain.feed(self._inflate(piece))
        self._started = True
        return self._inflater.unused_data or self._inflater.unconsumed_tail

    def _inflate(self, piece: bytes) -> bytes:
        try:
            return self._inflater.decompress(piece, _STEP)
        except zlib.error as error:
            raise Failure(Fault.PROTOCOL, f"the compressed body is damaged: {error}") from error
