"""One run: a platform, callers who hold, one attack after the other, and what became of it all."""

from __future__ import annotations

import base64
import contextlib
import json
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from attack import attackers
from attack.attackers import Outcome
from bench.hold import compiled_floor
from bench.tenant import tenant
from chaos.drive import _SENDER, PhonesProcess
from harness.processes import end
from harness.serve import Serve

NUMBER, DOMAIN, USER, PASSWORD = "+15550100", "desk.sip.test", "alice", "Correct-Horse-7"
LONGEST_RUN_S = 900


@dataclass
class Findings:
    outcomes: list[Outcome] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)
    references: list[dict[str, Any]] = field(default_factory=list)
    wanted: int = 0
    seconds: float = 0.0

    @property
    def lost(self) -> int:
        """Calls that were not answered, or ended before the end."""
        return self.wanted - sum(1 for call in self.calls if call["answered_at"] and not call["ended_at"])

    @property
    def held(self) -> bool:
        """Nothing got in and nobody was cut off."""
        return not self.lost and not any(outcome.let_in for outcome in self.outcomes)

    def told(self) -> str:
        head = f"{'attack':64} {'tried':>8} {'refused':>8} {'unheard':>8} {'got in':>7}"
        rows = [
            f"{one.name:64} {one.tried:8} {one.refused:8} {max(0, one.tried - one.refused):8} {one.let_in:7}  {one.note}"
            for one in self.outcomes
        ]
        calls = f"{self.wanted} calls held meanwhile for {self.seconds:.0f} s, {self.lost} lost"
        return "\n".join([head, *rows, "", calls, _media("callers", self.calls), _media("a plain sender beside", self.references)])


def _media(who: str, flows: list[dict[str, Any]]) -> str:
    """The deviation from 20 ms between two packets."""
    halves: Counter[int] = Counter()
    for flow in flows:
        halves.update(dict(flow["deviations"]))
    total, seen = sum(halves.values()), 0
    p99 = next((half for half in sorted(halves) if (seen := seen + halves[half]) >= 0.99 * total), 0)
    longest = max((size for flow in flows for _, size in flow["gaps"]), default=0.0)
    worst = (max(halves, default=0) + 1) / 2
    figures = f"p99 deviation {(p99 + 1) / 2:.1f} ms, worst {worst:.1f} ms, longest gap {1000 * longest:.0f} ms"
    return f"{who}: {total} packets, {figures}"


class Run:
    """See the module."""

    def __init__(self, folder: Path, *, callers: int, seconds: float, tools: bool) -> None:
        self._folder, self._callers, self._seconds, self._tools = folder, callers, seconds, tools

    def findings(self, say: Callable[[str], None] = lambda _: None) -> Findings:
        documents = {"/voice": "<Response><Enqueue>line</Enqueue></Response>"}
        with contextlib.ExitStack() as stack:
            base_url = stack.enter_context(tenant(documents))
            serve = Serve.start(self._folder, WAITLINE_SIP_TRUST=f"{attackers.HONEST}/32")
            stack.callback(serve.stop)
            self._set_up(serve, base_url)
            phones = PhonesProcess(serve.sip, 1, serve.environment)
            stack.callback(phones.close)
            stack.enter_context(_reference(phones))
            return self._attack(serve, phones, say)

    def _set_up(self, serve: Serve, base_url: str) -> None:
        sid, token = serve.create_account("attacked")
        rest = partial(_rest, serve.base_url, sid, token)
        rest("IncomingPhoneNumbers.json", PhoneNumber=NUMBER, VoiceUrl=f"{base_url}/voice")
        domain = rest("SIP/Domains.json", DomainName=DOMAIN, VoiceUrl=f"{base_url}/voice", SipRegistration="true")
        phones = rest("SIP/CredentialLists.json", FriendlyName="phones")
        rest(f"SIP/CredentialLists/{phones}/Credentials.json", Username=USER, Password=PASSWORD)
        for kind in ("Calls", "Registrations"):
            rest(f"SIP/Domains/{domain}/Auth/{kind}/CredentialListMappings.json", CredentialListSid=phones)

    def _attack(self, serve: Serve, phones: PhonesProcess, say: Callable[[str], None]) -> Findings:
        for number in range(self._callers):
            phones.do("call", name=f"w-{number}", number=NUMBER, talks=True)
            time.sleep(0.03)
        phones.wait(lambda: phones.count("w", {"answered"}) >= self._callers, 60)
        say(f"{self._callers} callers hold")
        begun, found = time.monotonic(), Findings(wanted=self._callers)
        for attack in self._attacks():
            found.outcomes.append(attack(serve.sip, self._seconds))
            say(f"{found.outcomes[-1].name}: {found.outcomes[-1].let_in} got in")
        if self._tools:
            found.outcomes += attackers.sipvicious(serve.sip, self._seconds, USER, self._folder)
        report = phones.ask("report", "report")
        found.calls, found.references = report["calls"], report["references"]
        found.seconds = time.monotonic() - begun
        return found

    def _attacks(self) -> Iterator[attackers.Attack]:
        guess = partial(attackers.guesses, domain=DOMAIN, user=USER, password=PASSWORD)
        yield attackers.garbage
        yield attackers.invites
        yield partial(attackers.invites, sources=50)
        yield guess
        yield partial(guess, sources=50)
        yield attackers.torture
        yield attackers.streams


@contextlib.contextmanager
def _reference(phones: PhonesProcess) -> Iterator[None]:
    """A program beside that does nothing but send: in C, or in Python where there is no compiler."""
    ports = phones.ask("listen", "listening")["ports"]
    with compiled_floor() as program:
        command = [program, str(LONGEST_RUN_S)] if program else [sys.executable, "-c", _SENDER]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True)
        assert process.stdin is not None
        process.stdin.write(" ".join(map(str, [len(ports), *ports])) + "\n")
        process.stdin.flush()
        try:
            yield
        finally:
            end(process)


def _rest(base_url: str, sid: str, token: str, path: str, **fields: str) -> str:
    """Make something; returns its sid."""
    request = urllib.request.Request(f"{base_url}/2010-04-01/Accounts/{sid}/{path}", data=urllib.parse.urlencode(fields).encode())
    request.add_header("Authorization", "Basic " + base64.b64encode(f"{sid}:{token}".encode()).decode())
    with urllib.request.urlopen(request, timeout=10) as response:
        return str(json.load(response)["sid"])
