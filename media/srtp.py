"""Encrypted legs (SRTP: RFC 3711, RFC 7714): packets sealed as they leave a leg and opened as they come to it, by libsrtp.

A leg in the clear knows nothing of this. ``attach`` gives a leg another way to send and another way to take what comes, when control sends
its keys; from there on the rest of the table sees plain packets, so that playing, relaying, digits, reports and the kernel filter (it looks
at headers, which stay readable) are what they are.

A packet's counter has 48 bits, of which it carries 16; both sides count the roll-overs, one each 22 minutes at 50 packets a second. So the
counters are state of the leg: ``Srtp.dump`` gives them with the keys, as plain values, and ``Srtp.restored`` goes on with them in another
worker. libsrtp has no door to set them, so a restored session is led there: a few packets of each roll-over are made and thrown away.

No counter is ever used twice under a key: that would give what was said away. So a counter is promised before it is used: a number that
will not be passed is noted where a successor finds it, some packets ahead at a time. Who takes the place of a worker that died begins
behind the promise, wherever in a packet the other was killed, and its peers take the leap for loss. Who is handed a leg, or the table of a
worker that leaves in order, is told the counters themselves.

Packets that were seen before are refused: by libsrtp's window, and after a hand-over, where that is empty, everything up to the newest one.
What is not authentic is counted and leaves no trace, least of all in the latch: it cannot open it.
"""

from __future__ import annotations

import base64
import contextlib
import zlib
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from waitline.media.messages import SetKeys
from waitline.media.rtp import HEADER, VERSION_2, Address, Buffer, is_rtcp, is_rtp
from waitline.media.wire import Send, Wire

if TYPE_CHECKING:
    from pylibsrtp import Session

    from waitline.media.leg import Leg
    from waitline.media.receiver import Receiver

MAX_PACKET_BYTES = 1356
"""What libsrtp's buffer here holds, with room for what sealing adds."""
MAX_STREAMS = 64
"""SSRCs of a peer under one key: each costs memory."""
TURN = 1 << 14
"""Packets after which a dump must be renewed by those who keep one: within twice as many the sequence number alone tells the counter."""
AHEAD = 64
"""Packets that are promised at a time: what a peer sees as lost at most when a worker dies."""
REPORTS_AHEAD = 8
RTCP_STEPS = 500
"""Of a restored session's way at once: 2 ms."""

_PROFILES = {
    "AES_CM_128_HMAC_SHA1_80": "SRTP_PROFILE_AES128_CM_SHA1_80",
    "AES_CM_128_HMAC_SHA1_32": "SRTP_PROFILE_AES128_CM_SHA1_32",
    "AEAD_AES_128_GCM": "SRTP_PROFILE_AEAD_AES_128_GCM",
    "AEAD_AES_256_GCM": "SRTP_PROFILE_AEAD_AES_256_GCM",
}
SUITES = tuple(_PROFILES)
_REPORT = bytes((VERSION_2, 201, 0, 1))
_COUNTER_BITS = 48

Promise = Callable[[int, int], None]
"""Notes which counter (0: RTP, 1: RTCP) will not pass what."""


@cache
def available() -> bool:
    """Tell whether encrypted legs are possible: whether the extra ``srtp`` is installed."""
    return find_spec("pylibsrtp") is not None


def load() -> None:
    """Load libsrtp now, if it is installed: its first packet is no time for that."""
    with contextlib.suppress(ImportError):
        import pylibsrtp  # noqa: F401


class Sealer:
    """What we send, under our key."""

    def __init__(self, suite: str, key: bytes, ssrc: int) -> None:
        self.index = -1
        """Of the newest packet: roll-overs and sequence number; -1: nothing was sent yet"""
        self.reports = 0
        """RTCP packets sealed"""
        self.behind = 0
        """How many RTCP packets a restored session is still to be led on by"""
        self.turn_at = TURN
        """The counter at which a dump is to be renewed"""
        self.promise: Promise = _unnoted
        self._ssrc = ssrc
        self._limit, self._reports_limit = -1, 0
        self._tag = zlib.crc32(suite.encode() + key) & 0xFFFF
        """A promise says of which key it is: those before it have nothing to do with this one"""
        self._session = _session(suite, key, inbound=False, ssrc=ssrc)

    def seal(self, packet: bytes) -> bytes:
        """Seal an RTP packet; its sequence number is after all before it. Raises OSError for what cannot be sent."""
        sequence = packet[2] << 8 | packet[3]
        index = sequence if self.index < 0 else self.index + ((sequence - self.index) & 0xFFFF)
        if index > self._limit:
            self._promise(index + AHEAD)
        sealed = _seal(self._session.protect, packet)
        self.index = index
        return sealed

    def seal_report(self, packet: bytes) -> bytes:
        """Seal an RTCP packet. Raises OSError for what cannot be sent, also while a restored session is behind."""
        if self.behind:
            self._catch_up()
        if self.reports >= self._reports_limit:
            self._promise_reports(self.reports + REPORTS_AHEAD)
        sealed = _seal(self._session.protect_rtcp, packet)
        self.reports += 1
        return sealed

    def settle(self) -> None:
        """Promise to seal nothing more: whoever goes on does so without a leap."""
        self._promise(self.index)
        self._promise_reports(self.reports)

    def promised(self, values: tuple[int, int]) -> tuple[int, int]:
        """Return what was promised under this key, RTP and RTCP; -1: nothing, so nothing was sealed."""
        index, reports = ((value & (1 << _COUNTER_BITS) - 1) - 1 if value >> _COUNTER_BITS == self._tag else -1 for value in values)
        return index, reports

    def _promise(self, index: int) -> None:
        self._limit = index
        self.promise(0, self._tag << _COUNTER_BITS | index + 1)

    def _promise_reports(self, reports: int) -> None:
        self._reports_limit = reports
        self.promise(1, self._tag << _COUNTER_BITS | reports + 1)

    def lead_to(self, index: int, reports: int) -> None:
        """Go on from where another session was; -1: it had sent nothing."""
        self.reports = self.behind = reports
        if index < 0:
            return
        for step in _steps(index):
            self._session.protect(HEADER.pack(VERSION_2, 0, step & 0xFFFF, 0, self._ssrc))
        self.index, self.turn_at = index, index + TURN

    def _catch_up(self) -> None:
        steps = min(self.behind, RTCP_STEPS)
        for _ in range(steps):
            self._session.protect_rtcp(_REPORT + self._ssrc.to_bytes(4, "big"))
        self.behind -= steps
        if self.behind:
            raise OSError("this report is left out: the counters are still being restored")


class Opener:
    """What we receive, under the peer's key."""

    def __init__(self, suite: str, key: bytes) -> None:
        self.ssrc = -1
        """Of the newest stream; -1: nothing was received yet"""
        self.index = -1
        """Of its newest packet"""
        self._floor = -1
        """Up to here a worker before this one has seen them."""
        self._suite, self._key = suite, key
        self._streams: dict[int, int] = {}
        """The newest counter of each SSRC that is not the newest stream's"""
        self._session = _session(suite, key, inbound=True)

    def open(self, packet: bytes) -> bytes | None:
        """Return the plain RTP packet; None for what is not authentic, was seen before, or is one stream too many."""
        _, _, sequence, _, ssrc = HEADER.unpack_from(packet)
        if ssrc != self.ssrc and not self._may_begin(ssrc):
            return None
        plain = _open(self._session.unprotect, packet)
        if plain is None:
            return None
        if ssrc != self.ssrc:
            self._streams[self.ssrc] = self.index
            self.ssrc, self.index, self._floor = ssrc, self._streams.get(ssrc, sequence), -1
        index = _nearest(self.index, sequence)
        if index <= self._floor:
            return None
        self.index = max(self.index, index)
        return plain

    def open_report(self, packet: bytes) -> bytes | None:
        """Return the plain RTCP packet; None as above."""
        ssrc = int.from_bytes(packet[4:8], "big")
        if ssrc != self.ssrc and ssrc not in self._streams:  # reports of a stream that does not exist yet, or not to us
            return _open(_session(self._suite, self._key, inbound=True).unprotect_rtcp, packet)
        return _open(self._session.unprotect_rtcp, packet)

    def lead_to(self, ssrc: int, index: int) -> None:
        """Go on from where another session was: with packets as the peer would make them."""
        peer = _session(self._suite, self._key, inbound=False, ssrc=ssrc)
        for step in _steps(index):
            self._session.unprotect(peer.protect(HEADER.pack(VERSION_2, 0, step & 0xFFFF, 0, ssrc)))
        self.ssrc, self.index, self._floor = ssrc, index, index

    def _may_begin(self, ssrc: int) -> bool:
        return ssrc in self._streams or len(self._streams) < MAX_STREAMS


class Srtp:
    """Both directions of one leg. ``on_turn`` is called when those who keep a dump should renew it."""

    def __init__(self, suite: str, send_key: str, receive_key: str, ssrc: int) -> None:
        """Keys are base64 of master key and salt. ImportError where libsrtp is not installed, ValueError for a key of another length."""
        self.suite, self.send_key, self.receive_key = suite, send_key, receive_key
        self.sealer = Sealer(suite, base64.b64decode(send_key), ssrc)
        self.opener = Opener(suite, base64.b64decode(receive_key))
        self.on_turn: Callable[[], None] = _nobody

    def replaced(self, suite: str, send_key: str, receive_key: str, ssrc: int) -> Srtp:
        """Return what follows after an offer and answer: a direction whose key is the same goes on, counters and all."""
        new = Srtp(suite, send_key, receive_key, ssrc)
        if (suite, send_key) == (self.suite, self.send_key):
            new.sealer = self.sealer
        if (suite, receive_key) == (self.suite, self.receive_key):
            new.opener = self.opener
        return new

    def sealing(self, send: Send) -> Send:
        """Return what seals a packet, RTP or RTCP, and sends it."""
        sealer, seal = self.sealer, self.sealer.seal

        def sealed(packet: Buffer, address: Address) -> object:
            data = bytes(packet)
            if 192 <= data[1] <= 223:
                return send(sealer.seal_report(data), address)
            sent = send(seal(data), address)
            if sealer.index >= sealer.turn_at:
                sealer.turn_at = sealer.index + TURN
                self.on_turn()
            return sent

        return sealed

    def dump(self) -> dict[str, Any]:
        """Return keys and counters as plain values. Secret."""
        return {
            "suite": self.suite,
            "send_key": self.send_key,
            "receive_key": self.receive_key,
            "sent": self.sealer.index,
            "reports": self.sealer.reports,
            "ssrc": self.opener.ssrc,
            "received": self.opener.index,
        }

    @classmethod
    def restored(cls, dump: dict[str, Any], ssrc: int, sequence: int, promised: tuple[int, int] = (0, 0)) -> Srtp:
        """Go on with what a worker before this one dumped, and ``promised`` since; ``sequence`` is that of the packet the leg sent last."""
        srtp = cls(dump["suite"], dump["send_key"], dump["receive_key"], ssrc)
        index, reports = srtp.sealer.promised(promised)
        if index < 0 <= dump["sent"]:
            index = dump["sent"] + ((sequence - dump["sent"]) & 0xFFFF)
        srtp.sealer.lead_to(index, max(reports, dump["reports"]))
        if dump["received"] >= 0:
            srtp.opener.lead_to(dump["ssrc"], dump["received"])
        return srtp


class SealedReceiver:
    """The way in for encrypted legs, in front of the receiver."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def datagram(self, leg: Leg, data: memoryview, size: int, source: Address, at_s: float) -> None:
        """``Receiver.datagram`` for an encrypted leg."""
        locked = leg.latch.source
        if locked is not None and source != locked and is_rtp(data, size):  # not worth its decryption
            self._receiver.counters["foreign_source"] += 1
            return
        opened = self._open(leg, data, size)
        if opened:
            self._receiver.datagram(leg, data, opened, source, at_s)

    def control(self, leg: Leg, data: memoryview, size: int, source: Address) -> None:
        """``Receiver.control`` for what came to an encrypted leg's RTCP port."""
        opened = self._open(leg, data, size)
        if opened:
            self._receiver.control(leg, data, opened, source, own_port=True)

    def _open(self, leg: Leg, data: memoryview, size: int) -> int:
        """Put the plain packet in the place of the sealed one and return its size; 0 where there is none."""
        plain = None
        if leg.srtp is not None:
            packet = bytes(data[:size])
            if is_rtp(packet, size):
                plain = leg.srtp.opener.open(packet)
            elif is_rtcp(packet, size):
                plain = leg.srtp.opener.open_report(packet)
        if plain is None:
            self._receiver.counters["srtp_refused"] += 1
            return 0
        data[: len(plain)] = plain
        return len(plain)


def agreed(leg: Leg, command: SetKeys) -> Srtp | None:
    """Return what a leg is to be encrypted by, which may be what it is encrypted by; None: nothing. Raises ImportError, ValueError."""
    old, keys = leg.srtp, (command.suite, command.send_key, command.receive_key)
    if not command.suite:
        return None
    if old is None:
        return Srtp(*keys, leg.ssrc)
    return old if (old.suite, old.send_key, old.receive_key) == keys else old.replaced(*keys, leg.ssrc)


def attach(leg: Leg, srtp: Srtp | None, wire: Wire) -> None:
    """Have a leg send and take through this; None: in the clear again."""
    leg.srtp = srtp
    rtp, rtcp = wire.sender(leg.id), leg.rtcp_send
    if not leg.mux:
        rtcp = wire.rtcp_sender(leg.id)
    leg.send = rtp if srtp is None else srtp.sealing(rtp)
    leg.rtcp_send = leg.send if leg.mux else rtcp if srtp is None else srtp.sealing(rtcp)


def _session(suite: str, key: bytes, *, inbound: bool, ssrc: int = 0) -> Session:
    from pylibsrtp import Policy, Session

    kind = Policy.SSRC_ANY_INBOUND if inbound else Policy.SSRC_SPECIFIC
    return Session(Policy(key=key, ssrc_type=kind, ssrc_value=ssrc, srtp_profile=getattr(Policy, _PROFILES[suite])))


def _seal(protect: Callable[[bytes], bytes], packet: bytes) -> bytes:
    if len(packet) > MAX_PACKET_BYTES:
        raise OSError(f"a packet of {len(packet)} bytes is too long to be sealed")
    try:
        return protect(packet)
    except Exception as error:  # pylibsrtp.Error, which cannot be named where it is not installed
        raise OSError(f"not sealed: {error}") from error


def _open(unprotect: Callable[[bytes], bytes], packet: bytes) -> bytes | None:
    try:
        return unprotect(packet)
    except Exception:  # pylibsrtp.Error (not authentic, replayed), ValueError (longer than its buffer): a packet is not worth a log line
        return None


def _steps(index: int) -> range | list[int]:
    """Return counters that lead a new session to ``index``: each near enough to the one before for its roll-over to be told."""
    return [*range(0, max(0, index), TURN), index]


def _nearest(index: int, sequence: int) -> int:
    """Return the counter with these lower 16 bits that is nearest to ``index`` (RFC 3711 §3.3.1)."""
    ahead = (sequence - index) & 0xFFFF
    return index + ahead if ahead < 0x8000 else index + ahead - 0x10000


def _nobody() -> None:
    """Nobody keeps a dump."""


def _unnoted(_which: int, _value: int) -> None:
    """Nobody can take our place."""
