"""Digest authentication (RFC 2617, 2069, 7616, 8760 as SIP uses them): both sides, pure.

Server: ``challenge`` gives the WWW-Authenticate values (RFC 8760: in the order the server prefers), ``verify`` judges what comes back.
Nonces need no memory: a ``NonceFactory`` signs the time of issue and the address it was asked from, so any process with the key can check
one, and none that was overheard is of use elsewhere. What needs memory is that a
nonce count is used once; that is ``NonceCounts``, an object of its own with a bound.

A right answer to a nonce that is too old, not ours (a restart) or used up is ``STALE``: the client asks again by itself and no person is
bothered. A wrong answer is ``BAD``. The hash is compared before anything is said about the nonce, in constant time, and an unknown user
costs the same as a known one.

Clients that answer without qop (RFC 2069 form: many simple phones) cannot be protected from replay while a nonce lives; its life is the
bound. MD5-sess and auth-int are not offered and not accepted.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import count

from waitline.bridge.sip.grammar import is_token, quote, split_list, unquote
from waitline.bridge.sip.uri import Uri
from waitline.errors import SipError

ALGORITHMS = ("MD5", "SHA-256")
"""Understood. In this order they reach the most phones: many read only the first challenge, and those know MD5."""
NONCE_LIFE_S = 300.0
MAX_NONCES = 20_000
_WINDOW = 64  # nonce counts below the highest one that may still arrive, out of order
_HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}
_NOBODY = "0" * 64  # an HA1 that no password gives


class Verdict(Enum):
    """What a set of credentials is worth."""

    OK = "ok"
    STALE = "stale"
    """Right, but for a nonce that cannot be used (any more): challenge again with stale=true."""
    BAD = "bad"
    """The hash is wrong, or is for another request."""
    UNKNOWN = "unknown"
    """No such user, another realm, or an algorithm or qop that was not offered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorization:
    """The Authorization header of a client that uses Digest."""

    username: str
    realm: str
    nonce: str
    uri: str
    response: str
    algorithm: str = "MD5"
    """Upper case."""
    qop: str | None = None
    nc: str = ""
    """Eight hexadecimal digits, as sent."""
    cnonce: str = ""
    opaque: str | None = None

    @classmethod
    def parse(cls, text: str) -> Authorization | None:
        """None for a scheme other than Digest; SipError for a Digest that cannot be read."""
        scheme, _, rest = text.strip().partition(" ")
        if scheme.lower() != "digest":
            return None
        fields = _fields(rest)
        if missing := {"username", "realm", "nonce", "uri", "response"} - fields.keys():
            raise SipError(f"Authorization lacks {', '.join(sorted(missing))}")
        return cls(
            username=fields["username"],
            realm=fields["realm"],
            nonce=fields["nonce"],
            uri=fields["uri"],
            response=fields["response"].lower(),
            algorithm=fields.get("algorithm", "MD5").upper(),
            qop=fields["qop"].lower() if "qop" in fields else None,
            nc=fields.get("nc", ""),
            cnonce=fields.get("cnonce", ""),
            opaque=fields.get("opaque"),
        )

    def __str__(self) -> str:
        quoted = {"username": self.username, "realm": self.realm, "nonce": self.nonce, "uri": self.uri, "response": self.response}
        text = "Digest " + ", ".join(f"{name}={quote(value)}" for name, value in quoted.items()) + f", algorithm={self.algorithm}"
        if self.qop is not None:
            text += f", qop={self.qop}, nc={self.nc}, cnonce={quote(self.cnonce)}"
        return text if self.opaque is None else f"{text}, opaque={quote(self.opaque)}"


def ha1(username: str, realm: str, password: str, algorithm: str = "MD5") -> str:
    """The hash that is stored instead of a password; ``algorithm`` is MD5 or SHA-256. Hexadecimal, lower case."""
    return _hash(algorithm, f"{username}:{realm}:{password}")


def digest_response(
    algorithm: str, ha1_: str, *, method: str, uri: str, nonce: str, qop: str | None = None, nc: str = "", cnonce: str = ""
) -> str:
    """The response value (RFC 7616 §3.4.1; without ``qop`` as RFC 2069 has it)."""
    ha2 = _hash(algorithm, f"{method}:{uri}")
    middle = nonce if qop is None else f"{nonce}:{nc}:{cnonce}:{qop}"
    return _hash(algorithm, f"{ha1_}:{middle}:{ha2}")


class NonceFactory:
    """Makes nonces that carry their own date, and reads them again.

    A nonce is ``milliseconds.number.mac``; the number makes two of one millisecond differ.
    """

    def __init__(self, key: bytes, *, life_s: float = NONCE_LIFE_S) -> None:
        self._key = key
        self._life_ms = int(life_s * 1000)
        self._numbers = count()

    def new(self, now: float, asked_of: str = "") -> str:
        """A fresh nonce for one source; ``now`` in seconds, by the clock that ``issued`` and ``verify`` are given."""
        text = f"{int(now * 1000):x}.{next(self._numbers):x}"
        return f"{text}.{self._mac(text, asked_of)}"

    def issued_ms(self, nonce: str, asked_of: str = "") -> int | None:
        """When one of ours was made for that source, None if none was."""
        text, _, mac = nonce.rpartition(".")
        if not nonce.isascii() or not hmac.compare_digest(mac, self._mac(text, asked_of)):
            return None
        return int(text.partition(".")[0], 16)

    def is_fresh(self, nonce: str, now: float, asked_of: str = "") -> bool:
        """Whether it is ours and within its life."""
        issued = self.issued_ms(nonce, asked_of)
        return issued is not None and 0 <= int(now * 1000) - issued < self._life_ms

    def _mac(self, text: str, asked_of: str) -> str:
        return hmac.new(self._key, f"{text} {asked_of}".encode(), hashlib.sha256).hexdigest()[:32]


class NonceCounts:
    """Which nonce counts have been used, for the last ``capacity`` nonces.

    Where memory ends safety does not: of nonces issued up to the newest forgotten one, unremembered ones are refused, not believed. So are
    those issued up to ``since_ms``, before this memory began: what was used of them, an earlier process knew. Their clients are told
    ``stale`` and come again by themselves, as they do every five minutes anyway.
    """

    def __init__(self, capacity: int = MAX_NONCES, *, since_ms: int = -1) -> None:
        self._capacity = capacity
        self._used: OrderedDict[str, tuple[int, int, int]] = OrderedDict()  # nonce → issued_ms, highest count, bits of those below
        self._forgotten_ms = since_ms

    def __len__(self) -> int:
        return len(self._used)

    def use(self, nonce: str, issued_ms: int, number: int) -> bool:
        """Note that the count was used; False if it was used before, may have been, or is far behind."""
        entry = self._used.get(nonce)
        if entry is None:
            if issued_ms <= self._forgotten_ms:
                return False
            self._remember(nonce, (issued_ms, number, 1))
            return True
        _, highest, bits = entry
        ahead = number - highest
        if ahead > 0:
            self._used[nonce] = (issued_ms, number, (bits << ahead | 1) & ((1 << _WINDOW) - 1) if ahead < _WINDOW else 1)
            return True
        if -ahead >= _WINDOW or bits >> -ahead & 1:
            return False
        self._used[nonce] = (issued_ms, highest, bits | 1 << -ahead)
        return True

    def _remember(self, nonce: str, entry: tuple[int, int, int]) -> None:
        self._used[nonce] = entry
        if len(self._used) > self._capacity:
            _, (issued_ms, _, _) = self._used.popitem(last=False)
            self._forgotten_ms = max(self._forgotten_ms, issued_ms)


def challenge(realm: str, nonce: str, *, stale: bool = False, algorithms: Sequence[str] = ALGORITHMS) -> list[str]:
    """The values of one WWW-Authenticate each, the preferred algorithm first (RFC 8760 §2.4)."""
    end = ", stale=true" if stale else ""
    return [f'Digest realm={quote(realm)}, nonce={quote(nonce)}, algorithm={algorithm}, qop="auth"{end}' for algorithm in algorithms]


def verify(
    credentials: Authorization,
    *,
    method: str,
    uri: str,
    realm: str,
    hashes: Mapping[str, str] | None,
    nonces: NonceFactory,
    counts: NonceCounts,
    now: float,
    asked_of: str = "",
) -> Verdict:
    """Judge ``credentials`` for a request of ``method`` to ``uri`` (its Request-URI).

    ``hashes``: algorithm → HA1 of the user named; None if there is no such user.
    ``asked_of``: the source, as the nonce was made for.
    """
    if not _offered(credentials):
        return Verdict.UNKNOWN
    known = (hashes or {}).get(credentials.algorithm)
    right = hmac.compare_digest(_expected(credentials, known or _NOBODY, method).encode(), credentials.response.encode())
    if known is None or credentials.realm != realm:
        return Verdict.UNKNOWN
    if not right or not _same_target(credentials.uri, uri):
        return Verdict.BAD
    return Verdict.OK if _nonce_usable(credentials, nonces, counts, now, asked_of) else Verdict.STALE


def _offered(credentials: Authorization) -> bool:
    """Whether algorithm and qop are ones we offer, and what the qop needs is there."""
    if credentials.algorithm not in ALGORITHMS or credentials.qop not in (None, "auth"):
        return False
    return credentials.qop is None or (_count_of(credentials.nc) is not None and bool(credentials.cnonce))


def _count_of(nc: str) -> int | None:
    if len(nc) != 8 or not all(c in "0123456789abcdefABCDEF" for c in nc):
        return None
    return int(nc, 16)


def _expected(credentials: Authorization, ha1_: str, method: str) -> str:
    return digest_response(
        credentials.algorithm,
        ha1_,
        method=method,
        uri=credentials.uri,
        nonce=credentials.nonce,
        qop=credentials.qop,
        nc=credentials.nc,
        cnonce=credentials.cnonce,
    )


def _same_target(named: str, requested: str) -> bool:
    """Whether the URI the client hashed is the request's; parameters may have been changed on the way.

    Liberal: pyVoIP, and phones like it, hash the domain alone for every request; the host still has to be the request's.
    """
    if named == requested:
        return True
    try:
        one, other = Uri.parse(named), Uri.parse(requested)
    except SipError:
        return False
    same_host = (one.is_sip, one.address, one.opaque) == (other.is_sip, other.address, other.opaque)
    return same_host and one.user in (other.user, "")


def _nonce_usable(credentials: Authorization, nonces: NonceFactory, counts: NonceCounts, now: float, asked_of: str) -> bool:
    issued = nonces.issued_ms(credentials.nonce, asked_of)
    if issued is None or not nonces.is_fresh(credentials.nonce, now, asked_of):
        return False
    number = _count_of(credentials.nc) if credentials.qop else None
    return number is None or counts.use(credentials.nonce, issued, number)


def answer_challenge(
    challenges: Sequence[str], *, method: str, uri: str, username: str, password: str, cnonce: str, nc: int = 1
) -> Authorization:
    """Our credentials for the first challenge we understand (its values as in WWW- or Proxy-Authenticate); ``str()`` is the header's value.

    Raises SipError if we understand none. ``cnonce`` is the caller's randomness, ``nc`` counts the uses of one nonce.
    """
    for text in challenges:
        if fields := _challenge(text):
            algorithm, realm, nonce = fields.get("algorithm", "MD5").upper(), fields["realm"], fields["nonce"]
            qop = "auth" if "auth" in [option.strip().lower() for option in fields.get("qop", "").split(",")] else None
            count_, ours = (f"{nc:08x}", cnonce) if qop else ("", "")
            secret = ha1(username, realm, password, algorithm)
            response = digest_response(algorithm, secret, method=method, uri=uri, nonce=nonce, qop=qop, nc=count_, cnonce=ours)
            return Authorization(
                username=username,
                realm=realm,
                nonce=nonce,
                uri=uri,
                response=response,
                algorithm=algorithm,
                qop=qop,
                nc=count_,
                cnonce=ours,
                opaque=fields.get("opaque"),
            )
    raise SipError("no challenge we can answer", status=401)


def _challenge(text: str) -> dict[str, str] | None:
    """The fields of a challenge we understand: Digest, our algorithms, qop absent or with auth."""
    scheme, _, rest = text.strip().partition(" ")
    if scheme.lower() != "digest":
        return None
    fields = _fields(rest)
    options = [option.strip().lower() for option in fields.get("qop", "auth").split(",")]
    understood = fields.get("algorithm", "MD5").upper() in ALGORITHMS and "auth" in options and {"realm", "nonce"} <= fields.keys()
    return fields if understood else None


def _fields(text: str) -> dict[str, str]:
    """``name=value, name="value"`` → names in lower case, quotes removed. Raises SipError."""
    fields: dict[str, str] = {}
    for part in split_list(text):
        name, equals, value = part.partition("=")
        name = name.strip().lower()
        if not equals or not is_token(name) or name in fields:
            raise SipError(f"credentials cannot be read: {part[:40]!r}")
        fields[name] = unquote(value.strip())
    return fields


def _hash(algorithm: str, text: str) -> str:
    return _HASHES[algorithm](text.encode(), usedforsecurity=False).hexdigest()
