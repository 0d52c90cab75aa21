"""The Via header (RFC 3261 §20.42): where a response goes, and which transaction it belongs to.

``received`` and ``rport`` (RFC 3581) are what the receiver of a request writes into its topmost Via; ``response_address`` reads them.
A branch without the magic cookie, or with nothing after it (RFC 4475 §3.2.1), identifies no transaction by itself: see ``unique_branch``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from waitline.bridge.sip.grammar import HOST, TOKEN, Params, bracketed, host_of, parse_params, port_of, render_params
from waitline.errors import SipError

COOKIE = "z9hG4bK"

_SLASH = r"[ \t]*+/[ \t]*+"
_VIA = re.compile(
    rf"[ \t]*+[Ss][Ii][Pp]{_SLASH}([0-9]++\.[0-9]++){_SLASH}({TOKEN}++)[ \t]++({HOST})"
    r"(?:[ \t]*+:[ \t]*+([0-9]{1,5}))?[ \t]*+(;.*)?",
    re.S,
)

_RPORT = re.compile(r"[1-9][0-9]{0,4}")


@dataclass(slots=True, kw_only=True)  # not frozen: a third of the cost, and each message has several. Treat as a value
class Via:
    """One hop."""

    transport: str
    """Upper case: UDP, TCP, TLS, WS or something unknown."""
    host: str
    """Lower case, IPv6 without brackets."""
    port: int | None = None
    params: Params = field(default_factory=dict)
    version: str = "2.0"
    """Anything but 2.0 comes with a request that is answered 505."""

    @classmethod
    def parse(cls, text: str) -> Via:
        """One Via value, all of ``text``; raises SipError."""
        match = _VIA.fullmatch(text)
        if match is None:
            raise SipError(f"not a Via: {text[:80]!r}")
        version, transport, host, port, params = match.groups()
        return cls(
            transport=transport.upper(),
            host=host_of(host),
            port=port_of(port),
            params=parse_params(params) if params else {},
            version=version,
        )

    @property
    def branch(self) -> str:
        """The branch, empty if there is none."""
        return self.params.get("branch") or ""

    @property
    def unique_branch(self) -> bool:
        """Whether the branch names one transaction in the world (§8.1.1.7); else RFC 2543's comparison applies (§17.2.3)."""
        branch = self.branch
        return len(branch) > len(COOKIE) and branch.lower().startswith(COOKIE.lower())

    @property
    def sent_by(self) -> str:
        """Host and port as the sender named itself: a part of the transaction's key."""
        return f"{bracketed(self.host)}:{self.port}" if self.port else bracketed(self.host)

    @property
    def response_address(self) -> tuple[str, int]:
        """Where a response over UDP goes: received and rport before what the sender wrote (§18.2.2, RFC 3581 §4)."""
        host = (self.params.get("received") or self.params.get("maddr") or self.host).strip("[]")
        rport = self.params.get("rport") or ""
        return host, int(rport) if _RPORT.fullmatch(rport) and int(rport) < 65536 else self.port or 5060

    def stamped(self, host: str, port: int) -> Via:
        """The same with the address the request really came from: ``received`` if it differs from sent-by or rport was asked for."""
        if "rport" not in self.params and host == self.host:
            return self
        params = {**self.params, "received": host}
        if "rport" in params:
            params["rport"] = str(port)
        return replace(self, params=params)

    def __str__(self) -> str:
        return f"SIP/{self.version}/{self.transport} {self.sent_by}{render_params(self.params)}"
