"""The control process without its process: all parts of the platform put together, given their ports.

``server.py`` builds it from sockets, worker processes and the machine's clock; a story builds the same from wires in memory and a clock
that jumps. Nothing in here opens a socket, reads a file or asks for the time.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from random import Random
from typing import Any

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry

from waitline.api.app import create_app
from waitline.api.ports import Services as ApiServices
from waitline.bridge.call.interruption import Ended
from waitline.bridge.call.keeping import MEMBER, PLACE, Keeper
from waitline.bridge.call.services import Services
from waitline.bridge.call.state import CallStatus
from waitline.bridge.call.switchboard import Switchboard
from waitline.bridge.config import Config
from waitline.bridge.events import MemberClaimed, MemberJoined, MemberLeft, MemberReleased, MemberResumed, QueueEvent
from waitline.bridge.instructions import document
from waitline.bridge.instructions.interpreter import Interpreter
from waitline.bridge.instructions.run import RUNNERS, render
from waitline.bridge.net.endpoint import SipEndpoint
from waitline.bridge.net.gate import Gate, GateLimits
from waitline.bridge.net.sip_tcp import ConnectionKeeper
from waitline.bridge.queues.authority import QueueAuthority
from waitline.bridge.queues.directory import QueueDirectory
from waitline.bridge.queues.event_log import as_record
from waitline.bridge.queues.places import KeptPlaces
from waitline.bridge.queues.plain import member_to_plain
from waitline.bridge.router.admission import Admission
from waitline.bridge.router.attendant import Attendant
from waitline.bridge.router.dispatch import Dispatch
from waitline.bridge.router.doors import Doors
from waitline.bridge.router.evacuation import Evacuation
from waitline.bridge.router.load_watch import LoadWatch
from waitline.bridge.router.recovery import Recovery
from waitline.bridge.router.registrations import Registrations
from waitline.bridge.router.routes import Routes
from waitline.bridge.sids import SidFactory
from waitline.bridge.sip.events import Event
from waitline.bridge.sip.timers import Timers
from waitline.bridge.sip.user_agent import UserAgent
from waitline.bridge.store.errors import REASONS
from waitline.bridge.store.store import Store
from waitline.bridge.webhook.client import WebhookClient
from waitline.clock import Clock
from waitline.errors import MediaUnavailable
from waitline.media.clips import ClipLibrary
from waitline.media.plane import MediaPlane
from waitline.metrics import PlatformMetrics
from waitline.tasks import Tasks

GOODBYE_S = 2.0
WORKERS_ANSWER_S = 0.5
MEDIA_COUNTS = {
    "late_ticks": "Ticks of 5 ms that began late, made up for by sending at once",
    "skipped_packets": "Packets left out because their tick came more than three frames late",
    "foreign_source": "Packets dropped: from an address the leg does not take",
    "not_rtp": "Packets dropped: not RTP",
    "srtp_refused": "Packets of encrypted legs dropped: not authentic, or seen before",
    "unagreed_type": "Packets dropped: a payload type nobody agreed on",
    "not_relayed": "Packets of a bridge dropped: too old, or the other side takes none now",
    "send_errors": "Packets the kernel did not take",
    "unsent_digits": "Digits that could not be sent",
}
GATE_DROPS = {
    "blocked": "SIP messages not read: their source is blocked",
    "rate": "SIP messages not read: more than their source's rate",
    "no-sip": "SIP messages not read: the first line of a stranger's is no SIP",
    "attack-tool": "SIP messages not read: they name a tool for attacks",
}

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Everything that touches the world, made by whoever builds a Control."""

    clock: Clock
    config: Config
    random: Random
    store: Store
    plane: MediaPlane
    clips: ClipLibrary
    webhooks: WebhookClient
    realm: str
    nonce_key: bytes
    random_bytes: Callable[[int], bytes] = os.urandom
    own_hosts: frozenset[str] = frozenset({"localhost"})
    connections: ConnectionKeeper | None = None
    """Keeps SIP connections over the end of this control; None: nobody does"""


class Control:
    """The platform. ``endpoint`` takes SIP, ``app`` takes HTTP; ``drain`` and ``close`` end it."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self.metrics = PlatformMetrics(CollectorRegistry())
        self.tasks, self.calls, self.chores = Tasks(), Tasks(), Tasks()  # the last have no end of their own: nobody waits for them
        self._media_counts: dict[str, float] = {}
        self._drained_at: float | None = None
        self.sids = SidFactory(ports.random_bytes)
        self.keeper = Keeper(ports.store, self._dialog_of)
        self.places = KeptPlaces(
            ports.clock,
            keep=lambda call, plain: self.keeper.keep(PLACE, call, plain),
            drop=lambda call: self.keeper.drop(PLACE, call),
        )
        self.queues = QueueAuthority(
            clock=ports.clock,
            next_sequence=ports.store.next_sequence,
            new_claim=lambda: self.sids.new("CL"),
            log=self._log_queue_event,
            notify=self._on_queue_event,
            places=self.places,
        )
        self.directory = QueueDirectory(store=ports.store, authority=self.queues, sids=self.sids, clock=ports.clock)
        self.switchboard = Switchboard(self.queues, check=_check_inline)
        self.services = self._services()
        self.evacuation = Evacuation(self.services, self.switchboard)
        user_agent = UserAgent(random=ports.random, timers=Timers(session=ports.config.sip_session_s), auto_trying=False)
        self.gate = _gate(ports.config, ports.clock.now())
        self.endpoint = SipEndpoint(
            user_agent,
            ports.clock,
            self._on_sip,
            advertised_host=ports.config.advertised_host,
            when_durable=self.keeper.once_kept,
            keeper=ports.connections,
            first_connection=(ports.store.epoch << 32) + 1,
            gate=self.gate,
        )
        self._wire_router()
        self._show_gauges()

    def _wire_router(self) -> None:
        ports = self._ports
        routes = Routes(ports.store.image)
        doors = Doors(ports.store.image, ports.config, clock=ports.clock, realm=ports.realm, nonce_key=ports.nonce_key, gate=self.gate)
        interpreter = Interpreter(RUNNERS, render)
        self.admission = Admission(ports.config.overload_lag_ms / 1000)
        self._load = LoadWatch(self.admission, ports.clock, self.chores, ports.plane.worker_stats)
        self.attendant = Attendant(self.services, self.endpoint, self.switchboard, interpreter, routes, doors, self._load)
        self.registrations = Registrations(self.services, self.endpoint, doors)
        self._dispatch = Dispatch(self.attendant, self.registrations, self.switchboard, self.endpoint, self.calls)

    def _services(self) -> Services:
        ports = self._ports
        return Services(
            clock=ports.clock,
            config=ports.config,
            sids=self.sids,
            random=ports.random,
            store=ports.store,
            queues=self.queues,
            directory=self.directory,
            webhooks=ports.webhooks,
            clips=ports.clips,
            plane=ports.plane,
            calls=self.switchboard,
            background=self.tasks,
            metrics=self.metrics,
            keeper=self.keeper,
        )

    @cached_property
    def app(self) -> web.Application:
        """The REST interface, made when it is first asked for: it is half of what a control costs that nobody asks over HTTP."""
        ports = self._ports
        return create_app(
            ApiServices(
                store=ports.store,
                authority=self.queues,
                directory=self.directory,
                switchboard=self.switchboard,
                clock=ports.clock,
                sids=self.sids,
                realm=ports.realm,
                registry=self.metrics.registry,
                refresh_metrics=self._ask_workers,
                not_ready=self.not_ready,
                degraded=self.degraded,
                random_bytes=ports.random_bytes,
                own_hosts=ports.own_hosts,
                requests_per_s=ports.config.account_requests_per_s,
                records=ports.config.account_records,
            )
        )

    def _show_gauges(self) -> None:
        self.metrics.gauge("calls_live", "Calls that are up or being set up", lambda: len(self.switchboard))
        self.metrics.gauge("queue_members_waiting", "Members WAITING, all queues", lambda: self.queues.totals().waiting)
        self.metrics.gauge("queue_members_claimed", "Members CLAIMED, all queues", lambda: self.queues.totals().claimed)
        self.metrics.gauge("draining", "1: no new work is taken", lambda: self.attendant.draining)
        self.metrics.gauge("overloaded", "1: new calls are refused for the sake of those which are up", lambda: bool(self.admission.closed))
        self.metrics.gauge("loop_lag_seconds", "How late control runs what is due, while calls come", lambda: self.admission.lag_s)
        self.metrics.gauge("drain_left_seconds", "Until calls are ended because the platform drains; 0: it does not", self._drain_left_s)
        self.metrics.gauge("queue_places_kept", "Places kept for callers whose line dropped", lambda: len(self.places))
        self.metrics.gauge("media_legs", "Media legs open", lambda: self._ports.plane.stats["legs"])
        self.metrics.gauge("sip_messages_dropped", "SIP messages nobody could be answered", lambda: self.endpoint.user_agent.dropped)
        for why, what in GATE_DROPS.items():
            self.metrics.gauge(f"sip_unheard_{why.replace('-', '_')}", what, partial(self.gate.dropped.__getitem__, why))
        self.metrics.gauge("sip_blocks", "Times a source was blocked for a while", lambda: self.gate.blocks)
        for name, text in MEDIA_COUNTS.items():
            self.metrics.gauge(f"rtp_{name}", text, partial(self._media_count, name))
        self._show_store()
        self.metrics.gauge("sip_registrations", "Bindings of registered phones", lambda: len(self.registrations))

    def _show_store(self) -> None:
        store = self._ports.store
        self.metrics.gauge(
            "store_durable", "1: what is told is durable before; 0: the database cannot be written", lambda: not store.trouble
        )
        self.metrics.gauge("store_rows_waiting", "Rows held back because the database cannot be written", lambda: store.waiting)
        self.metrics.gauge("store_rows_lost", "Rows of history dropped since the start because too many were held back", lambda: store.lost)

    def _media_count(self, name: str) -> float:
        return self._media_counts.get(name, 0.0)

    async def _ask_workers(self) -> None:
        """Bring what the media workers count up to date; one that does not answer in time keeps its last figures."""
        try:
            async with asyncio.timeout(WORKERS_ANSWER_S):
                self._media_counts = _summed(await self._ports.plane.worker_stats())
        except (TimeoutError, MediaUnavailable) as error:
            log.warning("media workers did not answer for the metrics", why=str(error))

    def not_ready(self) -> Sequence[str]:
        """Why no new work is taken; empty when ready."""
        return ("draining",) if self.attendant.draining else ()

    def degraded(self) -> Sequence[str]:
        """What is promised for less than always at the moment."""
        store = self._ports.store
        if not store.trouble:
            return ()
        held = f"{store.waiting} rows are held back in memory"
        return (f"store: {REASONS[store.trouble]}: what is told is durable only later; {held}",)

    def _on_sip(self, event: Event) -> None:
        self._dispatch.on_sip(event)

    def _log_queue_event(self, event: QueueEvent) -> None:
        """Keep the event for ever, and the member as it is now for as long as it is one."""
        self._ports.store.append(as_record(event))
        if isinstance(event, MemberLeft):
            self.keeper.drop(MEMBER, event.call)
        else:
            member = self.queues.member(event.call)
            assert member is not None, "only MemberLeft takes a member out"
            self.keeper.keep(MEMBER, event.call, member_to_plain(member))

    async def recover(self) -> int:
        """Go on with what a control process before this one left; returns how many calls do."""
        recovery = Recovery(self.services, self.endpoint, self.switchboard, self.attendant, self.registrations, self.places, self.calls)
        going_on = await recovery.run()
        for call in self.switchboard:
            self.gate.proved(call.state.sip.source_ip, self._ports.clock.now())  # was let in by the control before this one
        return going_on

    def _dialog_of(self, dialog: str) -> dict[str, Any] | None:
        """What the user agent knows of a leg, as plain data; None where nothing is left of it."""
        return self.endpoint.user_agent.snapshot(dialog)

    def _on_queue_event(self, event: QueueEvent) -> None:
        self.switchboard.on_queue_event(event)
        self.evacuation.on_queue_event(event)
        self.metrics.count("queue_events", kind=_KINDS[type(event)], reason=event.reason.value if isinstance(event, MemberLeft) else "")

    async def drain(self, *, within_s: float) -> None:
        """Take no new work; return when the last call has ended, or has been ended because the time is over.

        May be called again with another time; the one before is then to be cancelled.
        """
        self.attendant.draining = True
        self._drained_at = self._ports.clock.now() + within_s
        log.info("draining", calls=len(self.switchboard), limit_s=within_s)
        self.tasks.spawn(self.evacuation.begin(), name="evacuation")
        if not await self.calls.drain(within_s=within_s):
            log.warning("the time to drain is over", calls=len(self.switchboard))
            await self._hang_up_all("drain-deadline")

    async def close(self) -> None:
        """Hang up what is left, deliver what can be delivered shortly, and end every task."""
        self.attendant.draining = True
        await self._hang_up_all("platform-ends")
        await self.keeper.kept()  # with it go the answers that wait for it
        await self.tasks.drain(within_s=GOODBYE_S)
        for owner in (self.calls, self.tasks, self.chores):
            await owner.close()
        self.places.close()
        self._load.close()

    async def _hang_up_all(self, reason: str) -> None:
        for call in self.switchboard:
            call.interrupt(Ended(status=CallStatus.COMPLETED, reason=reason, by_peer=False))
        await self.calls.drain(within_s=GOODBYE_S)

    def _drain_left_s(self) -> float:
        return 0.0 if self._drained_at is None else max(0.0, self._drained_at - self._ports.clock.now())


_KINDS = {MemberJoined: "joined", MemberResumed: "resumed", MemberClaimed: "claimed", MemberReleased: "released", MemberLeft: "left"}


def _summed(stats: list[dict[str, float]]) -> dict[str, float]:
    return {name: sum(one.get(name, 0.0) for one in stats) for name in MEDIA_COUNTS}


def _gate(config: Config, now: float) -> Gate:
    limits = GateLimits(stranger_rate=config.sip_stranger_rate, peer_rate=config.sip_peer_rate, block_s=config.sip_block_s)
    return Gate(limits, exempt=(*config.sip_trust, *config.sip_unlimited), now=now)


def _check_inline(text: str) -> None:
    """Raise DocumentError where an inline document cannot be run."""
    document.parse(text.encode(), "text/xml", url="")
