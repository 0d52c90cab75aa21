"""Provisional responses that must not get lost (RFC 3262): a caller that requires ``100rel`` acknowledges each of ours with PRACK.

One is under way at a time, resent from T1 on at doubling intervals; those that come meanwhile wait, the newest of them only, since each
says all that the ones before it said. What is never acknowledged ends the INVITE with 504 after 64*T1 (§3). A final response may overtake
what waits here: none of ours carries a description, so nothing depends on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from waitline.bridge.sip.context import Context
from waitline.bridge.sip.message import Request
from waitline.bridge.sip.outgoing import HeaderList
from waitline.bridge.sip.timers import Timer
from waitline.errors import SipError

if TYPE_CHECKING:
    from waitline.bridge.sip.invite import InviteServer

EXTENSION = "100rel"


def is_required(request: Request) -> bool:
    """Whether the caller wants nothing but reliable ones."""
    return "Require" in request.headers and EXTENSION in (tag.lower() for tag in request.headers.get_all("Require"))


def acknowledged_by(request: Request) -> tuple[int, int, str]:
    """The RAck of a PRACK: number of the response, number and method of the request it answers. SipError 400 (§7.2)."""
    number, cseq, method, *rest = [*(request.headers.get("RAck") or "").split(), "", "", ""][:4]
    if rest == [""] and number.isdecimal() and cseq.isdecimal() and method and max(len(number), len(cseq)) <= 10:
        return int(number), int(cseq), method
    raise SipError("RAck cannot be read", status=400)


class Reliable:
    """The reliable provisional responses of one INVITE to us."""

    __slots__ = ("_context", "_give_up_at", "_interval", "_next", "_resend", "_server", "_status", "number")

    def __init__(self, context: Context, server: InviteServer) -> None:
        self._context = context
        self._server = server
        self.number = 0
        """RSeq of the newest that was sent."""
        self._status = 0
        """Of the one that awaits its PRACK; 0: none does."""
        self._next: tuple[int, HeaderList, bytes] | None = None
        self._interval = self._give_up_at = 0.0
        self._resend: Timer | None = None

    def send(self, status: int, headers: HeaderList, body: bytes, now: float) -> None:
        """Send it, or remember it until the one before it is acknowledged."""
        if self._status:
            self._next = (status, tuple(headers), body)
            return
        self.number += 1
        self._status = status
        content = [*headers, ("Require", EXTENSION), ("RSeq", str(self.number))]
        self._server.respond(status, content, body, now)
        self._interval = self._context.timers.t1
        self._give_up_at = now + self._context.timers.transaction
        self._resend = self._context.queue.arm(now + self._interval, self._again)

    def awaits(self, number: int) -> bool:
        """Whether a PRACK for this one is awaited."""
        return bool(self._status) and number == self.number

    def acknowledged(self, now: float) -> None:
        """The PRACK came: what waited goes out."""
        self.stop()
        following, self._next = self._next, None
        if following is not None:
            self.send(*following, now)

    def stop(self) -> None:
        """Send it no more: it is acknowledged, or a final response makes it pointless."""
        self._status = 0
        if self._resend is not None:
            self._resend.cancel()
            self._resend = None

    def _again(self, now: float) -> None:
        if now >= self._give_up_at:
            self.stop()
            self._server.give_up(now)
            return
        self._server.transaction.respond(self._status, self._server.transaction.last, now)
        self._interval *= 2
        self._resend = self._context.queue.arm(min(now + self._interval, self._give_up_at), self._again)

    def to_plain(self) -> dict[str, Any]:
        """Everything, JSON-able."""
        following = self._next
        return {
            "number": self.number,
            "status": self._status,
            "interval": self._interval,
            "give_up_at": self._give_up_at,
            "next": None
            if following is None
            else [following[0], [list(header) for header in following[1]], following[2].decode("latin-1")],
        }

    @classmethod
    def restore(cls, context: Context, server: InviteServer, plain: dict[str, Any], now: float) -> Reliable:
        """Go on with what another process had sent: at once again, for nobody knows when it did."""
        reliable = cls(context, server)
        reliable.number, reliable._status, reliable._interval = plain["number"], plain["status"], plain["interval"]
        reliable._give_up_at = min(plain["give_up_at"], now + context.timers.transaction)
        if (following := plain["next"]) is not None:
            reliable._next = (following[0], tuple((name, value) for name, value in following[1]), following[2].encode("latin-1"))
        if reliable._status:
            reliable._resend = context.queue.arm(now, reliable._again)
        return reliable
