from __future__ import annotations

import gzip
import zlib

import pytest

from waitline.bridge.webhook.body import gatherer
from waitline.bridge.webhook.faults import Failure, Fault

TEXT = b"<Response><Say>Please hold the line.</Say></Response>" * 20


def gathered(encoding: str, data: bytes, *, limit: int = 65536, pieces: int = 7) -> bytes:
    body = gatherer(encoding, limit=limit)
    for start in range(0, len(data), pieces):
        body.feed(data[start : start + pieces])
    return body.finish()


ENCODED = [
    ("", TEXT),
    ("identity", TEXT),
    ("gzip", gzip.compress(TEXT, mtime=0)),
    ("X-GZip", gzip.compress(TEXT, mtime=0)),
    ("deflate", zlib.compress(TEXT)),
    ("gzip", gzip.compress(TEXT[:100], mtime=0) + gzip.compress(TEXT[100:], mtime=0)),
]


@pytest.mark.parametrize("pieces", [1, 7, 100_000])
@pytest.mark.parametrize(("encoding", "data"), ENCODED)
def test_every_encoding_whole_or_in_pieces(encoding: str, data: bytes, pieces: int):
    assert gathered(encoding, data, pieces=pieces) == TEXT


@pytest.mark.parametrize("encoding", ["", "gzip", "deflate"])
def test_an_empty_body_is_empty(encoding: str):
    assert gathered(encoding, b"") == b""


def test_a_bomb_is_stopped_at_the_limit():
    bomb = gzip.compress(bytes(50_000_000))
    assert len(bomb) < 65536
    with pytest.raises(Failure) as caught:
        gathered("gzip", bomb, pieces=len(bomb))
    assert caught.value.fault is Fault.TOO_LARGE


def test_too_much_is_refused_as_soon_as_it_is_known():
    body = gatherer("", limit=1000)
    body.feed(bytes(1000))
    with pytest.raises(Failure) as caught:
        body.feed(b"x")
    assert caught.value.fault is Fault.TOO_LARGE


def test_compressed_data_that_never_becomes_anything_ends_too():
    empty_block = b"\x00\x00\x00\xff\xff"
    body = gatherer("deflate", limit=1000)
    body.feed(zlib.compress(b"")[:2])
    with pytest.raises(Failure) as caught:
        body.feed(empty_block * 1000)
    assert caught.value.fault is Fault.TOO_LARGE


def test_exactly_the_limit_is_taken():
    assert gathered("", bytes(1000), limit=1000) == bytes(1000)
    assert gathered("gzip", gzip.compress(bytes(60000)), limit=60000) == bytes(60000)


@pytest.mark.parametrize("data", [gzip.compress(TEXT, mtime=0)[:-5], gzip.compress(TEXT, mtime=0)[:20] + b"\xff" * 40, b"no gzip at all"])
def test_what_broke_off_or_is_damaged_is_a_violation(data: bytes):
    with pytest.raises(Failure) as caught:
        gathered("gzip", data)
    assert caught.value.fault is Fault.PROTOCOL


def test_an_encoding_nobody_asked_for_is_a_violation():
    with pytest.raises(Failure, match="br"):
        gatherer("br", limit=1)


@pytest.mark.parametrize("size", [65535, 65536, 65537, 131072, 200_000])
def test_output_that_fills_the_inflaters_steps_is_complete(size: int):
    assert gathered("gzip", gzip.compress(bytes(size)), limit=300_000, pieces=1_000_000) == bytes(size)
