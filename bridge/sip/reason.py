"""The Reason header field (RFC 3326): why a BYE was sent, where whoever sent it says so.

A gateway that loses a caller hangs up for it. Its BYE looks like the caller's own but for this field, with the cause of the telephone
network (Q.850) or a status of SIP. Only causes that name a failure are one: "normal" causes are what gateways write when they know nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from waitline.bridge.sip.grammar import parse_params, split_list
from waitline.errors import SipError

Q850_FAILURES = frozenset({27, 38, 41, 42, 43, 44, 46, 47, 102, 111})
"""Destination out of order, network out of order, temporary failure, congestion, information discarded, no channel, preempted, no resource,
a timer ran out, a protocol error (ITU-T Q.850 section 2.2.7)"""
SIP_FAILURES = frozenset({408, 480, 481, 500, 502, 503, 504})
_FAILURES = {"q.850": Q850_FAILURES, "sip": SIP_FAILURES}


def is_failure(fields: Iterable[str]) -> bool:
    """Whether a value of one of the fields names a failure; what cannot be read says nothing."""
    return any(_has_failure(text) for text in fields)


def _has_failure(text: str) -> bool:
    try:
        return any(_is_failure(value) for value in split_list(text))
    except SipError:
        return False


def _is_failure(value: str) -> bool:
    protocol, semicolon, rest = value.partition(";")
    cause = parse_params(semicolon + rest).get("cause") or ""
    failures = _FAILURES.get(protocol.strip().lower(), frozenset())
    return cause.isascii() and cause.isdigit() and len(cause) <= 3 and int(cause) in failures
