"""A worker's table in shared memory: what is half written never counts."""

import os
import struct

import pytest

from waitline.media import ledger as ledger_module
from waitline.media.ledger import Hot, Ledger


def only(ledger):
    (found,) = ledger.records()
    return found


@pytest.fixture
def ledger():
    return Ledger.in_memory(4)


def test_the_newest_record_counts_with_its_own_numbers(ledger):
    entry = ledger.take()
    entry.keep({"leg": 1, "text": "a"}, Hot(sequence=1))
    entry.touch(Hot(sequence=2))
    assert only(ledger)[:2] == ({"leg": 1, "text": "a"}, Hot(sequence=2))
    entry.keep({"leg": 1, "text": "b"}, Hot(sequence=3))
    assert only(ledger)[:2] == ({"leg": 1, "text": "b"}, Hot(sequence=3))


def test_a_record_that_was_being_written_leaves_the_one_before(ledger):
    entry = ledger.take()
    entry.keep({"leg": 1}, Hot())
    at = ledger.entry_at(0)
    place = 3 - ledger.memory[at]
    ledger.memory[at + ledger_module._PLACES[place][0] : at + ledger_module._PLACES[place][0] + 20] = b"{half written......."
    assert only(ledger)[0] == {"leg": 1}


def test_a_promise_is_of_one_leg_and_ends_with_it(ledger):
    entry = ledger.take()
    entry.promise(1, 1 << 63 | 7)
    entry.keep({"leg": 1}, Hot())
    assert only(ledger).promised == (0, 1 << 63 | 7)
    entry.clear()
    ledger.take().keep({"leg": 2}, Hot())
    assert only(ledger).promised == (0, 0)


def test_numbers_that_were_being_written_do_not_count(ledger):
    entry = ledger.take()
    entry.keep({"leg": 1}, Hot(sequence=5))
    entry.touch(Hot(sequence=9))
    struct.pack_into("<I", ledger.memory, ledger.entry_at(0) + ledger_module._HOT_AT, 77)
    assert only(ledger)[1].sequence == 5


def test_a_large_record_goes_to_a_large_place_and_one_too_large_to_none(ledger):
    entry = ledger.take()
    for size in (10, 10_000, 20_000, 5, 3_000):
        assert entry.keep({"text": "x" * size}, Hot())
        assert len(only(ledger)[0]["text"]) == size
    assert not entry.keep({"text": "x" * 40_000}, Hot())
    assert len(only(ledger)[0]["text"]) == 3_000


def test_a_place_that_was_given_back_holds_nothing_and_is_used_again(ledger):
    entries = [ledger.take() for _ in range(4)]
    for entry in entries:
        entry.keep({"leg": entry.number}, Hot())
    with pytest.raises(OSError, match="room for 4 legs"):
        ledger.take()
    entries[1].clear()
    assert [kept.record["leg"] for kept in ledger.records()] == [0, 2, 3]
    assert ledger.take().number == 1


def test_another_process_finds_what_was_left():
    ledger = Ledger.new(4)
    ledger.start_s, ledger.epoch, ledger.last_port = 12.5, 7, 20_000
    ledger.configured = [1, "127.0.0.1", 2, 3]
    ledger.frames[:] = [5, 5, 4, 4]
    ledger.columns(2).owners[3] = 9
    ledger.take().keep({"leg": 1}, Hot(at=2))
    found = Ledger.found(ledger.fd)
    os.close(ledger.fd)
    assert (found.start_s, found.epoch, found.last_port) == (12.5, 7, 20_000)
    assert found.configured == [1, "127.0.0.1", 2, 3]
    assert found.frames.tolist() == [5, 5, 4, 4]
    assert found.columns(2).owners.tolist() == [0, 0, 0, 9]
    assert only(found)[:2] == ({"leg": 1}, Hot(at=2))


def test_a_file_of_another_layout_is_refused():
    fd = os.memfd_create("table")
    with pytest.raises(ValueError, match="0 bytes"):
        Ledger.found(fd)
    os.ftruncate(fd, 1 << 20)
    with pytest.raises(ValueError, match="another layout"):
        Ledger.found(fd)
    os.close(fd)


@pytest.mark.parametrize("batch", [b'[["Dump",1]]', '[["Play",1,"é"]]'.encode(), b"[]"])
def test_a_batch_is_in_hand_until_it_is_struck_out_whatever_was_there_before(ledger, batch):
    assert ledger.left_in_hand() == b""
    ledger.in_hand[:30] = b'[["a longer one before",1,2]]x'
    ledger.in_hand[: len(batch)] = batch
    assert ledger.left_in_hand() == batch
    heir = Ledger.in_memory(4)
    heir.take_in_hand(ledger.left_in_hand(), attempts=1)
    assert (heir.left_in_hand(), heir.attempts) == (batch, 1)
    heir.obeyed()
    assert heir.left_in_hand() == b""


def test_what_is_no_batch_is_not_in_hand(ledger):
    ledger.in_hand[:3] = b"[[["
    assert ledger.left_in_hand() == b""
