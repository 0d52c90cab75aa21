"""Whether a parsed message is one a user agent can rely on: the checks of RFC 3261 §8.1.1 and §8.2 that need no transaction.

``message.parse`` reads the frame, this module the contents. It touches every typed value the layers above use, so after it none of them
raises. The verdicts are those of RFC 4475; the judgement that goes with a good request (416, 420, 415, 483, 405) is the user agent's.

Tolerated, for RFC 2543 clients (RFC 4475 §3.4.1): no Max-Forwards, no From tag, no Contact in an INVITE.
"""

from __future__ import annotations

import re

from waitline.bridge.sip.message import MalformedRequest, Message, Request, Response
from waitline.errors import SipError

_ONCE = frozenset(("from", "to", "call-id", "cseq", "max-forwards", "content-length", "content-type"))
_DATE = re.compile(
    r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-3][0-9] (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [0-9]{4} "
    r"[0-2][0-9]:[0-5][0-9]:[0-6][0-9] GMT"
)


def validate_request(request: Request) -> None:
    """Raise MalformedRequest unless all that must be there is, and is sound.

    The request itself is the error's ``salvage`` if its Via can be read.
    """
    try:
        _check_request(request)
    except SipError as error:
        raise MalformedRequest(str(error), status=error.status, salvage=_answerable(request)) from error


def validate_response(response: Response) -> None:
    """Raise SipError unless the response can be matched to a transaction and used; a bad response is dropped (RFC 3261 §8.1.3)."""
    _check_common(response)


def _check_request(request: Request) -> None:
    _check_common(request)
    if request.cseq.method != request.method:
        raise SipError(f"CSeq is of {request.cseq.method[:32]}, the request of {request.method[:32]}")
    if request.request_uri.headers:
        raise SipError("the Request-URI holds header fields")  # RFC 3261 §19.1.1 forbids them there
    _ = request.max_forwards, request.routes
    if (date := request.headers.get("Date")) is not None and _DATE.fullmatch(date) is None:
        raise SipError(f"not a Date: {date[:40]!r}")


def _check_common(message: Message) -> None:
    if twice := _ONCE.intersection(message.headers.repeated):
        raise SipError(f"{min(twice)} is there more than once")
    _ = message.via, message.from_, message.to, message.cseq, message.contacts, message.record_routes
    if " " in (call_id := message.call_id) or "\t" in call_id:
        raise SipError(f"not a Call-ID: {call_id[:80]!r}")


def _answerable(request: Request) -> Request | None:
    try:
        return request if request.via.host else None
    except SipError:
        return None
