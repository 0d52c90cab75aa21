"""Keys of SRTP in session descriptions (SDES, RFC 4568): the ``a=crypto`` line, and which of those offered is taken.

Each side tells the other the key it encrypts with; one crypto suite counts for both directions. What is taken of an offer is the first
line that we can do: a suite we know, one key of its length, no master key identifier, no session parameter that changes the transform
(RFC 4568 §6.1, §6.3); lines we cannot do are passed over, as §5.1.2 has it.

Whose keys are whose, and when one may be used again, is in ``Encryption``: our keys follow from a seed, so that every process that goes on
with a leg says the same, and a key is used again only while its suite stays in use: SRTP's counters begin anew with a key, and the same
counters under the same key give the plain sound away (RFC 3711 §9.1).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from waitline.errors import BridgeError

KEY_BYTES = {
    "AEAD_AES_256_GCM": 44,
    "AEAD_AES_128_GCM": 28,
    "AES_CM_128_HMAC_SHA1_80": 30,
    "AES_CM_128_HMAC_SHA1_32": 30,
}
"""Master key and salt, octets (RFC 4568 §6.2, RFC 7714 §14.1)."""
SUITES = tuple(KEY_BYTES)
OFFERED = SUITES[:3]
"""What our offers name: a tag of 32 bits is taken where a peer wants it, and not asked for."""
SEED_BYTES = 32

Policy = Literal["off", "offered", "required"]

_LINE = re.compile(r"([0-9]{1,9}) +([A-Za-z0-9_]{1,64}) +inline:([A-Za-z0-9+/]{20,80}={0,2})((?:\|[^| ;]{1,40}){0,2})((?: +\S{1,80}){0,8})")
_LIFETIME = re.compile(r"\|(?:2\^[0-9]{1,2}|[0-9]{1,15})")
_HARMLESS = ("WSH=", "-")
"""Session parameters that change nothing for a receiver, or say of themselves that they may be passed over (§6.3.7)."""


class CryptoLine(NamedTuple):
    """One ``a=crypto`` attribute."""

    tag: int
    suite: str
    key: bytes

    def __str__(self) -> str:
        return f"{self.tag} {self.suite} inline:{base64.b64encode(self.key).decode()}"

    def __repr__(self) -> str:
        return f"CryptoLine({self.tag} {self.suite})"  # keys are not for logs


class Crypto(NamedTuple):
    """What both sides agreed on."""

    suite: str
    send_key: bytes
    receive_key: bytes

    def __repr__(self) -> str:
        return f"Crypto({self.suite})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Encryption:
    """Our side of it."""

    policy: Policy = "off"
    suites: tuple[str, ...] = SUITES
    """What our media plane can do"""
    offer: bool = False
    """Whether an offer of ours names keys where it need not: only where nobody reads it on its way"""
    current: str = ""
    """The suite in use; empty: none"""
    generation: int = 0
    """How often the suite in use has changed"""
    seed: bytes = field(default=b"", repr=False)

    def choose(self, lines: Iterable[CryptoLine]) -> CryptoLine | None:
        """Return the peer's line that we take; None where we can do none."""
        return None if self.policy == "off" else next((line for line in lines if line.suite in self.suites), None)

    def key(self, suite: str) -> bytes:
        """Return our key for a suite: that in use, if it is in use; else one that never was."""
        if len(self.seed) < SEED_BYTES:
            raise BridgeError("keys of media are asked for and there is no seed")
        generation = self.generation + (suite != self.current)
        return hmac.digest(self.seed, f"{suite}:{generation}".encode(), hashlib.sha512)[: KEY_BYTES[suite]]

    def lines(self) -> list[CryptoLine]:
        """Return what an offer of ours says: the suite in use, else all we would take."""
        if not (self.current or self.offer or self.policy == "required") or self.policy == "off":
            return []
        suites = (self.current,) if self.current else tuple(suite for suite in OFFERED if suite in self.suites)
        return [CryptoLine(tag, suite, self.key(suite)) for tag, suite in enumerate(suites, start=1)]


IN_THE_CLEAR = Encryption()


def parse(values: Iterable[str]) -> list[CryptoLine]:
    """Return those of a stream's ``a=crypto`` values that we understand, in their order."""
    return [line for value in values if (line := _parse(value)) is not None]


def _parse(value: str) -> CryptoLine | None:
    match = _LINE.fullmatch(value.strip())
    if match is None or match[2] not in KEY_BYTES:
        return None
    tag, suite, text, rest, parameters = match.groups()
    if rest and not _LIFETIME.fullmatch(rest):  # a master key identifier is a part of each packet
        return None
    if any(not parameter.startswith(_HARMLESS) for parameter in parameters.split()):
        return None
    try:
        key = base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4))
    except binascii.Error:
        return None
    return CryptoLine(int(tag), suite, key) if len(key) == KEY_BYTES[suite] else None
