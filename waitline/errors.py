"""The exception tree. Two roots that people act on, theirs and ours, and one for the operator.

::

    WaitlineError
    ├── PeerError            theirs: each carries the reply it implies
    │   ├── SipError             a SIP message or SDP body we cannot take        → SIP status
    │   ├── DocumentError        a tenant's XML                                  → notification code, line
    │   ├── WebhookError         a tenant's server                               → notification code, URL
    │   ├── AudioError           a tenant's audio that cannot be decoded         → notification code
    │   └── ApiError             a REST request                                  → HTTP status and code
    ├── Refused              a limit of ours that the peer may meet by waiting
    │   ├── QueueFull
    │   └── MediaUnavailable     no port, no worker: SIP 503
    ├── BridgeError          ours: a bug, or a state that cannot be
    └── ConfigError          the operator's: exit code 2, the text names the setting

Raise fresh, with ``from error`` where there is a cause; never keep an instance.
"""

from __future__ import annotations


class WaitlineError(Exception):
    """Root of all errors that are ours to name."""


class PeerError(WaitlineError):
    """The other side sent something that cannot be used."""


class SipError(PeerError):
    """A SIP message, header or session description that cannot be used; ``status`` is the answer it deserves."""

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class DocumentError(PeerError):
    """A tenant's document that cannot be run; ``code`` is the notification code, ``line`` where in the text (1-based, 0 unknown)."""

    def __init__(self, message: str, *, code: int, line: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.line = line


class WebhookError(PeerError):
    """A tenant's server that gave no usable answer; ``code`` is the notification code, ``status`` the HTTP status if there was one."""

    def __init__(self, message: str, *, code: int, url: str, status: int | None = None, body: bytes = b"") -> None:
        super().__init__(message)
        self.code = code
        self.url = url
        self.status = status
        self.body = body


class AudioError(PeerError):
    """Audio that cannot be decoded or is out of bounds; ``code`` is the notification code."""

    def __init__(self, message: str, *, code: int = 13420) -> None:
        super().__init__(message)
        self.code = code


class ApiError(PeerError):
    """A REST request that is answered with an error body: HTTP ``status`` and numeric ``code``."""

    def __init__(self, message: str, *, status: int, code: int) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Refused(WaitlineError):
    """Well formed, and not now: a limit of ours."""


class QueueFull(Refused):
    """The queue holds as many members as its MaxSize allows."""


class MediaUnavailable(Refused):
    """No port or no media worker for another leg."""


class BridgeError(WaitlineError):
    """A bug of ours or a state that cannot be."""


class ConfigError(WaitlineError):
    """The operator's setting, port or folder; the text names it. Ends the command with exit code 2."""
