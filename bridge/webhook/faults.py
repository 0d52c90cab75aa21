"""In which ways a request fails: the notification code the tenant reads, and which retry policy covers it.

Every fault has one row in ``Fault``. A transport raises ``Failure`` with a fault; the client turns what is left after the retries into a
WebhookError. To add a way of failing, add a row.
"""

from __future__ import annotations

from enum import Enum

from waitline.errors import WebhookError


class Retry(Enum):
    """The names of ``rp=`` that a fault answers to; ``NEVER`` is tried once whatever the policy."""

    CONNECT = "ct"
    READ = "rt"
    STATUS_4XX = "4xx"
    STATUS_5XX = "5xx"
    NEVER = ""


class Fault(Enum):
    """(what the tenant is told, notification code, retry class)."""

    BAD_URL = "bad URL", 11100, Retry.NEVER
    REFUSED_STATUS = "HTTP status", 11200, Retry.NEVER
    CLIENT_ERROR = "HTTP status", 11200, Retry.STATUS_4XX
    SERVER_ERROR = "HTTP status", 11200, Retry.STATUS_5XX
    CONNECT_TIMEOUT = "TCP connection timed out", 11201, Retry.CONNECT
    CONNECTION_REFUSED = "TCP connection refused", 11202, Retry.CONNECT
    READ_TIMEOUT = "no answer in time", 11203, Retry.READ
    BUDGET_SPENT = "no answer in the total time", 11203, Retry.NEVER
    UNREACHABLE = "host cannot be reached", 11205, Retry.CONNECT
    CONNECTION_LOST = "connection lost", 11205, Retry.READ
    PROTOCOL = "HTTP protocol violation", 11206, Retry.READ
    UNKNOWN_HOST = "host name cannot be resolved", 11210, Retry.CONNECT
    FORBIDDEN_HOST = "host is not allowed", 11210, Retry.NEVER
    TOO_MANY_REDIRECTS = "too many redirects", 11215, Retry.NEVER
    BAD_REDIRECT = "redirect that cannot be followed", 11216, Retry.NEVER
    TLS = "TLS handshake failed", 11220, Retry.CONNECT
    CERTIFICATE_HOST = "certificate is for another host", 11235, Retry.NEVER
    CERTIFICATE_EXPIRED = "certificate has expired", 11236, Retry.NEVER
    CERTIFICATE = "certificate cannot be verified", 11237, Retry.NEVER
    BAD_POLICY = "connection override cannot be used", 11243, Retry.NEVER
    TOO_LARGE = "body is too large", 11750, Retry.NEVER

    def __init__(self, meaning: str, code: int, retry: Retry) -> None:
        self.meaning = meaning
        self.code = code
        self.retry = retry


class Failure(Exception):
    """One attempt that failed, on its way to the retry loop."""

    def __init__(self, fault: Fault, detail: str = "", *, status: int | None = None, body: bytes = b"") -> None:
        super().__init__(f"{fault.meaning}: {detail}" if detail else fault.meaning)
        self.fault = fault
        self.status = status
        self.body = body

    def as_error(self, url: str) -> WebhookError:
        """The same for the rest of the platform."""
        return WebhookError(f"{self} ({url})", code=self.fault.code, url=url, status=self.status, body=self.body)
