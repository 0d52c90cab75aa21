"""Phones that register: REGISTER → door → registrar → answer (platform contract 6.3).

An address of record belongs to the SIP Domain its host names; only a domain with SipRegistration and a credential list mapped for
registrations takes any.

Bindings are kept, an address of record each, before the phone hears that they are, and go on with the next control process. They expire by
UTC, which both processes share.
"""

from __future__ import annotations

import asyncio

from waitline.bridge.call.keeping import REGISTRATION
from waitline.bridge.call.services import Services
from waitline.bridge.net.endpoint import SipEndpoint
from waitline.bridge.router.doors import CHALLENGE, Doors, Refusal
from waitline.bridge.sip.events import RegisterReceived
from waitline.bridge.sip.message import Request
from waitline.bridge.sip.registrar import Binding, Outcome, Registrar, address_of_record
from waitline.bridge.store.records import LiveState
from waitline.errors import SipError

SWEEP_S = 60.0
WRONG_USER = Outcome(403)


class Registrations:
    """See the module."""

    def __init__(self, services: Services, endpoint: SipEndpoint, doors: Doors) -> None:
        self._services = services
        self._endpoint = endpoint
        self._doors = doors
        config = services.config
        self._registrar = Registrar(minimum_s=config.sip_register_min_s, maximum_s=config.sip_register_max_s)

    def __len__(self) -> int:
        return self._registrar.size

    def register(self, event: RegisterReceived) -> None:
        """Answer one REGISTER."""
        outcome = self._outcome(event)
        self._services.metrics.count("registrations", outcome=str(outcome.status))
        held, lasting = outcome.status == 200, outcome.status != CHALLENGE
        self._endpoint.do(
            lambda agent, now: agent.respond(
                event.transaction, outcome.status, headers=outcome.headers, held=held, lasting=lasting, now=now
            )
        )

    def restore(self, record: LiveState) -> None:
        """Go on with an address of record of a control process before this one; what has run out meanwhile is dropped."""
        bindings = [Binding.from_json(plain) for plain in record.data["bindings"]]
        alive = [binding for binding in bindings if binding.expires_at > self._now()]
        self._registrar.restore(record.key, alive, self._endpoint.connections)
        for binding in alive:
            self._doors.knows(binding.flow)
        self._keep(record.key)

    def bindings(self, aor: str) -> list[Binding]:
        """The living contacts of an address of record, best first."""
        return self._registrar.bindings(aor, self._now())

    async def sweep(self) -> None:
        """Forget what has run out, once a minute, for as long as the owner lets it run; nobody waits for this."""
        while True:
            await asyncio.sleep(SWEEP_S)
            for aor in self._registrar.expire(self._now()):
                self._keep(aor)

    def _outcome(self, event: RegisterReceived) -> Outcome:
        request = event.request
        try:
            aor = address_of_record(request)
        except SipError as error:
            return Outcome(error.status)
        domain = self._services.store.image.domains.by_name(request.to.uri.host.lower())
        verdict = self._doors.judge_registration(request, event.flow, domain)
        if isinstance(verdict, Refusal):
            return Outcome(verdict.status, verdict.headers)
        if verdict.username != _user(request):
            return WRONG_USER  # whoever knows one password must not take another's calls
        outcome = self._registrar.register(aor, request, event.flow, self._now())
        if outcome.status == 200:
            self._keep(aor)
        return outcome

    def _keep(self, aor: str) -> None:
        bindings = self._registrar.bindings(aor, self._now())
        if bindings:
            self._services.keeper.keep(REGISTRATION, aor, {"bindings": [binding.to_json() for binding in bindings]})
        else:
            self._services.keeper.drop(REGISTRATION, aor)

    def _now(self) -> float:
        return self._services.clock.utc().timestamp()


def _user(request: Request) -> str:
    return request.to.uri.user or ""
