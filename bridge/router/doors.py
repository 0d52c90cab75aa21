"""Who may come in: the decision on each INVITE and REGISTER, made at once from what is in memory.

A domain's own guards come first and both hold where both are set (platform contract 5.6): its IP lists (403 for a miss), its credential
lists (digest, 401). Where a domain has none, and for numbers, the operator's trust list lets networks in without credentials; everybody
else is challenged, and a number takes any credential of its account. A stranger who asks for something that does not exist gets the same
challenge as one who asks for something that does: only a trusted or authenticated source learns of a 404, or of the 403 of an account
that is suspended.

What is refused here is held against its source (``gate``) and, where it was a password, against the credential (``guesses``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from itertools import chain

from waitline.bridge.config import Config
from waitline.bridge.net.gate import Gate
from waitline.bridge.router.guesses import Guesses
from waitline.bridge.router.routes import Route
from waitline.bridge.sip import digest
from waitline.bridge.sip.digest import Authorization, NonceCounts, NonceFactory, Verdict
from waitline.bridge.sip.flow import Flow
from waitline.bridge.sip.message import Request
from waitline.bridge.store import records
from waitline.bridge.store.image import Image
from waitline.clock import Clock
from waitline.errors import SipError

CALLS_IPS, CALLS_CREDENTIALS, REGISTRATIONS_CREDENTIALS = "calls-ips", "calls-credentials", "registrations-credentials"
MD5_ONLY = ("MD5",)
MAX_CREDENTIALS = 4
"""Of one request that are looked at: each is a guess."""
_KNOW_NO_SHA_256 = ("baresip v0.", "baresip v1.")
"""User-Agents of phones that give up where any challenge names an algorithm they do not know, instead of passing over it (RFC 8760 §2.4)"""
NOT_IN_ACL = (("X-Twilio-Error", "32201 SIP: source IP address not in the domain's access control list"),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """Come in; ``username`` is empty where no credentials were asked for."""

    username: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The answer, and one word of why for the operator's metrics."""

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...] = ()


SUSPENDED = Refusal(status=403, reason="account-suspended")
CHALLENGE = 401


class Doors:
    """See the module."""

    def __init__(self, image: Image, config: Config, *, clock: Clock, realm: str, nonce_key: bytes, gate: Gate) -> None:
        self._image = image
        self._trusted = config.sip_trust
        self._clock = clock
        self._realm = realm
        self._algorithms = tuple(config.sip_digest.split(","))
        self._nonces = NonceFactory(nonce_key)
        self._counts = NonceCounts(since_ms=int(clock.now() * 1000) - 1)  # an earlier process was gone by then
        self._gate = gate
        self._guesses = Guesses()

    def judge(self, request: Request, flow: Flow, route: Route | None) -> Admitted | Refusal:
        """Decide on an INVITE for that route (None: for nobody here)."""
        if route is None:
            return Refusal(status=404, reason="not-found") if self.trusts(flow) else self._challenge(request, flow, [])
        verdict = self._judge_route(request, flow, route)
        if isinstance(verdict, Refusal):
            return verdict
        self._gate.proved(flow.remote[0], self._clock.now())
        return verdict if self._is_active(route.account_sid) else SUSPENDED

    def _judge_route(self, request: Request, flow: Flow, route: Route) -> Admitted | Refusal:
        if route.domain is not None:
            return self._judge_domain(request, flow, route.domain)
        if self.trusts(flow):
            return Admitted()
        lists = [found.sid for found in self._image.credential_lists.of_account(route.account_sid)]
        return self._challenge(request, flow, lists)

    def judge_registration(self, request: Request, flow: Flow, domain: records.SipDomain | None) -> Admitted | Refusal:
        """Decide on a REGISTER: always by digest, of the lists mapped for registrations."""
        if domain is None or not domain.sip_registration:
            return self._challenge(request, flow, [])
        verdict = self._challenge(request, flow, self._mapped(domain, REGISTRATIONS_CREDENTIALS))
        return verdict if isinstance(verdict, Refusal) or self._is_active(domain.account_sid) else SUSPENDED

    def knows(self, flow: Flow) -> None:
        """Whoever is there was let in by a control process before this one."""
        self._gate.proved(flow.remote[0], self._clock.now())

    def trusts(self, flow: Flow) -> bool:
        """Whether the operator lets this source in without credentials."""
        source = _address(flow.remote[0])
        return source is not None and any(source.version == net.version and source in net for net in self._trusted)

    def _is_active(self, account_sid: str) -> bool:
        """Neither the account nor the one it belongs to is suspended or closed."""
        account = self._image.accounts.get(account_sid)
        owner = self._image.accounts.get(account.owner_account_sid) if account else None
        return account is not None and account.status == "active" and (owner is None or owner.status == "active")

    def _judge_domain(self, request: Request, flow: Flow, domain: records.SipDomain) -> Admitted | Refusal:
        ip_lists = self._mapped(domain, CALLS_IPS)
        credential_lists = self._mapped(domain, CALLS_CREDENTIALS)
        if ip_lists and not self._in_lists(flow, ip_lists):
            return Refusal(status=403, reason="not-in-acl", headers=NOT_IN_ACL)
        if credential_lists:
            return self._challenge(request, flow, credential_lists)
        if ip_lists or self.trusts(flow):
            return Admitted()
        return self._challenge(request, flow, [])

    def _mapped(self, domain: records.SipDomain, kind: str) -> list[str]:
        return [mapping.sid for mapping in self._image.mappings.of_domain(domain.sid, kind)]

    def _in_lists(self, flow: Flow, lists: Iterable[str]) -> bool:
        source = _address(flow.remote[0])
        entries = chain.from_iterable(self._image.ip_addresses.of_list(sid) for sid in lists)
        networks = (ip_network(f"{entry.ip_address}/{entry.cidr_prefix_length}", strict=False) for entry in entries)
        return source is not None and any(source.version == net.version and source in net for net in networks)

    # Digest

    def _challenge(self, request: Request, flow: Flow, lists: Iterable[str]) -> Admitted | Refusal:
        """Let in who proves one of the lists' credentials; challenge everybody else alike."""
        host, now, verdicts = flow.remote[0], self._clock.now(), []
        for credentials in _credentials_of(request):
            verdict = self._verify(request, host, credentials, lists)
            if verdict is Verdict.OK:
                self._gate.proved(host, now)
                return Admitted(username=credentials.username)
            verdicts.append(verdict)
        if any(verdict is not Verdict.STALE for verdict in verdicts):
            self._gate.failed(host, now)
        else:
            self._gate.challenged(host, now)
        nonce = self._nonces.new(now, host)
        values = digest.challenge(self._realm, nonce, stale=Verdict.STALE in verdicts, algorithms=self._offered_to(request))
        headers = tuple(("WWW-Authenticate", value) for value in values)
        return Refusal(status=CHALLENGE, reason="unauthenticated", headers=headers)

    def _offered_to(self, request: Request) -> tuple[str, ...]:
        agent = request.headers.get("User-Agent") or ""
        return MD5_ONLY if agent.startswith(_KNOW_NO_SHA_256) and "MD5" in self._algorithms else self._algorithms

    def _verify(self, request: Request, host: str, credentials: Authorization, lists: Iterable[str]) -> Verdict:
        """What the credentials are worth. All that is not right costs and looks the same, whoever is named and whoever is barred."""
        now, source = self._clock.now(), self._gate.source_of(host)
        known = self._credential(credentials.username, lists)
        barred = known is not None and self._guesses.barred(known.sid, source, now)
        verdict = digest.verify(
            credentials,
            method=request.method,
            uri=request.uri,
            realm=self._realm,
            hashes=self._hashes(known) if known and not barred else None,
            nonces=self._nonces,
            counts=self._counts,
            now=now,
            asked_of=host,
        )
        if known is not None and verdict is Verdict.OK:
            self._guesses.proved(known.sid, source, now)
        elif known is not None and verdict is not Verdict.STALE:
            self._guesses.failed(known.sid, now)
        return verdict

    def _hashes(self, known: records.Credential) -> dict[str, str]:
        kept = {"MD5": known.ha1_md5, "SHA-256": known.ha1_sha256}
        return {algorithm: kept[algorithm] for algorithm in self._algorithms}

    def _credential(self, username: str, lists: Iterable[str]) -> records.Credential | None:
        found = (self._image.credentials.by_username(sid, username) for sid in lists)
        return next((credential for credential in found if credential is not None), None)


def _credentials_of(request: Request) -> Iterator[Authorization]:
    """Those that can be read, among the first few."""
    for text in request.headers.fields("Authorization")[:MAX_CREDENTIALS]:
        try:
            credentials = Authorization.parse(text)
        except SipError:
            continue
        if credentials is not None:
            yield credentials


@lru_cache(maxsize=4096)  # of gateways each call comes from the same few
def _address(host: str) -> IPv4Address | IPv6Address | None:
    """The source's address; an IPv4 address in IPv6 clothes is the IPv4 address."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address
