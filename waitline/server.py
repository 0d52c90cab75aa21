"""The control process: builds all parts of the platform from the settings, and owns everything that runs.

Started by the supervisor, which opens the listening sockets, keeps them, and passes them down. What cannot be started with ends here with
one line and exit code 2 (a setting, a port, the data folder); anything else that ends control ends the whole tree.

The order matters at both ends: sockets first, so that a port in use is told before the data folder is touched; then the data; then
workers; then the readers of the sockets, when everything behind them is there. At the end in reverse.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import random
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import NoReturn

import structlog
from aiohttp import web

from waitline import logs
from waitline.api import repeats, trail
from waitline.bridge.config import Address, Config, load_config
from waitline.bridge.net.self_signed import expires_at, self_signed
from waitline.bridge.net.sip_tls import TlsDoor
from waitline.bridge.store.store import log_failure, open_store
from waitline.bridge.store.writer import StoreFailure
from waitline.bridge.webhook.client import Limits, WebhookClient
from waitline.bridge.webhook.guard import HostGuard
from waitline.bridge.webhook.transport import AiohttpTransport
from waitline.clock import Clock, SystemClock
from waitline.connections import SupervisedConnections
from waitline.control import Control, Ports
from waitline.errors import BridgeError, ConfigError
from waitline.media.clip_maker import WorkerMaker
from waitline.media.clips import ClipLibrary
from waitline.media.frame_store import FrameStore, store_bytes
from waitline.media.plane import MediaPlane
from waitline.media.worker_link import MediaWorkers
from waitline.selfcheck import self_check
from waitline.supervision import EXIT_HANDED_OVER, Drain, End, HandOver, Reload, Supervision, SupervisionEvent, SupervisorGone, WorkerDied

EXIT_CONFIG = 2
FRAMES = "frames"
FRAME_BYTES = 320  # both codecs' 160
LAST_WORDS_S = 5.0
YOUNG_OBJECTS = 10_000  # before the garbage collector looks at them: about a millisecond

log = structlog.get_logger(__name__)


class Server:
    """The process around a Control."""

    def __init__(self, config: Config, supervision: Supervision) -> None:
        self._config = config
        self._supervision = supervision
        self._clock: Clock = SystemClock()
        self._orders: asyncio.Queue[SupervisionEvent] = asyncio.Queue()
        self._sip = supervision.listen_both(config.sip.host, config.sip.port, setting="WAITLINE_SIP")
        self._sips = self._listen_for_tls()
        self._tls: TlsDoor | None = None
        self._http = supervision.listen("tcp", config.http.host, config.http.port, setting="WAITLINE_HTTP")
        self._frames = FrameStore.on_fd(supervision.memfd(FRAMES, store_bytes(config.frame_store_mb * 1_000_000 // FRAME_BYTES)))
        self._maker = WorkerMaker()
        self._connections = SupervisedConnections(supervision)

    def _listen_for_tls(self) -> socket.socket | None:
        config = self._config
        if config.sip_tls_port is None:
            return None
        return self._supervision.listen("tcp", config.sip.host, config.sip_tls_port, setting="WAITLINE_SIP_TLS_PORT")

    async def run(self) -> int:
        """Serve until told to end; returns the exit code."""
        try:
            return await self._serve()
        finally:
            self._supervision.close()

    async def _serve(self) -> int:
        async with AsyncExitStack() as stack:
            control = await self._build(stack)
            await stack.enter_async_context(self._listening(control))
            _settle_memory()
            self._supervision.ready(http=_shown(self._http), sip=_shown(self._sip[0]))
            log.info("ready", http=_shown(self._http), sip=_shown(self._sip[0]), sips=_shown(self._sips) if self._sips else "")
            self._supervision.standby(on=self._config.standby)
            self._supervision.open_door(self._config.data)
            self._supervision.status_from(lambda: {"calls": len(control.switchboard)})
            return await self._obey(control)

    async def _build(self, stack: AsyncExitStack) -> Control:
        config = self._config
        store = await open_store(config, clock=self._clock, serve=True, on_failure=self._on_store_failure)
        stack.push_async_callback(store.close)
        self._supervision.attach(self._orders.put_nowait)
        plane = MediaPlane(self._media(store.epoch).links, host=config.rtp_host, random=random.SystemRandom(), epoch=store.epoch)
        stack.push_async_callback(plane.close)
        self._maker.attach(0, await self._supervision.spawn_async("clip", 0, memfd=FRAMES))
        clips = ClipLibrary(self._frames, self._maker, clock=self._clock)
        stack.push_async_callback(clips.close)
        transport = AiohttpTransport(
            guard=HostGuard(config.webhook_allow), tls=config.webhook_verify_tls, connections=config.webhook_connections
        )
        stack.push_async_callback(transport.close)
        webhooks = WebhookClient(transport=transport, clock=self._clock, limits=Limits.of(config))
        ports = Ports(
            clock=self._clock,
            config=config,
            random=random.SystemRandom(),
            store=store,
            plane=plane,
            clips=clips,
            webhooks=webhooks,
            realm=await store.realm(config.sip_realm),
            nonce_key=await store.nonce_key(),
            own_hosts=_own_hosts(config),
            connections=self._connections,
        )
        control = Control(ports)
        stack.push_async_callback(control.close)
        return control

    def _media(self, epoch: int) -> MediaWorkers:
        config = self._config
        return MediaWorkers(
            lambda index: self._supervision.spawn_async("media", index, memfd=FRAMES),
            config.media_workers or max(1, usable_cores() - 1),
            host=config.rtp_host,
            first_port=config.rtp_ports.first,
            last_port=config.rtp_ports.last,
            quiet_s=round(config.quiet_limit_s),
            epoch=epoch,
        )

    def _on_store_failure(self, failure: StoreFailure) -> None:
        """Say what is lost; a writer that is gone for good ends control, since nothing could be promised any more."""
        log_failure(failure)
        if type(failure.error) is BridgeError:
            log.error("the store is gone", why=str(failure.error))
            self._orders.put_nowait(End())

    @asynccontextmanager
    async def _listening(self, control: Control) -> AsyncIterator[None]:
        """Read the sockets for as long as the block takes."""
        control.endpoint.attach_udp(self._sip[0])
        control.endpoint.attach_tcp(self._sip[1], await self._connections.kept())
        await self._attach_tls(control)
        recovered = await control.recover()
        if recovered:
            log.info("recovered", calls=recovered)
        runner = web.AppRunner(control.app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await runner.setup()
        await web.SockSite(runner, self._http).start()
        control.endpoint.read()
        control.chores.spawn(control.registrations.sweep(), name="sweep of registrations")
        control.chores.spawn(repeats.sweep(control.services.store, self._clock), name="sweep of answers to repeatable requests")
        control.chores.spawn(
            trail.sweep(control.services.store, self._clock, days=self._config.audit_days, most=self._config.audit_entries),
            name="sweep of the audit log",
        )
        try:
            yield
        finally:
            await control.close()
            control.endpoint.close()
            await runner.cleanup()

    async def _attach_tls(self, control: Control) -> None:
        """Serve TLS. A certificate that went bad must not cost the calls of a control before us: then until a reload there is no TLS."""
        if self._sips is None:
            return
        try:
            self._tls = self._open_tls()
        except ConfigError as error:
            if not await self._supervision.living_async():
                raise
            log.error("no SIP over TLS until `waitline reload`", why=str(error))
        else:
            control.endpoint.attach_tls(self._sips, self._tls)

    def _open_tls(self) -> TlsDoor:
        """With the operator's certificate, or with one that is made here."""
        config = self._config
        certificate, key = config.sip_tls_certificate, config.sip_tls_key
        if certificate is None or key is None:
            certificate, key = self_signed(config.data, _own_hosts(config), self._clock.utc())
            log.warning("SIP over TLS shows a self-signed certificate", file=str(certificate), until=str(expires_at(certificate)))
        return TlsDoor(certificate, key, authorities=config.sip_tls_ca)

    def _reload(self, control: Control) -> None:
        """Read the certificate anew, and say what came of it; one that cannot be used changes nothing."""
        if self._sips is None:
            self._supervision.reloaded(ok=False, text="nothing to reload: WAITLINE_SIP_TLS_PORT is not set")
            return
        try:
            if self._tls is not None:
                self._tls.reload()
            else:
                self._tls = self._open_tls()
                control.endpoint.attach_tls(self._sips, self._tls)
                control.endpoint.read()
        except ConfigError as error:
            log.error("certificate not reloaded", why=str(error))
            self._supervision.reloaded(ok=False, text=f"the certificate stays as it is: {error}")
        else:
            log.info("certificate reloaded")
            self._supervision.reloaded(ok=True, text="new connections see the certificate that is on disk now")

    async def _obey(self, control: Control) -> int:
        """Do what the supervisor says until it says to end, or a drain is through."""
        drain: asyncio.Task[None] | None = None
        while True:
            order = asyncio.ensure_future(self._orders.get())
            await asyncio.wait({order, drain} if drain else {order}, return_when=asyncio.FIRST_COMPLETED)
            if not order.done():
                order.cancel()
                return 0
            match order.result():
                case Drain(deadline_s):
                    if drain is not None:  # another deadline counts from now on
                        drain.cancel()
                    within_s = self._config.drain_s if deadline_s is None else deadline_s
                    drain = asyncio.create_task(control.drain(within_s=within_s), name="drain")
                case End() | SupervisorGone():
                    if drain:
                        drain.cancel()
                    return 0
                case HandOver():
                    self._hand_over(control)
                case Reload():
                    self._reload(control)
                case WorkerDied() as death:
                    log.error("worker died", kind=death.kind, index=death.index, why=death.why)
                    await self._replace(death)
                case _:
                    pass

    def _hand_over(self, control: Control) -> NoReturn:
        """Leave everything to the next control: calls, legs and sockets stay as they are, and what is known of them is on disk.

        An orderly end would hang calls up, and a turn of the loop could change something that nobody writes any more. So this is a death,
        at a moment of our choosing.
        """
        log.info("handing over", calls=len(control.switchboard))
        through = control.keeper.last_words(within_s=LAST_WORDS_S)
        if not through:
            log.error("the last words were not written in time", within_s=LAST_WORDS_S)
        self._supervision.handed_over()
        self._supervision.close()
        sys.stderr.flush()
        os._exit(EXIT_HANDED_OVER)

    async def _replace(self, death: WorkerDied) -> None:
        if death.kind == "clip":
            self._maker.attach(death.index, await self._supervision.spawn_async("clip", death.index, memfd=FRAMES))
        # In the place of a media worker the supervisor has started another, which goes on with its calls.


def usable_cores() -> int:
    """Cores this process may use: affinity and the cgroup's quota counted."""
    cores = len(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return cores
    return cores if quota == "max" else max(1, min(cores, int(quota) // int(period)))


def _settle_memory() -> None:
    """Keep modules and settings out of later collections: a full one stopped every call for as long as it looked at them.

    And collect less often than every 700 objects: a call leaves some hundreds behind for the 32 s in which SIP may repeat itself, so that
    every second call was a collection which found nothing.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 10, 10)


def _shown(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return str(Address(host, port))


def _own_hosts(config: Config) -> frozenset[str]:
    names = {"localhost", config.sip.host, config.http.host, config.rtp_host, config.advertised_host}
    return frozenset(name.lower() for name in names if name)


def _settings(supervision: Supervision, file: Path | None) -> Config:
    """Read the settings; where they are at fault, one that is to take over by an upgrade says so, and everything stays as it is."""
    try:
        return load_config(file)
    except ConfigError as error:
        supervision.refuse(str(error))
        raise


def main(arguments: Sequence[str] | None = None) -> int:
    """Run control; returns the exit code."""
    parser = argparse.ArgumentParser(prog="waitline control")
    parser.add_argument("--config", type=Path, default=None)
    parser.add_argument("--standby", action="store_true", help="wait for the supervisor's word before anything is opened")
    options = parser.parse_args(arguments)
    try:
        supervision = Supervision.from_environment()
        config = _settings(supervision, options.config)
        logs.set_up(config.log_level, config.log_format)
        if options.standby and not supervision.await_go(partial(self_check, options.config)):
            return 0
        server = Server(config, supervision)
        return asyncio.run(server.run())
    except ConfigError as error:
        sys.stderr.write(f"waitline: {error}\n")
        return EXIT_CONFIG


if __name__ == "__main__":
    sys.exit(main())
