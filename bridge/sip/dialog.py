"""A dialog (RFC 3261 §12) as plain data, and what may be done with it.

``DialogState`` holds no object of ours but strings, numbers and a ``Flow``: ``to_json`` and ``from_json`` carry it through a store, and
a user agent in another process goes on with it (``UserAgent.restore``). Header values are kept as text, as they came, so that From and To
of our requests repeat them to the letter.

Where a request in the dialog is sent (``next_hop``), by what the INVITE told us:

- a route set whose first hop is an IP address: there (over the known flow, if that hop is its other end);
- a route set that begins with a name: over the flow, for the proxy that put itself there is the one that spoke to us;
- no route set, and the INVITE came straight from the peer: over the flow, whatever Contact says (a phone behind a translator);
- no route set, but a proxy in between that chose not to stay: to the Contact, if that is an IP address.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from ipaddress import ip_address
from operator import attrgetter
from typing import Any

from waitline.bridge.sip.address import Address
from waitline.bridge.sip.flow import Flow
from waitline.bridge.sip.message import Message, Request, Response
from waitline.bridge.sip.outgoing import Outgoing, angled, sent_by
from waitline.bridge.sip.uri import Uri

EARLY = "early"
CONFIRMED = "confirmed"
ENDED = "ended"

_USUAL_CONTACT = re.compile(r"<(sips?:[A-Za-z0-9\-_.!~*'()+:@;=]++)>", re.I)
_TAG_PARAMETER = re.compile(r";[ \t]*tag[ \t]*=[ \t]*[^;>\s]*", re.I)
_NOT_IN_REQUEST_URI = ("method",)  # RFC 3261 §19.1.1, table 1; header fields go as well


@dataclass(slots=True, kw_only=True)
class DialogState:
    """One dialog from our side; changed only by the functions of this module and of ``session``."""

    handle: str
    """What the user agent calls it: unique and random, so the local tag does."""
    call_id: str
    local_tag: str
    remote_tag: str
    """Empty for a peer of RFC 2543, and before the first response to our INVITE."""
    local_uri: str
    """Our From or To without the tag, as text."""
    remote_uri: str
    local_cseq: int = 0
    """The last number we used."""
    remote_cseq: int = -1
    """The last number the peer used, -1 if none yet."""
    route_set: tuple[str, ...] = ()
    """Addresses in angle brackets, nearest hop first."""
    remote_target: str = ""
    """The peer's Contact URI; empty if it never gave one."""
    contact: str = ""
    """Our Contact, a URI or an address."""
    flow: Flow
    direct: bool = True
    """Whether the flow's other end is the peer itself: one Via, no proxy."""
    status: str = EARLY
    """``early``, ``confirmed`` or ``ended``."""
    sips: bool = False
    """It began with a ``sips`` URI, so our Contact must be one (§12.1.1), and it never leaves TLS."""

    @property
    def key(self) -> tuple[str, str, str]:
        """What identifies a dialog on the wire (§12): Call-ID, local tag, remote tag."""
        return (self.call_id, self.local_tag, self.remote_tag)

    def to_json(self) -> dict[str, Any]:
        """Plain values only."""
        values = dict(zip(_FIELDS, _values_of(self), strict=True))
        values["route_set"], values["flow"] = list(self.route_set), self.flow.to_plain()
        return values

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> DialogState:
        """The inverse of ``to_json``."""
        return cls(**(values | {"route_set": tuple(values["route_set"]), "flow": Flow.from_plain(values["flow"])}))


_FIELDS = tuple(field.name for field in fields(DialogState))
_values_of = attrgetter(*_FIELDS)


def dialog_of_invite(request: Request, flow: Flow, *, local_tag: str) -> DialogState:
    """The dialog that an INVITE to us would form (§12.1.1)."""
    return DialogState(
        handle=local_tag,
        call_id=request.call_id,
        local_tag=local_tag,
        remote_tag=request.from_.tag or "",
        local_uri=_without_tag(request, "To"),
        remote_uri=_without_tag(request, "From"),
        remote_cseq=request.cseq.number,
        route_set=tuple(str(address) for address in request.record_routes),
        remote_target=target_of(request),
        flow=flow,
        direct=request.headers.count("Via") == 1 and "," not in (request.headers.get("Via") or ""),
        sips=flow.secure and _wants_sips(request),
    )


def _wants_sips(request: Request) -> bool:
    """§12.1.1: the Request-URI, or the topmost Record-Route, else the Contact."""
    routes = request.record_routes
    nearest = routes[0].uri.scheme if routes else target_of(request)[:4].lower()
    return request.uri[:5].lower() == "sips:" or nearest == "sips"


def dialog_of_response(state: DialogState, response: Response) -> DialogState:
    """The dialog that a 101–299 response to our INVITE forms (§12.1.2); ``state`` is the caller's half."""
    tag = response.to.tag or ""
    return replace(
        state,
        remote_tag=tag,
        remote_cseq=state.remote_cseq if tag == state.remote_tag else -1,  # another branch of a fork counts for itself
        route_set=tuple(str(address) for address in reversed(response.record_routes)),
        remote_target=target_of(response) or state.remote_target,
        status=CONFIRMED if response.status >= 200 else state.status,
    )


def target_of(message: Message) -> str:
    """The Contact's URI, empty if there is none (§12.1.1 requires one; RFC 2543 did not) or if it is no SIP URI."""
    text = message.headers.get("Contact")
    if text is None:
        return ""
    if message.headers.count("Contact") == 1 and (usual := _USUAL_CONTACT.fullmatch(text)):
        return usual[1]
    contacts = message.contacts
    return str(contacts[0].uri) if contacts and contacts[0].uri.is_sip else ""


def _without_tag(request: Request, name: str) -> str:
    """The text of From or To without its tag: only the part behind the address is searched, a URI or name may hold the word."""
    text = request.headers.get(name) or ""
    before, usual, after = text.partition(">;tag=")
    if usual and ";" not in after and ">" not in after:
        return before + ">"
    brace = text.rfind(">") + 1
    return text[:brace] + _TAG_PARAMETER.sub("", text[brace:])


def accept_cseq(state: DialogState, request: Request) -> bool:
    """Take the request's number as the newest; False if it is not higher than the last (§12.2.2: answer 500)."""
    number = request.cseq.number
    if number <= state.remote_cseq:
        return False
    state.remote_cseq = number
    return True


def refresh_target(state: DialogState, message: Message) -> None:
    """A target refresh (§12.2.2): the Contact of a re-INVITE, of an UPDATE, or of the 2xx to ours.

    A Contact that SIP cannot reach changes nothing: the target known before goes on serving.
    """
    state.remote_target = target_of(message) or state.remote_target


def next_hop(state: DialogState) -> Flow:
    """Where our next request in the dialog goes."""
    if state.route_set:
        hop = Address.parse(state.route_set[0]).uri
    elif state.direct or not state.remote_target:
        return state.flow
    else:
        hop = Uri.parse(state.remote_target)
    if not _is_ip_address(hop.host) or hop.address == state.flow.remote:
        return state.flow
    if state.flow.secure or hop.secure:  # what began with nobody listening in does not go on otherwise (§26.2.2)
        transport = "tls"
    else:
        transport = hop.transport if hop.transport in ("udp", "tcp") else state.flow.transport
    return Flow(transport, state.flow.local, hop.address)


@lru_cache(maxsize=4096)  # hosts come back, and a look at one costs as much as a header field
def _is_ip_address(host: str) -> bool:
    """Names are not resolved here: a core does no I/O."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def detached(state: DialogState) -> Flow:
    """Where to reach the peer after the connection of its flow is gone: its Contact, else the address it came from."""
    hop = Uri.parse(state.remote_target) if state.remote_target else None
    remote = hop.address if hop is not None and _is_ip_address(hop.host) else state.flow.remote
    return Flow(state.flow.transport, state.flow.local, remote)


def request_in(state: DialogState, method: str, *, branch: str, agent: str, flow: Flow, cseq: int | None = None) -> Outgoing:
    """A request in the dialog with the next number, or with ``cseq`` (an ACK has its INVITE's): §12.2.1.1."""
    if cseq is None:
        state.local_cseq += 1
        cseq = state.local_cseq
    uri, routes = _target_and_routes(state)
    return Outgoing(
        method=method,
        uri=uri,
        branch=branch,
        sent_by=sent_by(flow),
        routes=routes,
        from_=f"{angled(state.local_uri)};tag={state.local_tag}",
        to=f"{angled(state.remote_uri)};tag={state.remote_tag}" if state.remote_tag else state.remote_uri,
        call_id=state.call_id,
        cseq=cseq,
        agent=agent,
    )


def _target_and_routes(state: DialogState) -> tuple[str, tuple[str, ...]]:
    """Request-URI and Route: loose routing leaves the target in place, a strict router wants itself there (§12.2.1.1)."""
    target = state.remote_target or str(Address.parse(state.remote_uri).uri)
    if not state.route_set:
        return target, ()
    first = Address.parse(state.route_set[0]).uri
    if first.lr:
        return target, state.route_set
    params = {name: value for name, value in first.params.items() if name not in _NOT_IN_REQUEST_URI}
    return str(replace(first, params=params, headers={})), (*state.route_set[1:], f"<{target}>")
