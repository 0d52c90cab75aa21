"""How long and how often one URL is tried: the operator's limits, overridden by the URL's own fragment.

``https://example.com/voice#ct=2000&rt=3000&tt=10000&rc=2&rp=5xx,rt`` means: 2 s to connect, 3 s between reads, 10 s in all, 2 retries,
after an HTTP 5xx or a read that took too long. ``rp`` names: ``ct`` (the default: connecting failed), ``rt``, ``4xx``, ``5xx``, ``all``.
A fragment without these keys is an anchor and none of our business; one of these keys with a value that cannot be used is refused, so
that a tenant learns of it with the first request rather than in the outage it was meant for.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import parse_qsl

from waitline.bridge.config import Config
from waitline.bridge.webhook.faults import Failure, Fault, Retry

_ALL = frozenset(Retry) - {Retry.NEVER}
_NAMES = {retry.value: frozenset({retry}) for retry in _ALL} | {"all": _ALL}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The operator's: what holds where a URL says nothing, and what no URL can change."""

    connect_s: float = 5.0
    read_s: float = 15.0
    total_s: float = 15.0
    retries: int = 1
    redirects: int = 10
    document_bytes: int = 64 * 1024
    audio_bytes: int = 20 * 1024 * 1024
    cache_bytes: int = 64 * 1024 * 1024
    at_one_time: int = 0
    """Requests of one account; 0: no limit"""

    @classmethod
    def of(cls, config: Config) -> Limits:
        return cls(
            connect_s=config.webhook_connect_s, read_s=config.webhook_read_s, total_s=config.webhook_total_s,
            retries=config.webhook_retries, redirects=config.webhook_redirects,
            document_bytes=config.webhook_body_kb * 1024, audio_bytes=config.audio_mb * 1024 * 1024,
            cache_bytes=config.audio_cache_mb * 1024 * 1024, at_one_time=config.account_webhooks,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """What holds for one URL."""

    connect_s: float
    """One attempt to connect, name resolution and TLS included."""
    read_s: float
    """Between two reads."""
    total_s: float
    """From the start to the last byte, over all retries and redirects."""
    retries: int
    on: frozenset[Retry] = frozenset({Retry.CONNECT})

    def covers(self, failure: Failure) -> bool:
        """Whether such a failure is worth another try."""
        return failure.fault.retry in self.on


@lru_cache(maxsize=256)
def policy_of(fragment: str, limits: Limits) -> RetryPolicy:
    """Read the overrides in a URL's fragment. Raises Failure BAD_POLICY."""
    given = dict(parse_qsl(fragment, keep_blank_values=True))
    return RetryPolicy(
        connect_s=_seconds(given, "ct", limits.connect_s, largest_ms=10_000),
        read_s=_seconds(given, "rt", limits.read_s, largest_ms=15_000),
        total_s=_seconds(given, "tt", limits.total_s, largest_ms=15_000),
        retries=_whole(given, "rc", limits.retries, smallest=0, largest=5),
        on=_classes(given.get("rp", "ct")),
    )


def _seconds(given: dict[str, str], key: str, default_s: float, *, largest_ms: int) -> float:
    return _whole(given, key, 0, smallest=100, largest=largest_ms) / 1000 if key in given else default_s


def _whole(given: dict[str, str], key: str, default: int, *, smallest: int, largest: int) -> int:
    text = given.get(key)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 7 and smallest <= int(text) <= largest):
        raise Failure(Fault.BAD_POLICY, f"{key}={text} is not a number from {smallest} to {largest}")
    return int(text)


def _classes(text: str) -> frozenset[Retry]:
    names = text.split(",")
    if unknown := [name for name in names if name not in _NAMES]:
        raise Failure(Fault.BAD_POLICY, f"rp={text}: {unknown[0]!r} is none of {', '.join(sorted(_NAMES))}")
    return frozenset().union(*(_NAMES[name] for name in names))
