"""One leg: an INVITE session and its media leg, seen as one thing that rings, is answered, hangs up.

The SIP side is a dialog handle of the user agent, the media side a leg of the media plane; both tell the leg what happens by events, and
the leg tells its call only what concerns a call: a key, the end, that there is something to be kept. Everything durable is in ``state.sip``
and ``state.media``, and in ``to_plain``.

Audio starts at the ACK, at the first RTP packet, or 500 ms after the 200, whichever is first, so that greetings are not clipped
(RFC 3261 section 13.2.2.4 lets the peer's media path be ready only with its ACK).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from waitline.bridge.call.info_digits import digit_of
from waitline.bridge.call.interruption import Ended
from waitline.bridge.call.services import Services
from waitline.bridge.call.session import MediaSession, warning
from waitline.bridge.call.sound import Sound
from waitline.bridge.call.state import CallState, CallStatus
from waitline.bridge.net.endpoint import SipEndpoint
from waitline.bridge.sip import events as sip
from waitline.bridge.sip.flow import Flow
from waitline.bridge.sip.reason import is_failure
from waitline.errors import SipError
from waitline.media.messages import ClipEnded, Digit, Quiet, Report
from waitline.media.plane import LegLost, LegMoved, MediaLeg

_TELL_AGAIN_S = 1.5
_GONE_STATUSES = (404, 408, 410, 481)
"""Answers to a probe that mean the peer has no such call any more (RFC 3261 section 12.2.1.2, RFC 5057)."""


class Leg:
    """One peer of a call. ``on_end``, ``on_digit`` and ``on_change`` are the call's ears."""

    def __init__(
        self,
        state: CallState,
        services: Services,
        endpoint: SipEndpoint,
        flow: Flow,
        *,
        on_end: Callable[[Ended], None],
        on_digit: Callable[[str], None],
        on_change: Callable[[], None],
    ) -> None:
        self._state = state
        self._services = services
        self._endpoint = endpoint
        self._flow = flow
        self._on_end = on_end
        self._on_digit = on_digit
        self._on_change = on_change
        self._media: MediaLeg | None = None
        self._session: MediaSession | None = None
        self._sound: Sound | None = None
        self._answer_body = b""
        self._starter: asyncio.TimerHandle | None = None
        self._audio_at: float | None = None
        """When the starter fires; None: none runs"""
        self._probe = ""
        """The exchange of the OPTIONS that asks whether the peer is there; empty: none is under way"""
        self._probe_at = 0.0
        """Not to be asked before"""
        self._silent_since: float | None = None
        """When the peer was heard last, once it has been called quiet"""
        self._refreshing = ""
        """The exchange of the re-INVITE that refreshes the session"""
        self._teller: asyncio.TimerHandle | None = None
        """Tells the peer of our port, when nothing else is being negotiated"""
        self._over = False
        """The dialog is gone, or refused: nothing more is to be said to the peer."""

    @property
    def media(self) -> MediaLeg:
        assert self._media is not None, "open() comes first"
        return self._media

    @property
    def has_media(self) -> bool:
        return self._media is not None

    @property
    def sound(self) -> Sound:
        assert self._sound is not None, "open() comes first"
        return self._sound

    @property
    def answered(self) -> bool:
        return self._state.answered_at is not None

    @property
    def held(self) -> bool:
        """The peer has put us on hold: it wants no sound from us now."""
        return self._session is not None and self._session.direction in ("recvonly", "inactive")

    def prepare(self, offer: bytes) -> None:
        """Choose what the description will say but for the port: once this is kept, any control process makes the same answer."""
        facts = self._state.media
        facts.leg = self._services.plane.reserve()
        facts.session_id = self._services.random.getrandbits(31)
        facts.remote_sdp = offer.decode("utf-8", "surrogateescape")

    async def open(self) -> None:
        """Take a port, unless there is one, and settle the answer to an offer. Raises MediaUnavailable, SipError (488)."""
        if self._media is None:
            self._take(await self._services.plane.open_leg(number=self._state.media.leg))
        assert self._session is not None
        if self._state.media.remote_sdp:
            self._answer_body = self._session.answer(self._state.media.remote_sdp.encode("utf-8", "surrogateescape"))

    def to_plain(self) -> dict[str, Any]:
        """What of the leg is in no other record: the clips it may be playing, its session, when its audio starts, whether it was asked."""
        session = self._session.to_plain() if self._session else {"direction": "sendrecv"}
        return {
            "clips": self._sound.to_plain() if self._sound else [],
            "flow": self._flow.to_plain(),
            "audio_at": self._audio_at,
            "probe": self._probe,
            "refreshing": self._refreshing,
            "digit_number": self._media.digit_number if self._media else 0,
            "silent_since": self._silent_since,
            **session,
        }

    def adopt(self, media: MediaLeg, plain: dict[str, Any]) -> None:
        """Go on with a media leg that a control process before this one opened for the call."""
        self._take(media)
        if not media.closed:  # a lost leg plays nothing, and where its worker went with the whole tree the frames are gone too
            self.sound.adopt(plain["clips"])
        assert self._session is not None
        self._session.restore(plain)
        self._probe, self._refreshing = plain.get("probe", ""), plain.get("refreshing", "")
        self._silent_since = plain.get("silent_since")
        if self.answered:
            self._start_audio_at(plain.get("audio_at"))
        if self.answered and not self._refreshing:
            self._tell_of_port()

    def renew(self) -> None:
        """No worker has the media leg of this call, which nobody has answered: ``open`` takes another."""
        self._state.media.leg = self._services.plane.reserve()

    def _take(self, media: MediaLeg) -> None:
        facts = self._state.media
        if not media.closed:
            facts.leg, facts.worker = media.id, media.worker
            facts.host = facts.host or self._host(media)
            facts.port, facts.rtcp_port = media.port, media.rtcp_port
        self._media = media
        media.listener = self._on_report
        self._sound = Sound(media, self._services.clips)
        self._session = MediaSession(
            self._state.media,
            media,
            signalling_host=self._flow.remote[0],
            latch_any=self._services.config.rtp_latch_any,
            secure=self._flow.secure,
            random=self._services.random,
        )

    def ring(self) -> None:
        """180, while the tenant is asked; again by a control process that goes on, as nobody knows whether the first got out."""
        if not self.answered and not self._over:
            self._endpoint.do(lambda agent, now: agent.provisional(self._state.sip.dialog, 180, now=now))
            self._on_change()

    def answer(self) -> None:
        """200 with our description; idempotent."""
        if self.answered or self._over:
            return
        assert self._session is not None
        body = self._answer_body or self._session.offer()
        self._state.answered_at, self._state.answered_s = self._services.clock.utc(), self._services.clock.now()
        self._state.status = CallStatus.IN_PROGRESS
        self._endpoint.do(lambda agent, now: agent.answer(self._state.sip.dialog, body, now=now))
        self._start_audio_at(self._services.clock.now() + self._services.config.audio_start_s)

    def refuse(self, status: int, *, headers: tuple[tuple[str, str], ...] = ()) -> None:
        """A final answer other than 200; only before ``answer``."""
        if not self.answered and not self._over:
            self._over = True
            self._endpoint.do(lambda agent, now: agent.reject(self._state.sip.dialog, status, headers=headers, now=now))

    def abandon(self) -> None:
        """There is no dialog any more: nothing can be said to the peer."""
        self._over = True

    @property
    def over(self) -> bool:
        """Whether the peer is gone, or has been told that it is over."""
        return self._over

    def close(self) -> None:
        """Hang up if nobody has, and give the port back."""
        if self._teller:
            self._teller.cancel()
        if self._starter:
            self._starter.cancel()
        if not self._over:
            self._over = True
            self._say_goodbye()
        if self._sound:
            self._sound.close()
        if self._media:
            self._media.close()
            self._media = None

    # The SIP side

    def on_sip(self, event: sip.Event) -> None:
        """Take an event of this leg's dialog."""
        match event:
            case sip.InviteCancelled():
                self._gone(CallStatus.CANCELED, "caller-cancelled")
            case sip.AckReceived():
                self._acknowledged(event.body)
            case sip.AckTimedOut():
                self._on_end(Ended(status=CallStatus.FAILED, reason="ack-never-came", by_peer=False))
            case sip.SessionExpired():
                self._on_end(Ended(status=CallStatus.COMPLETED, reason="session-expired", by_peer=False, silent_s=self._silent_s()))
            case sip.RefreshDue():
                self._refresh()
            case sip.OfferReceived():
                self._offered(event.body)
            case sip.InfoReceived():
                self._information(event.content_type, event.body)
            case sip.DialogEnded():
                self._gone(CallStatus.COMPLETED, _how_ended(event))
            case sip.ResponseReceived() if event.exchange == self._refreshing:
                self._refreshed(event.response.body if event.response.status < 300 else b"", glare=event.response.status == 491)
            case sip.ExchangeTimedOut() if event.exchange == self._refreshing:
                self._refreshed(b"")
            case sip.ResponseReceived() if event.exchange == self._probe:
                self._probed(event.response.status)
            case sip.ExchangeTimedOut() if event.exchange == self._probe:
                self._probed(408)
            case _:
                pass
        self._on_change()

    def _gone(self, status: CallStatus, reason: str) -> None:
        self._over = True
        self._on_end(Ended(status=status, reason=reason, by_peer=True))

    def _acknowledged(self, body: bytes) -> None:
        assert self._session is not None
        if self._session.awaits_answer:
            try:
                self._session.accept(body)
            except SipError:
                self._on_end(Ended(status=CallStatus.FAILED, reason="no-usable-answer", by_peer=False))
                return
        self._start_audio()
        self._tell_of_port()

    def _offered(self, body: bytes) -> None:
        """A re-INVITE or UPDATE: a new answer, a fresh offer where it brought none, or a refusal that changes nothing."""
        dialog = self._state.sip.dialog
        assert self._session is not None
        try:
            answer = self._session.answer(body) if body else self._session.offer()
        except SipError as error:
            status, headers = error.status, warning(error)
            self._endpoint.do(lambda agent, now: agent.reject_offer(dialog, status, headers=headers, now=now))
            return
        self._endpoint.do(lambda agent, now: agent.answer_offer(dialog, answer, now=now))

    def _refresh(self) -> None:
        """Offer the session as it is (RFC 4028 section 7.4). While another offer is open, that one refreshes."""
        if self._session is None or self._session.awaits_answer:
            return
        dialog, body = self._state.sip.dialog, self._session.offer()
        self._refreshing = self._endpoint.do(lambda agent, now: agent.reinvite(dialog, body, now=now))
        if not self._refreshing:
            self._session.withdraw()

    def _refreshed(self, body: bytes, *, glare: bool = False) -> None:
        """The answer to a refresh, empty where there is none: what runs goes on, if the peer knows where. ``glare``: it offers too."""
        self._refreshing = ""
        assert self._session is not None
        offered = self._session.offered_our_port
        try:
            self._session.accept(body) if body else self._session.withdraw()
        except SipError:
            self._session.withdraw()
        if glare:  # RFC 3261 section 14.1: the Call-ID is the peer's, so we wait for less than 2 s; its own offer may do
            self._teller = asyncio.get_running_loop().call_later(_TELL_AGAIN_S, self._tell_of_port)
        elif offered and not self._session.names_our_port:
            self._on_end(Ended(status=CallStatus.FAILED, reason="media-lost", by_peer=False))
        else:
            self._tell_of_port()

    def _probed(self, status: int) -> None:
        self._probe = ""
        if status in _GONE_STATUSES:
            self._on_end(Ended(status=CallStatus.COMPLETED, reason="media-timeout", by_peer=False, silent_s=self._silent_s()))

    def _silent_s(self) -> float:
        """For how long the peer has been silent, where that has been noticed."""
        return 0.0 if self._silent_since is None else max(0.0, self._services.clock.now() - self._silent_since)

    def _information(self, content_type: str, body: bytes) -> None:
        digit = digit_of(content_type, body) if self._services.config.sip_info_digits else None
        if digit:
            self._on_digit(digit)

    def _host(self, media: MediaLeg) -> str:
        """The address the peer sends its sound to: what is advertised, what RTP is bound to, or the route's own address."""
        if self._services.config.advertised_host:
            return self._services.config.advertised_host
        wildcard = media.host in ("", "0.0.0.0", "::")
        return self._endpoint.advertised(self._flow)[0] if wildcard else media.host

    def _say_goodbye(self) -> None:
        dialog = self._state.sip.dialog
        if self.answered:
            self._endpoint.do(lambda agent, now: agent.bye(dialog, now=now))
        else:
            self._endpoint.do(lambda agent, now: agent.reject(dialog, 480, now=now))

    # The media side

    def _on_report(self, report: Report | LegLost | LegMoved) -> None:
        match report:
            case ClipEnded():
                self.sound.on_ended(report)
            case Digit():
                self._on_digit(report.digit)
            case LegMoved():
                self._moved()
            case LegLost():
                self._on_end(Ended(status=CallStatus.FAILED, reason="media-lost", by_peer=False))
            case Quiet():
                self._silent_since = self._services.clock.now() - report.seconds
                self._ask_whether_alive()
            case _:
                pass

    def _moved(self) -> None:
        """Our media leg is on another port: tell the peer, or answer with that one."""
        assert self._session is not None
        facts = self._state.media
        facts.port, facts.rtcp_port = self.media.port, self.media.rtcp_port
        if self.answered:
            self._tell_of_port()
        elif facts.remote_sdp:
            self._answer_body = self._session.answer(facts.remote_sdp.encode("utf-8", "surrogateescape"))
        self._on_change()

    def _tell_of_port(self) -> None:
        """Offer the port we are on, unless the peer knows; where another offer is open, when that one is done with."""
        if self._teller:
            self._teller.cancel()
            self._teller = None
        if self._session is None or self._over or self._refreshing or self._session.names_our_port:
            return
        self._refresh()
        if not self._refreshing:
            self._teller = asyncio.get_running_loop().call_later(_TELL_AGAIN_S, self._tell_of_port)

    def _start_audio_at(self, at: float | None) -> None:
        """Start the audio at that moment, seconds, monotonic; None: now."""
        if at is None:
            self._start_audio()
            return
        self._audio_at = at
        self._starter = asyncio.get_running_loop().call_later(max(0.0, at - self._services.clock.now()), self._start_audio)

    def _start_audio(self) -> None:
        if self._starter:
            self._starter.cancel()
        self._starter = self._audio_at = None
        if self._media:
            self._media.start()

    def _ask_whether_alive(self) -> None:
        # A caller on mute is a caller: only the dialog can tell whether the peer is gone. One question at a time, for it takes 32 s to
        # time out, and more often than that the worker says that the peer is quiet.
        now = self._services.clock.now()
        due = now >= self._probe_at
        if self.answered and due and not (self._over or self.held or self._probe):
            self._probe_at = now + self._services.config.quiet_probe_s
            self._probe = self._endpoint.do(lambda agent, now: agent.probe(self._state.sip.dialog, now=now))
            self._on_change()


def _how_ended(event: sip.DialogEnded) -> str:
    """One word for it: a BYE is the caller's, unless it says that the network hung up because it had lost the caller."""
    if event.cause != "bye":
        return event.cause
    dropped = event.request is not None and is_failure(event.request.headers.fields("Reason"))
    return "line-dropped" if dropped else "caller-hung-up"
