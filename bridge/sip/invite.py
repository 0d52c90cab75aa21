"""INVITE from both sides (RFC 3261 §13, §14), initial and within a dialog: what the transaction leaves to the user agent core.

``InviteServer``: our provisional and final responses to one INVITE. A 2xx is resent from T1, doubling to T2, until the ACK comes
(§13.3.1.4), over any transport, because a hop beyond the first may be UDP; after 64*T1 the owner is told that no ACK came.

``InviteClient``: one INVITE of ours. Every 2xx is acknowledged, a repeated one with the same ACK; a second one from another branch of a
fork, and one that crosses our CANCEL, is acknowledged and ended by BYE (§13.2.2.4, §15). An INVITE is cancelled only once a provisional
response came (§9.1).

Neither knows queues, calls or media: the owner is a ``Session``. What either knows beside its transaction is plain (``to_plain``), so that
another process can go on with it (``restore``).
"""

from __future__ import annotations

from typing import Any, Protocol

from waitline.bridge.sip.context import Context, Silent
from waitline.bridge.sip.dialog import DialogState, dialog_of_response, next_hop, refresh_target, request_in
from waitline.bridge.sip.flow import Flow
from waitline.bridge.sip.message import Request, Response
from waitline.bridge.sip.outgoing import HeaderList, Outgoing
from waitline.bridge.sip.reliable import Reliable
from waitline.bridge.sip.reply import Reply
from waitline.bridge.sip.timers import Timer
from waitline.bridge.sip.transaction import Transaction


class ServerOwner(Protocol):
    """Who is told how an INVITE to us goes on."""

    def cancelled(self, server: InviteServer, now: float) -> None:
        """The peer gave up; a 487 has been sent."""
        ...

    def acknowledged(self, server: InviteServer, body: bytes, now: float) -> None:
        """The ACK to our 2xx, once."""
        ...

    def unacknowledged(self, server: InviteServer, now: float) -> None:
        """No ACK to our 2xx for 64*T1."""
        ...


class ClientOwner(Protocol):
    """Who is told how an INVITE of ours goes on; exactly one of ``accepted`` and ``refused`` is called, once."""

    dialog: DialogState

    def progressed(self, client: InviteClient, response: Response, now: float) -> None:
        """A 101–199."""
        ...

    def accepted(self, client: InviteClient, dialog: DialogState, response: Response, now: float) -> None:
        """The first 2xx, already acknowledged; ``dialog`` is what it formed, or the owner's own for a re-INVITE."""
        ...

    def refused(self, client: InviteClient, status: int, response: Response | None, now: float) -> None:
        """A final refusal, a time-out (408), a broken flow (503) or the end of what we cancelled (487); the last three have no response."""
        ...


class InviteServer:
    """One INVITE to us, until it is settled."""

    __slots__ = ("_context", "_give_up", "_interval", "_resend", "cseq", "flow", "owner", "reliable", "reply", "transaction")

    def __init__(self, context: Context, transaction: Transaction, cseq: int, reply: Reply) -> None:
        self._context = context
        self._interval = 0.0
        self._resend: Timer | None = None
        self._give_up: Timer | None = None
        self.transaction = transaction
        self.reply = reply
        self.flow = transaction.flow
        self.cseq = cseq
        self.owner: ServerOwner | None = None
        self.reliable: Reliable | None = None
        """How provisional responses go out to a caller that acknowledges them"""
        transaction.user = self

    def to_plain(self) -> dict[str, Any]:
        """What it knows beside its transaction, JSON-able."""
        return {
            "cseq": self.cseq,
            "reply": self.reply.to_plain(),
            "interval": self._interval,
            "resend_at": self._resend.at if self._resend is not None else None,
            "give_up_at": self._give_up.at if self._give_up is not None else None,
            "reliable": None if self.reliable is None else self.reliable.to_plain(),
        }

    @classmethod
    def restore(cls, context: Context, transaction: Transaction, plain: dict[str, Any], now: float) -> InviteServer:
        """Go on with one of another process: resend and give up when that would have."""
        server = cls(context, transaction, plain["cseq"], Reply.from_plain(plain["reply"], agent=context.agent))
        server._interval = plain["interval"]
        if plain["resend_at"] is not None:
            server._resend = context.queue.arm(min(plain["resend_at"], now + context.timers.t2), server._resend_success)
        if plain["give_up_at"] is not None:
            latest = now + context.timers.transaction
            server._give_up = context.queue.arm(min(plain["give_up_at"], latest), server._never_acknowledged)
        if plain.get("reliable") is not None:
            server.reliable = Reliable.restore(context, server, plain["reliable"], now)
        return server

    def provisional(self, status: int, headers: HeaderList, body: bytes, now: float) -> None:
        """Send a 1xx; one above 100 repeats Record-Route, as it forms an early dialog."""
        if self.reliable is not None and status > 100:
            self.reliable.send(status, headers, body, now)
        else:
            self.respond(status, headers, body, now)

    def respond(self, status: int, headers: HeaderList, body: bytes, now: float) -> None:
        """Send a 1xx once."""
        self.transaction.respond(status, self.reply.render(status, headers=headers, body=body, forms_dialog=status > 100), now)

    def accept(self, headers: HeaderList, body: bytes, now: float) -> None:
        """Send the 200 and go on sending it."""
        self._stop_provisionals()
        if self.transaction.respond(200, self.reply.render(200, headers=headers, body=body, forms_dialog=True), now):
            self._interval = self._context.timers.t1
            self._resend = self._context.queue.arm(now + self._interval, self._resend_success)
            self._give_up = self._context.queue.arm(now + self._context.timers.transaction, self._never_acknowledged)

    def refuse(self, status: int, headers: HeaderList, reason: str | None, now: float) -> None:
        """Send a final 300–699; the transaction resends it until its ACK."""
        self._stop_provisionals()
        self.transaction.respond(status, self.reply.render(status, headers=headers, reason=reason), now)

    def give_up(self, now: float) -> None:
        """A provisional response was never acknowledged: the caller is told the end, and the owner as if it had given up itself."""
        if self.pending and (owner := self.owner) is not None:
            self.refuse(504, (), None, now)
            self.release()
            owner.cancelled(self, now)

    def _stop_provisionals(self) -> None:
        if self.reliable is not None:
            self.reliable.stop()

    @property
    def pending(self) -> bool:
        """Whether no final response was sent yet."""
        return self.transaction.pending

    @property
    def awaits_ack(self) -> bool:
        """Whether our 2xx is being resent."""
        return self._give_up is not None

    def cancel(self, now: float) -> None:
        """A CANCEL came (§9.2): without effect after a final response."""
        if self.pending and (owner := self.owner) is not None:
            self.refuse(487, (), None, now)
            self.release()
            owner.cancelled(self, now)

    def acknowledge(self, request: Request, now: float) -> None:
        """An ACK to the 2xx; repeated ones have no effect."""
        if self.awaits_ack and (owner := self.owner) is not None:
            self.release()
            owner.acknowledged(self, request.body, now)

    def release(self) -> None:
        """Wait for nothing more. The transaction lives on for 32 s and must not keep the leg with it: that is memory per call."""
        self.owner = None
        self._stop_provisionals()
        for timer in (self._resend, self._give_up):
            if timer is not None:
                timer.cancel()
        self._resend = self._give_up = None

    def _resend_success(self, now: float) -> None:
        self.transaction.respond(200, self.transaction.last, now)
        self._interval = min(2 * self._interval, self._context.timers.t2)
        self._resend = self._context.queue.arm(now + self._interval, self._resend_success)

    def _never_acknowledged(self, now: float) -> None:
        owner = self.owner
        self.release()
        if owner is not None:
            owner.unacknowledged(self, now)

    # --- TransactionUser

    def response_received(self, transaction: Transaction, response: Response, now: float) -> None:
        """Servers receive none."""

    def ack_received(self, transaction: Transaction, request: Request, now: float) -> None:
        self.acknowledge(request, now)

    def transaction_failed(self, transaction: Transaction, status: int, now: float) -> None:
        """Servers of INVITE do not fail: a broken connection ends no call."""


class InviteClient:
    """One INVITE of ours, until 64*T1 after its answer."""

    __slots__ = ("_acks", "_cancel", "_context", "_outgoing", "_proceeding", "_settled", "exchange", "initial", "owner", "transaction")

    def __init__(self, context: Context, owner: ClientOwner, outgoing: Outgoing, *, exchange: str, initial: bool) -> None:
        self._context = context
        self._outgoing = outgoing
        self._acks: dict[str, tuple[Flow, bytes]] = {}
        self._proceeding = False
        self._settled = False
        self._cancel = False
        self.transaction: Transaction | None = None
        self.owner = owner
        self.exchange = exchange
        self.initial = initial

    def to_plain(self) -> dict[str, Any]:
        """What it knows beside its transaction, JSON-able."""
        return {
            "outgoing": self._outgoing.to_plain(),
            "exchange": self.exchange,
            "initial": self.initial,
            "acks": {tag: [flow.to_plain(), ack.decode("latin-1")] for tag, (flow, ack) in self._acks.items()},
            "proceeding": self._proceeding,
            "settled": self._settled,
            "cancel": self._cancel,
        }

    @classmethod
    def restore(cls, context: Context, owner: ClientOwner, plain: dict[str, Any]) -> InviteClient:
        """Go on with one of another process; ``resume`` gives it its transaction."""
        outgoing = Outgoing.from_plain(plain["outgoing"])
        client = cls(context, owner, outgoing, exchange=plain["exchange"], initial=plain["initial"])
        client._acks = {tag: (Flow.from_plain(flow), ack.encode("latin-1")) for tag, (flow, ack) in plain["acks"].items()}
        client._proceeding, client._settled, client._cancel = plain["proceeding"], plain["settled"], plain["cancel"]
        return client

    def resume(self, transaction: Transaction, now: float) -> None:
        """Go on with a transaction of another process; a CANCEL that it may not have sent is sent again, octet for octet."""
        self.transaction = transaction
        transaction.outgoing = self._outgoing
        if self._cancel and self._proceeding and not self._settled:
            self._send_cancel(now)

    @property
    def settled(self) -> bool:
        """Whether the owner has been told the outcome."""
        return self._settled

    def start(self, data: bytes, flow: Flow, now: float) -> None:
        """Send it; ``data`` is the rendered request."""
        self.transaction = self._context.transactions.open_client(self._outgoing, data, flow, self, now)

    def cancel(self, now: float) -> None:
        """Give up: CANCEL now, or as soon as the server shows that it knows the INVITE."""
        if not self._cancel and not self._settled:
            self._cancel = True
            if self._proceeding:
                self._send_cancel(now)

    def let_go(self, now: float) -> None:
        """The owner is gone: an initial INVITE is cancelled, and either is waited for no longer than 64*T1."""
        if self.initial:
            self.cancel(now)
        self._context.queue.arm(now + self._context.timers.transaction, self._abandon)

    def _send_cancel(self, now: float) -> None:
        if self.transaction is not None:
            outgoing = self._outgoing.cancel()
            self._context.transactions.open_client(outgoing, outgoing.render(), self.transaction.flow, Silent(), now)
            self._context.queue.arm(now + self._context.timers.transaction, self._abandon)

    def _abandon(self, now: float) -> None:
        """No final response 64*T1 after our CANCEL: the INVITE is considered cancelled (§9.1)."""
        if not self._settled and self.transaction is not None:
            self.transaction.end()
            self._refuse(487, None, now)

    def _refuse(self, status: int, response: Response | None, now: float) -> None:
        if not self._settled:
            self._settled = True
            self.owner.refused(self, status, response, now)

    # --- TransactionUser

    def response_received(self, transaction: Transaction, response: Response, now: float) -> None:
        if response.status >= 300:
            self._refuse(response.status, response, now)
        elif response.status >= 200:
            self._succeed(response, now)
        else:
            self._proceed(response, now)

    def ack_received(self, transaction: Transaction, request: Request, now: float) -> None:
        """Clients receive none."""

    def transaction_failed(self, transaction: Transaction, status: int, now: float) -> None:
        self._refuse(status, None, now)

    def _proceed(self, response: Response, now: float) -> None:
        first, self._proceeding = not self._proceeding, True
        if first and self._cancel:
            self._send_cancel(now)
        if response.status > 100 and not self._cancel:
            self.owner.progressed(self, response, now)

    def _succeed(self, response: Response, now: float) -> None:
        tag = response.to.tag or ""
        if tag in self._acks:
            self._context.send(*self._acks[tag])
            return
        dialog = self._dialog_of(response)
        self._acknowledge(dialog, tag)
        if self._settled or self._cancel:
            self._end_at_once(dialog, now)
            self._refuse(487, None, now)
        else:
            self._settled = True
            self.owner.accepted(self, dialog, response, now)

    def _dialog_of(self, response: Response) -> DialogState:
        if self.initial:
            return dialog_of_response(self.owner.dialog, response)
        refresh_target(self.owner.dialog, response)
        return self.owner.dialog

    def _acknowledge(self, dialog: DialogState, tag: str) -> None:
        """The ACK to a 2xx: a request of its own, in the dialog, outside transactions (§13.2.2.4)."""
        flow = next_hop(dialog)
        ack = request_in(
            dialog, "ACK", branch=self._context.branch(), agent=self._context.agent, flow=flow, cseq=self._outgoing.cseq
        ).render()
        self._acks[tag] = (flow, ack)
        self._context.send(flow, ack)

    def _end_at_once(self, dialog: DialogState, now: float) -> None:
        """A dialog that nobody wants: another branch of a fork, or an answer that crossed our CANCEL."""
        if self.initial:
            flow = next_hop(dialog)
            bye = request_in(dialog, "BYE", branch=self._context.branch(), agent=self._context.agent, flow=flow)
            self._context.transactions.open_client(bye, bye.render(), flow, Silent(), now)
