"""SIP over TCP and TLS: listeners, connections, framing by Content-Length (RFC 3261 §18.3), keep-alives (RFC 5626 §3.5.1).

Everything a stranger can grow has a limit: the number of connections, the octets of an unfinished message and the time for it, the octets
that wait for a slow reader. Whoever exceeds one is closed. One stranger has few connections, and where all are taken the oldest of a
stranger makes room (``gate``). A stream whose framing cannot be trusted gets its 400 and is closed too.
Sockets are watched directly, without tasks: a connection is its two buffers and one timer.

A connection may outlive this process: ``ConnectionKeeper`` is told of each with what has been read of an unfinished message, and the next
process ``adopt``s it under its old number. What had been read whole and not been acted on is lost, as TCP does not send it again.

Over TLS everything is the same but that the octets pass through a ``TlsStream``, and that nobody keeps the connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from waitline.bridge.net.gate import Listener
from waitline.bridge.net.sip_tls import TlsDoor, TlsStream
from waitline.bridge.sip.message import frame_length
from waitline.clock import Clock
from waitline.errors import SipError

READ_BYTES = 65_536
ACCEPT_AGAIN_S = 1.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpLimits:
    """What a peer may cost."""

    connections: int = 4096
    unsent_bytes: int = 262_144
    """Written by us, not yet read by the peer."""
    message_s: float = 30.0
    """For the rest of a message that has begun."""
    idle_s: float = 7200.0
    """Without any octet, keep-alives included; registrations last at most an hour."""
    connect_s: float = 8.0
    """To be connected, TLS agreed on."""


class KeptConnection(NamedTuple):
    """A connection that has outlived the process it belonged to."""

    number: int
    sock: socket.socket
    remote: tuple[str, int]
    received: bytes
    """The beginning of a message"""


class ConnectionKeeper(Protocol):
    """Keeps connections over the end of this process."""

    def keep(self, number: int, sock: socket.socket, remote: tuple[str, int]) -> None:
        """A connection is open."""
        ...

    def note(self, number: int, remote: tuple[str, int], received: bytes) -> None:
        """What was read of a message whose rest has not come; empty: the last one was whole."""
        ...

    def drop(self, number: int) -> None:
        """It is closed."""
        ...


class NobodyKeeps:
    """Connections end with this process."""

    def keep(self, number: int, sock: socket.socket, remote: tuple[str, int]) -> None:
        """Nobody keeps it."""

    def note(self, number: int, remote: tuple[str, int], received: bytes) -> None:
        """Nobody notes it."""

    def drop(self, number: int) -> None:
        """Nobody has it."""


class TcpConnection:
    """One stream, read from ``read`` on. ``number`` is what a Flow calls it."""

    def __init__(
        self,
        sock: socket.socket,
        number: int,
        remote: tuple[str, int],
        *,
        limits: TcpLimits,
        on_message: Callable[[TcpConnection, bytes], None],
        on_close: Callable[[TcpConnection], None],
        keeper: ConnectionKeeper,
        connecting: bool = False,
        received: bytes = b"",
        tls: TlsStream | None = None,
    ) -> None:
        self._sock = sock
        self._tls = tls
        self._keeper = keeper
        self._noted = len(received)
        self._limits = limits
        self._on_message = on_message
        self._on_close = on_close
        self._loop = asyncio.get_running_loop()
        self._received = bytearray(received)
        self._unsent = bytearray()
        self._connecting = connecting
        self._writing = connecting
        self._begun = False
        self._deadline = self._loop.call_later(limits.connect_s if connecting or tls else limits.idle_s, self.close)
        self.number = number
        self.remote = remote
        self.closed = False
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if connecting:
            self._loop.add_writer(sock, self._write)

    def read(self) -> None:
        """Begin to read, as soon as it is connected."""
        if not self._connecting:
            self._loop.add_reader(self._sock, self._read)

    def begin(self) -> None:
        """Say our part of the handshake, where we connect; it goes out when we are connected."""
        if self._tls is not None:
            self._tls.begin()
            self._put(self._tls.outgoing())

    def send(self, data: bytes) -> None:
        """Send, or keep until the peer reads; a peer that does not is closed."""
        if self.closed:
            return
        if self._tls is None:
            self._put(data)
        elif len(self._tls.unsent) + len(data) > self._limits.unsent_bytes:
            _log.warning("closing %s: %d bytes wait for the end of its handshake", self.remote, len(self._tls.unsent))
            self.close()
        else:
            self._tls.send(data)
            self._put(self._tls.outgoing())

    def close(self) -> None:
        """End the connection; what could not be sent is lost."""
        if self.closed:
            return
        self.closed = True
        self._deadline.cancel()
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        self._say_goodbye()
        self._sock.close()
        self._keeper.drop(self.number)
        self._on_close(self)

    def _say_goodbye(self) -> None:
        if self._tls is not None and not self._unsent:  # else it would come in the middle of something
            with contextlib.suppress(OSError):
                self._sock.send(self._tls.goodbye())

    def _put(self, data: bytes) -> None:
        """Put octets on the wire, or keep them until there is room."""
        waiting = bool(self._unsent) or self._connecting
        self._unsent += data
        if len(self._unsent) > self._limits.unsent_bytes:
            _log.warning("closing %s: %d bytes wait for it", self.remote, len(self._unsent))
            self.close()
        elif not waiting:
            self._write()

    def _write(self) -> None:
        if self._connecting and not self._established():
            return
        try:
            sent = self._sock.send(self._unsent) if self._unsent else 0
        except BlockingIOError:
            sent = 0
        except OSError as error:
            _log.debug("%s broke off: %s", self.remote, error)
            self.close()
            return
        del self._unsent[:sent]
        self._watch_writable(bool(self._unsent))

    def _watch_writable(self, wanted: bool) -> None:
        if wanted and not self._writing:
            self._loop.add_writer(self._sock, self._write)
        elif self._writing and not wanted:
            self._loop.remove_writer(self._sock)
        self._writing = wanted

    def _established(self) -> bool:
        """The socket became writable for the first time: it is connected, or that failed."""
        if code := self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            _log.debug("%s cannot be reached: %s", self.remote, errno.errorcode.get(code, code))
            self.close()
            return False
        self._connecting = False
        self._loop.add_reader(self._sock, self._read)
        if self._tls is None:
            self._rearm()
        return True

    def _read(self) -> None:
        try:
            data = self._sock.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            _log.debug("%s broke off: %s", self.remote, error)
            data = b""
        if not data:
            self.close()
            return
        if self._tls is not None:
            self._read_tls(self._tls, data)
        else:
            self._take(data)

    def _read_tls(self, tls: TlsStream, data: bytes) -> None:
        was_established = tls.established
        try:
            said = tls.receive(data)
        except OSError as error:
            _log.debug("%s broke TLS off: %s", self.remote, error)
            self._put(tls.outgoing())  # an alert that says why
            self.close()
            return
        self._put(tls.outgoing())
        if self.closed:
            return
        if tls.established and not was_established:
            self._rearm()
        if said:
            self._take(said)
        if tls.ended:
            self.close()

    def _take(self, data: bytes) -> None:
        self._received += data
        before = len(self._received)
        self._take_messages()
        if not self.closed:
            self._note_remainder()
            self._rearm(progress=len(self._received) < before)

    def _note_remainder(self) -> None:
        if self._received or self._noted:
            self._noted = len(self._received)
            self._keeper.note(self.number, self.remote, bytes(self._received))

    def _take_messages(self) -> None:
        while self._received and not self.closed:
            if self._received.startswith(b"\r\n\r\n"):  # ping → pong (RFC 5626 §4.4.1)
                del self._received[:4]
                self.send(b"\r\n")
                continue
            if self._received == b"\r\n":  # half a ping, or a pong: the next octets tell
                return
            try:
                length = frame_length(bytes(self._received))
            except SipError:  # the core says 400 if it can; nothing after this can be told apart
                self._on_message(self, bytes(self._received))
                self.close()
                return
            if length is None:
                return
            message = bytes(self._received[:length])
            del self._received[:length]
            self._on_message(self, message)

    def _rearm(self, *, progress: bool = True) -> None:
        """Watch the time for the next octet, or for the rest of a message from its first one on: dripping does not prolong it."""
        begun = len(self._received) > len(b"\r\n")
        if begun and self._begun and not progress:
            return
        self._begun = begun
        self._deadline.cancel()
        self._deadline = self._loop.call_later(self._limits.message_s if begun else self._limits.idle_s, self.close)


class TcpPort:
    """A listening socket with all its connections, those opened from here, and those of the process before; accepts from ``read`` on."""

    def __init__(
        self,
        sock: socket.socket,
        *,
        limits: TcpLimits,
        numbers: Callable[[], int],
        on_message: Callable[[TcpPort, TcpConnection, bytes], None],
        on_close: Callable[[TcpPort, TcpConnection], None],
        keeper: ConnectionKeeper,
        gate: Listener,
        clock: Clock,
        tls: TlsDoor | None = None,
    ) -> None:
        self._sock = sock
        self._keeper = keeper
        self._tls = tls
        self.transport = "tls" if tls else "tcp"
        self._gate = gate
        self._clock = clock
        self._sources: Counter[str] = Counter()
        self._limits = limits
        self._numbers = numbers
        self._on_message = on_message
        self._on_close = on_close
        self._loop = asyncio.get_running_loop()
        self._connections: dict[int, TcpConnection] = {}
        self._by_remote: dict[tuple[str, int], TcpConnection] = {}
        self.family = sock.family
        host, port = sock.getsockname()[:2]
        self.bound: tuple[str, int] = (host, port)
        self._pause: asyncio.TimerHandle | None = None
        sock.setblocking(False)

    def read(self) -> None:
        """Begin to accept, and to read what was adopted."""
        self._loop.add_reader(self._sock, self._accept)
        for connection in self._connections.values():
            connection.read()

    def __len__(self) -> int:
        return len(self._connections)

    def adopt(self, kept: KeptConnection) -> None:
        """Go on with a connection of the process before."""
        kept.sock.setblocking(False)
        self._add(kept.sock, kept.remote, number=kept.number, received=kept.received)

    def connection(self, number: int, remote: tuple[str, int]) -> TcpConnection | None:
        """The connection of that number; for number 0 any to that address. None if there is none."""
        return self._connections.get(number) if number else self._by_remote.get(remote)

    def connect(self, remote: tuple[str, int]) -> TcpConnection:
        """Open a connection; what is sent meanwhile waits. OSError if not even that can be begun."""
        sock = socket.socket(self.family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            code = sock.connect_ex(remote)
            if code not in (0, errno.EINPROGRESS):
                raise OSError(code, errno.errorcode.get(code, ""))
        except OSError:
            sock.close()
            raise
        connection = self._add(sock, remote, connecting=True, tls=self._tls.connect(remote[0]) if self._tls else None)
        self._keeper.keep(connection.number, sock, remote)
        connection.begin()
        return connection

    def close(self) -> None:
        """Close all connections and stop listening; the listening socket stays with its owner."""
        self._loop.remove_reader(self._sock)
        if self._pause is not None:
            self._pause.cancel()
        for connection in list(self._connections.values()):
            connection.close()

    def _accept(self) -> None:
        try:
            sock, source = self._sock.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:  # out of descriptors: leave it in the backlog, and do not be woken for it again and again
            _log.warning("a connection was not accepted: %s", error)
            self._loop.remove_reader(self._sock)
            self._pause = self._loop.call_later(ACCEPT_AGAIN_S, self._loop.add_reader, self._sock, self._accept)
            return
        if not self._has_room_for(source[0]):
            _log.warning("refused %s: %d connections are open", source[:2], len(self._connections))
            sock.close()
            return
        sock.setblocking(False)
        remote = (source[0], source[1])
        connection = self._add(sock, remote, tls=self._tls.accept() if self._tls else None)
        self._keeper.keep(connection.number, sock, remote)
        connection.read()

    def _has_room_for(self, host: str) -> bool:
        if not self._gate.connects(host, self._sources[self._gate.source_of(host)], self._clock.now()):
            return False
        if len(self._connections) >= self._limits.connections:
            strangers = (one for one in self._connections.values() if self._gate.is_stranger(one.remote[0]))
            if (oldest := next(strangers, None)) is None:
                return False
            oldest.close()
        return True

    def _add(
        self,
        sock: socket.socket,
        remote: tuple[str, int],
        *,
        connecting: bool = False,
        number: int = 0,
        received: bytes = b"",
        tls: TlsStream | None = None,
    ) -> TcpConnection:
        connection = TcpConnection(
            sock,
            number or self._numbers(),
            remote,
            limits=self._limits,
            on_message=self._received,
            on_close=self._closed,
            keeper=self._keeper,
            connecting=connecting,
            received=received,
            tls=tls,
        )
        self._connections[connection.number] = connection
        self._by_remote[remote] = connection
        self._sources[self._gate.source_of(remote[0])] += 1
        return connection

    def _received(self, connection: TcpConnection, data: bytes) -> None:
        self._on_message(self, connection, data)

    def _closed(self, connection: TcpConnection) -> None:
        if self._connections.pop(connection.number, None) is not None:
            source = self._gate.source_of(connection.remote[0])
            self._sources[source] -= 1
            if not self._sources[source]:
                del self._sources[source]
        if self._by_remote.get(connection.remote) is connection:
            del self._by_remote[connection.remote]
        self._on_close(self, connection)
