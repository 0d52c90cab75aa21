"""A call leg as plain data, and back: how a process that takes over goes on with the legs of the one before.

A snapshot is JSON-able and holds all that a peer could notice the lack of: the dialog with its CSeqs, route set, target and flow; each
INVITE to us that awaits our answer or its ACK, with what was sent last and when it is to be sent again; each request of ours that awaits
an answer, and the ACKs of our INVITEs. Times are seconds of the clock that both processes share; those that cannot be (a machine that was
started anew) are cut to the longest that such a wait may take.

Of requests that were answered and need no second look only the CSeq is kept. One that comes again after the take-over is a retransmission,
and ``Session`` answers it as one. Our own numbers leap by ``CSEQ_LEAP``, since the process before may have used some that it did not live
to keep.

A leg that is gone may have had a last word (the 487 to a cancelled INVITE, the 200 to a BYE): then the snapshot is that transaction alone.

``VERSION`` is the form. To change it: raise it, and let ``restore`` read the older ones (0 was the dialog alone).
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from waitline.bridge.sip.context import Context, Silent
from waitline.bridge.sip.dialog import DialogState
from waitline.bridge.sip.events import OfferReceived
from waitline.bridge.sip.flow import Flow
from waitline.bridge.sip.invite import InviteClient, InviteServer
from waitline.bridge.sip.message import Request, parse
from waitline.bridge.sip.reply import Reply
from waitline.bridge.sip.session import Exchange, Session
from waitline.bridge.sip.session_timer import SessionTimer, Terms
from waitline.bridge.sip.transaction import State, Transaction
from waitline.errors import BridgeError

VERSION = 1
CSEQ_LEAP = 16

_ANSWERED = (State.ACCEPTED, State.CONFIRMED)
_NOTHING_ELSE = {"initial": False, "closing": "", "late_bye": None, "unconfirmed": -1, "offer": None, "heard": [], "said": []}


def take(context: Context, handle: str) -> dict[str, Any] | None:
    """The leg of that handle, or its last word; None if neither is left. From now on responses of the leg are held."""
    session = context.sessions.get(handle)
    if session is not None:
        return {"version": VERSION, **_session_to_plain(context, session)}
    last_word = context.transactions.last_words.get(handle)
    return None if last_word is None else {"version": VERSION, "last_word": last_word.to_plain(), "handle": handle}


def restore(context: Context, plain: dict[str, Any], now: float, connections: Container[int]) -> str:
    """Go on with what ``take`` gave, and return its handle. ``connections``: those of TCP that have outlived the process before.

    An offer that awaits an answer is told again. BridgeError if the form is one of a later version.
    """
    if plain.get("version", 0) > VERSION:
        raise BridgeError(f"a leg of version {plain['version']}: this is version {VERSION}")
    if "last_word" in plain:
        return _restore_last_word(context, plain, now, connections)
    if "version" not in plain:
        plain = {"dialog": plain, **_NOTHING_ELSE}
    session = _restore_session(context, plain, now)
    flows = {session.dialog.flow, *(transaction.flow for transaction in _transactions(context, session))}
    for flow in flows:
        if flow.connection and flow.connection not in connections:
            _lose(context, session, flow, now)
    return session.dialog.handle


# --- out


def _session_to_plain(context: Context, session: Session) -> dict[str, Any]:
    session.kept = True
    if session.server is not None:
        session.server.transaction.held = True
    servers, clients = context.transactions.servers, context.transactions.clients
    session.heard = [key for key in session.heard if key in servers]
    session.said = [key for key in session.said if key in clients]
    return {
        "dialog": session.dialog.to_json(),
        "initial": session.initial,
        "closing": session.closing,
        "late_bye": session.late_bye,
        "unconfirmed": session.unconfirmed,
        "timer": None if session.timer is None else session.timer.to_plain(),
        "terms": None if session.terms is None else list(session.terms),
        "offer": None if session.offer is None else bytes(session.offer).decode("latin-1"),
        "heard": [_heard_to_plain(session, servers[key]) for key in session.heard],
        "said": [_said_to_plain(clients[key]) for key in session.said if _goes_on(clients[key])],
    }


def _heard_to_plain(session: Session, transaction: Transaction) -> dict[str, Any]:
    server = transaction.user
    if isinstance(server, InviteServer) and (server.pending or server.awaits_ack):
        return transaction.to_plain() | {"invite": server.to_plain()}
    if session.update is not None and session.update[0] is transaction:
        return transaction.to_plain() | {"reply": session.update[1].to_plain()}
    return transaction.to_plain(bare=transaction.state in _ANSWERED)  # what was acknowledged is only absorbed


def _goes_on(transaction: Transaction) -> bool:
    """Whether a request of ours awaits something yet, or is an INVITE that may have to be acknowledged again."""
    return isinstance(transaction.user, InviteClient) or transaction.state is not State.COMPLETED


def _said_to_plain(transaction: Transaction) -> dict[str, Any]:
    user = transaction.user
    if isinstance(user, Exchange):
        return transaction.to_plain() | {"exchange": user.name}
    assert isinstance(user, InviteClient), "nobody else sends requests in a dialog"
    return transaction.to_plain(bare=user.settled) | {"invite": user.to_plain()}


# --- in


def _restore_last_word(context: Context, plain: dict[str, Any], now: float, connections: Container[int]) -> str:
    transaction = context.transactions.restore(plain["last_word"], Silent(), now)
    context.transactions.outlive(transaction, plain["handle"])
    if transaction.flow.connection and transaction.flow.connection not in connections:
        context.transactions.flow_failed(transaction.flow, now)
    handle: str = plain["handle"]
    return handle


def _restore_session(context: Context, plain: dict[str, Any], now: float) -> Session:
    session = Session(context, DialogState.from_json(plain["dialog"]))
    session.dialog.local_cseq += CSEQ_LEAP
    session.kept = True
    session.initial, session.closing = plain["initial"], plain["closing"]
    session.late_bye, session.unconfirmed = plain["late_bye"], plain["unconfirmed"]
    if (timer := plain.get("timer")) is not None:
        session.timer = SessionTimer.restore(context, session, timer, now)
    session.terms = Terms(*plain["terms"]) if plain.get("terms") else None
    session.settled = (session.dialog.remote_cseq, now + context.timers.transaction)
    for heard in plain["heard"]:
        _restore_heard(context, session, heard, now)
    for said in plain["said"]:
        _restore_said(context, session, said, now)
    context.sessions.add(session)
    if plain["offer"] is not None:
        _restore_offer(context, session, plain["offer"].encode("latin-1"))
    return session


def _restore_heard(context: Context, session: Session, plain: dict[str, Any], now: float) -> None:
    transaction = context.transactions.restore(plain, Silent(), now)
    transaction.held = True
    if "invite" not in plain:
        session.note_heard(transaction)
        if "reply" in plain:
            session.update = (transaction, Reply.from_plain(plain["reply"], agent=context.agent))
        return
    server = InviteServer.restore(context, transaction, plain["invite"], now)
    session.serve(server)
    if server.awaits_ack:
        session.awaiting[server.cseq] = server


def _restore_said(context: Context, session: Session, plain: dict[str, Any], now: float) -> None:
    layer = context.transactions
    if "exchange" in plain:
        transaction = layer.restore(plain, Exchange(context, plain["exchange"], session), now)
    else:
        client = InviteClient.restore(context, session, plain["invite"])
        transaction = layer.restore(plain, client, now)
        if not client.settled:
            session.client = client
        client.resume(transaction, now)
    session.note_said(transaction.key)


def _restore_offer(context: Context, session: Session, data: bytes) -> None:
    request = parse(data)
    assert isinstance(request, Request), "it was one before"
    session.offer = request
    context.emit(OfferReceived(dialog=session.dialog.handle, request=request, body=request.body))


# --- connections that are gone


def _transactions(context: Context, session: Session) -> list[Transaction]:
    servers, clients = context.transactions.servers, context.transactions.clients
    return [servers[key] for key in session.heard] + [clients[key] for key in session.said]


def _lose(context: Context, session: Session, flow: Flow, now: float) -> None:
    """A connection did not outlive the process: requests of ours on it are sent again on another one, answers find their way by Via."""
    layer = context.transactions
    if session.dialog.flow == flow:
        session.leave_flow()
    for key in session.said:
        if layer.clients[key].flow == flow:
            layer.move(layer.clients[key], session.dialog.flow)
            layer.clients[key].resend(now, None)
    layer.flow_failed(flow, now)
