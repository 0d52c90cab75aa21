"""The session timer (RFC 4028): a dialog whose refreshes stop has lost its peer, though nobody ever said BYE.

The peer's INVITE or UPDATE says for how long a session may go unrefreshed (``Session-Expires``), or says at least that it could keep such a
timer (``Supported: timer``): then we propose ours. Our 2xx names the interval and who refreshes: the peer if it can, for its network may
have forgotten the way to it, else we. Whoever refreshes does so at half the interval; when that has not happened shortly before its end,
the session is over (§10) and ``SessionExpired`` is emitted; hanging up is the owner's part.

We refresh by an UPDATE without a body where the peer allows it; else ``RefreshDue`` asks the owner for a re-INVITE, since only it has the
description. A refresh that is refused or finds another offer open is tried again, until the end; 408 and 481 are the end at once (§10).

Times are monotonic seconds; ``to_plain`` is JSON-able, and another process goes on with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from waitline.bridge.sip.context import Context
from waitline.bridge.sip.events import RefreshDue, SessionExpired
from waitline.bridge.sip.message import Message, Request, Response
from waitline.bridge.sip.timers import Timer
from waitline.errors import SipError

if TYPE_CHECKING:
    from waitline.bridge.sip.session import Session

MIN_S = 90
"""The shortest interval anybody may ask for (§5)."""
MARGIN_S = 32.0
"""So long before the end of the interval, or a third of it, who waits for a refresh gives up (§10)."""
RETRY_S = 10.0
GONE = (408, 481)

Header = tuple[str, str]


class Terms(NamedTuple):
    """What our 2xx will agree to."""

    interval_s: int
    ours: bool
    """Whether we refresh"""
    understood: bool
    """Whether the peer knows session timers at all; a proxy may have asked for one"""
    updates: bool
    """Whether the peer allows UPDATE"""


def interval_of(message: Message) -> int | None:
    """The seconds of Session-Expires, None where there is none. SipError 400 for one that is no number."""
    text = message.headers.get("Session-Expires")
    if text is None:
        return None
    digits = text.partition(";")[0].strip()
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 10):
        raise SipError(f"Session-Expires is no number of seconds: {text[:40]!r}", status=400)
    return int(digits)


def is_too_small(request: Request) -> bool:
    """Whether the peer asks for an interval that we refuse with 422 (§8.1): only who knows session timers can ask again."""
    interval_s = interval_of(request)
    return interval_s is not None and interval_s < MIN_S and _understands(request)


def terms_of(request: Request, proposed_s: int) -> Terms | None:
    """What to agree to in the 2xx (§9); None where the session has no timer. ``proposed_s``: where the peer leaves it to us; 0: none."""
    asked_s, understood = interval_of(request), _understands(request)
    if asked_s is None and not (understood and proposed_s):
        return None
    refresher = _refresher(request)
    ours = refresher == "uas" or not understood
    updates = ours and "UPDATE" in (request.headers.get("Allow") or "").upper()
    return Terms(max(MIN_S, _at_least(request), asked_s or proposed_s), ours, understood, updates)


def _understands(message: Message) -> bool:
    return any("timer" in (message.headers.get(name) or "").lower() for name in ("Supported", "Require"))


def _refresher(message: Message) -> str:
    for parameter in (message.headers.get("Session-Expires") or "").lower().split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip() == "refresher":
            return value.strip()
    return ""


def _at_least(request: Request) -> int:
    digits = (request.headers.get("Min-SE") or "").partition(";")[0].strip()
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 10 else 0


class SessionTimer:
    """The running timer of one leg; a new one is made at each refresh."""

    __slots__ = ("_armed", "_context", "_end_at", "_ours", "_refresh_at", "_session", "_updates", "exchange", "interval_s")

    def __init__(self, context: Context, session: Session, terms: Terms, now: float) -> None:
        self._context = context
        self._session = session
        self.interval_s = terms.interval_s
        self._ours = terms.ours
        self._updates = terms.updates
        self._refresh_at = now + self.interval_s / 2
        self._end_at = now + self.interval_s - min(MARGIN_S, self.interval_s / 3)
        self.exchange = ""
        """The refresh that is under way."""
        self._armed: Timer | None = None
        self._arm()

    def _arm(self) -> None:
        due = min(self._refresh_at, self._end_at) if self._ours else self._end_at
        self._armed = self._context.queue.arm(due, self._ring)

    def stop(self) -> None:
        """Never ring."""
        if self._armed is not None:
            self._armed.cancel()

    def headers(self) -> list[Header]:
        """What a refresh of ours says (§7.1)."""
        return [("Session-Expires", f"{self.interval_s};refresher={'uac' if self._ours else 'uas'}"), ("Min-SE", str(MIN_S))]

    def _ring(self, now: float) -> None:
        if now >= self._end_at:
            self.give_up()
            return
        self._refresh_at = now + RETRY_S
        self._arm()
        if self._updates:
            self.exchange = self._session.refresh(now)
        else:
            self._context.emit(RefreshDue(dialog=self._session.dialog.handle))

    def give_up(self) -> None:
        """The session is over."""
        self.stop()
        self._context.emit(SessionExpired(dialog=self._session.dialog.handle))

    def refreshed(self, response: Response, now: float) -> SessionTimer | None:
        """The timer that a 2xx to our refresh begins (§7.2); None where the peer wants none any more."""
        self.stop()
        try:
            interval_s = interval_of(response)
        except SipError:  # it agreed to something: to what we said
            interval_s = self.interval_s
        if interval_s is None:
            return None
        ours = _refresher(response) != "uas"
        terms = Terms(max(MIN_S, interval_s), ours, True, self._updates)
        return SessionTimer(self._context, self._session, terms, now)

    def to_plain(self) -> dict[str, Any]:
        """Everything, JSON-able."""
        return {
            "interval": self.interval_s,
            "ours": self._ours,
            "updates": self._updates,
            "refresh_at": self._refresh_at,
            "end_at": self._end_at,
        }

    @classmethod
    def restore(cls, context: Context, session: Session, plain: dict[str, Any], now: float) -> SessionTimer:
        """Go on with the timer of another process; on a machine that was started anew it begins again."""
        timer = cls(context, session, Terms(plain["interval"], plain["ours"], True, plain["updates"]), now)
        timer.stop()
        timer._refresh_at = min(timer._refresh_at, plain["refresh_at"])
        timer._end_at = min(timer._end_at, plain["end_at"])
        timer._arm()
        return timer


def agreed(terms: Terms) -> list[Header]:
    """The header fields of the 2xx (§9)."""
    required = [("Require", "timer")] if terms.understood else []
    return [*required, ("Session-Expires", f"{terms.interval_s};refresher={'uas' if terms.ours else 'uac'}")]
