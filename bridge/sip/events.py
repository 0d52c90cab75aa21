"""What the SIP core tells the layers above it, one frozen dataclass per fact, and the one effect it asks of the shell: ``Send``.

``dialog`` in every event is the handle that the user agent gives to one call leg: an opaque string, valid from the INVITE (before any tag
exists on the wire) to ``DialogEnded`` or ``forget``. ``exchange`` names a request that we sent, ``transaction`` a request that waits for
our answer. Facts about queues and calls are in ``waitline.bridge.events``.

After ``InviteReceived`` exactly one of these ends the setting-up: ``InviteCancelled``, the owner's ``reject``, or the owner's ``answer``
followed by ``AckReceived`` or ``AckTimedOut``. After ``CallAnswered`` or ``answer`` exactly one ``DialogEnded`` follows when the peer says
BYE; our own ``bye`` is confirmed by ``ResponseReceived`` or ``ExchangeTimedOut``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from waitline.bridge.sip.flow import Flow
from waitline.bridge.sip.message import Request, Response


class Send(NamedTuple):
    """Put these octets on that flow."""

    flow: Flow
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class InviteReceived:
    """A new call asks to be set up (RFC 3261 §13.3)."""

    dialog: str
    request: Request
    flow: Flow


@dataclass(frozen=True, slots=True, kw_only=True)
class InviteCancelled:
    """The caller gave up before our final answer; the 487 has been sent and the handle is forgotten (RFC 3261 §9.2)."""

    dialog: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AckReceived:
    """Our 2xx arrived; ``body`` is the peer's answer if our 2xx held the offer, else empty (RFC 3261 §13.3.1.4)."""

    dialog: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class AckTimedOut:
    """No ACK for 64*T1 although the 2xx was resent all that time: the owner should say ``bye`` (RFC 3261 §13.3.1.4)."""

    dialog: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionExpired:
    """The session was not refreshed in time: the peer is gone, and the owner should say ``bye`` (RFC 4028 section 10)."""

    dialog: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshDue:
    """The session is ours to refresh and the peer takes no UPDATE: the owner should ``reinvite`` with the description as it is."""

    dialog: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferReceived:
    """A re-INVITE or UPDATE in the dialog awaits ``answer_offer`` or ``reject_offer``; an empty body asks for our offer."""

    dialog: str
    request: Request
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class InfoReceived:
    """An INFO in the dialog, already answered 200; ``content_type`` is lower case without parameters."""

    dialog: str
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class DialogEnded:
    """The dialog is over and its handle forgotten; ``cause`` is ``bye``, or what else ended it (``peer-gone``: 408 or 481 to a request)."""

    dialog: str
    request: Request | None
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseReceived:
    """The final response to a request that we sent; ``dialog`` is empty outside dialogs."""

    dialog: str
    exchange: str
    response: Response


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeTimedOut:
    """A request that we sent was never answered, or its flow broke (RFC 3261 §8.1.3.1: as good as a 408)."""

    dialog: str
    exchange: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterReceived:
    """A REGISTER awaits ``respond``."""

    transaction: str
    request: Request
    flow: Flow


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestReceived:
    """Any other request outside a dialog that the user agent does not answer by itself awaits ``respond``."""

    transaction: str
    request: Request
    flow: Flow


@dataclass(frozen=True, slots=True, kw_only=True)
class CallProgress:
    """A 101–199 response to our INVITE."""

    dialog: str
    response: Response


@dataclass(frozen=True, slots=True, kw_only=True)
class CallAnswered:
    """A 2xx to our INVITE, already acknowledged; a forked second one is ended without an event."""

    dialog: str
    response: Response


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFailed:
    """Our INVITE came to nothing; the handle is forgotten. ``response`` is None after a time-out (status 408) or a broken flow (503)."""

    dialog: str
    status: int
    response: Response | None


Event = (
    InviteReceived
    | InviteCancelled
    | AckReceived
    | AckTimedOut
    | SessionExpired
    | RefreshDue
    | OfferReceived
    | InfoReceived
    | DialogEnded
    | ResponseReceived
    | ExchangeTimedOut
    | RegisterReceived
    | RequestReceived
    | CallProgress
    | CallAnswered
    | CallFailed
)
