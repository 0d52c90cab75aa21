"""The four transaction machines of RFC 3261 §17, with the Accepted states of RFC 6026, as one table.

A transaction absorbs what UDP does to messages: it resends what was lost and swallows what came twice, so that the layer above sees each
request and each response once. ``TRANSITIONS`` maps (machine, state, input) to the next state and the actions on the way. An input that
the table does not name is ignored: the message is late, or repeats what is settled.

What is ours beyond the RFC's figures: a repeated INVITE in Accepted gets the 2xx once more (RFC 6026 §7.1 only absorbs it), because a
caller that repeats its INVITE has evidently lost it; over reliable transports the timers D, I, J and K are armed with zero instead of
being skipped, so that there is one table; and a connection that breaks under an INVITE to us does not end it: the caller may come back on
another one, and the ACK that never comes ends what it does not.

A transaction is plain data but for its user (``to_plain``): a process that takes over goes on with it by ``TransactionLayer.restore``,
its timers due when they were due before. ``now`` must be of a clock that both processes share.

Extending it: add the row, and an action if none fits; ``tests/unit/sip/test_transaction.py`` walks every row.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from functools import partial
from typing import Any, Protocol

from waitline.bridge.sip.flow import Flow
from waitline.bridge.sip.message import Request, Response
from waitline.bridge.sip.outgoing import Outgoing
from waitline.bridge.sip.timers import Timer, TimerQueue, Timers
from waitline.bridge.sip.via import Via


class Machine(IntEnum):
    """Which of the four; IntEnum because table keys are hashed for every message."""

    INVITE_CLIENT = 1
    CLIENT = 2
    INVITE_SERVER = 3
    SERVER = 4


class State(IntEnum):
    """The union of the states of all four."""

    CALLING = 1
    TRYING = 2
    PROCEEDING = 3
    ACCEPTED = 4
    COMPLETED = 5
    CONFIRMED = 6
    TERMINATED = 7


class Input(IntEnum):
    """What can happen. Responses arrive from the network at a client, and from the layer above at a server."""

    REQUEST = 1
    ACK = 2
    PROVISIONAL = 3
    SUCCESS = 4
    FAILURE = 5
    TRANSPORT_ERROR = 6
    TIMER_A = 10
    TIMER_B = 11
    TIMER_D = 13
    TIMER_E = 14
    TIMER_F = 15
    TIMER_G = 16
    TIMER_H = 17
    TIMER_I = 18
    TIMER_J = 19
    TIMER_K = 20
    TIMER_L = 21
    TIMER_M = 22


# The name of a member of an Enum is a property written in Python, and a leg is written down several times a call.
_MACHINES, _STATES, _INPUTS = ({member: member.name for member in kind} for kind in (Machine, State, Input))


class TransactionUser(Protocol):
    """Who owns a transaction: is told what it lets through."""

    def response_received(self, transaction: Transaction, response: Response, now: float) -> None:
        """A client's response, each once but for every 2xx to an INVITE."""
        ...

    def ack_received(self, transaction: Transaction, request: Request, now: float) -> None:
        """An ACK to a 2xx that carries the INVITE's own branch, as RFC 2543 and careless phones send it."""
        ...

    def transaction_failed(self, transaction: Transaction, status: int, now: float) -> None:
        """No final response (408), or the transport broke (503)."""
        ...


Key = tuple[str | int | None, ...]


class Transaction:
    """One request with its responses. ``feed`` is the only way to change its state."""

    __slots__ = (
        "_interval",
        "_layer",
        "_timers",
        "flow",
        "handle",
        "held",
        "key",
        "last",
        "machine",
        "merge_key",
        "outgoing",
        "reply_port",
        "state",
        "user",
    )

    def __init__(self, layer: TransactionLayer, machine: Machine, key: Key, flow: Flow, user: TransactionUser) -> None:
        self._layer = layer
        self._interval = 0.0
        self._timers: dict[Input, Timer] = {}
        self.machine = machine
        self.state = INITIAL[machine]
        self.key = key
        self.flow = flow
        self.user = user
        self.last = b""
        """What was sent last: the request of a client, the newest response of a server."""
        self.outgoing: Outgoing | None = None
        """An INVITE client's request, which its ACK copies (§17.1.1.3)."""
        self.merge_key: Key | None = None
        self.reply_port = 0
        """Where a server's response goes if the connection of its request is gone (§18.2.2)."""
        self.handle = ""
        """The leg that it outlives, see ``TransactionLayer.last_words``."""
        self.held = False
        """Whether a response is to be sent only when what led to it is durable: even a 100 stops the peer from asking again."""

    def feed(self, what: Input, now: float, message: Any = None) -> bool:
        """Take one input; ``message`` is the Response or ACK received, or the octets of the response to send. False if it was ignored."""
        row = TRANSITIONS.get((self.machine, self.state, what))
        if row is None:
            return False
        self.state = row[0]
        for action in row[1]:
            action(self, now, message)
        if row[0] is State.TERMINATED:
            self.end()
        return True

    def respond(self, status: int, data: bytes, now: float) -> bool:
        """Send the response ``data``; False if a final one went out before."""
        return self.feed(response_input(status), now, data)

    @property
    def pending(self) -> bool:
        """Whether a server still awaits its final response."""
        return self.state is State.PROCEEDING or self.state is State.TRYING

    def end(self) -> None:
        """Forget the transaction, its timers with it."""
        self.state = State.TERMINATED
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._layer.remove(self)

    def arm(self, what: Input, delay: float, now: float) -> None:
        """Start a timer, or start it again."""
        if old := self._timers.get(what):
            old.cancel()
        self._timers[what] = self._layer.queue.arm(now + delay, partial(self.feed, what))

    def disarm(self, *inputs: Input) -> None:
        """Stop timers, running or not."""
        for what in inputs:
            if timer := self._timers.pop(what, None):
                timer.cancel()

    # --- through a store into another process

    def to_plain(self, *, bare: bool = False) -> dict[str, Any]:
        """Everything but the user, JSON-able; ``bare`` without what was sent last, where that is never to be sent again."""
        return {
            "machine": _MACHINES[self.machine],
            "state": _STATES[self.state],
            "key": list(self.key),
            "flow": self.flow.to_plain(),
            "last": "" if bare else self.last.decode("latin-1"),
            "interval": self._interval,
            "timers": {_INPUTS[what]: timer.at for what, timer in self._timers.items() if timer.callback is not None},
            "merge_key": None if self.merge_key is None else list(self.merge_key),
            "reply_port": self.reply_port,
        }

    def take_plain(self, plain: dict[str, Any], latest: float) -> None:
        """Go on from what ``to_plain`` gave. No timer is due after ``latest``: a clock that began anew must not keep it for ever."""
        self.state = State[plain["state"]]
        self.last = plain["last"].encode("latin-1")
        self.reply_port = plain["reply_port"]
        self._interval = plain["interval"]
        for name, at in plain["timers"].items():
            what = Input[name]
            self._timers[what] = self._layer.queue.arm(min(at, latest), partial(self.feed, what))

    # --- actions of the table: (transaction, now, message) -> None

    def send(self, _now: float, data: bytes) -> None:
        """Send a new message and keep it for resending."""
        self.last = data
        self._layer.send(self.flow, data, held=self.held)

    def resend(self, _now: float, _message: object) -> None:
        """Send the last message again, if there is one: an INVITE may come twice before its 100 went out."""
        if self.last:
            self._layer.send(self.flow, self.last, held=self.held)

    def pass_up(self, now: float, response: Response) -> None:
        self.user.response_received(self, response, now)

    def pass_ack(self, now: float, request: Request) -> None:
        self.user.ack_received(self, request, now)

    def time_out(self, now: float, _message: object) -> None:
        self.user.transaction_failed(self, 408, now)

    def break_off(self, now: float, _message: object) -> None:
        self.user.transaction_failed(self, 503, now)

    def acknowledge(self, _now: float, response: Response) -> None:
        """The ACK to a 300–699: part of the transaction (§17.1.1.3)."""
        if self.outgoing is not None:
            self._layer.send(self.flow, self.outgoing.ack(response.headers.get("To") or ""))

    def start_client(self, now: float, data: bytes) -> None:
        """The first transmission and its timers: A and B, or E and F (§17.1.1.2, §17.1.2.2)."""
        self.send(now, data)
        timers = self._layer.timers
        invite = self.machine is Machine.INVITE_CLIENT
        self.arm(Input.TIMER_B if invite else Input.TIMER_F, timers.transaction, now)
        if not self.flow.reliable:
            self._interval = timers.t1
            self.arm(Input.TIMER_A if invite else Input.TIMER_E, timers.t1, now)

    def again_a(self, now: float, _message: object) -> None:
        """Timer A doubles without a limit (§17.1.1.2)."""
        self._interval *= 2
        self.arm(Input.TIMER_A, self._interval, now)

    def again_e(self, now: float, _message: object) -> None:
        """Timer E doubles up to T2 (§17.1.2.2)."""
        self._interval = min(2 * self._interval, self._layer.timers.t2)
        self.arm(Input.TIMER_E, self._interval, now)

    def slow_e(self, now: float, _message: object) -> None:
        """In Proceeding, timer E is T2 each time: the server has the request."""
        self._interval = self._layer.timers.t2
        self.arm(Input.TIMER_E, self._interval, now)

    def start_g(self, now: float, _message: object) -> None:
        """Timer G: resend the final response to an INVITE until the ACK, over UDP only (§17.2.1)."""
        if not self.flow.reliable:
            self._interval = self._layer.timers.t1
            self.arm(Input.TIMER_G, self._interval, now)

    def again_g(self, now: float, _message: object) -> None:
        self._interval = min(2 * self._interval, self._layer.timers.t2)
        self.arm(Input.TIMER_G, self._interval, now)

    def start_h(self, now: float, _message: object) -> None:
        """Timer H: give the ACK up (§17.2.1)."""
        self.arm(Input.TIMER_H, self._layer.timers.transaction, now)

    def start_i(self, now: float, _message: object) -> None:
        """Timer I: absorb repeated ACKs (§17.2.1)."""
        self.disarm(Input.TIMER_G, Input.TIMER_H)
        self._linger(Input.TIMER_I, self._layer.timers.t4, now)

    def start_j(self, now: float, _message: object) -> None:
        """Timer J: answer repeated requests (§17.2.2)."""
        self._linger(Input.TIMER_J, self._layer.timers.transaction, now)

    def start_d(self, now: float, _message: object) -> None:
        """Timer D: acknowledge repeated final responses (§17.1.1.2)."""
        self.disarm(Input.TIMER_A, Input.TIMER_B)
        self._linger(Input.TIMER_D, self._layer.timers.d, now)

    def start_k(self, now: float, _message: object) -> None:
        """Timer K: absorb repeated responses (§17.1.2.2)."""
        self.disarm(Input.TIMER_E, Input.TIMER_F)
        self._linger(Input.TIMER_K, self._layer.timers.t4, now)

    def start_l(self, now: float, _message: object) -> None:
        """Timer L: the life of an accepted INVITE at its server, over any transport (RFC 6026 §8.7)."""
        self.arm(Input.TIMER_L, self._layer.timers.transaction, now)

    def start_m(self, now: float, _message: object) -> None:
        """Timer M: the time in which further 2xx of a forked INVITE are let through (RFC 6026 §8.4)."""
        self.disarm(Input.TIMER_A, Input.TIMER_B)
        self.arm(Input.TIMER_M, self._layer.timers.transaction, now)

    def stop_resending(self, _now: float, _message: object) -> None:
        """The server has our INVITE: only it can end the transaction now, or our CANCEL."""
        self.disarm(Input.TIMER_A, Input.TIMER_B)

    def _linger(self, what: Input, delay: float, now: float) -> None:
        self.arm(what, 0.0 if self.flow.reliable else delay, now)


Action = Callable[[Transaction, float, Any], None]
Row = tuple[State, tuple[Action, ...]]

INITIAL = {
    Machine.INVITE_CLIENT: State.CALLING,
    Machine.CLIENT: State.TRYING,
    Machine.INVITE_SERVER: State.PROCEEDING,
    Machine.SERVER: State.TRYING,
}

_T = Transaction

_INVITE_CLIENT: dict[tuple[State, Input], Row] = {
    (State.CALLING, Input.REQUEST): (State.CALLING, (_T.start_client,)),
    (State.CALLING, Input.TIMER_A): (State.CALLING, (_T.resend, _T.again_a)),
    (State.CALLING, Input.TIMER_B): (State.TERMINATED, (_T.time_out,)),
    (State.CALLING, Input.TRANSPORT_ERROR): (State.TERMINATED, (_T.break_off,)),
    (State.CALLING, Input.PROVISIONAL): (State.PROCEEDING, (_T.stop_resending, _T.pass_up)),
    (State.CALLING, Input.SUCCESS): (State.ACCEPTED, (_T.start_m, _T.pass_up)),
    (State.CALLING, Input.FAILURE): (State.COMPLETED, (_T.acknowledge, _T.start_d, _T.pass_up)),
    (State.PROCEEDING, Input.PROVISIONAL): (State.PROCEEDING, (_T.pass_up,)),
    (State.PROCEEDING, Input.SUCCESS): (State.ACCEPTED, (_T.start_m, _T.pass_up)),
    (State.PROCEEDING, Input.FAILURE): (State.COMPLETED, (_T.acknowledge, _T.start_d, _T.pass_up)),
    (State.PROCEEDING, Input.TRANSPORT_ERROR): (State.TERMINATED, (_T.break_off,)),
    (State.ACCEPTED, Input.SUCCESS): (State.ACCEPTED, (_T.pass_up,)),
    (State.ACCEPTED, Input.TIMER_M): (State.TERMINATED, ()),
    (State.COMPLETED, Input.FAILURE): (State.COMPLETED, (_T.acknowledge,)),
    (State.COMPLETED, Input.TIMER_D): (State.TERMINATED, ()),
    (State.COMPLETED, Input.TRANSPORT_ERROR): (State.TERMINATED, ()),
}

_CLIENT: dict[tuple[State, Input], Row] = {
    (State.TRYING, Input.REQUEST): (State.TRYING, (_T.start_client,)),
    (State.TRYING, Input.TIMER_E): (State.TRYING, (_T.resend, _T.again_e)),
    (State.TRYING, Input.TIMER_F): (State.TERMINATED, (_T.time_out,)),
    (State.TRYING, Input.TRANSPORT_ERROR): (State.TERMINATED, (_T.break_off,)),
    (State.TRYING, Input.PROVISIONAL): (State.PROCEEDING, (_T.pass_up,)),
    (State.TRYING, Input.SUCCESS): (State.COMPLETED, (_T.start_k, _T.pass_up)),
    (State.TRYING, Input.FAILURE): (State.COMPLETED, (_T.start_k, _T.pass_up)),
    (State.PROCEEDING, Input.TIMER_E): (State.PROCEEDING, (_T.resend, _T.slow_e)),
    (State.PROCEEDING, Input.TIMER_F): (State.TERMINATED, (_T.time_out,)),
    (State.PROCEEDING, Input.TRANSPORT_ERROR): (State.TERMINATED, (_T.break_off,)),
    (State.PROCEEDING, Input.PROVISIONAL): (State.PROCEEDING, (_T.pass_up,)),
    (State.PROCEEDING, Input.SUCCESS): (State.COMPLETED, (_T.start_k, _T.pass_up)),
    (State.PROCEEDING, Input.FAILURE): (State.COMPLETED, (_T.start_k, _T.pass_up)),
    (State.COMPLETED, Input.TIMER_K): (State.TERMINATED, ()),
}

_INVITE_SERVER: dict[tuple[State, Input], Row] = {
    (State.PROCEEDING, Input.REQUEST): (State.PROCEEDING, (_T.resend,)),
    (State.PROCEEDING, Input.PROVISIONAL): (State.PROCEEDING, (_T.send,)),
    (State.PROCEEDING, Input.SUCCESS): (State.ACCEPTED, (_T.send, _T.start_l)),
    (State.PROCEEDING, Input.FAILURE): (State.COMPLETED, (_T.send, _T.start_g, _T.start_h)),
    (State.ACCEPTED, Input.REQUEST): (State.ACCEPTED, (_T.resend,)),
    (State.ACCEPTED, Input.SUCCESS): (State.ACCEPTED, (_T.send,)),
    (State.ACCEPTED, Input.ACK): (State.ACCEPTED, (_T.pass_ack,)),
    (State.ACCEPTED, Input.TIMER_L): (State.TERMINATED, ()),
    (State.COMPLETED, Input.REQUEST): (State.COMPLETED, (_T.resend,)),
    (State.COMPLETED, Input.ACK): (State.CONFIRMED, (_T.start_i,)),
    (State.COMPLETED, Input.TIMER_G): (State.COMPLETED, (_T.resend, _T.again_g)),
    (State.COMPLETED, Input.TIMER_H): (State.TERMINATED, ()),
    (State.COMPLETED, Input.TRANSPORT_ERROR): (State.TERMINATED, ()),
    (State.CONFIRMED, Input.TIMER_I): (State.TERMINATED, ()),
}

_SERVER: dict[tuple[State, Input], Row] = {
    (State.TRYING, Input.PROVISIONAL): (State.PROCEEDING, (_T.send,)),
    (State.TRYING, Input.SUCCESS): (State.COMPLETED, (_T.send, _T.start_j)),
    (State.TRYING, Input.FAILURE): (State.COMPLETED, (_T.send, _T.start_j)),
    (State.TRYING, Input.TRANSPORT_ERROR): (State.TERMINATED, (_T.break_off,)),
    (State.PROCEEDING, Input.REQUEST): (State.PROCEEDING, (_T.resend,)),
    (State.PROCEEDING, Input.PROVISIONAL): (State.PROCEEDING, (_T.send,)),
    (State.PROCEEDING, Input.SUCCESS): (State.COMPLETED, (_T.send, _T.start_j)),
    (State.PROCEEDING, Input.FAILURE): (State.COMPLETED, (_T.send, _T.start_j)),
    (State.PROCEEDING, Input.TRANSPORT_ERROR): (State.TERMINATED, (_T.break_off,)),
    (State.COMPLETED, Input.REQUEST): (State.COMPLETED, (_T.resend,)),
    (State.COMPLETED, Input.TIMER_J): (State.TERMINATED, ()),
    (State.COMPLETED, Input.TRANSPORT_ERROR): (State.TERMINATED, ()),
}

TRANSITIONS: dict[tuple[Machine, State, Input], Row] = {
    (machine, state, what): row
    for machine, rows in (
        (Machine.INVITE_CLIENT, _INVITE_CLIENT),
        (Machine.CLIENT, _CLIENT),
        (Machine.INVITE_SERVER, _INVITE_SERVER),
        (Machine.SERVER, _SERVER),
    )
    for (state, what), row in rows.items()
}


def response_input(status: int) -> Input:
    """The class of a response, as the machines tell them apart."""
    if status < 200:
        return Input.PROVISIONAL
    return Input.SUCCESS if status < 300 else Input.FAILURE


def server_key(request: Request, via: Via, method: str | None = None) -> Key:
    """What a request's retransmissions share (§17.2.3); an ACK has its INVITE's key, and a CANCEL finds that with ``method="INVITE"``.

    The CSeq number is a part of it beyond the RFC, at no harm to those who keep to it: pyVoIP repeats a challenged INVITE with the branch
    of the first, and would be answered with the first one's 401 for ever.
    """
    method = method or request.method
    if method == "ACK":
        method = "INVITE"
    if via.unique_branch:
        return (via.branch, via.host, via.port, method, request.cseq.number)
    # RFC 2543: no branch to go by. The To tag is left out, since the ACK has one that the INVITE had not.
    return (request.uri, request.call_id, request.from_.tag, str(via), method, request.cseq.number)


class SendFunction(Protocol):
    """Takes octets for a flow; ``held``: not before everything that happened is durable."""

    def __call__(self, flow: Flow, data: bytes, *, held: bool = False) -> None: ...


class TransactionLayer:
    """Every transaction, found by key; the layer's ports are the heap of timers and ``send``."""

    def __init__(self, *, timers: Timers, queue: TimerQueue, send: SendFunction) -> None:
        self.timers = timers
        self.queue = queue
        self.send = send
        self.servers: dict[Key, Transaction] = {}
        self.clients: dict[Key, Transaction] = {}
        self.merges: dict[Key, Key] = {}
        """(Call-ID, CSeq, From tag) of requests outside dialogs → their transaction's key: finds merged requests (§8.2.2.2)."""
        self.last_words: dict[str, Transaction] = {}
        """Handle of a leg that is gone → the transaction that told its peer so, for as long as the peer may ask again."""
        self._connections: dict[Flow, set[Transaction]] = {}

    def open_server(self, key: Key, method: str, flow: Flow, user: TransactionUser) -> Transaction:
        """A transaction for a request that no other one absorbed."""
        machine = Machine.INVITE_SERVER if method == "INVITE" else Machine.SERVER
        transaction = self.servers[key] = Transaction(self, machine, key, flow, user)
        self._watch(transaction)
        return transaction

    def open_client(self, outgoing: Outgoing, data: bytes, flow: Flow, user: TransactionUser, now: float) -> Transaction:
        """Send a request; ``data`` is ``outgoing`` with its further header fields and its body."""
        invite = outgoing.method == "INVITE"
        machine = Machine.INVITE_CLIENT if invite else Machine.CLIENT
        key = (outgoing.branch, outgoing.method)
        transaction = self.clients[key] = Transaction(self, machine, key, flow, user)
        transaction.outgoing = outgoing if invite else None
        self._watch(transaction)
        transaction.feed(Input.REQUEST, now, data)
        return transaction

    def restore(self, plain: dict[str, Any], user: TransactionUser, now: float) -> Transaction:
        """Go on with a transaction of another process."""
        machine = Machine[plain["machine"]]
        key = tuple(plain["key"])
        transaction = Transaction(self, machine, key, Flow.from_plain(plain["flow"]), user)
        transaction.take_plain(plain, now + self.timers.transaction)
        client = machine in (Machine.INVITE_CLIENT, Machine.CLIENT)
        (self.clients if client else self.servers)[key] = transaction
        if plain["merge_key"] is not None:
            transaction.merge_key = tuple(plain["merge_key"])
            self.merges[transaction.merge_key] = key
        self._watch(transaction)
        return transaction

    def outlive(self, transaction: Transaction, handle: str) -> None:
        """The leg of that handle is gone; the transaction says so to its peer until it ends."""
        if transaction.state is not State.TERMINATED:
            transaction.handle = handle
            self.last_words[handle] = transaction

    def move(self, transaction: Transaction, flow: Flow) -> None:
        """The transaction goes on over another flow."""
        self._unwatch(transaction)
        transaction.flow = flow
        self._watch(transaction)

    def remove(self, transaction: Transaction) -> None:
        """Called by a transaction that ended."""
        if transaction.handle:
            self.last_words.pop(transaction.handle, None)
        client = transaction.machine in (Machine.INVITE_CLIENT, Machine.CLIENT)
        (self.clients if client else self.servers).pop(transaction.key, None)
        if transaction.merge_key is not None and self.merges.get(transaction.merge_key) == transaction.key:
            del self.merges[transaction.merge_key]
        self._unwatch(transaction)

    def flow_failed(self, flow: Flow, now: float) -> None:
        """A connection closed or could not be opened. Clients fail at once; a server's answer goes to a new connection, once (§18.2.2)."""
        for transaction in sorted(self._connections.pop(flow, ()), key=lambda one: str(one.key)):
            if transaction.key in self.servers and flow.connection:
                transaction.flow = Flow(flow.transport, flow.local, (flow.remote[0], transaction.reply_port or flow.remote[1]))
                self._watch(transaction)
            else:
                transaction.feed(Input.TRANSPORT_ERROR, now)

    def _unwatch(self, transaction: Transaction) -> None:
        if transaction.flow.reliable and (watchers := self._connections.get(transaction.flow)):
            watchers.discard(transaction)
            if not watchers:
                del self._connections[transaction.flow]

    def _watch(self, transaction: Transaction) -> None:
        if transaction.flow.reliable:
            self._connections.setdefault(transaction.flow, set()).add(transaction)
