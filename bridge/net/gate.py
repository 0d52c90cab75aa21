"""Who is heard at all: asked for every datagram and message before more than its first line is read.

Three kinds of sources. **Exempt** are the operator's (trusted) networks: nothing is counted. **Peers** have proved a credential or been
admitted by an address list within a day: they have a bucket of tokens wide enough for a trunk, and are never blocked, because whoever can
forge a source address could otherwise have them cut off. Everybody else is a **stranger**: a narrow bucket, one more for all strangers
together, and a *heat* that rises with what scanners do (challenges never answered, wrong passwords, OPTIONS, what is no SIP) and falls with
time and with a success. A stranger that gets too hot is dropped without a word for a minute, and for twice as long each time it is again.

By behaviour, then; the few names that only attack tools use are dropped beside it, so that a single probe finds nobody.

An IPv6 source is its /64, for that is what one customer has; an IPv4 address in IPv6 clothes is the IPv4 address. All tables are
bounded: strangers live in two generations, the older of which is forgotten whole when the younger is full, so a flood of forged
addresses costs memory of a fixed size, and who goes on sending is carried over.

Cost per datagram of a known source: a look-up and a few multiplications. ``now`` is monotonic, in seconds.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Protocol

Network = IPv4Network | IPv6Network

FOR_EVER = float("inf")
UNBOUNDED = 1e12
FIRST_LINE_BYTES = 8192
_KEEP_ALIVE_BYTES = 4
_NAME_BYTES = 40
_ATTACK_TOOLS = (b"friendly-scanner", b"friendly-request", b"sipvicious", b"sundayddr", b"sip-scan", b"sipscan", b"pplsip", b"iwar")
"""User-Agents of tools that do nothing but attack, in lower case"""

CHALLENGE_HEAT = 0.3
WRONG_PASSWORD_HEAT = 1.5
OPTIONS_HEAT = 0.1
"""Two a second for ever are some trunks that ask whether we live"""
NO_SIP_HEAT = 0.3
ATTACK_TOOL_HEAT = 3.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class GateLimits:
    """Rates in messages a second; a bucket holds ``burst_s`` seconds of its rate."""

    stranger_rate: float = 100.0
    strangers_rate: float = 2000.0
    """All strangers together."""
    peer_rate: float = 2000.0
    burst_s: float = 4.0
    heat: float = 30.0
    """At which a stranger is blocked: 100 challenges, or 20 passwords."""
    cooling_per_s: float = 0.2
    block_s: float = 60.0
    longest_block_s: float = 3600.0
    peer_s: float = 86_400.0
    """How long a proof counts."""
    strangers: int = 16_384
    """In each of two generations."""
    peers: int = 65_536
    connections: int = 64
    """TCP connections of one stranger at one time."""


class Listener(Protocol):
    """What the endpoint asks of whoever keeps its door."""

    def admits(self, data: bytes, host: str, now: float) -> bool:
        """Whether to read on."""
        ...

    def connects(self, host: str, connections: int, now: float) -> bool:
        """Whether to accept one more TCP connection of a source that has so many."""
        ...

    def is_stranger(self, host: str) -> bool:
        """Whether its connection may be closed to make room."""
        ...

    def source_of(self, host: str) -> str:
        """What connections of one source are counted under."""
        ...


class OpenGate:
    """Hears everybody."""

    def admits(self, data: bytes, host: str, now: float) -> bool:
        return True

    def connects(self, host: str, connections: int, now: float) -> bool:
        return True

    def is_stranger(self, host: str) -> bool:
        return False

    def source_of(self, host: str) -> str:
        return host


class _Source:
    """A bucket, and what is held against its owner."""

    __slots__ = ("at", "blocked_until", "blocks", "burst", "heat", "heat_at", "peer_until", "rate", "tokens")

    def __init__(self, rate: float, burst: float, now: float, *, peer_until: float = 0.0) -> None:
        self.rate = rate
        self.burst = burst
        self.tokens = burst
        self.at = now
        self.peer_until = peer_until
        self.heat = 0.0
        self.heat_at = now
        self.blocked_until = 0.0
        self.blocks = 0

    def spend(self, now: float) -> bool:
        """Take a token; False if there is none."""
        tokens = self.tokens + (now - self.at) * self.rate
        self.at = now
        if tokens < 1.0:
            self.tokens = tokens
            return False
        self.tokens = (tokens if tokens < self.burst else self.burst) - 1.0
        return True


class Gate:
    """See the module. ``exempt``: networks that nothing is held against."""

    def __init__(self, limits: GateLimits | None = None, *, exempt: Sequence[Network] = (), now: float = 0.0) -> None:
        self._limits = limits or GateLimits()
        self._exempt = tuple(exempt)
        self._peers: dict[str, _Source] = {}
        self._strangers: dict[str, _Source] = {}
        self._older: dict[str, _Source] = {}
        self._keys: dict[str, str] = {}
        self._all_strangers = _Source(self._limits.strangers_rate, self._limits.strangers_rate * self._limits.burst_s, now)
        self.dropped: Counter[str] = Counter()
        """Messages not read on, by why: blocked, rate, no-sip, attack-tool."""
        self.blocks = 0

    # --- asked by the endpoint

    def admits(self, data: bytes, host: str, now: float) -> bool:
        """Whether to read on."""
        source = self._peers.get(host)
        if source is None or source.peer_until <= now:
            source = self._find(host, now)
        if source.peer_until > now:
            return source.spend(now) or self._drop("rate")
        if now < source.blocked_until:
            return self._drop("blocked")
        if not source.spend(now) or not self._all_strangers.spend(now):
            return self._drop("rate")
        return self._reads_like_sip(source, data, host, now)

    def connects(self, host: str, connections: int, now: float) -> bool:
        """Whether to accept one more TCP connection of a source that has so many; it costs a stranger a token, as a message does."""
        source = self._find(host, now)
        if source.peer_until > now:
            return True
        return now >= source.blocked_until and connections < self._limits.connections and source.spend(now)

    def is_stranger(self, host: str) -> bool:
        """Whether its connection may be closed to make room."""
        return self.source_of(host) not in self._peers

    def source_of(self, host: str) -> str:
        """What one source is known by."""
        if ":" not in host:
            return host
        if (known := self._keys.get(host)) is not None:
            return known
        if len(self._keys) >= self._limits.strangers:
            self._keys.clear()
        return self._keys.setdefault(host, _network_of(host))

    # --- told by the doors

    def proved(self, host: str, now: float) -> None:
        """The source has shown a right credential, or stands on a list: a peer from now on."""
        key = self.source_of(host)
        source = self._peers.pop(key, None)
        if source is None:
            self._strangers.pop(key, None)
            self._older.pop(key, None)
            source = self._peer(now)
        source.peer_until = max(source.peer_until, now + self._limits.peer_s)
        self._remember(key, source)

    def challenged(self, host: str, now: float) -> None:
        """The source was asked for credentials: what everybody is, and only scanners leave at that."""
        self._warm(host, CHALLENGE_HEAT, now, "challenges it does not answer")

    def failed(self, host: str, now: float) -> None:
        """The source showed wrong credentials."""
        self._warm(host, WRONG_PASSWORD_HEAT, now, "wrong credentials")

    @property
    def size(self) -> dict[str, int]:
        """How many sources are remembered."""
        return {"peers": len(self._peers), "strangers": len(self._strangers) + len(self._older)}

    # --- sources

    def _find(self, host: str, now: float) -> _Source:
        """The entry of a source; a new one for a stranger that has none."""
        key = self.source_of(host)
        source = self._peers.get(key)
        if source is not None and source.peer_until > now:
            return source
        if source is not None:
            del self._peers[key]
        source = self._strangers.get(key)
        return source if source is not None else self._new(key, now)

    def _new(self, key: str, now: float) -> _Source:
        if self._is_exempt(key):
            return self._remember(key, _Source(UNBOUNDED, UNBOUNDED, now, peer_until=FOR_EVER))
        if len(self._strangers) >= self._limits.strangers:
            self._older, self._strangers = self._strangers, {}
        source = self._older.pop(key, None)
        if source is None:
            rate = self._limits.stranger_rate
            source = _Source(rate, rate * self._limits.burst_s, now)
        self._strangers[key] = source
        return source

    def _peer(self, now: float) -> _Source:
        return _Source(self._limits.peer_rate, self._limits.peer_rate * self._limits.burst_s, now)

    def _remember(self, key: str, source: _Source) -> _Source:
        """Keep a peer as the newest one; the oldest makes room."""
        if len(self._peers) >= self._limits.peers:
            del self._peers[next(iter(self._peers))]
        self._peers[key] = source
        return source

    def _is_exempt(self, key: str) -> bool:
        try:
            address = ip_address(key.removesuffix("/64"))
        except ValueError:
            return False
        return any(address.version == network.version and address in network for network in self._exempt)

    # --- what is held against them

    def _warm(self, host: str, heat: float, now: float, why: str) -> None:
        source = self._find(host, now)
        if source.peer_until <= now:
            self._heat(source, heat, host, now, why)

    def _heat(self, source: _Source, heat: float, host: str, now: float, why: str) -> None:
        limits = self._limits
        source.heat = max(0.0, source.heat - (now - source.heat_at) * limits.cooling_per_s) + heat
        source.heat_at = now
        if source.heat < limits.heat or now < source.blocked_until:
            return
        seconds = min(limits.block_s * 2.0**source.blocks, limits.longest_block_s)
        source.blocks = min(source.blocks + 1, 16)
        source.blocked_until = now + seconds
        source.heat = 0.0
        self.blocks += 1
        _log.warning("nothing from %s is heard for %.0f s: %s", host, seconds, why)

    def _drop(self, why: str) -> bool:
        self.dropped[why] += 1
        return False

    def _reads_like_sip(self, source: _Source, data: bytes, host: str, now: float) -> bool:
        """Look at the first line of what a stranger sends, and for a name that no phone has."""
        if len(data) <= _KEEP_ALIVE_BYTES:
            return True
        if data[0] < 0x21:  # empty lines may come before it (RFC 3261 §7.5)
            data = data.lstrip(b"\r\n")
        end = data.find(b"\n", 0, FIRST_LINE_BYTES)
        first = data[: end if end >= 0 else FIRST_LINE_BYTES]
        if b"SIP/" not in first and b"sip/" not in first.lower():
            self._heat(source, NO_SIP_HEAT, host, now, "what it sends is no SIP")
            return self._drop("no-sip")
        if first.startswith(b"OPTIONS "):
            self._heat(source, OPTIONS_HEAT, host, now, "OPTIONS without end")
        at = data.find(b"\nUser-Agent:") + 12
        if at > 11 and data[at : at + _NAME_BYTES].lstrip().lower().startswith(_ATTACK_TOOLS):
            self._heat(source, ATTACK_TOOL_HEAT, host, now, "it names an attack tool")
            return self._drop("attack-tool")
        return True


def _network_of(host: str) -> str:
    """The /64 of an IPv6 address, or the IPv4 address it holds."""
    address = ip_address(host.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped) if mapped else f"{ip_network((int(address) >> 64 << 64, 64)).network_address}/64"
