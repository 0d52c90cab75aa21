"""The registrar (RFC 3261 §10.3): which contacts stand behind an address of record, as plain data.

Who may register what is decided before ``register`` is called; what is decided here: expiry, order of CSeq within one Call-ID,
``Contact: *``, q values. A REGISTER is taken as a whole or not at all. Each binding remembers the flow it came by, so that a call to it
goes back through the phone's address translator.

``now`` is seconds of one clock; give UTC seconds where the bindings are stored across restarts (``Binding.to_json``, ``restore``).
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from waitline.bridge.sip.address import Address
from waitline.bridge.sip.flow import Flow
from waitline.bridge.sip.grammar import render_params
from waitline.bridge.sip.message import Request
from waitline.bridge.sip.uri import Uri
from waitline.errors import SipError

_Q = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")
_NUMBER = re.compile(r"[0-9]{1,10}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """One contact of an address of record."""

    uri: str
    q: float = 1.0
    """Preference, 0 to 1: higher is tried first."""
    expires_at: float
    """Seconds of the caller's clock."""
    updated_at: float
    call_id: str
    cseq: int
    flow: Flow
    params: Mapping[str, str | None]
    """Further parameters of the Contact, given back in responses (RFC 4475 §3.3.12)."""

    def to_json(self) -> dict[str, Any]:
        """Plain values only."""
        values = {name: getattr(self, name) for name in ("uri", "q", "expires_at", "updated_at", "call_id", "cseq")}
        return values | {"params": dict(self.params), "flow": self.flow.to_plain()}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Binding:
        """The inverse of ``to_json``."""
        return cls(**(values | {"flow": Flow.from_plain(values["flow"])}))


class Outcome(NamedTuple):
    """How to answer a REGISTER."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()


def address_of_record(request: Request) -> str:
    """Whom a REGISTER is for: the To URI without password, port and parameters. SipError (400) if it is no SIP URI."""
    uri = request.to.uri
    if not uri.is_sip:
        raise SipError(f"not an address of record: {str(uri)[:80]!r}")
    return str(Uri(scheme="sip", user=uri.user, host=uri.host))


class Registrar:
    """All bindings of all addresses of record."""

    def __init__(self, *, minimum_s: int = 60, maximum_s: int = 3600, max_bindings: int = 10) -> None:
        """Shorter registrations are refused with 423, longer ones cut to ``maximum_s``, which is also what no wish at all gets."""
        self._minimum_s = minimum_s
        self._maximum_s = maximum_s
        self._max_bindings = max_bindings
        self._bindings: dict[str, list[Binding]] = {}

    def register(self, aor: str, request: Request, flow: Flow, now: float) -> Outcome:
        """Add, refresh, remove or only ask for the bindings of ``aor``; the answer lists what is there afterwards (§10.3)."""
        current = self.bindings(aor, now)
        try:
            if request.contact_is_star:
                updated = _without_all(current, request)
            else:
                updated = self._updated(current, request, flow, now)
        except SipError as error:
            return Outcome(error.status, (("Min-Expires", str(self._minimum_s)),) if error.status == 423 else ())
        self._keep(aor, updated)
        return Outcome(200, tuple(("Contact", _rendered(binding, now)) for binding in self.bindings(aor, now)))

    def bindings(self, aor: str, now: float) -> list[Binding]:
        """The living contacts, best first: by q, then the most recently registered."""
        alive = [binding for binding in self._bindings.get(aor, ()) if binding.expires_at > now]
        return sorted(alive, key=lambda binding: (-binding.q, -binding.updated_at, binding.uri))

    def expire(self, now: float) -> list[str]:
        """Forget what has run out; returns the addresses of record that changed. For a tick of minutes: it looks at all."""
        changed = [aor for aor, bindings in self._bindings.items() if any(binding.expires_at <= now for binding in bindings)]
        for aor in changed:
            self._keep(aor, self.bindings(aor, now))
        return changed

    @property
    def size(self) -> int:
        """All bindings, those included that ran out since the last ``expire``."""
        return sum(len(bindings) for bindings in self._bindings.values())

    def restore(self, aor: str, bindings: Sequence[Binding], connections: Container[int] = ()) -> None:
        """Go on with the bindings of another process; those of a TCP connection that is not among ``connections`` need a new one."""
        self._keep(aor, [one if one.flow.connection in connections else replace(one, flow=_detached(one.flow)) for one in bindings])

    def _keep(self, aor: str, bindings: list[Binding]) -> None:
        """The oldest go if there are too many: a phone that lost its address must be able to come back."""
        newest = sorted(bindings, key=lambda binding: -binding.updated_at)[: self._max_bindings]
        if newest:
            self._bindings[aor] = newest
        else:
            self._bindings.pop(aor, None)

    def _updated(self, current: list[Binding], request: Request, flow: Flow, now: float) -> list[Binding]:
        bindings = list(current)
        for contact in request.contacts:
            known = next((one for one in bindings if Uri.parse(one.uri).equivalent(contact.uri)), None)
            if known is not None:
                _check_order(known, request)
                bindings.remove(known)
            lifetime = self._lifetime(contact, request)
            if lifetime:
                bindings.append(_binding(contact, request, flow, now, lifetime))
        return bindings

    def _lifetime(self, contact: Address, request: Request) -> int:
        """Seconds, 0 to remove: the Contact's expires, else the header's, else all we give (§10.2.1.1)."""
        wish = contact.params.get("expires")
        asked = int(wish) if wish is not None and _NUMBER.fullmatch(wish) else request.expires
        if asked is None:
            return self._maximum_s
        if 0 < asked < self._minimum_s:
            raise SipError(f"{asked} s is too short", status=423)
        return min(asked, self._maximum_s)


def _detached(flow: Flow) -> Flow:
    return flow._replace(connection=0)


def _without_all(current: list[Binding], request: Request) -> list[Binding]:
    """``Contact: *`` (§10.3 step 6): only with Expires 0."""
    if request.expires != 0:
        raise SipError("Contact: * without Expires: 0")
    for binding in current:
        _check_order(binding, request)
    return []


def _check_order(known: Binding, request: Request) -> None:
    """A REGISTER overtaken by a newer one of its own series changes nothing (§10.3 step 7)."""
    if known.call_id == request.call_id and request.cseq.number <= known.cseq:
        raise SipError("CSeq out of order", status=500)


def _binding(contact: Address, request: Request, flow: Flow, now: float, lifetime: int) -> Binding:
    if not contact.uri.is_sip:
        raise SipError(f"a Contact that is no SIP URI: {str(contact.uri)[:80]!r}")
    q = contact.params.get("q")
    return Binding(
        uri=str(contact.uri),
        q=float(q) if q is not None and _Q.fullmatch(q) else 1.0,
        expires_at=now + lifetime,
        updated_at=now,
        call_id=request.call_id,
        cseq=request.cseq.number,
        flow=flow,
        params={name: value for name, value in contact.params.items() if name not in ("expires", "q")},
    )


def _rendered(binding: Binding, now: float) -> str:
    # Rounded up: a phone that refreshes in the last second must not find itself gone.
    left = -int(-(binding.expires_at - now) // 1)
    params = dict(binding.params) | {"q": f"{binding.q:g}", "expires": str(left)}
    return f"<{binding.uri}>{render_params(params)}"
