"""One call leg as SIP sees it: a dialog, the INVITE that sets it up or changes it, and every request within it, both ways.

Incoming requests (RFC 3261 §12.2.2) are taken in order of CSeq and answered here, but for an offer (re-INVITE, or UPDATE with a body),
which the owner answers. Only one offer is open at a time: a second one is refused with 500 and Retry-After while we owe an answer, with
491 while we await one (§14.2, RFC 3311 §5.2).

Our own requests are ``Exchange``s, each with one outcome: a final response, or none. What a refusal means (retry, hang up, ask for
credentials) is the owner's to judge; nothing here ends a dialog but BYE from either side.
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
from waitline.bridge.sip.invite import InviteClient, InviteServer
from waitline.bridge.sip.message import Request, Response
from waitline.bridge.sip.outgoing import HeaderList, angled, contact_uri, header_lines
from waitline.bridge.sip.policy import ALLOW, capabilities
from waitline.bridge.sip.reply import Reply
from waitline.bridge.sip.transaction import Transaction
from waitline.errors import BridgeError


class Exchange:
    """One request of ours in a dialog, or outside (``session`` None): its owner hears of one outcome."""

    __slots__ = ("_context", "_name", "_session")

    def __init__(self, context: Context, name: str, session: Session | None) -> None:
        self._context = context
        self._name = name
        self._session = session

    @property
    def _dialog(self) -> str:
        return self._session.dialog.handle if self._session is not None else ""

    def response_received(self, transaction: Transaction, response: Response, now: float) -> None:
        if response.status >= 200 and not self._unheard:
            self._context.emit(ResponseReceived(dialog=self._dialog, exchange=self._name, response=response))
            self._finish(now)

    def ack_received(self, transaction: Transaction, request: Request, now: float) -> None:
        """Clients receive none."""

    def transaction_failed(self, transaction: Transaction, status: int, now: float) -> None:
        if not self._unheard:
            self._context.emit(ExchangeTimedOut(dialog=self._dialog, exchange=self._name))
            self._finish(now)

    @property
    def _unheard(self) -> bool:
        """Whether the handle is forgotten already: nobody knows it any more."""
        return self._session is not None and self._session.gone

    def _finish(self, now: float) -> None:
        if self._session is not None and self._session.closing == self._name:
            self._session.end(now)


class Session:
    """A call leg; ``gone`` once its handle is forgotten."""

    __slots__ = (
        "_awaiting",
        "_client",
        "_context",
        "_late_bye",
        "_server",
        "_unconfirmed",
        "_update",
        "closing",
        "dialog",
        "gone",
        "initial",
    )

    def __init__(self, context: Context, dialog: DialogState) -> None:
        self._context = context
        self._server: InviteServer | None = None
        self._awaiting: dict[int, InviteServer] = {}
        self._client: InviteClient | None = None
        self._update: tuple[Transaction, Reply] | None = None
        self._late_bye: str | None = None
        """The header fields of a BYE that waits for the ACK."""
        self._unconfirmed = -1
        """The CSeq of the INVITE that formed the dialog, once we accepted it."""
        self.dialog = dialog
        self.initial = False
        """Whether the INVITE that forms the dialog is not answered yet."""
        self.closing = ""
        """The exchange of our BYE."""
        self.gone = False

    def end(self, now: float) -> None:
        """Forget the leg: nothing more is heard of it, and what was open in it ends without a word."""
        self.gone = True
        self.dialog.status = ENDED
        if self._server is not None:
            self._server.release()
            if self._server.pending:
                self._server.transaction.end()
        if self._update is not None:
            self._update[0].end()
        if self._client is not None:
            self._client.let_go(now)
        for server in self._awaiting.values():
            server.release()
        self._awaiting.clear()
        self._server = self._client = self._update = None
        self._context.sessions.remove(self)

    # --- the peer's requests

    def serve(self, server: InviteServer) -> None:
        """An INVITE that the owner will answer."""
        server.owner = self
        self._server = server

    def receive(self, request: Request, reply: Reply, transaction: Transaction, now: float) -> None:
        """A request in the dialog, no ACK and no CANCEL."""
        if not accept_cseq(self.dialog, request):
            transaction.respond(
                500, reply.render(500, reason="CSeq out of order", headers=[("Retry-After", str(self._context.pause()))]), now
            )
            return
        method = request.method
        if method == "BYE":
            self._end_by_peer(request, reply, transaction, now)
        elif self.closing:
            transaction.respond(481, reply.render(481), now)
        elif method == "INVITE":
            self._take_offer(request, reply, transaction, now)
        elif method == "UPDATE":
            self._take_update(request, reply, transaction, now)
        elif method == "INFO":
            self._take_info(request, reply, transaction, now)
        elif method == "OPTIONS":
            transaction.respond(200, reply.render(200, headers=[("Contact", self._contact()), *capabilities()]), now)
        else:
            transaction.respond(405, reply.render(405, headers=[("Allow", ALLOW)]), now)

    def acknowledge(self, request: Request, now: float) -> None:
        """An ACK in the dialog (§13.3.1.4)."""
        if server := self._awaiting.get(request.cseq.number):
            server.acknowledge(request, now)

    def _end_by_peer(self, request: Request, reply: Reply, transaction: Transaction, now: float) -> None:
        """BYE (§15.1.2): pending requests of the dialog are answered 487."""
        transaction.respond(200, reply.render(200), now)
        early = self.initial and self._server is not None and self._server.pending
        self._drop_offers(now)
        handle = self.dialog.handle
        self.end(now)
        self._context.emit(InviteCancelled(dialog=handle) if early else DialogEnded(dialog=handle, request=request, cause="bye"))

    def _drop_offers(self, now: float) -> None:
        if self._server is not None and self._server.pending:
            self._server.refuse(487, (), None, now)
            self._server.release()
        if self._update is not None:
            transaction, reply = self._update
            transaction.respond(487, reply.render(487), now)
        self._server = self._update = None

    def _take_offer(self, request: Request, reply: Reply, transaction: Transaction, now: float) -> None:
        """A re-INVITE."""
        if self._refuse_glare(reply, transaction, now):
            return
        self._refresh(request, transaction)
        server = InviteServer(self._context, transaction, request.cseq.number, reply)
        self.serve(server)
        server.provisional(100, (), b"", now)
        self._context.emit(OfferReceived(dialog=self.dialog.handle, request=request, body=request.body))

    def _take_update(self, request: Request, reply: Reply, transaction: Transaction, now: float) -> None:
        """An UPDATE (RFC 3311); one without a body only refreshes the target and the session timer."""
        if request.body and self._refuse_glare(reply, transaction, now):
            return
        self._refresh(request, transaction)
        if request.body:
            self._update = (transaction, reply)
            self._context.emit(OfferReceived(dialog=self.dialog.handle, request=request, body=request.body))
        else:
            transaction.respond(200, reply.render(200, headers=[("Contact", self._contact())]), now)

    def _refresh(self, request: Request, transaction: Transaction) -> None:
        """A target refresh; a phone that speaks to us itself and changed its network is followed there."""
        refresh_target(self.dialog, request)
        if self.dialog.direct and transaction.flow != self.dialog.flow:
            self._context.sessions.unwatch(self)
            self.dialog.flow = transaction.flow
            self._context.sessions.watch(self)

    def _refuse_glare(self, reply: Reply, transaction: Transaction, now: float) -> bool:
        """Whether an offer came while another is open; it is answered then."""
        if self._client is not None:
            transaction.respond(491, reply.render(491), now)
            return True
        if self._update is not None or (self._server is not None and self._server.pending):
            pause = [("Retry-After", str(self._context.pause()))]
            transaction.respond(500, reply.render(500, headers=pause, reason="Another offer is pending"), now)
            return True
        return False

    def _take_info(self, request: Request, reply: Reply, transaction: Transaction, now: float) -> None:
        transaction.respond(200, reply.render(200), now)
        if request.body:
            fact = InfoReceived(dialog=self.dialog.handle, content_type=request.content_type, body=request.body)
            self._context.emit(fact)

    def leave_flow(self) -> None:
        """The dialog's connection is gone: its next request opens another one to the peer."""
        self._context.sessions.unwatch(self)
        self.dialog.flow = detached(self.dialog)

    # --- our answers

    def provisional(self, status: int, headers: HeaderList, body: bytes, now: float) -> None:
        """A 1xx to the INVITE that forms the dialog."""
        server, headers = self._settable(), tuple(headers)
        content = [*self._contact_for(headers), *_typed(headers, body)] if status > 100 else list(headers)
        server.provisional(status, content, body, now)

    def answer(self, body: bytes, headers: HeaderList, now: float) -> None:
        """The 200 to the INVITE that forms the dialog."""
        server = self._settable()
        self._accept(server, body, headers, now)
        self.initial = False
        self._unconfirmed = server.cseq
        self.dialog.status = CONFIRMED

    def reject(self, status: int, reason: str | None, headers: HeaderList, now: float) -> None:
        """A final refusal of the INVITE that would have formed the dialog; the handle is forgotten."""
        self._settable().refuse(status, headers, reason, now)
        self.end(now)

    def _settable(self) -> InviteServer:
        if self._server is None or not self.initial or not self._server.pending:
            raise BridgeError(f"dialog {self.dialog.handle} awaits no answer to an INVITE")
        return self._server

    def answer_offer(self, body: bytes, headers: HeaderList, now: float) -> None:
        """The 200 to a re-INVITE or UPDATE; without effect if the peer took it back meanwhile."""
        if self._update is not None:
            transaction, reply = self._update
            transaction.respond(200, reply.render(200, headers=[("Contact", self._contact()), *_typed(headers, body)], body=body), now)
            self._update = None
        elif self._server is not None and not self.initial and self._server.pending:
            self._accept(self._server, body, headers, now)

    def reject_offer(self, status: int, headers: HeaderList, now: float) -> None:
        """A final refusal of a re-INVITE or UPDATE: the session stays as it was (§14.2)."""
        if self._update is not None:
            transaction, reply = self._update
            transaction.respond(status, reply.render(status, headers=headers), now)
            self._update = None
        elif self._server is not None and not self.initial and self._server.pending:
            self._server.refuse(status, headers, None, now)
            self._server = None

    def _accept(self, server: InviteServer, body: bytes, headers: HeaderList, now: float) -> None:
        headers = tuple(headers)
        content = [*self._contact_for(headers), *capabilities(), *_typed(headers, body)]
        server.accept(content, body, now)
        self._awaiting[server.cseq] = server

    def _contact_for(self, headers: HeaderList) -> list[tuple[str, str]]:
        """Our Contact, unless the owner wrote one among its own header fields."""
        return [] if any(name.lower() == "contact" for name, _ in headers) else [("Contact", self._contact())]

    def _contact(self) -> str:
        return angled(self.dialog.contact or contact_uri(self.dialog.flow))

    # --- ServerOwner

    def cancelled(self, server: InviteServer, now: float) -> None:
        if server is self._server:
            self._server = None
            if self.initial and not self.gone:
                self.end(now)
                self._context.emit(InviteCancelled(dialog=self.dialog.handle))

    def acknowledged(self, server: InviteServer, body: bytes, now: float) -> None:
        self._settle(server)
        if self._late_bye is not None:
            self._send_late_bye(now)
        else:
            self._context.emit(AckReceived(dialog=self.dialog.handle, body=body))

    def unacknowledged(self, server: InviteServer, now: float) -> None:
        self._settle(server)
        if self._late_bye is not None:
            self._send_late_bye(now)
        else:
            self._context.emit(AckTimedOut(dialog=self.dialog.handle))

    def _settle(self, server: InviteServer) -> None:
        self._awaiting.pop(server.cseq, None)
        if server is self._server:
            self._server = None

    # --- our requests

    def request(self, method: str, lines: str, body: bytes, now: float, *, exchange: str = "") -> str:
        """Send a request other than INVITE; ``lines`` are rendered header fields. Returns the name of the exchange."""
        name = exchange or self._context.token()
        flow = next_hop(self.dialog)
        outgoing = request_in(self.dialog, method, branch=self._context.branch(), agent=self._context.agent, flow=flow)
        data = outgoing.render(lines, body)
        self._context.transactions.open_client(outgoing, data, flow, Exchange(self._context, name, self), now)
        return name

    def bye(self, headers: HeaderList, now: float) -> str:
        """End the dialog. Before the ACK to our 2xx the BYE waits for it, or for the end of the wait (§15); twice is once.

        A leg that is still being set up is refused (480) or cancelled instead; there is no exchange then, and "" is returned.
        """
        if self.closing:
            return self.closing
        if self.initial and self._client is not None:
            self._client.cancel(now)
            return ""
        if self.initial and self._server is not None and self._server.pending:
            self.reject(480, None, headers, now)
            return ""
        lines = header_lines(headers)
        self._drop_offers(now)
        self.closing = self._context.token()
        if self._unconfirmed in self._awaiting:
            self._late_bye = lines
        else:
            self._send_bye(lines, now)
        return self.closing

    def _send_late_bye(self, now: float) -> None:
        if self._late_bye is not None:
            lines, self._late_bye = self._late_bye, None
            self._send_bye(lines, now)

    def _send_bye(self, lines: str, now: float) -> None:
        for server in self._awaiting.values():
            server.release()
        self._awaiting.clear()
        self.dialog.status = ENDED
        self.request("BYE", lines, b"", now, exchange=self.closing)

    def invite(self, body: bytes, headers: HeaderList, now: float) -> None:
        """The INVITE that is to form the dialog."""
        self.initial = True
        self._invite(body, headers, now, exchange="", initial=True)

    def reinvite(self, body: bytes, headers: HeaderList, now: float) -> str:
        """Offer another session; "" and nothing sent while another offer is open, or before and after the dialog (§14.1)."""
        busy = self._client is not None or self._update is not None or self._server is not None
        if busy or self.closing or self.dialog.status != CONFIRMED:
            return ""
        name = self._context.token()
        self._invite(body, headers, now, exchange=name, initial=False)
        return name

    def _invite(self, body: bytes, headers: HeaderList, now: float, *, exchange: str, initial: bool) -> None:
        flow = self.dialog.flow if initial else next_hop(self.dialog)
        outgoing = request_in(self.dialog, "INVITE", branch=self._context.branch(), agent=self._context.agent, flow=flow)
        content = [("Contact", self._contact()), *capabilities(), *_typed(headers, body)]
        self._client = InviteClient(self._context, self, outgoing, exchange=exchange, initial=initial)
        self._client.start(outgoing.render(header_lines(content), body), flow, now)

    def cancel(self, now: float) -> None:
        """Give up the INVITE that was to form the dialog; ``CallFailed`` follows."""
        if self._client is not None and self.initial:
            self._client.cancel(now)

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
        self._client = None
        if client.initial:
            self.initial = False
            self._rekey(dialog)
            self._context.emit(CallAnswered(dialog=dialog.handle, response=response))
        else:
            self._context.emit(ResponseReceived(dialog=dialog.handle, exchange=client.exchange, response=response))

    def refused(self, client: InviteClient, status: int, response: Response | None, now: float) -> None:
        if self.gone:
            return
        self._client = None
        handle = self.dialog.handle
        if client.initial:
            self.end(now)
            self._context.emit(CallFailed(dialog=handle, status=status, response=response))
        elif response is not None:
            self._context.emit(ResponseReceived(dialog=handle, exchange=client.exchange, response=response))
        else:
            self._context.emit(ExchangeTimedOut(dialog=handle, exchange=client.exchange))


def _typed(headers: HeaderList, body: bytes) -> list[tuple[str, str]]:
    """The header fields of a message that may carry a session description."""
    return [*headers, ("Content-Type", SDP)] if body else list(headers)
