"""Keys that arrive in SIP INFO bodies: the two forms that phones and gateways send.

``application/dtmf-relay`` has lines ``Signal=5`` and ``Duration=160``; ``application/dtmf`` has the key alone. 10 and 11 mean * and #.
"""

from __future__ import annotations

import re

_SIGNAL = re.compile(rb"^\s*Signal\s*=\s*(\S+)", re.IGNORECASE | re.MULTILINE)
_KEYS = {"10": "*", "11": "#"}
_VALID = frozenset("0123456789ABCD*#")


def digit_of(content_type: str, body: bytes) -> str | None:
    """Return the key of an INFO body, or None where it holds none."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/dtmf-relay":
        found = _SIGNAL.search(body)
        text = found.group(1) if found else b""
    elif kind == "application/dtmf":
        text = body.strip()
    else:
        return None
    key = text.decode("ascii", "replace").upper()
    key = _KEYS.get(key, key)
    return key if key in _VALID else None
