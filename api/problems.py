"""Refusals: the numbers of the wire contract, what they mean, and the body that carries them.

A handler raises ``ApiError``; ``app`` turns it into a body. The body has ``code``, ``message``, ``more_info`` and ``status`` and nothing
else: with ``type`` and ``title`` beside them, client libraries would read it as a problem of another standard.
``more_info`` is a link to this server's own list of codes.
"""

from __future__ import annotations

from typing import Any

from waitline.errors import ApiError

CODES = {
    10004: "A call was refused: the account has as many calls, or new calls a second, as it may",
    12100: "The document is not well-formed XML, or its root is not Response",
    20001: "The request has a parameter that does not exist here, or its body cannot be read",
    20002: "FriendlyName is missing, empty, too long or not allowed",
    20003: "Authenticate: the credentials are missing or wrong, or their account is not active",
    20004: "The resource does not know this method",
    20005: "The account is not active",
    20006: "The account may not do this",
    20007: "PageSize is not in 1 to 1000",
    20009: "A call that is not over cannot be deleted",
    20404: "The resource does not exist",
    20010: "The account has as many records as it may",
    20408: "The request's body did not arrive in time",
    20409: "The request conflicts with the present state",
    20413: "The request's body is too large",
    20415: "The request's body is not form-encoded",
    20423: "The first request with this Idempotency-Key was not finished: what it did has to be looked up",
    20424: "The Idempotency-Key was used for another request",
    20422: "A parameter has an invalid value",
    20429: "Too many requests",
    20500: "Internal error; the server's log has it under the request's identifier",
    20501: "Not available on this server yet",
    20503: "Unavailable for the moment",
    21201: "To is missing",
    21205: "A URL is missing or not an absolute http or https URL",
    21209: "A method is neither GET nor POST",
    21211: "To cannot be called",
    21213: "From is missing",
    21218: "ApplicationSid is not one of the account's applications",
    21220: "The call is not in a state that allows this",
    21231: "A parameter of the SIP domain or its mapping is invalid",
    21232: "The domain name is invalid or in use",
    21240: "A parameter of the credential list is invalid",
    21241: "A parameter of the IP access control list is invalid",
    21242: "A parameter of the IP address is invalid",
    21243: "A parameter of the credential is invalid",
    21421: "PhoneNumber is not a number in E.164 form",
    21422: "PhoneNumber is in use",
    21452: "No number is available in that area",
    22002: "The queue is not empty",
    22003: "The account has a queue of that name",
}


def more_info(code: int) -> str:
    """Where this server explains a code, relative to it."""
    return f"/errors/{code}"


def body(*, status: int, code: int, message: str) -> dict[str, Any]:
    """The error body of the wire contract."""
    return {"code": code, "message": message, "more_info": more_info(code), "status": status}


def not_found(path: str) -> ApiError:
    """Not there, or another tenant's: the two are told in the same words."""
    return ApiError(f"The requested resource {path} was not found", status=404, code=20404)


class TooManyRequests(ApiError):
    """Not now; ``retry_after_s`` says when."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__("Too many requests", status=429, code=20429)
        self.retry_after_s = retry_after_s


def unauthenticated(why: str = "") -> ApiError:
    return ApiError(f"Authenticate{why and ': '}{why}", status=401, code=20003)


def invalid(name: str, why: str, *, code: int = 20422) -> ApiError:
    """A parameter that cannot be used, by its name on the wire."""
    return ApiError(f"Invalid {name}: {why}", status=400, code=code)
