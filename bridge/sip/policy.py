"""What a user agent says of any request before anyone looks at its meaning (RFC 3261 §8.2): methods, extensions, schemes, bodies.

``refusal`` gives the first objection, or None. Max-Forwards is no business of a request's last station: RFC 4475 §3.3.11 has an endpoint
take a request whose count is used up.
"""

from __future__ import annotations

from typing import NamedTuple

from waitline.bridge.sip.message import Request
from waitline.bridge.sip.session_timer import MIN_S, is_too_small

METHODS = ("INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "INFO", "UPDATE", "PRACK", "REGISTER")
ALLOW = ", ".join(METHODS)
ACCEPT = "application/sdp"
EXTENSIONS = ("timer", "100rel")
DIALOG_METHODS = frozenset(("BYE", "INFO", "UPDATE", "PRACK"))
"""Methods that mean nothing outside a dialog."""
_SCHEMES = ("sip:", "sips:", "tel:")
_ACCEPTS_SDP = frozenset(("application/sdp", "application/*", "*/*"))


class Refusal(NamedTuple):
    """A final response and its header fields."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()


def capabilities() -> list[tuple[str, str]]:
    """What we tell about ourselves in 2xx responses and INVITEs."""
    return [("Allow", ALLOW), ("Accept", ACCEPT), ("Supported", "timer")]


def refusal(request: Request, further_methods: frozenset[str], *, secure: bool = False) -> Refusal | None:
    """The objection to a sound request, in the order of §8.2; ``further_methods`` are the owner's to answer.

    ``secure``: it came over TLS. What asks for ``sips`` and did not has been read on its way, so it is not served; not with the 416 that
    invites to try again in the clear (§8.1.3.5), but with the 480 of RFC 5630.
    """
    if request.method not in METHODS and request.method not in further_methods:
        return Refusal(405, (("Allow", ALLOW),))
    if not request.uri.lower().startswith(_SCHEMES):
        return Refusal(416)
    if not secure and request.uri[:5].lower() == "sips:":
        return Refusal(480, (("Warning", '399 waitline "sips needs TLS on every hop"'),))
    if "Require" in request.headers and (unknown := [tag for tag in request.headers.get_all("Require") if tag.lower() not in EXTENSIONS]):
        return Refusal(420, (("Unsupported", ", ".join(unknown)),))
    if request.method not in ("INVITE", "UPDATE"):
        return None
    if "Session-Expires" in request.headers and is_too_small(request):
        return Refusal(422, (("Min-SE", str(MIN_S)),))
    return _objection_to_body(request)


def _objection_to_body(request: Request) -> Refusal | None:
    """§8.2.3: an offer must be a session description, uncoded, and its answer must be acceptable."""
    if request.body and request.content_type and request.content_type != ACCEPT:
        return Refusal(415, (("Accept", ACCEPT),))
    if request.body and (request.headers.get("Content-Encoding") or "identity").lower() != "identity":
        return Refusal(415, (("Accept-Encoding", "identity"),))
    if "Accept" in request.headers:
        types = {value.partition(";")[0].strip().lower() for value in request.headers.get_all("Accept")}
        if types and not types & _ACCEPTS_SDP:
            return Refusal(406, (("Accept", ACCEPT),))
    return None
