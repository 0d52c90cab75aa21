"""Attends to each new call: route → door → call → documents → end.

One task a call, owned by the server. It makes the call's state, has it durable before the caller hears anything of us (100), settles the
sound before the tenant is asked (488 and 503 cost no webhook), rings while the tenant is asked, and runs documents until the call is over.
However it ends, ``_finish`` says goodbye, writes the record and tells the tenant. A store that cannot be written is no reason to refuse it.

A call that a control process before this one served goes the same way from where it was (``resume``); what was done already is not done
again, or has no effect where it is.
"""

from __future__ import annotations

import structlog

from waitline.bridge.call import notifications, status
from waitline.bridge.call.call import Call
from waitline.bridge.call.interruption import Ended, Redirected
from waitline.bridge.call.services import Services
from waitline.bridge.call.session import warning
from waitline.bridge.call.state import CallState, CallStatus, MediaFacts, Script, SipFacts, Target
from waitline.bridge.call.switchboard import Switchboard
from waitline.bridge.instructions import fetching, main_loop
from waitline.bridge.instructions.fetching import DocumentFailure
from waitline.bridge.instructions.interpreter import Interpreter
from waitline.bridge.instructions.outcomes import HangUp
from waitline.bridge.limits import Rates
from waitline.bridge.net import descriptors
from waitline.bridge.net.endpoint import SipEndpoint
from waitline.bridge.router.doors import CHALLENGE, Admitted, Doors, Refusal
from waitline.bridge.router.encryption import objection, policy_for
from waitline.bridge.router.load_watch import LoadWatch
from waitline.bridge.router.routes import Route, Routes, caller_of
from waitline.bridge.sip.address import Address
from waitline.bridge.sip.events import InviteReceived
from waitline.bridge.sip.message import Request
from waitline.errors import MediaUnavailable, SipError

RETRY_AFTER = (("Retry-After", "10"),)
OVERLOAD_RETRY_S = (5, 15)
"""Between these, at random: those who were refused together shall not come back together."""
TOO_MANY_CALLS = Refusal(status=486, reason="account-calls", headers=RETRY_AFTER)
TOO_FAST = Refusal(status=480, reason="account-calls-per-s", headers=(("Retry-After", "1"),))
CALL_LIMIT = 10004
TELL_EVERY_S = 60.0
NO_VOICE_URL = 11100
_MAX_X_HEADERS = 32
_MAX_X_VALUE = 1024

log = structlog.get_logger(__name__)


class Attendant:
    """See the module."""

    def __init__(
        self,
        services: Services,
        endpoint: SipEndpoint,
        switchboard: Switchboard,
        interpreter: Interpreter,
        routes: Routes,
        doors: Doors,
        load: LoadWatch,
    ) -> None:
        self._services = services
        self._endpoint = endpoint
        self._switchboard = switchboard
        self._interpreter = interpreter
        self._routes = routes
        self._doors = doors
        self._load = load
        self._rates = Rates(services.config.account_calls_per_s)
        self._told = Rates(1 / TELL_EVERY_S)
        self.draining = False

    def admit(self, event: InviteReceived) -> Call | None:
        """Decide on a new INVITE at once: a call to attend to, or None where it has been refused."""
        route = self._routes.find(event.request)
        verdict = self._doors.judge(event.request, event.flow, route)
        if isinstance(verdict, Refusal):
            self._refuse(event.dialog, verdict.status, verdict.headers, verdict.reason)
            return None
        assert route is not None, "a door lets nobody in who is for nobody"
        if self.draining:
            self._refuse(event.dialog, 503, RETRY_AFTER, "draining")
            return None
        if len(self._switchboard) >= self._services.config.sip_max_calls:
            self._refuse(event.dialog, 503, RETRY_AFTER, "too-many-calls")
            return None
        if not self._load.admits():
            retry_s = self._services.random.randint(*OVERLOAD_RETRY_S)
            self._refuse(event.dialog, 503, (("Retry-After", str(retry_s)),), "overload")
            return None
        if not descriptors.to_spare():
            self._refuse(event.dialog, 503, RETRY_AFTER, "no-descriptors")
            return None
        policy = policy_for(route, self._services.config)
        if refusal := objection(policy, event.flow, self._services.config):
            self._refuse(event.dialog, refusal.status, refusal.headers, refusal.reason)
            return None
        if (excess := self._excess(route)) is not None:
            self._refuse(event.dialog, excess.status, excess.headers, excess.reason)
            return None
        call = Call(self._state(event, route, verdict, policy), self._services, self._endpoint, event.flow)
        self._switchboard.add(call)
        return call

    def _excess(self, route: Route) -> Refusal | None:
        """The refusal of a call that is more than its account may have, of which the tenant is told now and then.

        Not 503: that speaks for the whole platform (RFC 3261 §21.5.4), and a trunk that hears it stops calling every other tenant, too.
        """
        config, account = self._services.config, route.account_sid
        now = self._services.clock.now()
        if config.account_calls and self._switchboard.count_of(account) >= config.account_calls:
            refusal, why = TOO_MANY_CALLS, f"the account has the {config.account_calls} calls at one time that it may"
        elif self._rates.take(account, now):
            refusal, why = TOO_FAST, f"more than the {config.account_calls_per_s:g} new calls a second that the account may have"
        else:
            return None
        if not self._told.take(f"{account} {refusal.reason}", now):
            notifications.write(self._services, account_sid=account, code=CALL_LIMIT, message=f"A call to {route.to} was refused: {why}")
        return refusal

    async def attend(self, call: Call, request: Request) -> None:
        """Serve a call from its INVITE to its end."""
        structlog.contextvars.bind_contextvars(call=call.sid, account=call.state.account_sid)
        log.info("call received", sender=call.state.from_, to=call.state.to, source=call.state.sip.source_ip)
        self._services.metrics.count("calls", direction="inbound")
        try:
            outcome = await self._serve(call, request)
        except BaseException:
            await self._finish(call, Ended(status=CallStatus.FAILED, reason="internal-error", by_peer=False))
            raise
        await self._finish(call, outcome)

    async def resume(self, call: Call) -> None:
        """Serve a call that a control process before this one served, from where it is; one that is over already is only ended."""
        structlog.contextvars.bind_contextvars(call=call.sid, account=call.state.account_sid)
        call.limit_time(call.state.time_limit_s)
        try:
            outcome = await self._go_on(call)
        except BaseException:
            await self._finish(call, Ended(status=CallStatus.FAILED, reason="internal-error", by_peer=False))
            raise
        await self._finish(call, outcome)

    async def _go_on(self, call: Call) -> Ended:
        if not call.leg.answered and not call.over:
            if not call.leg.has_media:
                call.leg.renew()
            refusal = await self._alert(call)
            if refusal is not None:
                return refusal
        return await self._run_documents(call, begun=True)

    async def _serve(self, call: Call, request: Request) -> Ended:
        call.leg.prepare(request.body)
        call.record()
        await self._services.keeper.kept()
        return await self._alert(call) or await self._run_documents(call)

    async def _alert(self, call: Call) -> Ended | None:
        """From the INVITE that is durable to the 180, as far as it has not gone that way already; the end where it cannot."""
        self._endpoint.do(lambda agent, now: agent.trying(call.state.sip.dialog, now=now))
        try:
            await call.leg.open()
        except MediaUnavailable as error:
            log.warning("no media for a call", why=str(error))
            call.leg.refuse(503, headers=RETRY_AFTER)
            return Ended(status=CallStatus.FAILED, reason="no-media", by_peer=False)
        except SipError as error:
            call.leg.refuse(error.status, headers=warning(error))
            return Ended(status=CallStatus.FAILED, reason=f"refused-{error.status}", by_peer=False)
        call.leg.ring()
        call.limit_ringing(self._services.config.ringing_timeout_s - call.state.lasted_s(self._services.clock))
        return None

    async def _run_documents(self, call: Call, *, begun: bool = False) -> Ended:
        """Run what the voice URL says, and what interruptions want instead, until the call is to end.

        ``begun``: by a control process before this one.
        """
        here = call.state.script or call.state.here or _start(call)
        while True:
            outcome = await call.interruptible(main_loop.run(call, here, self._interpreter), begun=begun)
            begun = False
            match outcome:
                case Ended():
                    return outcome
                case HangUp():
                    return self._hang_up(call, outcome)
                case Redirected():
                    here = outcome.target or _inline(call, outcome.inline)
                    if not isinstance(here, DocumentFailure):
                        call.go_to(here)

    def _hang_up(self, call: Call, outcome: HangUp) -> Ended:
        if call.leg.answered or not outcome.reject:
            call.answer()
            return Ended(status=CallStatus.COMPLETED, reason=outcome.reason, by_peer=False)
        call.leg.refuse(outcome.reject)
        busy = outcome.reject == 486
        return Ended(status=CallStatus.BUSY if busy else CallStatus.NO_ANSWER, reason=outcome.reason, by_peer=False)

    async def _finish(self, call: Call, end: Ended) -> None:
        """Say goodbye, keep the record, tell the tenant; the call can be acted on no more."""
        call.interrupt(end)
        call.lift_limits()
        await call.kept()  # before the peer hears of it: a later control must not go on with a call that has been hung up
        state = call.state
        lost = end.reason == "media-lost" and state.answered_at is not None  # as a later control would record it
        state.status = CallStatus.COMPLETED if lost else _final(end.status, answered=state.answered_at is not None)
        state.ended_at, state.ended_s = self._services.clock.utc(), self._services.clock.now()
        state.end_reason = end.reason
        call.leg.close()
        call.record()
        self._services.keeper.forget(call)
        self._switchboard.remove(call)
        status.completed(call)
        self._services.webhooks.forget(call.sid)
        log.info("call ended", status=state.status.value, reason=end.reason)
        await call.kept()

    # New calls

    def _refuse(self, dialog: str, status_code: int, headers: tuple[tuple[str, str], ...], why: str) -> None:
        self._services.metrics.count("calls_refused", reason=why)
        lasting = status_code != CHALLENGE  # nothing is kept for strangers: whoever does not hear the challenge asks again
        self._endpoint.do(lambda agent, now: agent.reject(dialog, status_code, headers=headers, lasting=lasting, now=now))

    def _state(self, event: InviteReceived, route: Route, admitted: Admitted, encryption: str) -> CallState:
        request, flow = event.request, event.flow
        return CallState(
            sid=self._services.sids.call(),
            account_sid=route.account_sid,
            from_=route.from_,
            to=route.to,
            phone_number_sid=route.number.sid if route.number else "",
            caller_name=request.from_.display or "",
            forwarded_from=_diverted_by(request),
            created_at=self._services.clock.utc(),
            created_s=self._services.clock.now(),
            application=route.application,
            sip=SipFacts(
                dialog=event.dialog,
                call_id=request.call_id,
                domain=route.domain.domain_name if route.domain else "",
                domain_sid=route.domain.sid if route.domain else "",
                source_ip=flow.remote[0],
                username=admitted.username,
                headers=_extension_headers(request),
            ),
            media=MediaFacts(srtp=encryption),
        )


def _start(call: Call) -> Target | DocumentFailure:
    application = call.state.application
    target = Target(url=application.voice_url, method=application.voice_method)
    return target if target.url else DocumentFailure("a call came in and no VoiceUrl is set", code=NO_VOICE_URL, target=target)


def _inline(call: Call, text: str) -> Script | DocumentFailure:
    try:
        return fetching.inline(call, text)
    except DocumentFailure as failure:
        return failure


def _final(status: CallStatus, *, answered: bool) -> CallStatus:
    """What the call's end makes of it: one that was answered cannot be canceled, one that never was cannot be completed."""
    if answered:
        return CallStatus.COMPLETED if status is CallStatus.CANCELED else status
    return CallStatus.CANCELED if status is CallStatus.COMPLETED else status


def _diverted_by(request: Request) -> str:
    """Who forwarded the call last: the topmost Diversion (RFC 5806), a number where it is one; empty where nobody did."""
    try:
        diversion = next(iter(request.headers.get_all("Diversion")), "")
        return caller_of(Address.parse(diversion)) if diversion else ""
    except SipError:
        return ""


def _extension_headers(request: Request) -> list[tuple[str, str]]:
    found = [(name, value[:_MAX_X_VALUE]) for name, value in request.headers if name.lower().startswith("x-")]
    return found[:_MAX_X_HEADERS]
