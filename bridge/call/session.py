"""Offer and answer of one leg: what the peer and we agreed about sound, and what the media leg is told of it (RFC 3264).

Kept apart from the leg so that the rules of negotiation (who offers, when the answer comes, what a re-INVITE changes) are in one place:

* INVITE with an offer: our answer is ready before the tenant is asked, so that 488 goes out at once; it travels in the 200.
* INVITE without one: our offer travels in the 200 and the peer's answer in its ACK.
* re-INVITE or UPDATE: the same two cases again, on the same port, with the version one higher where something changed.

Keys go to the media leg before the rest of the agreement, so that nothing is sent in the clear, or under another key, in between. The seed
of ours is made when a description first needs one, and kept with the call before the description is sent.
"""

from __future__ import annotations

import base64
from random import Random
from typing import Any

from waitline.bridge.call.state import MediaFacts
from waitline.bridge.sip import sdp
from waitline.bridge.sip.sdes import SEED_BYTES, SUITES, Policy
from waitline.errors import SipError
from waitline.media import srtp
from waitline.media.plane import MediaLeg

SEED_MARK = "inline:"
_POLICIES: dict[str, Policy] = {"off": "off", "offered": "offered", "required": "required"}


class MediaSession:
    """The agreement of one leg. ``media`` is told each time it changes."""

    def __init__(self, facts: MediaFacts, media: MediaLeg, *, signalling_host: str, latch_any: bool, secure: bool, random: Random) -> None:
        """``secure``: nobody reads our descriptions on their way."""
        self._facts = facts
        self._media = media
        self._signalling_host = signalling_host
        self._latch_any = latch_any
        self._secure = secure
        self._random = random
        self._offered: sdp.SessionDescription | None = None
        self.direction = "sendrecv"

    def to_plain(self) -> dict[str, Any]:
        """What is not in the facts, JSON-able: which way sound goes, and our offer that awaits its answer."""
        return {"direction": self.direction, "offered": bytes(self._offered).decode() if self._offered else ""}

    def restore(self, plain: dict[str, Any]) -> None:
        """Go on from what ``to_plain`` gave."""
        self.direction = plain["direction"]
        offered = plain.get("offered")
        self._offered = sdp.SessionDescription.parse(offered.encode()) if offered else None

    def answer(self, offer_body: bytes) -> bytes:
        """Take an offer and return the answer's body. Raises SipError (488 where no codec is common); then nothing has changed."""
        negotiated = sdp.answer(
            sdp.SessionDescription.parse(offer_body), self._local(keys=b"crypto:" in offer_body), previous=self._previous()
        )
        if negotiated.description is None:
            raise SipError("no answer to this offer", status=488)
        body = bytes(negotiated.description)
        self._agree(negotiated, body, offer_body)
        return body

    def offer(self) -> bytes:
        """Return our offer's body; the peer's answer is given to ``accept``."""
        facts = self._facts
        keys = facts.srtp == "required" or bool(facts.srtp_suite) or (facts.srtp == "offered" and self._secure)
        self._offered = sdp.offer(self._local(keys=keys), previous=self._previous())
        return bytes(self._offered)

    def accept(self, answer_body: bytes) -> None:
        """Take the answer to our offer. Raises SipError where it cannot be used."""
        if self._offered is None:
            return
        negotiated = sdp.accept(self._offered, sdp.SessionDescription.parse(answer_body), self._encryption(keys=False))
        body, self._offered = bytes(self._offered), None
        self._agree(negotiated, body, answer_body)

    def withdraw(self) -> None:
        """Our offer came to nothing: what was agreed before stands."""
        self._offered = None

    @property
    def names_our_port(self) -> bool:
        """Whether what the peer was told last says where our media leg is."""
        told = self._previous()
        return told is None or any(media.port == self._facts.port for media in told.media)

    @property
    def offered_our_port(self) -> bool:
        """Whether our offer that is open does."""
        return self._offered is not None and any(media.port == self._facts.port for media in self._offered.media)

    @property
    def awaits_answer(self) -> bool:
        return self._offered is not None

    def _local(self, *, keys: bool) -> sdp.LocalMedia:
        facts = self._facts
        return sdp.LocalMedia(
            host=facts.host,
            port=facts.port,
            rtcp_port=facts.rtcp_port,
            session_id=facts.session_id,
            version=facts.version,
            encryption=self._encryption(keys=keys),
        )

    def _encryption(self, *, keys: bool) -> sdp.Encryption:
        """``keys``: what is to be written may hold some of ours."""
        facts = self._facts
        if keys and not facts.srtp_seed:
            facts.srtp_seed = SEED_MARK + base64.b64encode(self._random.randbytes(SEED_BYTES)).decode()
        return sdp.Encryption(
            policy=_POLICIES[facts.srtp],
            suites=SUITES if srtp.available() else (),
            offer=self._secure,
            current=facts.srtp_suite,
            generation=facts.srtp_generation,
            seed=base64.b64decode(facts.srtp_seed.removeprefix(SEED_MARK)),
        )

    def _previous(self) -> sdp.SessionDescription | None:
        """What we sent last: a new description keeps its session id, and its version where nothing changed."""
        return sdp.SessionDescription.parse(self._facts.local_sdp.encode()) if self._facts.local_sdp else None

    def _agree(self, negotiated: sdp.Negotiated, local: bytes, remote: bytes) -> None:
        facts = self._facts
        facts.local_sdp, facts.remote_sdp = local.decode(), remote.decode("utf-8", "replace")
        facts.codec = negotiated.codec
        self._agree_on_keys(negotiated.crypto)
        self.direction = negotiated.direction
        hosts = () if self._latch_any else tuple(dict.fromkeys((negotiated.remote_host, self._signalling_host)))
        self._media.set_media(
            codec=negotiated.codec,
            payload_type=negotiated.payload_type,
            dtmf_payload_type=negotiated.dtmf_payload_type,
            host=negotiated.remote_host,
            port=negotiated.remote_port,
            rtcp_port=negotiated.remote_rtcp_port,
            direction=negotiated.direction,
            latch_hosts=hosts,
        )

    def _agree_on_keys(self, crypto: sdp.Crypto | None) -> None:
        facts, suite = self._facts, crypto.suite if crypto else ""
        if crypto:
            self._media.set_keys(suite, crypto.send_key, crypto.receive_key)
        elif facts.srtp_suite:
            self._media.set_keys("", b"", b"")
        facts.srtp_generation += suite != facts.srtp_suite
        facts.srtp_suite = suite


def warning(error: SipError) -> tuple[tuple[str, str], ...]:
    """Return the header that tells the peer which transport protocol its media should have had (RFC 3261 §20.43), if that is it."""
    return (("Warning", f'302 waitline "{error}"'),) if isinstance(error, sdp.EncryptionRefused) else ()
