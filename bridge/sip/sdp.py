"""Offer and answer (RFC 3264) for one G.711 stream: which line, codec, payload types, addresses and direction both sides agree on.

Of an offer the first usable audio line is taken and every other one refused with port 0; usable means RTP/AVP or RTP/SAVP (or AVPF and
SAVPF, whose feedback nobody has to send), an IP address of our family, a codec of ours, and that its encryption and our policy for it come
together (see ``sdes``). A line that can be encrypted goes before one that cannot; RTP/AVP with keys is such a line, for phones that would
like to (RFC 8643). No usable line: NoCommonCodec or EncryptionRefused, status 488. The answer names one codec,
so that the peer cannot change it in mid-stream without an offer, in the offer's order of preference and under the offer's payload types.

Hold comes in three forms: ``sendonly``, ``inactive``, and the connection address 0.0.0.0 of RFC 2543, which means "send me nothing".
Directions in ``Negotiated`` are ours: ``recvonly`` is a peer who has put us on hold and may play music to us.

``previous`` is the description we sent last in the session: its id is kept, its version counts up only if something changed (§8), and
its media lines keep their places.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from waitline.bridge.sip import sdes
from waitline.bridge.sip.description import Attribute, Media, Origin, SessionDescription, is_ip
from waitline.bridge.sip.sdes import IN_THE_CLEAR, Crypto, CryptoLine, Encryption
from waitline.errors import SipError

__all__ = [
    "Crypto",
    "Encryption",
    "EncryptionRefused",
    "LocalMedia",
    "Media",
    "Negotiated",
    "NoCommonCodec",
    "SessionDescription",
    "accept",
    "answer",
    "offer",
]

CODECS = {"PCMU": 0, "PCMA": 8}  # name → static payload type (RFC 3551)
DTMF_PAYLOAD_TYPE = 101  # of our offers
PTIME_MS = 20

_TRANSPORTS = ("RTP/AVP", "RTP/AVPF")
_SECURE_TRANSPORTS = ("RTP/SAVP", "RTP/SAVPF")
_UNSPECIFIED = ("0.0.0.0", "::")
_EVENTS = "0-15"  # RFC 4733: 0-9 * # A-D


class NoCommonCodec(SipError):
    """No stream of the description can be used; 488."""

    def __init__(self, message: str = "no audio stream both sides can use") -> None:
        super().__init__(message, status=488)


class EncryptionRefused(NoCommonCodec):
    """The peer's encryption and our policy do not come together; the message is for its Warning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalMedia:
    """What we bring: where our leg listens, and what it may do."""

    host: str
    """An IP address, as the peer is to see it."""
    port: int
    rtcp_port: int
    """Where RTCP goes if rtcp-mux is not agreed; equal to ``port`` or 0: nowhere else, mux or nothing."""
    codecs: tuple[str, ...] = ("PCMU", "PCMA")
    """In our order of preference, for offers."""
    dtmf: bool = True
    session_id: int = 1
    version: int = 1
    """Of the first description; ``previous`` decides later ones."""
    direction: str = "sendrecv"
    """What we are willing to do."""
    encryption: Encryption = IN_THE_CLEAR


@dataclass(frozen=True, slots=True, kw_only=True)
class Negotiated:
    """What both sides agreed on."""

    description: SessionDescription | None
    """To send; None if the answer came from the peer."""
    codec: str
    payload_type: int
    """The peer's number for the codec."""
    dtmf_payload_type: int
    """The peer's number for telephone-event at 8000 Hz; -1 if not agreed."""
    remote_host: str
    remote_port: int
    remote_rtcp_port: int
    """0: rtcp-mux, RTCP goes to ``remote_port``."""
    direction: str
    """As seen from us."""
    ptime_ms: int = PTIME_MS
    """What the peer would like to receive; 20 if it says nothing."""
    crypto: Crypto | None = None
    """None: in the clear"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stream:
    """A media line of the peer that we can use."""

    media: Media
    codec: str
    payload_type: str
    dtmf: str | None
    crypto: CryptoLine | None


def answer(offer: SessionDescription, local: LocalMedia, *, previous: SessionDescription | None = None) -> Negotiated:
    """The answer to the peer's offer. Raises NoCommonCodec, EncryptionRefused."""
    usable = [(i, stream) for i, media in enumerate(offer.media) if (stream := _stream(offer, media, local))]
    allowed = [(i, stream) for i, stream in usable if _is_allowed(stream.media, stream.crypto, local.encryption)]
    if not allowed:
        raise _refused(usable[0][1].media, local.encryption) if usable else NoCommonCodec
    index, stream = next((found for found in allowed if found[1].crypto), allowed[0])
    agreed = _agreed(offer, stream, local.direction, ours=_our_line(stream.crypto, local.encryption))
    ours = _answer_line(stream, local, agreed.direction)
    media = tuple(ours if i == index else line.rejected() for i, line in enumerate(offer.media))
    return replace(agreed, description=_versioned(_description(local, media), previous))


def offer(local: LocalMedia, *, previous: SessionDescription | None = None) -> SessionDescription:
    """An offer of ours: all our codecs, in the place of our stream in ``previous``, and encrypted as that is. Raises EncryptionRefused."""
    places = list(previous.media) if previous else []
    index = next((i for i, line in enumerate(places) if line.port), len(places))
    places[index : index + 1] = [_offer_line(local, places[index] if index < len(places) else None)]
    if previous is None:
        return _description(local, tuple(places))
    return _versioned(_description(local, tuple(places)), previous)


def accept(local_offer: SessionDescription, remote_answer: SessionDescription, encryption: Encryption = IN_THE_CLEAR) -> Negotiated:
    """What the peer's answer to our offer agrees on. Raises NoCommonCodec if the peer refused, or answered something else."""
    index = next(i for i, line in enumerate(local_offer.media) if line.port)
    if index >= len(remote_answer.media):
        raise NoCommonCodec("the answer has fewer media lines than the offer")
    ours = local_offer.media[index]
    codecs = tuple(found[0] for pt in ours.formats if (found := ours.encoding(pt)) and found[0] in CODECS)
    local = LocalMedia(
        host=local_offer.host or "",
        port=ours.port,
        rtcp_port=0,
        codecs=codecs,
        dtmf=_dtmf(ours) is not None,
        direction=ours.direction or "sendrecv",
        encryption=encryption,
    )
    stream = _stream(remote_answer, remote_answer.media[index], local)
    if stream is None:
        raise NoCommonCodec
    mine = {(line.tag, line.suite): line for line in _crypto_lines(ours)}
    taken = mine.get(stream.crypto[:2]) if stream.crypto else None
    if not _is_allowed(stream.media, taken, encryption):
        raise _refused(stream.media, encryption)
    return _agreed(remote_answer, stream, local.direction, ours=taken)


def _is_allowed(media: Media, crypto: CryptoLine | None, encryption: Encryption) -> bool:
    """Whether a line with these keys (None: none that we can do) is what its transport and our policy ask for."""
    if crypto is None:
        return media.transport.upper() in _TRANSPORTS and encryption.policy != "required"
    return encryption.policy != "off"


def _refused(media: Media, encryption: Encryption) -> EncryptionRefused:
    if encryption.policy == "off":
        return EncryptionRefused("encrypted media is not taken here")
    if media.transport.upper() in _TRANSPORTS and not media.has("crypto"):
        return EncryptionRefused("media must be encrypted: RTP/SAVP with a=crypto")
    return EncryptionRefused("none of the crypto suites offered can be used")


def _crypto_lines(media: Media) -> list[CryptoLine]:
    return sdes.parse(value for name, value in media.attributes if name == "crypto" and value)


def _our_line(theirs: CryptoLine | None, encryption: Encryption) -> CryptoLine | None:
    """The answer to a line of the peer: its tag and suite, and our key (RFC 4568 §5.1.2)."""
    return None if theirs is None else CryptoLine(theirs.tag, theirs.suite, encryption.key(theirs.suite))


def _stream(description: SessionDescription, media: Media, local: LocalMedia) -> _Stream | None:
    """The line as a stream, None if we cannot use it."""
    if media.kind != "audio" or not media.port or media.transport.upper() not in (*_TRANSPORTS, *_SECURE_TRANSPORTS):
        return None
    host = description.host_of(media)
    if host is None or not is_ip(host) or (":" in host) != (":" in local.host):
        return None
    for payload_type in filter(_is_payload_type, media.formats):
        encoding = media.encoding(payload_type)
        if encoding is not None and encoding[0] in local.codecs and encoding[1] == 8000:
            dtmf = _dtmf(media) if local.dtmf else None
            crypto = local.encryption.choose(_crypto_lines(media))
            return _Stream(media=media, codec=encoding[0], payload_type=payload_type, dtmf=dtmf, crypto=crypto)
    return None


def _is_payload_type(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 3 and int(text) < 128


def _dtmf(media: Media) -> str | None:
    """The payload type of telephone-event at the audio's clock rate."""
    for payload_type in media.formats:
        if _is_payload_type(payload_type) and media.encoding(payload_type) == ("TELEPHONE-EVENT", 8000):
            return payload_type
    return None


def _agreed(description: SessionDescription, stream: _Stream, willing: str, *, ours: CryptoLine | None) -> Negotiated:
    media = stream.media
    host = description.host_of(media) or ""
    return Negotiated(
        description=None,
        codec=stream.codec,
        payload_type=int(stream.payload_type),
        dtmf_payload_type=-1 if stream.dtmf is None else int(stream.dtmf),
        remote_host=host,
        remote_port=media.port,
        remote_rtcp_port=_rtcp_port(media),
        direction=_our_direction(description.direction_of(media), willing, silent=host in _UNSPECIFIED),
        ptime_ms=_ptime_ms(media),
        crypto=Crypto(ours.suite, ours.key, stream.crypto.key) if ours and stream.crypto else None,
    )


def _rtcp_port(media: Media) -> int:
    """Where the peer takes RTCP: 0 with rtcp-mux (RFC 5761), what a=rtcp says (RFC 3605), else the next port."""
    if media.has("rtcp-mux"):
        return 0
    stated = (media.attribute("rtcp") or "").partition(" ")[0]
    usable = stated.isascii() and stated.isdecimal() and len(stated) <= 5 and 0 < int(stated) < 65536
    return int(stated) if usable else min(media.port + 1, 65535)


def _ptime_ms(media: Media) -> int:
    text = (media.attribute("ptime") or "").partition(".")[0]
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 3 and int(text) >= 10 else PTIME_MS


def _our_direction(theirs: str, willing: str, *, silent: bool) -> str:
    """The peer's direction turned round and limited to what we are willing to do; ``silent``: the peer's address is 0.0.0.0."""
    sends = theirs in ("sendrecv", "recvonly") and not silent and willing in ("sendrecv", "sendonly")
    receives = theirs in ("sendrecv", "sendonly") and willing in ("sendrecv", "recvonly")
    return {(True, True): "sendrecv", (True, False): "sendonly", (False, True): "recvonly", (False, False): "inactive"}[sends, receives]


def _answer_line(stream: _Stream, local: LocalMedia, direction: str) -> Media:
    formats = [(stream.payload_type, stream.codec)]
    if stream.dtmf is not None:
        formats.append((stream.dtmf, "telephone-event"))
    rtcp: list[Attribute] = [("rtcp-mux", None)] if stream.media.has("rtcp-mux") else _rtcp_attribute(local)
    mine = _our_line(stream.crypto, local.encryption)
    return _audio(local, formats, rtcp, direction, transport=stream.media.transport, crypto=[mine] if mine else [])


def _offer_line(local: LocalMedia, previous: Media | None) -> Media:
    formats = [(str(CODECS[codec]), codec) for codec in local.codecs]
    if local.dtmf:
        formats.append((str(DTMF_PAYLOAD_TYPE), "telephone-event"))
    encryption, crypto = local.encryption, local.encryption.lines()
    if encryption.policy == "required" and not crypto:
        raise EncryptionRefused("media must be encrypted, and cannot be here")
    transport = previous.transport if previous and encryption.current else _SECURE_TRANSPORTS[0] if encryption.policy == "required" else ""
    rtcp = [*_rtcp_attribute(local), ("rtcp-mux", None)]
    return _audio(local, formats, rtcp, local.direction, transport=transport or _TRANSPORTS[0], crypto=crypto)


def _rtcp_attribute(local: LocalMedia) -> list[Attribute]:
    """a=rtcp where RTCP is not at the next port (RFC 3605)."""
    return [] if local.rtcp_port in (0, local.port, local.port + 1) else [("rtcp", str(local.rtcp_port))]


def _audio(
    local: LocalMedia,
    formats: list[tuple[str, str]],
    rtcp: list[Attribute],
    direction: str,
    *,
    transport: str,
    crypto: list[CryptoLine],
) -> Media:
    attributes: list[Attribute] = [("rtpmap", f"{number} {name}/8000") for number, name in formats]
    attributes += [("fmtp", f"{number} {_EVENTS}") for number, name in formats if name == "telephone-event"]
    attributes += [("crypto", str(line)) for line in crypto]
    attributes += [("ptime", str(PTIME_MS)), *rtcp, (direction, None)]
    return Media(
        kind="audio", port=local.port, transport=transport, formats=tuple(number for number, _ in formats), attributes=tuple(attributes)
    )


def _description(local: LocalMedia, media: tuple[Media, ...]) -> SessionDescription:
    origin = Origin(session_id=local.session_id, version=local.version, host=local.host)
    return SessionDescription(origin=origin, host=local.host, media=media)


def _versioned(description: SessionDescription, previous: SessionDescription | None) -> SessionDescription:
    """With the origin of ``previous``, and its version plus one if anything else differs."""
    if previous is None:
        return description
    same = replace(description, origin=previous.origin)
    if same == previous:
        return previous
    return replace(description, origin=replace(previous.origin, version=previous.origin.version + 1))
