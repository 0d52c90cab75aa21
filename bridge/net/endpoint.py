"""The shell around the SIP core: feeds it octets and time, sends what it wants sent, hands its events on. Nothing else.

Sockets are given, bound, and stay their owner's. What is attached can send at once and is read from ``read`` on, so that a process that
takes over can settle what it finds before anybody asks for it.

``Flow.local`` of every flow made here is the address under which that peer reaches us, so that the core can write it into Via and Contact:
the configured host, else the address the socket is bound to, else (wildcard) the local address of the route to the peer; never 0.0.0.0.

What the core wants held (answers that must not be unsaid, see ``user_agent``) goes to ``when_durable`` after the events of the same
moment, and is sent when that says so.

In-memory wires: ``attach_wire`` takes the place of a UDP socket, ``datagram`` brings in what arrives.

``on_event`` is called in order, never nested: commands given from within it are performed at once, but what they cause is sent and
reported after it returns.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Protocol, TypeVar

from waitline.bridge.net.gate import Listener, OpenGate
from waitline.bridge.net.sip_tcp import ConnectionKeeper, KeptConnection, NobodyKeeps, TcpConnection, TcpLimits, TcpPort
from waitline.bridge.net.sip_tls import TlsDoor
from waitline.bridge.net.sip_udp import UdpPort
from waitline.bridge.sip.events import Event, Send
from waitline.bridge.sip.flow import Flow
from waitline.bridge.sip.user_agent import UserAgent
from waitline.clock import Clock

ROUTES_KEPT = 4096
_WILDCARDS = ("0.0.0.0", "::")  # compared with, never bound to

Result = TypeVar("Result")
Address = tuple[str, int]


class Wire(Protocol):
    """What carries messages in place of sockets: datagrams, and those of connections that it has made."""

    def send(self, data: bytes, flow: Flow) -> None:
        """Take a datagram for ``flow.remote``."""
        ...


def _at_once(then: Callable[[], None]) -> None:
    then()


class SipEndpoint:
    """One user agent with its sockets and its one timer. Made inside the running loop."""

    def __init__(
        self,
        user_agent: UserAgent,
        clock: Clock,
        on_event: Callable[[Event], None],
        *,
        advertised_host: str = "",
        tcp_limits: TcpLimits | None = None,
        when_durable: Callable[[Callable[[], None]], None] = _at_once,
        keeper: ConnectionKeeper | None = None,
        first_connection: int = 1,
        gate: Listener | None = None,
    ) -> None:
        """``when_durable(then)`` calls ``then`` once everything that was told by ``on_event`` up to now survives this process.

        ``keeper`` keeps TCP connections over its end; the numbers of ours begin with ``first_connection``, above those of any before.
        ``gate`` says who is heard; without one everybody is.
        """
        self.user_agent = user_agent
        self._clock = clock
        self._on_event = on_event
        self._advertised_host = advertised_host
        self._tcp_limits = tcp_limits or TcpLimits()
        self._when_durable = when_durable
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._flushing = False
        self._events: deque[Event] = deque()
        self._udp: list[UdpPort] = []
        self._tcp: list[TcpPort] = []
        self._wire: Wire | None = None
        self._wire_local: Address = ("", 0)
        self._numbers = itertools.count(first_connection)
        self._keeper = keeper or NobodyKeeps()
        self._gate = gate or OpenGate()
        self._routes: dict[tuple[int, str], str] = {}
        self.connections: set[int] = set()
        """TCP connections of a process before this one that go on here"""

    # --- what is attached

    def attach_udp(self, sock: socket.socket) -> None:
        """Serve a bound UDP socket."""
        self._udp.append(UdpPort(sock, self._take_batch))

    def attach_tcp(self, sock: socket.socket, adopted: Iterable[KeptConnection] = ()) -> None:
        """Serve a listening TCP socket, and connections of a process before this one."""
        port = self._attach(sock, self._keeper, None)
        for kept in adopted:
            port.adopt(kept)
            self.connections.add(kept.number)

    def attach_tls(self, sock: socket.socket, door: TlsDoor) -> None:
        """Serve a listening TCP socket with TLS."""
        self._attach(sock, NobodyKeeps(), door)

    def _attach(self, sock: socket.socket, keeper: ConnectionKeeper, door: TlsDoor | None) -> TcpPort:
        port = TcpPort(
            sock,
            limits=self._tcp_limits,
            numbers=lambda: next(self._numbers),
            on_message=self._take_message,
            on_close=self._connection_closed,
            keeper=keeper,
            tls=door,
            gate=self._gate,
            clock=self._clock,
        )
        self._tcp.append(port)
        return port

    def read(self) -> None:
        """Begin to read all that is attached."""
        for udp in self._udp:
            udp.read()
        for tcp in self._tcp:
            tcp.read()

    def attach_wire(self, wire: Wire, local: Address) -> None:
        """Send datagrams through ``wire`` instead of sockets; ``local`` is our address on it."""
        self._wire = wire
        self._wire_local = local

    def close(self) -> None:
        """Stop: no timer, no sockets watched, TCP connections closed."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        for udp in self._udp:
            udp.close()
        for tcp in self._tcp:
            tcp.close()
        self._udp.clear()
        self._tcp.clear()

    # --- what control uses

    def do(self, command: Callable[[UserAgent, float], Result]) -> Result:
        """Run a command of the user agent, then send and report what it caused."""
        try:
            return command(self.user_agent, self._clock.now())
        finally:
            self._flush()

    def datagram(self, data: bytes, flow: Flow) -> None:
        """A datagram arrived on a wire."""
        now = self._clock.now()
        if self._gate.admits(data, flow.remote[0], now):
            self.user_agent.receive(data, flow, now)
            self._flush()

    @property
    def open_connections(self) -> int:
        """TCP and TLS connections that are open now."""
        return sum(len(port) for port in self._tcp)

    def flow_to(self, transport: str, remote: Address) -> Flow:
        """A flow for a request of ours to an IP address; TCP and TLS connect when something is sent on it."""
        return Flow(transport, self._local_for(transport, remote[0]), remote)

    def advertised(self, flow: Flow) -> Address:
        """Host and port under which the peer of ``flow`` reaches us by its transport."""
        return self._local_for(flow.transport, flow.remote[0])

    # --- addresses

    def _local_for(self, transport: str, remote_host: str) -> Address:
        if transport == "udp" and self._wire is not None:
            return self._wire_local
        ports: list[UdpPort] | list[TcpPort] = self._udp if transport == "udp" else self._streams(transport)
        family = socket.AF_INET6 if ":" in remote_host else socket.AF_INET
        port = next((one for one in ports if one.family == family), ports[0] if ports else None)
        return self._seen_by(port.bound, remote_host) if port is not None else (self._advertised_host or "127.0.0.1", 5060)

    def _streams(self, transport: str) -> list[TcpPort]:
        return [port for port in self._tcp if port.transport == transport]

    def _seen_by(self, bound: Address, remote_host: str) -> Address:
        """A bound address as a peer sees it."""
        if self._advertised_host:
            return (self._advertised_host, bound[1])
        return bound if bound[0] not in _WILDCARDS else (self._route(remote_host), bound[1])

    def _route(self, remote_host: str) -> str:
        """The local address from which the kernel would reach a host; nothing is sent. Kept, for it costs three system calls."""
        family = socket.AF_INET6 if ":" in remote_host else socket.AF_INET
        if (known := self._routes.get((family, remote_host))) is not None:
            return known
        if len(self._routes) >= ROUTES_KEPT:
            self._routes.clear()
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((remote_host, 9))
                local = str(probe.getsockname()[0])
            except OSError:  # no route: what is sent there is lost anyway
                local = "::1" if family == socket.AF_INET6 else "127.0.0.1"
        self._routes[family, remote_host] = local
        return local

    # --- what arrives

    def _take_batch(self, port: UdpPort, batch: list[tuple[bytes, Address]]) -> None:
        now = self._clock.now()
        admits = self._gate.admits
        for data, source in batch:
            if admits(data, source[0], now):
                self.user_agent.receive(data, Flow("udp", self._seen_by(port.bound, source[0]), source), now)
        self._flush()

    def _take_message(self, port: TcpPort, connection: TcpConnection, data: bytes) -> None:
        now = self._clock.now()
        if self._gate.admits(data, connection.remote[0], now):
            self.user_agent.receive(data, self._flow_of(port, connection), now)
            self._flush()
        else:
            connection.close()

    def _connection_closed(self, port: TcpPort, connection: TcpConnection) -> None:
        flow = self._flow_of(port, connection)
        for failed in (flow, flow._replace(connection=0)):  # ours may have been opened for a flow without a number
            self.user_agent.flow_failed(failed, self._clock.now())
        self._flush()

    def _flow_of(self, port: TcpPort, connection: TcpConnection) -> Flow:
        return Flow(port.transport, self._seen_by(port.bound, connection.remote[0]), connection.remote, connection.number)

    # --- what goes out

    def _flush(self) -> None:
        """Send, report, and set the timer, until the core has nothing more to say."""
        if self._flushing:
            return
        self._flushing = True
        try:
            while sends := self.user_agent.effects():
                self._send_all(sends)
            self._events.extend(self.user_agent.events())
            while self._events:
                self._on_event(self._events.popleft())
                self._send_all(self.user_agent.effects())
                self._events.extend(self.user_agent.events())
            if held := self.user_agent.held():
                self._when_durable(partial(self._send_all, held))
        finally:
            self._flushing = False
            self._arm()

    def _send_all(self, sends: list[Send]) -> None:
        for flow, data in sends:
            if self._wire is not None and not self._streams(flow.transport):
                self._wire.send(data, flow)
            elif flow.transport != "udp":
                self._send_stream(flow, data)
            else:
                self._send_udp(flow, data)

    def _send_udp(self, flow: Flow, data: bytes) -> None:
        family = socket.AF_INET6 if ":" in flow.remote[0] else socket.AF_INET
        if len(self._udp) == 1 and self._udp[0].family == family:
            self._udp[0].send(data, flow.remote)
        elif ports := [port for port in self._udp if port.family == family]:  # else nobody listens for that family: as good as lost
            best = max(ports, key=lambda port: (port.bound == flow.local, port.bound[1] == flow.local[1]))
            best.send(data, flow.remote)

    def _send_stream(self, flow: Flow, data: bytes) -> None:
        ports = self._streams(flow.transport)
        for port in ports:
            if connection := port.connection(flow.connection, flow.remote):
                connection.send(data)
                return
        if flow.connection == 0 and ports:
            try:
                ports[0].connect(flow.remote).send(data)
            except OSError:
                self._loop.call_soon(self._fail, flow)
        else:
            self._loop.call_soon(self._fail, flow)

    def _fail(self, flow: Flow) -> None:
        self.user_agent.flow_failed(flow, self._clock.now())
        self._flush()

    # --- the one timer

    def _arm(self) -> None:
        """Set the timer for the core's next one. A timer set too early stays: firing for nothing is cheaper than moving it per message."""
        at = self.user_agent.next_timer()
        if at is None or (self._timer is not None and self._timer_at <= at):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._loop.call_later(max(0.0, at - self._clock.now()), self._expire)

    def _expire(self) -> None:
        self._timer = None
        self.user_agent.expire(self._clock.now())
        self._flush()
