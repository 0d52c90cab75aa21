"""Whether a call is encrypted: by its domain, else by the platform (``sip_srtp``).

A domain that is Secure takes calls over TLS with SRTP and no others; else its MediaEncryption counts, where it has one. Where encryption is
*required*, the INVITE must have come over TLS: SRTP's keys stand in it, and a key that others have read encrypts nothing. An operator whose
proxy ends TLS in front of this platform says so (``sip_srtp_without_tls``). Where it is only *offered*, keys are taken over any transport:
that is no worse than a call in the clear.
"""

from __future__ import annotations

from waitline.bridge.config import Config
from waitline.bridge.router.doors import Refusal
from waitline.bridge.router.routes import Route
from waitline.bridge.sip.flow import Flow

NOT_OVER_TLS = Refusal(
    status=403,
    reason="not-over-tls",
    headers=(("Warning", '399 waitline "calls to this address come over TLS, with encrypted media"'),),
)


def policy_for(route: Route, config: Config) -> str:
    """Return ``off``, ``offered`` or ``required``."""
    domain = route.domain
    if domain is None:
        return config.sip_srtp
    return "required" if domain.secure else domain.media_encryption or config.sip_srtp


def objection(policy: str, flow: Flow, config: Config) -> Refusal | None:
    """Return why a call by that way is not taken, or nothing."""
    readable = policy == "required" and not flow.secure and not config.sip_srtp_without_tls
    return NOT_OVER_TLS if readable else None
