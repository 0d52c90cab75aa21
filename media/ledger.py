"""The table of a worker in shared memory: what a successor needs to go on where the worker died.

A memory file that the worker makes and the supervisor keeps, in five parts:

* the *header*: when tick 0 was, the newest epoch, what control configured, and per slot the frame that was done last;
* the *batch in hand*: a batch of commands is received into the file itself and struck out when it is obeyed and what it led to is told,
  so there is no moment at which it exists nowhere. A successor obeys it again; commands are made so that this changes nothing;
* the *columns* of the four banks: they are the arrays that the banks work on, so that a packet costs nothing more for being kept here;
* one *entry* a leg: a record of all that changes by commands and rare events, and a *hot* part of few numbers that change while a
  leg plays on (which loop of which segment) or sends digits; of an encrypted leg, two counters that it has promised not to pass.

A record is never overwritten: the next goes to another place of the entry, and one byte then says which counts. A process that is killed
half way has so left the old one, with the command that was about to change it still in hand. The hot part is overwritten, between two
equal stamps: where they differ it was half written, and the one inside the record counts, which is as old as the last command. A row of a
bank has an owner that is written last and taken away first; what has no owner is nobody's.

The file is sparse: a leg costs a page, an unused one nothing.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from waitline.media.rtp import PACKET

MAX_LEGS = 16_384
SLOTS = 4
IN_HAND_BYTES = 1 << 18
MAX_ATTEMPTS = 2
"""How often a batch in hand is obeyed: one that kills its worker twice is left out."""

LAYOUT = "WLTABLE1"
"""With the version of this layout: a successor reads no other."""
_MAGIC = LAYOUT.encode()
_HEADER = struct.Struct("<8sQdQQQ")
"""magic, legs, when tick 0 was (monotonic seconds), newest epoch, the port that was opened last, entries that were ever in use"""
_START_AT, _EPOCH_AT, _PORT_AT, _USED_AT = 16, 24, 32, 40
_FLOAT, _NUMBER = struct.Struct("<d"), struct.Struct("<Q")
_FRAMES_AT = 64
_ATTEMPTS_AT = 128
_CONFIGURED_AT, _CONFIGURED_BYTES = 512, 3584
_IN_HAND_AT = 4096
_COLUMNS_AT = _IN_HAND_AT + IN_HAND_BYTES
_PAGE = 4096

_ENTRY_BYTES = 65_536
_HOT_AT = 16
_COUNTERS_AT = 128
_LENGTH = struct.Struct("<I")
_PLACES = ((0, 0), (256, 1920), (2176, 1920), (4096, 30_720), (34_816, 30_720))
"""(offset, size) of the places for a record in an entry: none, two small ones in its first page, two large ones."""
MAX_RECORD_BYTES = _PLACES[-1][1] - _LENGTH.size
_HOT = struct.Struct("<IIIIqqqIiqiqiqqqII")

_MAP_NORESERVE = 0x4000  # mmap has it from Python 3.13 on
_to_json = json.JSONEncoder(separators=(",", ":")).encode


class Columns(NamedTuple):
    """The rows of one bank, in arrays of one length."""

    matrix: NDArray[Any]
    frames: NDArray[np.int64]
    steps: NDArray[np.int64]
    ends: NDArray[np.int64]
    unmuted: NDArray[np.uint16]
    owners: NDArray[np.int64]
    """The leg of each row; 0: nobody's"""


_DTYPES: tuple[np.dtype[Any], ...] = (
    PACKET,
    np.dtype(np.int64),
    np.dtype(np.int64),
    np.dtype(np.int64),
    np.dtype(np.uint16),
    np.dtype(np.int64),
)


class Hot(NamedTuple):
    """What changes of a leg without a command, and not with every packet."""

    sequence: int = 0
    timestamp: int = 0
    at_frame: int = -1
    packets: int = 0
    counted_from: int = 0
    event_timestamp: int = 0
    steps_left: int = 0
    """Of the digits that are being sent"""
    through: int = 0
    at: int = 0
    loops: int = 0
    due: int = 0
    relay_ssrc: int = -1
    """Of the stream whose offsets follow"""
    sequence_offset: int = 0
    timestamp_offset: int = 0
    stale: int = 1


class Kept(NamedTuple):
    """What a ledger tells of a leg."""

    record: dict[str, Any]
    hot: Hot
    promised: tuple[int, int] = (0, 0)
    """Counters that an encrypted leg has not passed, RTP and RTCP, as ``srtp`` writes them; 0: none"""


class Entry:
    """The place of one leg."""

    __slots__ = ("_at", "_ledger", "_memory", "_stamp", "_version", "number")

    def __init__(self, ledger: Ledger, number: int) -> None:
        self.number = number
        self._ledger = ledger
        self._memory = ledger.memory
        self._at = ledger.entry_at(number)
        self._stamp = self._version = 0
        self.promise(0, 0)
        self.promise(1, 0)

    def keep(self, record: dict[str, Any], hot: Hot) -> bool:
        """Write a record in the place of the one before; False where it is too large, and the one before stays."""
        self._version = (self._version + 1) & 0xFFFFFFFF
        data = _to_json([self._version, hot, record]).encode()
        current = self._memory[self._at]
        place = next((i for i, (_, size) in enumerate(_PLACES) if i != current and len(data) + _LENGTH.size <= size), 0)
        if not place:
            return False
        start = self._at + _PLACES[place][0]
        _LENGTH.pack_into(self._memory, start, len(data))
        start += _LENGTH.size
        self._memory[start : start + len(data)] = data
        self._memory[self._at] = place
        return True

    def touch(self, hot: Hot) -> None:
        """Overwrite the hot part."""
        self._stamp = (self._stamp + 1) & 0xFFFFFFFF
        _HOT.pack_into(self._memory, self._at + _HOT_AT, self._stamp, self._version, *hot, self._stamp)

    def promise(self, which: int, value: int) -> None:
        """Note one of the leg's two counters (0: RTP, 1: RTCP; 64 bits): a single store, which no kill can divide."""
        self._ledger.numbers[(self._at + _COUNTERS_AT) // 8 + which] = value

    def clear(self) -> None:
        """Give the place back."""
        self._memory[self._at] = 0
        self._ledger.give_back(self.number)


class Ledger:
    """A table's file, or a part of memory that serves as one."""

    def __init__(self, memory: memoryview, legs: int) -> None:
        self.memory = memory
        self.numbers = memory.cast("Q")
        self.legs = legs
        self.frames: NDArray[np.int64] = np.frombuffer(memory, np.int64, SLOTS, _FRAMES_AT)
        self.in_hand = memory[_IN_HAND_AT : _IN_HAND_AT + IN_HAND_BYTES]
        self.fd = -1
        self._free: list[int] = []
        self._entries_at = _COLUMNS_AT + sum(_column_bytes(legs)) * SLOTS

    @classmethod
    def new(cls, legs: int = MAX_LEGS) -> Self:
        """Make a table in a memory file of its own, whose descriptor is ``fd``."""
        fd = os.memfd_create("waitline-table", os.MFD_CLOEXEC)
        os.ftruncate(fd, ledger_bytes(legs))
        ledger = cls(memoryview(mmap.mmap(fd, ledger_bytes(legs))), legs)
        ledger.fd = fd
        return ledger._begun()

    @classmethod
    def in_memory(cls, legs: int = 2048) -> Self:
        """For one process: tests and virtual time."""
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE
        return cls(memoryview(mmap.mmap(-1, ledger_bytes(legs), flags=flags)), legs)._begun()

    @classmethod
    def found(cls, fd: int) -> Self:
        """Map what another worker left; the descriptor may be closed. ValueError where this version cannot read it."""
        size = os.fstat(fd).st_size
        if size < _COLUMNS_AT:
            raise ValueError(f"a table of {size} bytes")
        memory = memoryview(mmap.mmap(fd, size))
        magic, legs, *_ = _HEADER.unpack_from(memory)
        if magic != _MAGIC or ledger_bytes(legs) != size:
            raise ValueError(f"a table of another layout: {bytes(magic)!r}, {legs} legs, {size} bytes")
        return cls(memory, legs)

    def _begun(self) -> Self:
        _HEADER.pack_into(self.memory, 0, _MAGIC, self.legs, 0.0, 0, 0, 0)
        self.frames[:] = -1
        return self

    # --- the header

    @property
    def start_s(self) -> float:
        """When tick 0 was, in monotonic seconds: of the machine, not of a process."""
        return float(_FLOAT.unpack_from(self.memory, _START_AT)[0])

    @start_s.setter
    def start_s(self, value: float) -> None:
        _FLOAT.pack_into(self.memory, _START_AT, value)

    @property
    def epoch(self) -> int:
        return self._number(_EPOCH_AT)

    @epoch.setter
    def epoch(self, value: int) -> None:
        _NUMBER.pack_into(self.memory, _EPOCH_AT, value)

    @property
    def last_port(self) -> int:
        """The port that was opened last; 0: none."""
        return self._number(_PORT_AT)

    @last_port.setter
    def last_port(self, value: int) -> None:
        _NUMBER.pack_into(self.memory, _PORT_AT, value)

    def _number(self, at: int) -> int:
        return int(_NUMBER.unpack_from(self.memory, at)[0])

    @property
    def configured(self) -> list[Any] | None:
        """What control configured; None: nothing yet."""
        (length,) = _LENGTH.unpack_from(self.memory, _CONFIGURED_AT)
        start = _CONFIGURED_AT + _LENGTH.size
        return json.loads(bytes(self.memory[start : start + length])) if length else None

    @configured.setter
    def configured(self, values: list[Any]) -> None:
        data = _to_json(values).encode()
        if len(data) > _CONFIGURED_BYTES - _LENGTH.size:
            raise ValueError(f"a configuration of {len(data)} bytes")
        start = _CONFIGURED_AT + _LENGTH.size
        self.memory[start : start + len(data)] = data
        _LENGTH.pack_into(self.memory, _CONFIGURED_AT, len(data))

    # --- the batch in hand

    def obeyed(self) -> None:
        """Strike the batch in hand out."""
        self.in_hand[0] = 0

    def left_in_hand(self) -> bytes:
        """Return the batch that a worker was obeying when it died; empty where there is none.

        It may be followed by the end of a longer one before it: JSON knows where it ends.
        """
        if not self.in_hand[0]:
            return b""
        text = bytes(self.in_hand).split(b"\0", 1)[0].decode("utf-8", "replace")
        try:
            _, end = json.JSONDecoder().raw_decode(text)
        except ValueError:  # a datagram is received whole or not at all: this is none of ours
            return b""
        return text[:end].encode()

    def take_in_hand(self, data: bytes, attempts: int) -> None:
        """Have a batch in hand that a worker before this one did not finish."""
        self.memory[_ATTEMPTS_AT] = attempts
        self.in_hand[1 : len(data) + 1] = data[1:] + b"\0"
        self.in_hand[0] = data[0]

    @property
    def attempts(self) -> int:
        """How many workers have died of what is in hand, before the one that has it now."""
        return int(self.memory[_ATTEMPTS_AT])

    @attempts.setter
    def attempts(self, value: int) -> None:
        self.memory[_ATTEMPTS_AT] = value

    # --- the rest

    def columns(self, slot: int) -> Columns:
        """Return the arrays of a bank."""
        sizes = _column_bytes(self.legs)
        at = _COLUMNS_AT + sum(sizes) * slot
        arrays = []
        for dtype, size in zip(_DTYPES, sizes, strict=True):
            arrays.append(np.frombuffer(self.memory, dtype, self.legs, at))
            at += size
        return Columns(*arrays)

    def entry_at(self, number: int) -> int:
        """Return where an entry begins."""
        return self._entries_at + number * _ENTRY_BYTES

    def take(self) -> Entry:
        """Return a free entry; OSError where there is none."""
        if self._free:
            return Entry(self, self._free.pop())
        used = self._number(_USED_AT)
        if used >= self.legs:
            raise OSError(f"the table has room for {self.legs} legs")
        _NUMBER.pack_into(self.memory, _USED_AT, used + 1)
        return Entry(self, used)

    def give_back(self, number: int) -> None:
        """Take an entry back."""
        self._free.append(number)

    def records(self) -> Iterator[Kept]:
        """Yield what is kept of each leg. A record that cannot be read is yielded empty."""
        for number in range(self._number(_USED_AT)):
            at = self.entry_at(number)
            if place := self._place(at):
                first = (at + _COUNTERS_AT) // 8
                yield Kept(*self._record(at, place), (self.numbers[first], self.numbers[first + 1]))

    def _place(self, at: int) -> int:
        place = self.memory[at]
        return place if place < len(_PLACES) else 0

    def _record(self, at: int, place: int) -> tuple[dict[str, Any], Hot]:
        start = at + _PLACES[place][0]
        try:
            (length,) = _LENGTH.unpack_from(self.memory, start)
            start += _LENGTH.size
            version, values, record = json.loads(bytes(self.memory[start : start + length]))
            kept = Hot(*values)
        except (ValueError, TypeError):
            return {}, Hot()
        before, of_version, *hot, after = _HOT.unpack_from(self.memory, at + _HOT_AT)
        is_whole = before == after and of_version == version
        return record, Hot(*hot) if is_whole else kept


def ledger_bytes(legs: int) -> int:
    """Return how large a table for so many legs is."""
    return _COLUMNS_AT + sum(_column_bytes(legs)) * SLOTS + legs * _ENTRY_BYTES


def _column_bytes(legs: int) -> list[int]:
    return [-(-legs * dtype.itemsize // _PAGE) * _PAGE for dtype in _DTYPES]
