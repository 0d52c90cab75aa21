"""The user agent: all of SIP between datagrams and calls, without I/O.

The shell feeds ``receive`` with what arrives and ``expire`` with the time, arms one timer for ``next_timer``, and after each of these
and after each command drains ``effects`` (octets to send) and ``events`` (facts for the layer above). ``now`` is always seconds of one
monotonic clock.

Where the owner keeps a leg in a store (``snapshot``), what it must not unsay is given by ``held`` instead of ``effects``: its responses,
to be sent once all that happened up to now is durable. A user agent in another process goes on by ``restore`` (see ``snapshot``).

A message climbs as in RFC 3261 §8.2, §12.2.2 and §17.2.3: a transaction absorbs it, or a dialog takes it, or it is judged by ``policy``,
and only then does the layer above hear of it. By itself the user agent answers OPTIONS, CANCEL, INFO, BYE, everything refused, and
100 (Trying).

Commands name a call leg by its ``dialog`` handle. A command for a handle that is gone does nothing (and returns "" where it would return an
exchange): the event that says so was emitted before, and the peer's BYE may cross any command. What the owner gets wrong by itself, such as
a second answer, raises BridgeError.
"""

from __future__ import annotations

import random as random_module
from collections.abc import Container
from dataclasses import replace
from typing import Any

from waitline.bridge.sip import snapshot
from waitline.bridge.sip.bodies import unwrap
from waitline.bridge.sip.context import Context, Silent
from waitline.bridge.sip.dialog import DialogState, dialog_of_invite
from waitline.bridge.sip.events import Event, InviteReceived, RegisterReceived, RequestReceived, Send
from waitline.bridge.sip.flow import Flow
from waitline.bridge.sip.invite import InviteServer
from waitline.bridge.sip.message import MalformedRequest, Request, Response, parse
from waitline.bridge.sip.outgoing import HeaderList, Outgoing, angled, header_lines, sent_by
from waitline.bridge.sip.policy import DIALOG_METHODS, capabilities, refusal
from waitline.bridge.sip.reliable import Reliable, is_required
from waitline.bridge.sip.reply import Reply, tag_in
from waitline.bridge.sip.session import Exchange, Session
from waitline.bridge.sip.session_timer import terms_of
from waitline.bridge.sip.timers import Timer, Timers
from waitline.bridge.sip.transaction import Input, Transaction, response_input, server_key
from waitline.bridge.sip.validate import validate_request, validate_response
from waitline.errors import BridgeError, SipError


class UserAgent:
    """One user agent core with its transactions, dialogs and timers."""

    def __init__(
        self,
        *,
        random: random_module.Random,
        timers: Timers | None = None,
        server_name: str = "Waitline",
        auto_trying: bool = True,
        further_methods: frozenset[str] = frozenset(),
    ) -> None:
        """``random`` makes tags and branches: ``SystemRandom`` in service, a seeded one in tests.

        ``auto_trying``: send 100 at once; else the owner does, by ``provisional(dialog, 100, now)``, when it has made the INVITE durable.
        ``further_methods``: methods outside dialogs that the owner answers (``RequestReceived``) instead of our 405.
        """
        self._context = Context(random=random, timers=timers or Timers(), agent=server_name)
        self._auto_trying = auto_trying
        self._further_methods = further_methods
        self._waiting: dict[str, tuple[Transaction, Reply, Timer]] = {}
        self._silent = Silent()
        self._grace_until = float("-inf")
        self.dropped = 0
        """Messages that nobody could be told about: unreadable, stray responses, stray ACKs."""

    # --- the five verbs of the shell

    def receive(self, data: bytes, flow: Flow, now: float) -> None:
        """Take one datagram, or one message cut out of a stream. Never raises, whatever the octets are."""
        try:
            message = parse(data)
            if isinstance(message, Request):
                self._take_request(message, flow, now)
            elif message is not None:
                self._take_response(message, now)
        except MalformedRequest as error:
            self._refuse_malformed(error, flow)
        except SipError:
            self.dropped += 1

    def next_timer(self) -> float | None:
        """When ``expire`` must be called next, None if no timer runs."""
        return self._context.queue.next_at()

    def expire(self, now: float) -> None:
        """Fire the timers that are due."""
        self._context.queue.expire(now)

    def effects(self) -> list[Send]:
        """What is to be sent, in order; each call gives what came since the last."""
        sends, self._context.sends = self._context.sends, []
        return sends

    def held(self) -> list[Send]:
        """What is to be sent, in order, once everything that happened before is durable."""
        sends, self._context.held = self._context.held, []
        return sends

    def events(self) -> list[Event]:
        """What happened, in order; each call gives what came since the last."""
        facts, self._context.facts = self._context.facts, []
        return facts

    def flow_failed(self, flow: Flow, now: float) -> None:
        """A connection closed, or could not be opened. Requests of ours on it fail, dialogs look for another way; no call ends by it."""
        for session in self._context.sessions.on(flow):
            session.leave_flow()
        self._context.transactions.flow_failed(flow, now)

    # --- what arrives

    def _take_response(self, response: Response, now: float) -> None:
        cseq = response.cseq
        transaction = self._context.transactions.clients.get((response.via.branch, cseq.method))
        if transaction is None or cseq.method == "INVITE":  # of any other one only the status counts
            validate_response(response)
        if transaction is None or not transaction.feed(response_input(response.status), now, response):
            self.dropped += 1

    def _take_request(self, request: Request, flow: Flow, now: float) -> None:
        transactions = self._context.transactions
        try:
            key = server_key(request, request.via)
        except SipError:
            validate_request(request)  # says the same, and whom to tell
            raise
        if known := transactions.servers.get(key):
            if flow.reliable and flow != known.flow:  # a peer that lost its connection asks again on another
                transactions.move(known, flow)
            known.feed(Input.ACK if request.method == "ACK" else Input.REQUEST, now, request)
            return
        session = self._context.sessions.find(request.headers.get("Call-ID") or "", tag_in(request, "To"), tag_in(request, "From"))
        if session is None or request.method in ("INVITE", "UPDATE", "CANCEL"):
            validate_request(request)
        elif request.cseq.method != request.method:  # what finds its dialog and changes none of its addresses needs no closer look
            raise MalformedRequest("CSeq is of another method", salvage=request)
        if request.method == "ACK":
            unwrap(request)
            self._take_ack(session, request, flow, now)
            return
        transaction = transactions.open_server(key, request.method, flow, self._silent)
        transaction.reply_port = request.via.port or (5061 if flow.secure else 5060)
        reply = Reply(request, flow, new_tag=self._context.token, agent=self._context.agent)
        try:
            unwrap(request)
            if session is not None and request.method != "CANCEL":
                self._take_in_dialog(session, request, reply, transaction, now)
            else:
                self._dispatch(request, reply, transaction, flow, now)
        except SipError as error:  # a header that only a closer look finds unreadable
            transaction.respond(error.status, reply.render(error.status), now)

    def _refuse_malformed(self, error: MalformedRequest, flow: Flow) -> None:
        """Say what is wrong, without a transaction: the same request gets the same answer again."""
        request = error.salvage
        if request is None or request.method == "ACK":  # an ACK is never answered (§17)
            self.dropped += 1
            return
        try:
            request.stamp_source(*flow.remote)
            response = Response.make(request, error.status, to_tag=self._context.token())
        except (SipError, ValueError):  # nothing of it can be echoed
            self.dropped += 1
            return
        self._context.send(flow, bytes(response))

    def _take_ack(self, session: Session | None, request: Request, flow: Flow, now: float) -> None:
        """An ACK that no transaction claims: the one to a 2xx, a request of its own (§13.2.2.4)."""
        if session is None:
            self.dropped += 1
        else:
            session.acknowledge(request, flow, now)

    def _dispatch(self, request: Request, reply: Reply, transaction: Transaction, flow: Flow, now: float) -> None:
        """A new request that belongs to no dialog of ours."""
        if request.method == "CANCEL":
            self._cancel(request, reply, transaction, now)
        elif request.to.tag is not None and request.method != "REGISTER":
            status = 200 if request.method == "BYE" and now < self._grace_until else 481
            transaction.respond(status, reply.render(status), now)
        elif self._merged(request, transaction):
            transaction.respond(482, reply.render(482), now)
        elif objection := refusal(request, self._further_methods, secure=flow.secure):
            transaction.respond(objection.status, reply.render(objection.status, headers=objection.headers), now)
        else:
            self._take_outside(request, reply, transaction, flow, now)

    def _take_in_dialog(self, session: Session, request: Request, reply: Reply, transaction: Transaction, now: float) -> None:
        if objection := refusal(request, self._further_methods, secure=transaction.flow.secure):
            transaction.respond(objection.status, reply.render(objection.status, headers=objection.headers), now)
        else:
            session.receive(request, reply, transaction, now)

    def _merged(self, request: Request, transaction: Transaction) -> bool:
        """Whether the same request is being served already on another path (§8.2.2.2); if not, remember this one."""
        merges = self._context.transactions.merges
        key = (request.call_id, request.cseq.number, request.method, request.from_.tag)
        if key in merges:
            return True
        merges[key] = transaction.key
        transaction.merge_key = key
        return False

    def _cancel(self, request: Request, reply: Reply, transaction: Transaction, now: float) -> None:
        """CANCEL (§9.2): 200 if there is an INVITE to be cancelled, whether or not it is too late for that; else 481."""
        invite = self._context.transactions.servers.get(server_key(request, request.via, "INVITE"))
        if invite is None:
            transaction.respond(481, reply.render(481), now)
            return
        if transaction.flow.reliable:  # the caller may have come back on another connection
            self._context.transactions.move(invite, transaction.flow)
        transaction.held = invite.held
        transaction.respond(200, reply.render(200), now)
        if isinstance(invite.user, InviteServer):
            invite.user.cancel(now)

    def _take_outside(self, request: Request, reply: Reply, transaction: Transaction, flow: Flow, now: float) -> None:
        """A request outside dialogs that nothing speaks against."""
        if request.method == "INVITE":
            self._take_invite(request, reply, transaction, flow, now)
        elif request.method == "OPTIONS":
            transaction.respond(200, reply.render(200, headers=capabilities()), now)
        elif request.method in DIALOG_METHODS:
            transaction.respond(481, reply.render(481), now)
        else:
            name = self._await_answer(transaction, reply, now)
            fact = RegisterReceived if request.method == "REGISTER" else RequestReceived
            self._context.emit(fact(transaction=name, request=request, flow=flow))

    def _take_invite(self, request: Request, reply: Reply, transaction: Transaction, flow: Flow, now: float) -> None:
        dialog = dialog_of_invite(request, flow, local_tag=reply.to_tag)
        session = Session(self._context, dialog)
        session.initial = True
        session.terms = terms_of(request, self._context.timers.session)
        server = InviteServer(self._context, transaction, request.cseq.number, reply)
        if is_required(request):
            server.reliable = Reliable(self._context, server)
        session.serve(server)
        self._context.sessions.add(session)
        if self._auto_trying:
            server.provisional(100, (), b"", now)
        self._context.emit(InviteReceived(dialog=dialog.handle, request=request, flow=flow))

    def _await_answer(self, transaction: Transaction, reply: Reply, now: float) -> str:
        """Keep a request for ``respond``, no longer than its client waits (timer F)."""
        name = self._context.token()

        def forget(_now: float) -> None:
            if self._waiting.pop(name, None) is not None:
                transaction.end()

        timer = self._context.queue.arm(now + self._context.timers.transaction, forget)
        self._waiting[name] = (transaction, reply, timer)
        return name

    # --- calls that came to us

    def provisional(self, dialog: str, status: int, now: float, *, body: bytes = b"", headers: HeaderList = ()) -> None:
        """Send a 1xx to the INVITE."""
        if session := self._context.sessions.get(dialog):
            session.provisional(status, headers, body, now)

    def trying(self, dialog: str, now: float) -> None:
        """Send 100 to the INVITE, unless it has been told something already."""
        if session := self._context.sessions.get(dialog):
            session.trying(now)

    def answer(self, dialog: str, body: bytes, now: float, *, contact: str = "", headers: HeaderList = ()) -> None:
        """Accept the INVITE with 200 and our session description. ``contact`` replaces the default one, the flow's local address."""
        if session := self._context.sessions.get(dialog):
            session.dialog.contact = contact or session.dialog.contact
            session.answer(body, headers, now)

    def reject(
        self, dialog: str, status: int, now: float, *, reason: str | None = None, headers: HeaderList = (), lasting: bool = True
    ) -> None:
        """Refuse the INVITE with a final 300–699; the handle is forgotten.

        Not ``lasting``: said once and forgotten, as a stateless server does (RFC 3261 §8.2.7): a stranger costs nothing afterwards.
        """
        if session := self._context.sessions.get(dialog):
            session.reject(status, reason, headers, now, lasting=lasting)

    # --- calls we make

    def invite(
        self,
        target_uri: str,
        flow: Flow,
        now: float,
        *,
        from_: str,
        to: str,
        body: bytes,
        contact: str = "",
        headers: HeaderList = (),
        call_id: str = "",
        cseq: int = 0,
    ) -> str:
        """Call ``target_uri`` over ``flow``; ``from_`` and ``to`` are addresses without tags. Returns the handle.

        After a 401 or 407 the owner calls again, with credentials among ``headers``, and ``call_id`` and ``cseq`` of the attempt before.
        """
        local_tag = self._context.token()
        state = DialogState(
            handle=local_tag,
            call_id=call_id or self._context.token(),
            local_tag=local_tag,
            remote_tag="",
            local_uri=angled(from_),
            remote_uri=angled(to),
            local_cseq=cseq,
            remote_target=target_uri,
            contact=contact,
            flow=flow,
        )
        session = Session(self._context, state)
        self._context.sessions.add(session)
        session.invite(body, headers, now)
        return state.handle

    def cancel(self, dialog: str, now: float) -> None:
        """Give up an INVITE of ours; ``CallFailed`` with 487 follows (or what the peer said before it knew)."""
        if session := self._context.sessions.get(dialog):
            session.cancel(now)

    # --- within a dialog

    def answer_offer(self, dialog: str, body: bytes, now: float, *, headers: HeaderList = ()) -> None:
        """Accept the re-INVITE or UPDATE of the last ``OfferReceived``."""
        if session := self._context.sessions.get(dialog):
            session.answer_offer(body, headers, now)

    def reject_offer(self, dialog: str, status: int, now: float, *, headers: HeaderList = ()) -> None:
        """Refuse it; the session stays as it was."""
        if session := self._context.sessions.get(dialog):
            session.reject_offer(status, headers, now)

    def bye(self, dialog: str, now: float, *, headers: HeaderList = ()) -> str:
        """End the leg in whatever state it is. Returns the exchange of the BYE, "" if none is needed; see ``Session.bye``."""
        session = self._context.sessions.get(dialog)
        return session.bye(headers, now) if session is not None else ""

    def reinvite(self, dialog: str, body: bytes, now: float, *, contact: str = "", headers: HeaderList = ()) -> str:
        """Offer a changed session; "" if another offer is open or there is no established dialog."""
        session = self._context.sessions.get(dialog)
        if session is None:
            return ""
        session.dialog.contact = contact or session.dialog.contact
        return session.reinvite(body, headers, now)

    def probe(self, dialog: str, now: float) -> str:
        """Ask the peer by OPTIONS whether the dialog still lives: 481, 408 and no answer mean that it does not."""
        session = self._context.sessions.get(dialog)
        return session.request("OPTIONS", header_lines(capabilities()), b"", now) if session is not None and not session.closing else ""

    def info(self, dialog: str, content_type: str, body: bytes, now: float) -> str:
        """Send an INFO."""
        session = self._context.sessions.get(dialog)
        lines = header_lines([("Content-Type", content_type)])
        return session.request("INFO", lines, body, now) if session is not None and not session.closing else ""

    # --- outside dialogs

    def respond(
        self,
        transaction: str,
        status: int,
        now: float,
        *,
        headers: HeaderList = (),
        body: bytes = b"",
        held: bool = False,
        lasting: bool = True,
    ) -> None:
        """Answer a request of ``RegisterReceived`` or ``RequestReceived``; without effect once its client has given up.

        Not ``lasting``: said once and forgotten, see ``reject``.
        """
        if waiting := self._waiting.get(transaction):
            server, reply, timer = waiting
            server.held = held
            server.respond(status, reply.render(status, headers=headers, body=body), now)
            if status >= 200:
                del self._waiting[transaction]
                timer.cancel()
            if not lasting:
                server.end()

    def send_request(
        self, method: str, uri: str, flow: Flow, now: float, *, from_: str, to: str, headers: HeaderList = (), body: bytes = b""
    ) -> str:
        """Send a request outside dialogs, such as OPTIONS to a trunk; returns the exchange."""
        name = self._context.token()
        outgoing = Outgoing(
            method=method,
            uri=uri,
            branch=self._context.branch(),
            sent_by=sent_by(flow),
            from_=f"{angled(from_)};tag={self._context.token()}",
            to=angled(to),
            call_id=self._context.token(),
            cseq=1,
            agent=self._context.agent,
        )
        data = outgoing.render(header_lines(headers), body)
        self._context.transactions.open_client(outgoing, data, flow, Exchange(self._context, name, None), now)
        return name

    # --- state

    def dialog_state(self, dialog: str) -> DialogState:
        """A copy of the dialog's record; BridgeError if the handle is gone."""
        session = self._context.sessions.get(dialog)
        if session is None:
            raise BridgeError(f"no dialog {dialog}")
        return replace(session.dialog)

    def snapshot(self, dialog: str) -> dict[str, Any] | None:
        """What another user agent needs to go on with the leg, JSON-able; None if nothing is left of it. See ``snapshot``.

        From then on the leg's responses are ``held``.
        """
        return snapshot.take(self._context, dialog)

    def restore(self, plain: dict[str, Any], now: float, *, connections: Container[int] = ()) -> str:
        """Go on with a leg of another user agent; returns its handle, which stays the same. ``connections`` of TCP have outlived it.

        BridgeError for a snapshot of a later version. Events may follow at once, so the owner must know the handle before.
        """
        return snapshot.restore(self._context, plain, now, connections)

    def grace(self, until: float) -> None:
        """Answer a BYE for a dialog nobody knows with 200 until then: the process before us may have ended it and not been heard."""
        self._grace_until = until

    def forget(self, dialog: str, now: float) -> None:
        """Drop a leg without a word to the peer (but an INVITE of ours is cancelled): its requests get 481 from now on."""
        if session := self._context.sessions.get(dialog):
            session.end(now)

    @property
    def size(self) -> dict[str, int]:
        """How much is held, for metrics and for tests that look for leaks."""
        transactions = self._context.transactions
        return {
            "sessions": len(self._context.sessions),
            "servers": len(transactions.servers),
            "clients": len(transactions.clients),
            "merges": len(transactions.merges),
            "timers": len(self._context.queue),
            "waiting": len(self._waiting),
        }
