"""The standard parameters of every request for a document and of every callback (platform contract 4.2).

Only what applies is sent: a parameter without a value is left out, so that a tenant can test for its presence.
"""

from __future__ import annotations

from waitline.bridge.call.state import CallState, CallStatus

API_VERSION = "2010-04-01"

Parameters = tuple[tuple[str, str], ...]


def standard(state: CallState, *, status: CallStatus | None = None) -> Parameters:
    """Return the parameters that describe the call; ``status`` overrides the call's own."""
    pairs = (
        ("CallSid", state.sid),
        ("AccountSid", state.account_sid),
        ("From", state.from_),
        ("To", state.to),
        ("Caller", state.from_),
        ("Called", state.to),
        ("CallStatus", (status or state.status).value),
        ("ApiVersion", API_VERSION),
        ("Direction", state.direction),
        ("ForwardedFrom", state.forwarded_from),
        ("CallerName", state.caller_name),
        ("ParentCallSid", state.parent_call_sid),
    )
    return tuple((name, value) for name, value in pairs if value) + _sip(state)


def _sip(state: CallState) -> Parameters:
    sip = state.sip
    pairs = (
        ("SipCallId", sip.call_id),
        ("SipDomain", sip.domain),
        ("SipDomainSid", sip.domain_sid),
        ("SipSourceIp", sip.source_ip),
        ("SipUsername", sip.username),
    )
    headers = tuple((f"SipHeader_{name}", value) for name, value in sip.headers)
    return tuple((name, value) for name, value in pairs if value) + headers
