"""The process of a media worker: one loop around the table.

Started as ``python -m waitline.media.worker --index N --link FD --frames FD --lifeline FD``. The link is a SOCK_SEQPACKET socket to
control, whose first message is Configure; the frames are the frame store's memfd; the lifeline is a pipe whose other end the parent
holds, so that its end is the worker's, however it came about. Control going away is not the end: what plays, plays on.

Its table is a memory file (``ledger``) that the supervisor keeps together with duplicates of all sockets (``vault``). Started with
``--succeed`` it takes the place of a worker that died, or that leaves: it waits for both, goes on with every leg where it was, and does the
batch of commands again that the other had in hand.

The loop waits in one epoll for the timer, the link, the lifeline and the sockets of relayed legs; all other sockets are looked at once
a tick. Nothing in it waits for control: commands are read when they are there, reports go out when there is room.

A tick that comes late by less than three frames is made up for by sending at once; later than that the packets are left out, timestamps
go on and the marker is set, because a burst would only fill the receivers' jitter buffers.

Without a leg nothing is due: after a second of that the timer rests until a command comes.

The garbage collector is off: the loop makes no cycles, and a collection of all legs is a gap in all calls.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import itertools
import json
import os
import random
import resource
import select
import signal
import socket
import struct
import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from waitline.clock import Clock, SystemClock
from waitline.media import filter as kernel_filter
from waitline.media import srtp
from waitline.media.frame_store import map_frames
from waitline.media.ledger import MAX_ATTEMPTS, SLOTS, Ledger
from waitline.media.messages import Command, Configure, HandedOver, Report, StartAudio, decode, encode
from waitline.media.outbox import Outbox
from waitline.media.player import TICKS_PER_S
from waitline.media.ports import PortPool
from waitline.media.rtp import MAX_DATAGRAM_BYTES
from waitline.media.socket_wire import Port, SocketWire
from waitline.media.table import LegTable
from waitline.media.ticker import Ticker
from waitline.media.vault import Estate, Vault

MAX_LATE_TICKS = 3 * SLOTS
"""Three frames: later packets are not sent."""
FIFO_PRIORITY = 10
NICENESS = -15
REST_TICKS = TICKS_PER_S
"""Not at once: setting the timer for each of many short calls costs more than a second of ticks."""
_LINK_BYTES = 1 << 18
EXIT_LEFT = 75
"""Another worker takes over."""
EXIT_CANNOT = 65
"""What another left cannot be gone on with."""
_MAX_DESCRIPTORS = 4
_LAZY_EVENTS = 128
_LAZY_ROUNDS = 8
_PR_SET_PDEATHSIG = 1


class Worker:
    """One media worker. ``run`` returns when the lifeline is cut."""

    def __init__(
        self,
        link: socket.socket,
        lifeline: int,
        store: NDArray[np.uint8],
        configure: Configure,
        *,
        clock: Clock,
        filters: bool,
        vault: Vault | None = None,
        ledger: Ledger | None = None,
        left: Ledger | None = None,
        sockets: dict[int, list[int]] | None = None,
    ) -> None:
        self._pool = PortPool(configure.host, configure.first_port, configure.last_port, now=clock.now)
        self._vault = vault or Vault()
        self.wire = SocketWire(self._pool, filters=filters, vault=vault, inherited=sockets)
        self.ledger = ledger or Ledger.in_memory()
        self.ledger.configured = list(configure)
        self.outbox = Outbox()
        self.table = LegTable(
            store,
            self.wire,
            self.outbox.add,
            random=random.Random(os.urandom(16)),
            unix_s=lambda: clock.utc().timestamp(),
            cname=configure.cname,
            quiet_s=configure.quiet_s,
            ledger=self.ledger,
        )
        self._clock = clock
        self._link: socket.socket | None = link
        self._in_hand = False
        """The ledger holds a batch that is not done with"""
        self._is_leaving = False
        self._lifeline = lifeline
        self._ticker = Ticker(clock.now, left.start_s if left is not None else None)
        self.ledger.start_s = self._ticker.start
        self._busy_at = self._ticker.newest()
        self._left = left
        self._buffer = memoryview(bytearray(MAX_DATAGRAM_BYTES))
        for descriptor in (link.fileno(), lifeline, self._ticker.fd, self._vault.fileno()):
            if descriptor >= 0:
                self.wire.urgent.register(descriptor, select.EPOLLIN)

    def run(self, commands: Sequence[Command] = ()) -> bool:
        """Obey the first commands, then serve until the lifeline is cut (False) or another worker takes over (True)."""
        batch = b"" if self._left is None else self._succeed(self._left)
        if batch or commands:
            self._in_hand = True
        if self.ledger.fd >= 0:
            self._vault.table(self.ledger.fd)
        if batch:
            self._command(batch)
            self.ledger.attempts = 0
        self.wire.disinherit()
        for command in commands:
            self.table.command(command)
        self._told()
        poll = self.wire.urgent.poll
        while self._turn(poll()):
            if self.outbox or self._in_hand:
                self._told()
        return self._is_leaving

    def _succeed(self, left: Ledger) -> bytes:
        """Go on with the legs of a worker that died; returns the batch that it had in hand, which is in ours now.

        Nothing has been read or said when this returns: should we die meanwhile, another finds what we found.
        """
        self._left = None
        self.table.resume(left)
        held = {port for leg in self.table.legs.values() for port in (leg.port, leg.rtcp_port)}
        self._pool.go_on(left.last_port, held)
        self.ledger.last_port = left.last_port
        self._hear_relayed()
        died, now = self.table.now, max(self.table.now, self._ticker.newest())
        self.table.skip(now)
        gap_ms, lost = (now - died) * 1000 // TICKS_PER_S, self.table.counters["legs_not_resumed"]
        _log(f"takes the place of another: {len(self.table.legs)} legs go on after {gap_ms} ms, {lost} are lost")
        batch, attempts = left.left_in_hand(), left.attempts + 1
        if not batch or attempts >= MAX_ATTEMPTS:
            return b""
        self.ledger.take_in_hand(batch, attempts)
        return batch

    def _hear_relayed(self) -> None:
        """Hear what came to relayed legs meanwhile, and send none of it on: late packets would all come at once."""
        relayed = [leg for leg in self.table.legs.values() if leg.is_urgent]
        for leg in relayed:
            leg.takes_relay = False
        at_s = self._clock.now()
        for port in [port for port in self.wire.ports.values() if self.table.legs[port.leg].is_urgent]:
            while self._read(port, at_s):
                pass
        for leg in relayed:
            self.table.review(leg)

    def _told(self) -> None:
        """Report, and let go of the batch in hand when all that came of it is told."""
        self._flush()
        if self._in_hand and not self.outbox:
            self._in_hand = False
            self.ledger.obeyed()

    def _turn(self, events: list[tuple[int, int]]) -> bool:
        """Handle what woke us; False when the parent is gone."""
        at_s = self._clock.now()
        ports = self.wire.ports
        for descriptor, _ in events:
            port = ports.get(descriptor)
            if port is not None:
                self._read(port, at_s)
            elif descriptor == self._ticker.fd:
                self._tick()
            elif descriptor == self._lifeline:
                return False
            elif descriptor == self._vault.fileno():
                if self._vault.is_told_to_leave():
                    self._is_leaving = True
                    self.table.settle()
                    return False
            else:
                self._obey()
        return True

    def _tick(self) -> None:
        """Do the ticks that are due, then look at the sockets that nobody waits on."""
        due = self._ticker.due()
        late = due - self.table.now - 1
        if late > 0:
            self.table.counters["late_ticks"] += 1
        if late > MAX_LATE_TICKS:
            self.table.skip(due - 1)
        for tick in range(self.table.now + 1, due + 1):
            self.table.tick(tick)
        self._read_lazy()
        self._vault.tick()
        if self.table.legs:
            self._busy_at = self.table.now
        elif self.table.now - self._busy_at >= REST_TICKS:
            self._ticker.rest()

    def _read_lazy(self) -> None:
        """Read what has come to the sockets that nobody waits on, until the next tick is due: sending comes first, the rest keeps.

        However many peers speak at the same moment (the kernel's filter passes one packet in so many, of all of them at once where they
        are in step), no caller's music is late for it.
        """
        at_s = self._clock.now()
        until_s = self._ticker.at(self.table.now + 1)
        ports = self.wire.ports
        for _ in range(_LAZY_ROUNDS + len(ports) // _LAZY_EVENTS):
            events = self.wire.lazy.poll(0, _LAZY_EVENTS)
            if not events:
                return
            for descriptor, _ in events:
                port = ports.get(descriptor)
                if port is not None:
                    self._read(port, at_s)
            at_s = self._clock.now()
            if at_s >= until_s:
                return

    def _read(self, port: Port, at_s: float) -> bool:
        """Take one datagram, if there is one; if there are more, epoll says so again. What one peer sends can so not starve the rest."""
        try:
            size, source = port.sock.recvfrom_into(self._buffer)
        except BlockingIOError:
            return False
        except OSError:
            self.table.counters["receive_errors"] += 1
            return False
        if port.is_rtcp:
            self.table.control_datagram(port.leg, self._buffer, size, source)
        else:
            self.table.datagram(port.leg, self._buffer, size, source, at_s)
        return True

    def _obey(self) -> None:
        """Read one batch of commands."""
        if self._link is None:
            return
        try:
            size, descriptors = _receive_into(self._link, self.ledger.in_hand)
        except BlockingIOError:
            return
        except OSError:
            size, descriptors = 0, []
        if not size:
            self._lose_link(self._link)
            return
        self._in_hand = True
        self.wire.arrived = descriptors
        self._command(bytes(self.ledger.in_hand[:size]))
        for descriptor in self.wire.arrived:
            os.close(descriptor)
        self.wire.arrived = []

    def _command(self, data: bytes) -> None:
        if self._ticker.resting:
            self.table.advance(self._ticker.resume())
        try:
            for message in decode(data):
                if isinstance(message, Command):
                    self.table.command(message)
                    if isinstance(message, StartAudio):
                        self._vault.hurry()
        except (ValueError, TypeError) as error:  # another version's message; ours would be a bug, and other calls go on
            self.table.counters["bad_commands"] += 1
            _log(f"command not understood: {error!r}")

    def _flush(self) -> None:
        """Send reports as far as control takes them; what is left stays, and grows by digits only."""
        while self.outbox and self._link is not None:
            batch, descriptors = self._next_batch()
            try:
                if descriptors:
                    socket.send_fds(self._link, [encode(list(batch))], descriptors)
                else:
                    self._link.send(encode(list(batch)))
            except BlockingIOError:
                return
            except OSError:
                self._lose_link(self._link)
                return
            self.outbox.sent(batch)
            for report in batch:
                if isinstance(report, HandedOver):
                    self.table.parted(report.leg)
                    self.wire.parted(report.leg)

    def _next_batch(self) -> tuple[list[Report], list[int]]:
        """Return the next reports and what goes with them: a leg that is handed over travels alone."""
        batch = self.outbox.batch()
        first = batch[0]
        if not isinstance(first, HandedOver):
            return list(itertools.takewhile(lambda report: not isinstance(report, HandedOver), batch)), []
        return [first], [sock.fileno() for sock in self.wire.parting(first.leg)]

    def _lose_link(self, link: socket.socket) -> None:
        """Control is gone. The legs play on; who hears of it is the supervisor."""
        self.wire.urgent.unregister(link)
        link.close()
        self._link = None


def _receive_into(link: socket.socket, buffer: memoryview) -> tuple[int, list[int]]:
    """Receive one message in place; return its size and the descriptors that came with it."""
    size, ancillary, _, _ = link.recvmsg_into([buffer], socket.CMSG_SPACE(_MAX_DESCRIPTORS * 4))
    descriptors: list[int] = []
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors += struct.unpack(f"{len(data) // 4}i", data[: len(data) // 4 * 4])
    return size, descriptors


def await_configure(link: socket.socket, lifeline: int, ledger: Ledger) -> tuple[Configure, list[Command]] | None:
    """Wait for control's first batch: Configure, and what it says already besides; None if the parent or control goes first."""
    poll = select.poll()
    for descriptor in (link.fileno(), lifeline):
        poll.register(descriptor, select.POLLIN)
    poll.poll()
    with contextlib.suppress(BlockingIOError):
        size, _ = _receive_into(link, ledger.in_hand)
        return _first_words(bytes(ledger.in_hand[:size])) if size else None
    return None


def _first_words(batch: bytes) -> tuple[Configure, list[Command]] | None:
    commands = [message for message in decode(batch) if isinstance(message, Command)]
    return (commands[0], commands[1:]) if commands and isinstance(commands[0], Configure) else None


def prioritise(cores: int) -> str:
    """Ask for what keeps the schedule under load; return what was granted. On a single core real time would starve the rest."""
    if cores > 1:
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(FIFO_PRIORITY))
            return f"SCHED_FIFO {FIFO_PRIORITY}"
    with contextlib.suppress(OSError):
        return f"nice {os.nice(NICENESS)}"
    return "normal priority"


def usable_cores(quota_file: str = "/sys/fs/cgroup/cpu.max") -> int:
    """Return how many cores this process may use: by affinity, and by its control group's quota."""
    cores = len(os.sched_getaffinity(0))
    try:
        with open(quota_file, encoding="ascii") as file:
            quota, period = file.read().split()
    except (OSError, ValueError):
        return cores
    return cores if quota == "max" else max(1, min(cores, int(quota) // int(period)))


def _prepare() -> None:
    """Make this process one that only its parent ends."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _log(text: str) -> None:
    print(json.dumps({"event": text, "process": "media worker", "pid": os.getpid()}), file=sys.stderr, flush=True)  # noqa: T201


def main(argv: Sequence[str]) -> int:
    """Run a worker until its parent is gone, or until another takes over; returns the exit code."""
    parser = argparse.ArgumentParser(prog="media_worker")
    for name in ("index", "link", "lifeline", "frames"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--vault", type=int, default=-1, help="the link to who keeps sockets and table")
    parser.add_argument("--succeed", action="store_true", help="take the place of another, whose table and sockets come by the vault")
    options = parser.parse_args(argv)
    _prepare()
    link = socket.socket(fileno=options.link)
    link.setblocking(False)
    store = map_frames(options.frames)
    vault = Vault(socket.socket(fileno=options.vault)) if options.vault >= 0 else Vault()
    filters = kernel_filter.works()
    if not options.succeed:  # a successor has callers who hear nothing meanwhile: it loads what their legs need
        srtp.load()
    priority = prioritise(usable_cores())
    ledger = Ledger.new()
    gc.collect()  # whatever can be done before another leaves is no gap in its calls
    try:
        estate = vault.inherit() if options.succeed else Estate(-1, {})
        left = Ledger.found(estate.table) if estate.table >= 0 else None
    except (EOFError, ValueError) as error:
        _log(f"worker {options.index} cannot go on for another: {error}")
        return EXIT_CANNOT
    if left is None:
        vault.table(ledger.fd)
    first = _configured(left) or await_configure(link, options.lifeline, ledger)
    if first is None:
        return 0
    worker = Worker(
        link,
        options.lifeline,
        store,
        first[0],
        clock=SystemClock(),
        filters=filters,
        vault=vault,
        ledger=ledger,
        left=left,
        sockets=estate.legs,
    )
    configure = first[0]
    ports = f"ports {configure.first_port}-{configure.last_port}"
    _log(f"worker {options.index}: {priority}, kernel filter {'on' if filters else 'not available'}, {ports}")
    gc.freeze()
    gc.disable()
    if worker.run(first[1]):
        vault.left()
        os._exit(EXIT_LEFT)  # an orderly end of the interpreter is a gap in all calls
    return 0


def _configured(left: Ledger | None) -> tuple[Configure, list[Command]] | None:
    """Return what control told a worker that died; where it had only just read it, it is in hand and comes again."""
    if left is None:
        return None
    if (values := left.configured) is not None:
        return Configure(*values), []
    first = _first_words(left.left_in_hand() or b"[]")
    return None if first is None else (first[0], [])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
