"""A tenant's audio files: cached, asked for once however many calls play them, and never sent a call's parameters.

An answer is known by its content (``AudioReply.key``), so a clip is made once although two URLs lead to it, and made anew when the file
behind a URL changes. While a server fails, the last good copy plays on if there still is one: silence is worse than an old file.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from waitline.bridge.webhook import urls
from waitline.bridge.webhook.cache import ResponseCache
from waitline.bridge.webhook.courier import Courier, Errand, Hop, key_of
from waitline.bridge.webhook.exchange import HttpResponse
from waitline.bridge.webhook.faults import Failure
from waitline.bridge.webhook.policy import Limits, policy_of
from waitline.bridge.webhook.single_flight import SingleFlight
from waitline.errors import AudioError

LARGE = 1024 * 1024
"""In bytes: from here on the digest is computed in a thread, since it would hold up every call for a millisecond a megabyte."""

AUDIO_TYPES = frozenset(
    "audio/" + name
    for name in (
        "mpeg", "mp3", "x-mp3", "x-mpeg", "mpeg3", "x-mpeg-3", "wav", "wave", "x-wav", "vnd.wave", "x-pn-wav", "aiff", "x-aiff", "aifc",
        "x-aifc", "gsm", "x-gsm", "ulaw", "x-ulaw", "mulaw", "x-mulaw", "pcmu", "basic", "alaw", "x-alaw", "pcma", "ogg", "vorbis", "opus",
        "flac", "x-flac",
    )
)  # fmt: skip
SAYS_NOTHING = frozenset({"", "application/octet-stream", "binary/octet-stream", "application/ogg"})
"""Types of file servers that do not know better: the decoder finds out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioReply:
    """An audio file, not yet decoded."""

    url: str
    """Where it came from at last, after redirects."""
    data: bytes = field(repr=False)
    content_type: str
    etag: str
    key: str
    """Names the content: equal keys, equal sound."""


class AudioFetcher:
    def __init__(self, *, courier: Courier, cache: ResponseCache, limits: Limits) -> None:
        self._courier = courier
        self._cache = cache
        self._limits = limits
        self._flights: SingleFlight[AudioReply] = SingleFlight()

    async def fetch(self, url: str, *, account: str, auth_token: str) -> AudioReply:
        """Raises WebhookError, or AudioError 13420 for a type that is no audio."""
        return await self._flights.run((account, url), lambda: self._fetch(url, account, auth_token))

    async def _fetch(self, url: str, account: str, auth_token: str) -> AudioReply:
        try:
            target = urls.parse(url)
            policy = policy_of(target.fragment, self._limits)
            errand = Errand(account=account, auth_token=auth_token, policy=policy, largest_body=self._limits.audio_bytes)
            return await self._arrived(errand, Hop(method="GET", target=target))
        except Failure as failure:
            raise failure.as_error(url) from failure

    async def _arrived(self, errand: Errand, hop: Hop) -> AudioReply:
        try:
            arrival = await self._courier.deliver(errand, hop)
        except Failure:
            kept = self._cache.find(key_of(errand, hop))
            if kept is None:
                raise
            return await _reply(hop.url, kept.response)
        return await _reply(arrival.hop.url, arrival.response)


async def _reply(url: str, response: HttpResponse) -> AudioReply:
    kind = response.content_type
    if kind not in AUDIO_TYPES and kind not in SAYS_NOTHING:
        raise AudioError(f"{url} is of type {kind}, which is no audio that can be played", code=13420)
    if len(response.body) >= LARGE:
        await asyncio.to_thread(lambda: response.digest)
    return AudioReply(
        url=url, data=response.body, content_type=kind, etag=response.header("ETag") or "", key=f"audio {response.digest}"
    )  # fmt: skip
