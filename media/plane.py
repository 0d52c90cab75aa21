"""What the bridge sees of the media plane: legs that play, relay and report.

A :class:`MediaPlane` is control's side. It owns no socket of a call and no audio: each :class:`MediaLeg` is a handle on a row in the
table of one media worker, and every method of it is one message (see ``messages.py``) to that worker. The same messages go to worker
processes over sockets (``worker_link.py``) and to a table in memory (``memory.py``, virtual time); the plane cannot tell which.

Commands are sent and not awaited; only opening a leg and bridging two have an answer worth waiting for, within a deadline. What a leg
has to say comes to its ``listener``, in order; a listener must not block. ``leg.through`` is the newest token that has ended, so that
who comes late still sees it: ``await leg.ended(token)`` may be called before or after the fact.

A leg that the successor of its worker cannot go on with is opened again, with what it was told (``reopening``), on another port; the
listener hears ``LegMoved`` and tells the peer. Only where that fails it is lost.

Workers fill up evenly; ``near`` opens a leg beside its partner, so that a bridge stays in one process. Two legs that live apart are
brought together by handing one of them over, sockets and all, before the bridge.
"""

from __future__ import annotations

import asyncio
import base64
import os
import random
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple, Protocol

from waitline.errors import BridgeError, MediaUnavailable
from waitline.media.messages import (
    AskStats,
    Bridge,
    Bridged,
    ClipEnded,
    CloseLeg,
    Command,
    Digit,
    Dump,
    Dumped,
    HandedOver,
    HandOver,
    LegGone,
    LegState,
    Opened,
    OpenFailed,
    OpenLeg,
    Play,
    PlayNext,
    Report,
    Segment,
    SendDigits,
    SetKeys,
    SetMedia,
    StartAudio,
    Stats,
    TakeOver,
    Unbridge,
    recent_digits,
)
from waitline.media.reopening import Said


class LegLost(NamedTuple):
    """The worker of the leg died, and none could go on with the leg: its ports and sound are gone. The last thing a listener hears."""

    leg: int
    reason: str


class LegMoved(NamedTuple):
    """The leg had to be opened again: it has other ports than the peer knows."""

    leg: int


Listener = Callable[[Report | LegLost | LegMoved], None]


class WorkerLink(Protocol):
    """One media worker, wherever it runs."""

    def attach(self, on_reports: Callable[[list[Report], list[int]], None], on_lost: Callable[[str], None]) -> None:
        """Say where reports (with the file descriptors that came with them) and the worker's end go. Called once, before all else."""
        ...

    async def ready(self) -> None:
        """Start the worker if it does not run yet; MediaUnavailable if it cannot be."""
        ...

    def send(self, commands: Sequence[Command], descriptors: Sequence[int] = ()) -> None:
        """Pass commands on, in order, without blocking. Descriptors are the caller's to close afterwards."""
        ...

    async def close(self) -> None:
        """End the worker."""
        ...


def _deaf(_report: Report | LegLost | LegMoved) -> None:
    """The listener of a leg that has none yet."""


class MediaLeg:
    """One party's media: a port of ours, what we play to it, and what it tells us. Made by ``MediaPlane.open_leg``."""

    def __init__(self, plane: MediaPlane, leg: int, worker: int, host: str) -> None:
        self.id = leg
        self.worker = worker
        self.host = host
        """The address media is received at, as configured; a wildcard must be replaced before it goes into an SDP body."""
        self.port = 0
        self.rtcp_port = 0
        self.listener: Listener = _deaf
        self.through = 0
        """The newest token that is through."""
        self.digit_number = 0
        """Of the newest key that was delivered."""
        self.closed = False
        self.said = Said()
        self.partner: MediaLeg | None = None
        """Of the bridge that was made last, if nothing ended it since"""
        self.claim = ""
        self._plane = plane
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []

    def set_media(
        self,
        *,
        codec: str,
        payload_type: int,
        dtmf_payload_type: int,
        host: str,
        port: int,
        rtcp_port: int = 0,
        direction: str = "sendrecv",
        latch_hosts: Iterable[str] = (),
    ) -> None:
        """Pass on what offer and answer agreed (after each of them): see messages.SetMedia for the fields."""
        self._send(
            SetMedia(
                self._plane.epoch, self.id, codec, payload_type, dtmf_payload_type, host, port, rtcp_port, direction, tuple(latch_hosts)
            )
        )

    def set_keys(self, suite: str, send_key: bytes, receive_key: bytes) -> None:
        """Encrypt what the leg sends and receives, before ``set_media`` of the same agreement; an empty suite: in the clear."""
        keys = [base64.b64encode(key).decode() for key in (send_key, receive_key)]
        self._send(SetKeys(self._plane.epoch, self.id, suite, *keys))

    def start(self) -> None:
        """Let audio flow: at ACK, or 500 ms after the 200. The peer's first RTP packet does the same."""
        self._send(StartAudio(self._plane.epoch, self.id))

    def play(self, segments: Iterable[Segment], *, report_after: int = 0) -> int:
        """Play from the leg's next slot on, instead of all that plays or waits; return the token reported after so many segments."""
        token = self._plane.next_token()
        self._send(Play(self._plane.epoch, self.id, token, tuple(segments), report_after))
        return token

    def play_next(self, segments: Iterable[Segment], *, report_after: int = 0) -> int:
        """Play as soon as what is still to be reported has ended, with no frame between; return the token."""
        token = self._plane.next_token()
        self._send(PlayNext(self._plane.epoch, self.id, token, tuple(segments), report_after))
        return token

    def send_digits(self, text: str) -> int:
        """Send RFC 4733 digits (``w`` pauses 0.5 s, ``W`` 1 s); what plays waits meanwhile. Return the token of their end."""
        token = self._plane.next_token()
        self._send(SendDigits(self._plane.epoch, self.id, token, text))
        return token

    def stop(self) -> None:
        """Play silence."""
        self.play(())

    def close(self) -> None:
        """Give the leg back; its ports drain before they are used again. Nothing is reported any more. May be called twice."""
        if not self.closed:
            self._send(CloseLeg(self._plane.epoch, self.id))
            self._plane.forget(self)
            self.end("closed")

    async def ended(self, token: int) -> None:
        """Wait until the token is through. The caller sets the deadline; MediaUnavailable when the leg is closed or lost first."""
        if self.through >= token:
            return
        if self.closed:
            raise MediaUnavailable(f"leg {self.id} is closed")
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((token, future))
        await future

    def deliver(self, report: Report) -> None:
        """Take a report from the plane."""
        if isinstance(report, ClipEnded):
            self.through = max(self.through, report.token)
            self.said.through(report.token)
            self._wake()
        elif isinstance(report, Digit):
            if report.number <= self.digit_number:  # told again after a take-over
                return
            self.digit_number = report.number
        self.listener(report)

    def end(self, reason: str) -> None:
        """Take note (from the plane) that the leg is no more: whoever waits for a token is told."""
        self.closed = True
        self.part()
        waiting, self._waiting = self._waiting, []
        for _, future in waiting:
            if not future.done():
                future.set_exception(MediaUnavailable(f"leg {self.id}: {reason}"))

    def part(self) -> None:
        """Forget the partner."""
        partner, self.partner = self.partner, None
        if partner is not None and partner.partner is self:
            partner.partner = None

    def _wake(self) -> None:
        ready = [future for token, future in self._waiting if token <= self.through]
        self._waiting = [(token, future) for token, future in self._waiting if token > self.through]
        for future in ready:
            if not future.done():
                future.set_result(None)

    def _send(self, command: Command) -> None:
        if not self.closed:
            self.said.note(command)
            self._plane.send(self, command)


def _read_before(state: LegState, waiting: list[Report]) -> int:
    """The newest key that waits for nobody any more."""
    return min((report.number for report in waiting if isinstance(report, Digit)), default=state.digit_number + 1) - 1


class MediaPlane:
    """All media workers of this control."""

    def __init__(
        self, links: Sequence[WorkerLink], *, host: str, random: random.Random, epoch: int = 1, deadline_s: float = 5.0, first_leg: int = 1
    ) -> None:
        self.epoch = epoch
        self._links = links
        self._host = host
        self._random = random
        self._deadline_s = deadline_s
        self._legs: dict[int, MediaLeg] = {}
        self._load = [0] * len(links)
        self._losses = 0
        """Workers lost so far"""
        self._next_leg = first_leg
        self._token = epoch << 32  # larger than any token of a control before this one
        self._survey: list[tuple[int, LegState]] = []
        self._surveying = False
        self._unclaimed: dict[int, list[Report]] = {}
        """What legs reported that nobody has adopted yet"""
        self._answers: dict[tuple[str, int], list[asyncio.Future[Report]]] = {}
        """Who waits for which report about which leg"""
        self._descriptors: dict[int, list[int]] = {}
        self._held_back: dict[int, list[Command]] = {}
        self._reopening: dict[int, asyncio.TimerHandle] = {}
        """Legs that are being opened again, with their deadline"""
        for index, link in enumerate(links):
            link.attach(partial(self._on_reports, index), partial(self._on_lost, index))

    @property
    def stats(self) -> dict[str, float]:
        """What control itself knows: legs open, per worker and in all."""
        return {"legs": len(self._legs), **{f"legs_worker_{index}": load for index, load in enumerate(self._load)}}

    def reserve(self) -> int:
        """A number for a leg that is to be opened: kept before, it tells whose leg it is that a survey finds."""
        self._next_leg += 1
        return self._next_leg - 1

    async def open_leg(self, *, near: MediaLeg | None = None, number: int = 0) -> MediaLeg:
        """Bind the ports of a new leg and return it; MediaUnavailable when no port or no worker is left, or the deadline passes.

        ``number``: one that was reserved.
        """
        number, losses = number or self.reserve(), self._losses
        try:
            return await self._open_leg(near, number)
        except MediaUnavailable:
            if losses == self._losses:
                raise
        return await self._open_leg(near, number)  # a worker was lost meanwhile: there are others, or a new one

    async def _open_leg(self, near: MediaLeg | None, number: int) -> MediaLeg:
        worker = near.worker if near is not None and not near.closed else self._load.index(min(self._load))
        leg = MediaLeg(self, number, worker, self._host)
        self._legs[leg.id] = leg
        self._load[worker] += 1
        try:
            await self._links[worker].ready()
            await self._open(leg)
        except BaseException:  # cancelled, late or refused: the worker must not keep what nobody holds
            leg.close()
            raise
        return leg

    async def survey(self) -> list[tuple[int, LegState]]:
        """Ask every worker for the legs it has, which a control before this one opened: (worker, leg) each."""
        self._survey, self._surveying, self._unclaimed = [], True, {}
        for index, link in enumerate(self._links):
            await link.ready()
            future = self._expect(Dumped.__name__, -1 - index)
            link.send([Dump(self.epoch)])
            await self._answer(future, Dumped.__name__, -1 - index)
        self._surveying = False
        self._unclaimed = {state.leg: self._unclaimed.get(state.leg, []) for _, state in self._survey}
        return self._survey

    def adopt(self, worker: int, state: LegState, *, digits_kept: int | None = None) -> MediaLeg:
        """Go on with a leg that a survey found.

        What it reported while nobody was in control (a key, the end of a clip) has waited in the link; its listener, set before the
        loop's next turn, is told then. Before that it is told the keys that the control before had read and not kept: those after
        ``digits_kept`` (None: it is not known, and all that were read count as kept).
        """
        leg = MediaLeg(self, state.leg, worker, self._host)
        leg.port, leg.rtcp_port, leg.through = state.port, state.rtcp_port, state.token
        self._legs[leg.id] = leg
        self._load[worker] += 1
        self._next_leg = max(self._next_leg, leg.id + 1)
        waiting = self._unclaimed.pop(leg.id, [])
        leg.digit_number = _read_before(state, waiting) if digits_kept is None else digits_kept
        for report in [*recent_digits(state), *waiting]:
            asyncio.get_running_loop().call_soon(leg.deliver, report)
        return leg

    def lost(self, number: int) -> MediaLeg:
        """A handle on a leg that no worker has any more: everything said to it goes nowhere."""
        leg = MediaLeg(self, number, 0, self._host)
        leg.end("no worker has it")
        return leg

    async def bridge(self, a: MediaLeg, b: MediaLeg, claim: str) -> None:
        """Relay between two legs; returns when the worker has said Bridged. MediaUnavailable if a leg is gone or the deadline passes."""
        if a.closed or b.closed:
            raise MediaUnavailable("a leg of the bridge is closed")
        if a is b:
            raise BridgeError(f"leg {a.id} cannot be bridged with itself")
        if a.worker != b.worker:
            await self._move(b, a.worker)
        for leg in (a, b):
            leg.part()
            leg.claim = claim
        a.partner, b.partner = b, a
        await self._ask(a, Bridge(self.epoch, a.id, b.id, claim), Bridged.__name__)

    def unbridge(self, leg: MediaLeg) -> None:
        """End the relay of a leg and its partner; both play silence until told otherwise."""
        leg.part()
        if not leg.closed:
            self.send(leg, Unbridge(self.epoch, leg.id))

    async def leg_stats(self, leg: MediaLeg) -> dict[str, float]:
        """Ask the worker what it counted for a leg: packets, loss, jitter, round trip."""
        report = await self._ask(leg, AskStats(self.epoch, leg.id), Stats.__name__)
        return report.values if isinstance(report, Stats) else {}

    async def worker_stats(self) -> list[dict[str, float]]:
        """Ask each worker that runs for its own counters."""
        found: list[dict[str, float]] = []
        for index, link in enumerate(self._links):
            if self._load[index]:
                future = self._expect(Stats.__name__, -1 - index)
                link.send([AskStats(self.epoch, 0)])
                report = await self._answer(future, Stats.__name__, -1 - index)
                found.append(report.values if isinstance(report, Stats) else {})
        return found

    async def close(self) -> None:
        """Close all legs and end the workers."""
        for leg in list(self._legs.values()):
            leg.close()
        for link in self._links:
            await link.close()

    def next_token(self) -> int:
        """Return a new token; tokens grow, so that the newest of a leg stands for all before it."""
        self._token += 1
        return self._token

    def send(self, leg: MediaLeg, command: Command) -> None:
        """Pass a command to the leg's worker, or keep it while the leg is between two workers."""
        held_back = self._held_back.get(leg.id)
        if held_back is not None and not isinstance(command, HandOver | TakeOver):
            held_back.append(command)
        else:
            self._links[leg.worker].send([command])

    def forget(self, leg: MediaLeg) -> None:
        """Drop a leg that closed."""
        self._opened_again(leg)
        if self._legs.pop(leg.id, None) is not None:
            self._load[leg.worker] -= 1

    def _new(self, leg: MediaLeg) -> OpenLeg:
        numbers = self._random
        return OpenLeg(self.epoch, leg.id, numbers.getrandbits(32), numbers.getrandbits(15), numbers.getrandbits(32))

    async def _open(self, leg: MediaLeg) -> None:
        report = await self._ask(leg, self._new(leg), Opened.__name__)
        if not isinstance(report, Opened):
            raise MediaUnavailable(report.reason if isinstance(report, OpenFailed) else f"leg {leg.id} was not opened")
        leg.port, leg.rtcp_port = report.port, report.rtcp_port

    def _reopen(self, leg: MediaLeg, why: str) -> None:
        """Open a leg again where its worker lives, and say all that it was told; where nothing was agreed yet it is lost."""
        if not leg.port:  # it is being opened for the first time: the answer to that decides
            return
        commands = leg.said.again()
        if not commands or leg.id in self._reopening or leg.id in self._held_back:
            self._lose(leg, why)
            return
        if (partner := leg.partner) is not None and partner.worker == leg.worker:
            commands.append(Bridge(self.epoch, leg.id, partner.id, leg.claim))
        self._reopening[leg.id] = asyncio.get_running_loop().call_later(self._deadline_s, self._lose, leg, why)
        self._links[leg.worker].send([self._new(leg), *commands])

    def _reopened(self, leg: MediaLeg, report: Opened | OpenFailed) -> None:
        self._opened_again(leg)
        if isinstance(report, OpenFailed):
            self._lose(leg, report.reason)
        elif (report.port, report.rtcp_port) != (leg.port, leg.rtcp_port):
            leg.port, leg.rtcp_port = report.port, report.rtcp_port
            leg.listener(LegMoved(leg.id))

    def _opened_again(self, leg: MediaLeg) -> None:
        if (deadline := self._reopening.pop(leg.id, None)) is not None:
            deadline.cancel()

    async def _move(self, leg: MediaLeg, worker: int) -> None:
        """Hand a leg over to another worker; its sockets travel through control, its packets wait in them."""
        await self._links[worker].ready()
        try:
            report = await self._ask(leg, HandOver(self.epoch, leg.id), HandedOver.__name__, hold_back=True)
            future = self._take_over(leg, worker, report)
        except BaseException:  # half way between two workers: of no use to anybody
            self._held_back.pop(leg.id, None)
            leg.close()
            raise
        for command in self._held_back.pop(leg.id, []):
            self._links[worker].send([command])
        await self._answer(future, Opened.__name__, leg.id)

    def _take_over(self, leg: MediaLeg, worker: int, report: Report) -> asyncio.Future[Report]:
        descriptors = self._descriptors.pop(leg.id, [])
        try:
            if not isinstance(report, HandedOver):
                raise MediaUnavailable(f"leg {leg.id} could not be moved")
            future = self._expect(Opened.__name__, leg.id)
            self._links[worker].send([TakeOver(self.epoch, leg.id, report.row)], descriptors)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        if leg.id in self._legs:
            self._load[leg.worker] -= 1
            self._load[worker] += 1
        leg.worker = worker
        return future

    async def _ask(self, leg: MediaLeg, command: Command, answer: str, *, hold_back: bool = False) -> Report:
        future = self._expect(answer, leg.id)
        self.send(leg, command)
        if hold_back:
            self._held_back[leg.id] = []
        return await self._answer(future, answer, leg.id)

    def _expect(self, answer: str, leg: int) -> asyncio.Future[Report]:
        future: asyncio.Future[Report] = asyncio.get_running_loop().create_future()
        self._answers.setdefault((answer, leg), []).append(future)
        return future

    async def _answer(self, future: asyncio.Future[Report], answer: str, leg: int) -> Report:
        """Wait for an answer, which may be the answer to others as well."""
        timer = asyncio.get_running_loop().call_later(self._deadline_s, _expire, future)
        try:
            return await future
        except TimeoutError as error:
            raise MediaUnavailable(f"leg {leg}: no {answer} from the media worker within {self._deadline_s} s") from error
        finally:
            timer.cancel()
            self._expect_no_more(future, answer, leg)

    def _expect_no_more(self, future: asyncio.Future[Report], answer: str, leg: int) -> None:
        """Forget who waits no longer without having been answered."""
        waiting = self._answers.get((answer, leg))
        if waiting is not None and future in waiting:
            waiting.remove(future)
            if not waiting:
                del self._answers[answer, leg]

    def _on_reports(self, worker: int, reports: list[Report], descriptors: list[int]) -> None:
        for report in reports:
            if isinstance(report, HandedOver) and (HandedOver.__name__, report.leg) in self._answers:
                self._descriptors[report.leg], descriptors = descriptors, []
            if isinstance(report, LegState):
                self._survey.append((worker, report))
            self._resolve(worker, report)
            number = getattr(report, "leg", 0)
            leg = self._legs.get(number)
            if leg is not None and isinstance(report, LegGone):
                self._reopen(leg, report.reason)
            elif leg is not None and isinstance(report, Opened | OpenFailed) and number in self._reopening:
                self._reopened(leg, report)
            elif leg is not None:
                leg.deliver(report)
            elif (self._surveying or number in self._unclaimed) and not isinstance(report, LegState):
                self._unclaimed.setdefault(number, []).append(report)
        for descriptor in descriptors:  # of a leg that nobody waits for any more
            os.close(descriptor)

    def _resolve(self, worker: int, report: Report) -> None:
        leg = getattr(report, "leg", 0) or -1 - worker
        name = Opened.__name__ if isinstance(report, OpenFailed) else type(report).__name__
        for future in self._answers.pop((name, leg), ()):
            if not future.done():
                future.set_result(report)

    def _on_lost(self, worker: int, why: str) -> None:
        self._losses += 1
        self._fail(-1 - worker, why)
        for leg in [leg for leg in self._legs.values() if leg.worker == worker]:
            self._lose(leg, why)

    def _lose(self, leg: MediaLeg, why: str) -> None:
        self.forget(leg)
        leg.end(why)
        self._fail(leg.id, why)
        leg.listener(LegLost(leg.id, why))

    def _fail(self, leg: int, why: str) -> None:
        for key in [key for key in self._answers if key[1] == leg]:
            for future in self._answers.pop(key):
                if not future.done():
                    future.set_exception(MediaUnavailable(why))


def _expire(future: asyncio.Future[Report]) -> None:
    if not future.done():
        future.set_exception(TimeoutError())
