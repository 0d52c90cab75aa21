"""One call leg as SIP sees it: a dialog, the INVITE that sets it up or changes it, and every request within it, both ways.

Incoming requests (RFC 3261 §12.2.2) are taken in order of CSeq and answered here, but for an offer (re-INVITE, or UPDATE with a body),
which the owner answers. Only one offer is open at a time: a second one is refused with 500 and Retry-After while we owe an answer, with
491 while we await one (§14.2, RFC 3311 §5.2).

Our own requests are ``Exchange``s, each with one outcome: a final response, or none. What a refusal means (retry, hang up, ask for
credentials) is the owner's to judge; nothing here ends a dialog but BYE from either side, a broken connection least of all: the dialog
follows the peer to the connection on which its next request comes.

What another process needs to go on with a leg is in its attributes, and taken from them by ``snapshot``.
"""

from __future__ import annotations

from waitline.bridge.sip.bodies import SDP
from waitline.bridge.sip.context import Context
from waitline.bridge.sip.dialog import (
    CONFIRMED,
    ENDED,
    DialogState,
    accept_cseq,
    detached,
    dialog_of_response,
    next_hop,
    refresh_target,
    request_in,
)
from waitline.bridge.sip.events import (
    AckReceived,
    AckTimedOut,
    CallAnswered,
    CallFailed,
    CallProgress,
    DialogEnded,
    ExchangeTimedOut,
    InfoReceived,
    InviteCancelled,
    OfferReceived,
    ResponseReceived,
)
from waitline.bridge.sip.flow import Flow
from waitline.bridge.sip.invite import InviteClient, InviteServer
from waitline.bridge.sip.message import Request, Response
from waitline.bridge.sip.outgoing import HeaderList, angled, contact_uri, header_lines
from waitline.bridge.sip.policy import ALLOW, capabilities
from waitline.bridge.sip.reliable import acknowledged_by
from waitline.bridge.sip.reply import Reply
from waitline.bridge.sip.session_timer import GONE, SessionTimer, Terms, agreed, terms_of
from waitline.bridge.sip.transaction import Key, Transaction
from waitline.errors import BridgeError


class Exchange:
    """One request of ours in a dialog, or outside (``session`` None): its owner hears of one outcome."""

    __slots__ = ("_context", "_session", "name")

    def __init__(self, context: Context, name: str, session: Session | None) -> None:
        self._context = context
        self._session = session
        self.name = name

    @property
    def _dialog(self) -> str:
        return self._session.dialog.handle if self._session is not None else ""

    def response_received(self, transaction: Transaction, response: Response, now: float) -> None:
        if response.status >= 200 and not self._unheard:
            self._context.emit(ResponseReceived(dialog=self._dialog, exchange=self.name, response=response))
            self._refreshed(response.status, response, now)
            self._finish(now)

    def ack_received(self, transaction: Transaction, request: Request, now: float) -> None:
        """Clients receive none."""

    def transaction_failed(self, transaction: Transaction, status: int, now: float) -> None:
        if not self._unheard:
            self._context.emit(ExchangeTimedOut(dialog=self._dialog, exchange=self.name))
            self._refreshed(408, None, now)
            self._finish(now)

    @property
    def _unheard(self) -> bool:
        """Whether the handle is forgotten already: nobody knows it any more."""
        return self._session is not None and self._session.gone

    def _refreshed(self, status: int, response: Response | None, now: float) -> None:
        if self._session is not None and self._session.timer is not None and self._session.timer.exchange == self.name:
            self._session.refreshed(status, response, now)

    def _finish(self, now: float) -> None:
        if self._session is not None and self._session.closing == self.name:
            self._session.end(now)


class Session:
    """A call leg; ``gone`` once its handle is forgotten."""

    __slots__ = (
        "_context",
        "awaiting",
        "client",
        "closing",
        "dialog",
        "gone",
        "heard",
        "initial",
        "kept",
        "late_bye",
        "offer",
        "said",
        "server",
        "settled",
        "terms",
        "timer",
        "unconfirmed",
        "update",
    )

    def __init__(self, context: Context, dialog: DialogState) -> None:
        self._context = context
        self.server: InviteServer | None = None
        self.awaiting: dict[int, InviteServer] = {}
        self.client: InviteClient | None = None
        self.update: tuple[Transaction, Reply] | None = None
        self.offer: Request | None = None
        """The re-INVITE or UPDATE that awaits the owner's answer."""
        self.heard: list[Key] = []
        """The peer's INVITEs and UPDATEs whose transactions may live."""
        self.said: list[Key] = []
        """Our requests whose transactions may live."""
        self.settled = (-1, 0.0)
        """Up to which CSeq the process before us may have answered, and until when such a request is a retransmission."""
        self.late_bye: str | None = None
        """The header fields of a BYE that waits for the ACK."""
        self.unconfirmed = -1
        """The CSeq of the INVITE that formed the dialog, once we accepted it."""
        self.dialog = dialog
        self.initial = False
        """Whether the INVITE that forms the dialog is not answered yet."""
        self.closing = ""
        """The exchange of our BYE."""
        self.gone = False
        self.terms: Terms | None = None
        """What our 2xx will agree to of the session's timer."""
        self.timer: SessionTimer | None = None
        self.kept = False
        """Whether the leg is kept in a store: then responses wait until what they confirm is there."""

    def end(self, now: float) -> None:
        """Forget the leg: nothing more is heard of it, and what was open in it ends without a word."""
        self.gone = True
        self.dialog.status = ENDED
        self._run(None)
        if self.server is not None:
            self.server.release()
            if self.server.pending:
                self.server.transaction.end()
        if self.update is not None:
            self.update[0].end()
        if self.client is not None:
            self.client.let_go(now)
        for server in self.awaiting.values():
            server.release()
        self.awaiting.clear()
        self.server = self.client = self.update = None
        self._context.sessions.remove(self)

    # --- the peer's requests

    def serve(self, server: InviteServer) -> None:
        """An INVITE that the owner will answer."""
        server.owner = self
        self.server = server
        self.note_heard(server.transaction)

    def note_heard(self, transaction: Transaction) -> None:
        """Remember a request of the peer whose answer may have to be given again; those whose transactions ended are forgotten."""
        alive = self._context.transactions.servers
        self.heard = [*(key for key in self.heard if key in alive), transaction.key]

    def note_said(self, key: Key) -> None:
        """Remember a request of ours; those whose transactions ended are forgotten."""
        alive = self._context.transactions.clients
        self.said = [*(key for key in self.said if key in alive), key]

    def receive(self, request: Request, reply: Reply, transaction: Transaction, now: float) -> None:
        """A request in the dialog, no ACK and no CANCEL."""
        if not accept_cseq(self.dialog, request):
            self._repeat(request, reply, transaction, now)
            return
        transaction.held = self.kept
        self._follow(transaction.flow)
        method = request.method
        if method == "BYE":
            self._end_by_peer(request, reply, transaction, now)
        elif self.closing:
            transaction.respond(481, reply.render(481), now)
        elif method == "INVITE":
            self._take_offer(request, reply, transaction, now)
        elif method == "UPDATE":
            self._take_update(request, reply, transaction, now)
        elif method == "PRACK":
            self._take_prack(request, reply, transaction, now)
        elif method == "INFO":
            self._take_info(request, reply, transaction, now)
        elif method == "OPTIONS":
            transaction.respond(200, reply.render(200, headers=[("Contact", self._contact()), *capabilities()]), now)
        else:
            transaction.respond(405, reply.render(405, headers=[("Allow", ALLOW)]), now)

    def _repeat(self, request: Request, reply: Reply, transaction: Transaction, now: float) -> None:
        """A number that was used before: out of order (§12.2.2), but for what the process before us answered."""
        number, until = self.settled
        harmless = request.method in ("INFO", "OPTIONS") or (request.method == "UPDATE" and not request.body)
        if harmless and request.cseq.number <= number and now < until:
            transaction.respond(200, reply.render(200, headers=[("Contact", self._contact())]), now)
            return
        pause = [("Retry-After", str(self._context.pause()))]
        transaction.respond(500, reply.render(500, reason="CSeq out of order", headers=pause), now)

    def _follow(self, flow: Flow) -> None:
        """The peer speaks on another connection: so do we from now on. Over UDP only a target refresh moves a dialog."""
        if flow.reliable and flow != self.dialog.flow and (self.dialog.direct or not self.dialog.flow.connection):
            self.move(flow)

    def move(self, flow: Flow) -> None:
        """The dialog goes on over another flow."""
        self._context.sessions.unwatch(self)
        self.dialog.flow = flow
        self._context.sessions.watch(self)

    def acknowledge(self, request: Request, flow: Flow, now: float) -> None:
        """An ACK in the dialog (§13.3.1.4)."""
        self._follow(flow)
        if server := self.awaiting.get(request.cseq.number):
            server.acknowledge(request, now)

    def _end_by_peer(self, request: Request, reply: Reply, transaction: Transaction, now: float) -> None:
        """BYE (§15.1.2): pending requests of the dialog are answered 487."""
        transaction.respond(200, reply.render(200), now)
        early = self.initial and self.server is not None and self.server.pending
        self._drop_offers(now)
        handle = self.dialog.handle
        self.end(now)
        self._context.transactions.outlive(transaction, handle)
        self._context.emit(InviteCancelled(dialog=handle) if early else DialogEnded(dialog=handle, request=request, cause="bye"))

    def _drop_offers(self, now: float) -> None:
        if self.server is not None and self.server.pending:
            self.server.refuse(487, (), None, now)
            self.server.release()
        if self.update is not None:
            transaction, reply = self.update
            transaction.respond(487, reply.render(487), now)
        self.server = self.update = None

    def _take_offer(self, request: Request, reply: Reply, transaction: Transaction, now: float) -> None:
        """A re-INVITE."""
        if self._refuse_glare(reply, transaction, now):
            return
        self._refresh(request, transaction)
        server = InviteServer(self._context, transaction, request.cseq.number, reply)
        self.serve(server)
        self.offer = request
        server.provisional(100, (), b"", now)
        self._context.emit(OfferReceived(dialog=self.dialog.handle, request=request, body=request.body))

    def _take_update(self, request: Request, reply: Reply, transaction: Transaction, now: float) -> None:
        """An UPDATE (RFC 3311); one without a body only refreshes the target and the session timer."""
        if request.body and self._refuse_glare(reply, transaction, now):
            return
        self._refresh(request, transaction)
        if request.body:
            self.update, self.offer = (transaction, reply), request
            self.note_heard(transaction)
            self._context.emit(OfferReceived(dialog=self.dialog.handle, request=request, body=request.body))
        else:
            transaction.respond(200, reply.render(200, headers=[("Contact", self._contact()), *self._agree(now)]), now)

    def _refresh(self, request: Request, transaction: Transaction) -> None:
        """A target refresh; a phone that speaks to us itself and changed its network is followed there."""
        self.terms = terms_of(request, self._context.timers.session)
        refresh_target(self.dialog, request)
        if self.dialog.direct and transaction.flow != self.dialog.flow:
            self.move(transaction.flow)

    def _refuse_glare(self, reply: Reply, transaction: Transaction, now: float) -> bool:
        """Whether an offer came while another is open; it is answered then."""
        if self.client is not None:
            transaction.respond(491, reply.render(491), now)
            return True
        if self.update is not None or (self.server is not None and self.server.pending):
            pause = [("Retry-After", str(self._context.pause()))]
            transaction.respond(500, reply.render(500, headers=pause, reason="Another offer is pending"), now)
            return True
        return False

    def _take_prack(self, request: Request, reply: Reply, transaction: Transaction, now: float) -> None:
        """PRACK (RFC 3262 section 3): 481 where no response awaits it."""
        number, cseq, method = acknowledged_by(request)
        reliable = self.server.reliable if self.server is not None and (self.server.cseq, "INVITE") == (cseq, method) else None
        known = reliable is not None and reliable.awaits(number)
        status = 200 if known else 481
        transaction.respond(status, reply.render(status), now)
        if known and reliable is not None:
            reliable.acknowledged(now)

    def _take_info(self, request: Request, reply: Reply, transaction: Transaction, now: float) -> None:
        transaction.respond(200, reply.render(200), now)
        if request.body:
            fact = InfoReceived(dialog=self.dialog.handle, content_type=request.content_type, body=request.body)
            self._context.emit(fact)

    def leave_flow(self) -> None:
        """The dialog's connection is gone: its next request opens another one to the peer."""
        self.move(detached(self.dialog))

    # --- our answers

    def provisional(self, status: int, headers: HeaderList, body: bytes, now: float) -> None:
        """A 1xx to the INVITE that forms the dialog."""
        server, headers = self._settable(), tuple(headers)
        content = [*self._contact_for(headers), *_typed(headers, body)] if status > 100 else list(headers)
        server.provisional(status, content, body, now)

    def trying(self, now: float) -> None:
        """A 100 to the INVITE that forms the dialog, if nothing was said to it yet."""
        server = self._settable()
        if not server.transaction.last:
            server.provisional(100, (), b"", now)

    def answer(self, body: bytes, headers: HeaderList, now: float) -> None:
        """The 200 to the INVITE that forms the dialog."""
        server = self._settable()
        self._accept(server, body, headers, now)
        self.initial = False
        self.unconfirmed = server.cseq
        self.dialog.status = CONFIRMED

    def reject(self, status: int, reason: str | None, headers: HeaderList, now: float, *, lasting: bool = True) -> None:
        """A final refusal of the INVITE that would have formed the dialog; the handle is forgotten, and the answer if it is not to last."""
        server = self._settable()
        server.refuse(status, headers, reason, now)
        if lasting:
            self._context.transactions.outlive(server.transaction, self.dialog.handle)
        else:
            server.transaction.end()
        self.end(now)

    def _settable(self) -> InviteServer:
        if self.server is None or not self.initial or not self.server.pending:
            raise BridgeError(f"dialog {self.dialog.handle} awaits no answer to an INVITE")
        return self.server

    def answer_offer(self, body: bytes, headers: HeaderList, now: float) -> None:
        """The 200 to a re-INVITE or UPDATE; without effect if the peer took it back meanwhile."""
        self.offer = None
        if self.update is not None:
            transaction, reply = self.update
            content = [("Contact", self._contact()), *self._agree(now), *_typed(headers, body)]
            transaction.respond(200, reply.render(200, headers=content, body=body), now)
            self.update = None
        elif self.server is not None and not self.initial and self.server.pending:
            self._accept(self.server, body, headers, now)

    def reject_offer(self, status: int, headers: HeaderList, now: float) -> None:
        """A final refusal of a re-INVITE or UPDATE: the session stays as it was (§14.2)."""
        self.offer = None
        if self.update is not None:
            transaction, reply = self.update
            transaction.respond(status, reply.render(status, headers=headers), now)
            self.update = None
        elif self.server is not None and not self.initial and self.server.pending:
            self.server.refuse(status, headers, None, now)
            self.server = None

    def _accept(self, server: InviteServer, body: bytes, headers: HeaderList, now: float) -> None:
        headers = tuple(headers)
        content = [*self._contact_for(headers), *capabilities(), *self._agree(now), *_typed(headers, body)]
        server.accept(content, body, now)
        self.awaiting[server.cseq] = server

    def _agree(self, now: float) -> list[tuple[str, str]]:
        """What our 2xx says of the session's timer, which starts anew with it, or ends."""
        terms, self.terms = self.terms, None
        self._run(None if terms is None else SessionTimer(self._context, self, terms, now))
        return [] if terms is None else agreed(terms)

    def _run(self, timer: SessionTimer | None) -> None:
        """From now on this timer counts."""
        if self.timer is not None:
            self.timer.stop()
        self.timer = timer

    def _contact_for(self, headers: HeaderList) -> list[tuple[str, str]]:
        """Our Contact, unless the owner wrote one among its own header fields."""
        return [] if any(name.lower() == "contact" for name, _ in headers) else [("Contact", self._contact())]

    def _contact(self) -> str:
        return angled(self.dialog.contact or contact_uri(self.dialog.flow, sips=self.dialog.sips))

    # --- ServerOwner

    def cancelled(self, server: InviteServer, now: float) -> None:
        if server is self.server:
            self.server = self.offer = None
            if self.initial and not self.gone:
                self._context.transactions.outlive(server.transaction, self.dialog.handle)
                self.end(now)
                self._context.emit(InviteCancelled(dialog=self.dialog.handle))

    def acknowledged(self, server: InviteServer, body: bytes, now: float) -> None:
        self._settle(server)
        if self.late_bye is not None:
            self._send_late_bye(now)
        else:
            self._context.emit(AckReceived(dialog=self.dialog.handle, body=body))

    def unacknowledged(self, server: InviteServer, now: float) -> None:
        self._settle(server)
        if self.late_bye is not None:
            self._send_late_bye(now)
        else:
            self._context.emit(AckTimedOut(dialog=self.dialog.handle))

    def _settle(self, server: InviteServer) -> None:
        self.awaiting.pop(server.cseq, None)
        if server is self.server:
            self.server = None

    # --- our requests

    def request(self, method: str, lines: str, body: bytes, now: float, *, exchange: str = "") -> str:
        """Send a request other than INVITE; ``lines`` are rendered header fields. Returns the name of the exchange."""
        name = exchange or self._context.token()
        flow = next_hop(self.dialog)
        outgoing = request_in(self.dialog, method, branch=self._context.branch(), agent=self._context.agent, flow=flow)
        data = outgoing.render(lines, body)
        transaction = self._context.transactions.open_client(outgoing, data, flow, Exchange(self._context, name, self), now)
        self.note_said(transaction.key)
        return name

    def refresh(self, now: float) -> str:
        """Tell the peer that we are there, by an UPDATE without an offer (RFC 4028 section 7.1)."""
        lines = header_lines([("Contact", self._contact()), *(self.timer.headers() if self.timer else ())])
        return self.request("UPDATE", lines, b"", now)

    def refreshed(self, status: int, response: Response | None, now: float) -> None:
        """The outcome of a refresh of ours."""
        if self.timer is None:
            return
        if status in GONE:
            self._lose_session()
        elif response is not None and status < 300:
            self._run(self.timer.refreshed(response, now))

    def _lose_session(self) -> None:
        timer, self.timer = self.timer, None
        if timer is not None:
            timer.give_up()

    def bye(self, headers: HeaderList, now: float) -> str:
        """End the dialog. Before the ACK to our 2xx the BYE waits for it, or for the end of the wait (§15); twice is once.

        A leg that is still being set up is refused (480) or cancelled instead; there is no exchange then, and "" is returned.
        """
        if self.closing:
            return self.closing
        if self.initial and self.client is not None:
            self.client.cancel(now)
            return ""
        if self.initial and self.server is not None and self.server.pending:
            self.reject(480, None, headers, now)
            return ""
        lines = header_lines(headers)
        self._drop_offers(now)
        self._run(None)
        self.closing = self._context.token()
        if self.unconfirmed in self.awaiting:
            self.late_bye = lines
        else:
            self._send_bye(lines, now)
        return self.closing

    def _send_late_bye(self, now: float) -> None:
        if self.late_bye is not None:
            lines, self.late_bye = self.late_bye, None
            self._send_bye(lines, now)

    def _send_bye(self, lines: str, now: float) -> None:
        for server in self.awaiting.values():
            server.release()
        self.awaiting.clear()
        self.dialog.status = ENDED
        self.request("BYE", lines, b"", now, exchange=self.closing)

    def invite(self, body: bytes, headers: HeaderList, now: float) -> None:
        """The INVITE that is to form the dialog."""
        self.initial = True
        self._invite(body, headers, now, exchange="", initial=True)

    def reinvite(self, body: bytes, headers: HeaderList, now: float) -> str:
        """Offer another session; "" and nothing sent while another offer is open, or before and after the dialog (§14.1)."""
        busy = self.client is not None or self.update is not None or self.server is not None
        if busy or self.closing or self.dialog.status != CONFIRMED:
            return ""
        name = self._context.token()
        self._invite(body, headers, now, exchange=name, initial=False)
        return name

    def _invite(self, body: bytes, headers: HeaderList, now: float, *, exchange: str, initial: bool) -> None:
        flow = self.dialog.flow if initial else next_hop(self.dialog)
        outgoing = request_in(self.dialog, "INVITE", branch=self._context.branch(), agent=self._context.agent, flow=flow)
        content = [("Contact", self._contact()), *capabilities(), *(self.timer.headers() if self.timer else ()), *_typed(headers, body)]
        self.client = InviteClient(self._context, self, outgoing, exchange=exchange, initial=initial)
        self.client.start(outgoing.render(header_lines(content), body), flow, now)
        self.note_said((outgoing.branch, "INVITE"))

    def cancel(self, now: float) -> None:
        """Give up the INVITE that was to form the dialog; ``CallFailed`` follows."""
        if self.client is not None and self.initial:
            self.client.cancel(now)

    # --- ClientOwner

    def progressed(self, client: InviteClient, response: Response, now: float) -> None:
        if client.initial and not self.gone:
            if response.to.tag:
                self._rekey(dialog_of_response(self.dialog, response))
            self._context.emit(CallProgress(dialog=self.dialog.handle, response=response))

    def _rekey(self, dialog: DialogState) -> None:
        """The dialog has got its remote tag, or another one (a fork)."""
        self._context.sessions.remove(self)
        self.dialog = dialog
        self._context.sessions.add(self)

    def accepted(self, client: InviteClient, dialog: DialogState, response: Response, now: float) -> None:
        if self.gone:
            return
        self.client = None
        if client.initial:
            self.initial = False
            self._rekey(dialog)
            self._context.emit(CallAnswered(dialog=dialog.handle, response=response))
        else:
            self.refreshed(response.status, response, now)
            self._context.emit(ResponseReceived(dialog=dialog.handle, exchange=client.exchange, response=response))

    def refused(self, client: InviteClient, status: int, response: Response | None, now: float) -> None:
        if self.gone:
            return
        self.client = None
        handle = self.dialog.handle
        if client.initial:
            self.end(now)
            self._context.emit(CallFailed(dialog=handle, status=status, response=response))
            return
        if response is not None:
            self._context.emit(ResponseReceived(dialog=handle, exchange=client.exchange, response=response))
        else:
            self._context.emit(ExchangeTimedOut(dialog=handle, exchange=client.exchange))
        self.refreshed(status, response, now)


def _typed(headers: HeaderList, body: bytes) -> list[tuple[str, str]]:
    """The header fields of a message that may carry a session description."""
    return [*headers, ("Content-Type", SDP)] if body else list(headers)
