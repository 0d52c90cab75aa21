"""The media plane in memory, in virtual time: the same table, the same messages, no process and no socket.

``MemoryMedia`` is a worker link. Commands and reports pass through their wire form, so that what cannot be serialised fails here too. The
network is a dictionary: a test phone calls ``listen`` with its address and is called back with each packet; it sends with ``inject``.

Time is the loop's. Between two events the table is advanced by arithmetic: an hour of hold music to nobody costs a few hundred RTCP
reports and clip loops, not 180,000 packets. Where somebody listens, each frame is made and delivered at its time.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from waitline.media.messages import Command, Report, decode, encode
from waitline.media.outbox import Outbox
from waitline.media.player import TICK_S
from waitline.media.rtp import Address, Buffer
from waitline.media.table import QUIET_S, LegTable
from waitline.media.wire import Send

Listener = Callable[[bytes, Address], None]
_ROUNDING_TICKS = 1e-6
"""Virtual time is a sum of floats; a tick is due although its time reads a nanosecond early."""


class MemoryWire:
    """Ports that exist in a dictionary (see wire.Wire)."""

    def __init__(self, host: str, first_port: int, deliver: Callable[[Listener, bytes, Address], None]) -> None:
        self.host = host
        self.ports: dict[int, tuple[int, bool]] = {}
        """Port → leg, and whether it is the RTCP port."""
        self.listeners: dict[Address, Listener] = {}
        self._next_port = first_port
        self._deliver = deliver
        self._ports_of: dict[int, tuple[int, int]] = {}

    def open(self, leg: int) -> tuple[int, int]:
        ports = self._next_port, self._next_port + 1
        self._next_port += 2
        self._bind(leg, ports)
        return ports

    def close(self, leg: int) -> None:
        for port in self._ports_of.pop(leg):
            del self.ports[port]

    def sender(self, leg: int) -> Send:
        return self._sender(self._ports_of[leg][0])

    def rtcp_sender(self, leg: int) -> Send:
        return self._sender(self._ports_of[leg][1])

    def share_rtcp(self, leg: int) -> None:
        """Nothing to do: nobody else wants the port."""

    def listen(self, leg: int, *, drop_type: int, urgent: bool) -> None:
        """Nothing to do: all packets are brought, at once."""

    def dropped(self, leg: int) -> int:
        return 0

    def release(self, leg: int) -> None:
        self.close(leg)

    def adopt(self, leg: int, port: int, rtcp_port: int) -> None:
        self._bind(leg, (port, rtcp_port))

    def resume(self, leg: int) -> None:
        if leg not in self._ports_of:
            raise OSError(f"leg {leg} has no ports")

    def _bind(self, leg: int, ports: tuple[int, int]) -> None:
        self._ports_of[leg] = ports
        self.ports[ports[0]] = leg, False
        self.ports[ports[1]] = leg, True

    def _sender(self, port: int) -> Send:
        source = (self.host, port)
        listeners, deliver = self.listeners, self._deliver

        def send(packet: Buffer, address: Address) -> None:
            listener = listeners.get(address)
            if listener is not None:
                deliver(listener, bytes(packet), source)

        return send


class MemoryMedia:
    """A media worker in this process and in the loop's time (see plane.WorkerLink)."""

    def __init__(
        self,
        frames: NDArray[np.uint8],
        *,
        random: random.Random,
        unix_s: Callable[[], float] | None = None,
        host: str = "192.0.2.1",
        first_port: int = 16384,
        quiet_s: int = QUIET_S,
    ) -> None:
        self.wire = MemoryWire(host, first_port, self._pass_on)
        self._outbox = Outbox()
        self._unix_s = unix_s
        self._frames, self._random, self._quiet_s = frames, random, quiet_s
        self.table = self._new_table()
        self._waiting: list[Callable[[], object]] | None = None
        """While there is no worker: what will come to the next"""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._start = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._event: int | None = None
        """The next tick that must be done, as the table said when something was last done to it"""
        self._is_reporting = False
        self._on_reports: Callable[[list[Report], list[int]], None] = lambda _reports, _descriptors: None

    def _new_table(self) -> LegTable:
        return LegTable(self._frames, self.wire, self._report, random=self._random, unix_s=self._utc, quiet_s=self._quiet_s)

    # --- as a worker link

    def attach(self, on_reports: Callable[[list[Report], list[int]], None], on_lost: Callable[[str], None]) -> None:
        """Say where reports go; this worker is never lost for good."""
        self._on_reports = on_reports

    async def ready(self) -> None:
        """Start to keep time."""
        self._running()

    def send(self, commands: Sequence[Command], descriptors: Sequence[int] = ()) -> None:
        """Obey at once; what there is to report comes in the loop's next turn."""
        if self._waiting is not None:
            batch = list(commands)
            self._waiting.append(lambda: self.send(batch))
            return
        self._catch_up()
        for message in decode(encode(list(commands))):
            if isinstance(message, Command):
                self.table.command(message)
        self._settle()

    async def close(self) -> None:
        """Stop keeping time."""
        if self._timer is not None:
            self._timer.cancel()

    # --- death

    def die(self) -> None:
        """Be killed: nothing is sent or obeyed until ``succeed``, and what was not reported yet is lost."""
        self._catch_up()
        self._waiting = []
        self._outbox = Outbox()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def succeed(self, *, without: Collection[int] = ()) -> None:
        """Let another worker go on with what this one left, and with what has come meanwhile; ``without`` the ports of some legs."""
        left, waiting = self.table.ledger, self._waiting or []
        for leg in without:
            self.wire.close(leg)
        self.table = self._new_table()
        self.table.resume(left)
        self.table.skip(max(self.table.now, self._tick_now()))
        self._waiting = None
        self._settle()
        for come in waiting:
            come()
        self._settle()

    # --- for test phones

    def listen(self, address: Address, listener: Listener) -> None:
        """Call ``listener(packet, source)`` for each RTP or RTCP packet sent to an address, until ``deafen``."""
        self._catch_up()
        self.wire.listeners[address] = listener
        self._settle()

    def deafen(self, address: Address) -> None:
        """End ``listen``."""
        self._catch_up()
        self.wire.listeners.pop(address, None)
        self._settle()

    def inject(self, packet: bytes, source: Address, port: int) -> bool:
        """Let a packet arrive at a port of ours now; False if no leg has it."""
        if self._waiting is not None:
            self._waiting.append(lambda: self._arrive(packet, source, port))
            return port in self.wire.ports
        return self._arrive(packet, source, port)

    def _arrive(self, packet: bytes, source: Address, port: int) -> bool:
        self._catch_up()
        leg, is_rtcp = self.wire.ports.get(port, (0, False))
        data = memoryview(bytearray(packet))
        if is_rtcp:
            self.table.control_datagram(leg, data, len(packet), source)
        else:
            self.table.datagram(leg, data, len(packet), source, self._running().time())
        self._settle()
        return bool(leg)

    # --- time

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._start = self._loop.time()
        return self._loop

    def _tick_now(self) -> int:
        return int((self._running().time() - self._start) / TICK_S + _ROUNDING_TICKS)

    def _catch_up(self) -> None:
        """Bring the table to this moment: events at their ticks, the time between by arithmetic."""
        if self._waiting is not None:
            return
        now = self._tick_now()
        while self._event is not None and self._event <= now:
            self.table.advance(self._event - 1)
            self.table.tick(self._event)
            self._foresee()
        self.table.advance(now)

    def _foresee(self) -> None:
        self._event = self.table.next_event(self.wire.listeners.__contains__)

    def _settle(self) -> None:
        """Look ahead again after something was done to the table; set the timer for what comes, and pass reports on."""
        self._foresee()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting is None:
            self._await_event()

    def _report(self, report: Report) -> None:
        self._outbox.add(report)

    def _wake(self) -> None:
        self._timer = None
        self._catch_up()
        self._await_event()

    def _await_event(self) -> None:
        loop = self._running()
        if self._event is not None:
            self._timer = loop.call_at(self._start + self._event * TICK_S, self._wake)
        if self._outbox and not self._is_reporting:
            self._is_reporting = True
            loop.call_soon(self._deliver)

    def _deliver(self) -> None:
        self._is_reporting = False
        while self._outbox:
            batch = self._outbox.batch()
            self._outbox.sent(batch)
            self._on_reports([report for report in decode(encode(list(batch))) if isinstance(report, Report)], [])

    def _pass_on(self, listener: Listener, packet: bytes, source: Address) -> None:
        """Let a phone hear in a turn of its own: it may answer, and the table is in the middle of a tick."""
        self._running().call_soon(listener, packet, source)

    def _utc(self) -> float:
        """Seconds since 1970 for RTCP; the loop's time where the test gives no other."""
        return self._unix_s() if self._unix_s is not None else self._running().time()
