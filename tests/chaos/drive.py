"""One run: the platform as in life, a tenant, the phones, and what is done to them.

Phase one is about control. Callers wait (``line``), pairs talk (``pairs``), others are in the midst of a <Gather>; callers go on arriving
at a steady rate and agents go on taking them, some callers give up; and at random moments, all from one seed, the active control is killed
with SIGKILL or replaced by ``waitline upgrade``. A fifth of the kills does not wait until a standby is there. In some of the gaps keys are
pressed.

Phase two kills media workers, with the line filled up again before each: their calls go on, and new ones are answered.

Nothing is judged here: ``verdict`` does, by what the phones, the tenant and REST have seen.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.hold import compiled_floor
from chaos.tenant import KEYS, Tenant
from harness.processes import children, end
from harness.serve import TESTS, Serve

LINE, AGENT, PAIR, PAIR_AGENT, GATHER = "+15550100", "+15550199", "+15550101", "+15550198", "+15550102"
READY_WITHIN_S = 60.0
SETTLE_S = 8.0
LONGEST_RUN_S = 7200
NEW_CALLS = 40
GIVES_UP_EACH = 8
"""One of so many callers gives up."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What a run is made of; see ``python -m chaos --help``."""

    callers: int = 200
    pairs: int = 20
    gathers: int = 10
    rate: float = 5.0
    kills: int = 50
    upgrades: int = 10
    media_kills: int = 10
    spread_s: float = 3.0
    limit_s: float = 1200.0
    seed: int = 1


@dataclass
class Deed:
    """Something done to the platform, and what it took; times in seconds of the day."""

    kind: str
    at: float
    ready_at: float
    text: str = ""
    ok: bool = True


@dataclass
class Findings:
    """Everything that was seen."""

    sizes: Sizes
    deeds: list[Deed] = field(default_factory=list)
    lines: list[tuple[str, list[str]]] = field(default_factory=list)
    """Moment → calls in the line in their order, as REST tells it"""
    typed: dict[str, str] = field(default_factory=dict)
    calls: list[dict[str, Any]] = field(default_factory=list)
    references: list[dict[str, Any]] = field(default_factory=list)
    reference: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    ended_at: float = 0.0
    media: list[dict[str, Any]] = field(default_factory=list)
    log: str = ""


class PhonesProcess:
    """The phones, as the run sees them; ``last`` is what happened last to a call of that name."""

    def __init__(self, server: tuple[str, int], seed: int, environment: dict[str, str]) -> None:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            [sys.executable, "-m", "chaos.phones", server[0], str(server[1]), str(seed)],
            stdin=pipe, stdout=pipe, text=True, env=environment,
        )  # fmt: skip
        self.last: dict[str, str] = {}
        self._told: dict[str, dict[str, Any]] = {}
        self._came = threading.Condition()
        self._sending = threading.Lock()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            told = json.loads(line)
            with self._came:
                if "name" in told:
                    self.last[told["name"]] = told["event"]
                else:
                    self._told[told["event"]] = told
                self._came.notify_all()

    def do(self, what: str, **order: Any) -> None:
        assert self._process.stdin is not None
        with self._sending:
            self._process.stdin.write(json.dumps({"do": what, **order}) + "\n")
            self._process.stdin.flush()

    def ask(self, what: str, event: str) -> dict[str, Any]:
        """Say something and return what it makes the phones tell."""
        self._told.pop(event, None)
        self.do(what)
        assert self.wait(lambda: event in self._told, 30), f"no {event} from the phones"
        return self._told[event]

    def wait(self, condition: Callable[[], object], within_s: float) -> bool:
        with self._came:
            return bool(self._came.wait_for(condition, within_s))

    def count(self, kind: str, events: set[str]) -> int:
        return sum(1 for name, event in list(self.last.items()) if name.startswith(f"{kind}-") and event in events)

    def close(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.do("end")
        self._reader.join(5)
        end(self._process)


class Pacer(threading.Thread):
    """Callers who arrive, and agents who take one each, at a steady rate."""

    def __init__(self, phones: PhonesProcess, chance: random.Random, first: int, rate: float) -> None:
        super().__init__(daemon=True)
        self._phones, self._chance, self.next, self._rate = phones, chance, first, rate
        self._stopping = threading.Event()

    def run(self) -> None:
        due = time.monotonic()
        while not self._stopping.wait(max(0.0, due - time.monotonic())):
            self._one(self.next)
            self.next += 1
            due += 1 / self._rate

    def _one(self, number: int) -> None:
        if number % GIVES_UP_EACH == 0:
            self._phones.do("call", name=f"w-{number}", number=LINE, patience_s=self._chance.uniform(1, 6))
            return
        self._phones.do("call", name=f"w-{number}", number=LINE)
        self._phones.do("call", name=f"a-{number}", number=AGENT, talks=True, hang_up_after_heard_s=self._chance.uniform(0.3, 4))

    def stop(self) -> None:
        self._stopping.set()
        self.join()


class Run:
    """See the module."""

    def __init__(self, sizes: Sizes, folder: Path, say: Callable[[str], None] = lambda _: None) -> None:
        self._sizes, self._folder, self._say = sizes, folder, say
        self._chance = random.Random(sizes.seed)
        self._found = Findings(sizes)
        self._next = 1

    def findings(self) -> Findings:
        """Do it all."""
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)}
        settings = {"WAITLINE_STANDBY": "true", "WAITLINE_DRILL": "1", "WAITLINE_LOG_LEVEL": "warning"}
        with contextlib.ExitStack() as ending:
            self._serve = Serve.start(self._folder, **settings, PYTHONPATH=environment["PYTHONPATH"])
            ending.callback(self._serve.stop)
            self._account = self._serve.create_account("chaos")
            self._tenant = Tenant(environment)
            ending.callback(self._tenant.close)
            self._phones = PhonesProcess(self._serve.sip, self._sizes.seed, environment)
            ending.callback(self._phones.close)
            self._set_up()
            with self._reference():
                self._control_phase()
            self._media_phase()
            self._found.log = self._serve.log.text()
        return self._found

    # --- before

    def _set_up(self) -> None:
        for phone_number, path in ((LINE, "voice"), (AGENT, "agent"), (PAIR, "pair"), (PAIR_AGENT, "pair-agent"), (GATHER, "keys")):
            url, status = f"{self._tenant.base_url}/{path}", f"{self._tenant.base_url}/status"
            self._rest("IncomingPhoneNumbers.json", PhoneNumber=phone_number, VoiceUrl=url, StatusCallback=status)
        for number in range(1, self._sizes.pairs + 1):
            self._phones.do("call", name=f"p-{number}", number=PAIR)
        self._await("p", self._sizes.pairs, {"answered"})
        for number in range(1, self._sizes.pairs + 1):
            self._phones.do("call", name=f"q-{number}", number=PAIR_AGENT, talks=True)
        self._await("p", self._sizes.pairs, {"met"})
        for number in range(1, self._sizes.gathers + 1):
            self._phones.do("call", name=f"g-{number}", number=GATHER)
            self._found.typed[f"g-{number}"] = ""
        self._await("g", self._sizes.gathers, {"answered"})
        for name in self._found.typed:
            self._type(name, KEYS // 2)
        self._fill()
        self._say(f"{self._sizes.callers} wait, {self._sizes.pairs} pairs talk, {self._sizes.gathers} have typed half of {KEYS} keys")

    def _fill(self) -> None:
        """Have as many callers in the line as there are to be, twenty a second."""
        missing = self._sizes.callers - self._phones.count("w", {"answered"})
        for _ in range(missing):
            self._phones.do("call", name=f"w-{self._next}", number=LINE)
            self._next += 1
            time.sleep(0.05)
        self._await("w", self._sizes.callers, {"answered"})

    def _await(self, kind: str, count: int, events: set[str]) -> None:
        assert self._phones.wait(lambda: self._phones.count(kind, events) >= count, 60), f"{kind}: {self._phones.last}"

    def _type(self, name: str, count: int) -> None:
        digits = "".join(self._chance.choice("0123456789") for _ in range(count))
        self._found.typed[name] += digits
        self._phones.do("press", name=name, digits=digits)

    @contextlib.contextmanager
    def _reference(self) -> Iterator[None]:
        """A program beside, that does nothing but send: in C, or in Python where there is no compiler."""
        ports = self._phones.ask("listen", "listening")["ports"]
        with compiled_floor() as program:
            command = [program, str(LONGEST_RUN_S)] if program else [sys.executable, "-c", _SENDER]
            self._found.reference = "in C" if program else "in Python"
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True)
            assert process.stdin is not None
            process.stdin.write(" ".join(map(str, [len(ports), *ports])) + "\n")
            process.stdin.flush()
            try:
                yield
            finally:
                end(process)

    # --- phase one

    def _control_phase(self) -> None:
        deeds = ["kill"] * self._sizes.kills + ["upgrade"] * self._sizes.upgrades
        self._chance.shuffle(deeds)
        pacer = Pacer(self._phones, random.Random(self._sizes.seed), self._next, self._sizes.rate)
        pacer.start()
        until = time.monotonic() + self._sizes.limit_s
        try:
            for number, kind in enumerate(deeds, 1):
                if time.monotonic() > until:
                    break
                self._deed(kind)
                self._say(f"{number}/{len(deeds)} {kind}: ready after {self._found.deeds[-1].ready_at - self._found.deeds[-1].at:.2f} s")
        finally:
            pacer.stop()
        self._next = pacer.next
        for name, typed in self._found.typed.items():
            self._type(name, -len(typed) % KEYS)
        time.sleep(SETTLE_S)
        self._found.lines.append(("the end", self._line()))
        self._phones.do("probe")
        time.sleep(3)
        report = self._phones.ask("report", "report")
        self._found.calls, self._found.references = report["calls"], report["references"]
        self._found.requests = self._tenant.log()
        self._found.ended_at = time.time()

    def _deed(self, kind: str) -> None:
        early = kind == "kill" and self._chance.random() < 0.2
        if not early:
            self._wait_until(self._standbys, "a standby")
        time.sleep(self._chance.uniform(0.1, self._sizes.spread_s))
        for name in self._found.typed:
            if self._chance.random() < 0.5:
                self._type(name, 1)
        self._found.lines.append((f"before {kind}", self._line()))
        self._kill_control() if kind == "kill" else self._upgrade()
        self._found.lines.append((f"after {kind}", self._line()))

    def _kill_control(self) -> None:
        ready, pid = self._readies(), self._control()
        at = time.time()
        os.kill(pid, signal.SIGKILL)
        for name in self._found.typed:
            if self._chance.random() < 0.3:
                self._type(name, 1)
        self._wait_until(lambda: len(self._readies()) > len(ready), "a control that goes on")
        self._found.deeds.append(Deed("kill", at, time.time(), f"pid {pid}"))

    def _upgrade(self) -> None:
        at = time.time()
        done = self._serve.command("upgrade")
        self._found.deeds.append(Deed("upgrade", at, time.time(), (done.stdout + done.stderr).strip(), done.returncode == 0))

    def _readies(self) -> list[int]:
        return [int(pid) for pid in re.findall(r"control \(pid (\d+)\) is ready", self._serve.log.text())]

    def _control(self) -> int:
        if ready := self._readies():
            return ready[-1]
        return next(pid for pid, line in self._tree() if b"waitline.server" in line and b"--standby" not in line)

    def _standbys(self) -> list[int]:
        told = {int(pid) for pid in re.findall(r"standby \(pid (\d+)\) stands by", self._serve.log.text())}
        return [pid for pid, _ in self._tree() if pid in told and pid != self._control()]

    def _tree(self) -> list[tuple[int, bytes]]:
        found = []
        for pid in children(self._serve.process.pid):
            with contextlib.suppress(OSError):
                found.append((pid, Path(f"/proc/{pid}/cmdline").read_bytes()))
        return [(pid, line) for pid, line in found if line]

    def _wait_until(self, condition: Callable[[], object], what: str) -> None:
        until = time.monotonic() + READY_WITHIN_S
        while not condition():
            assert time.monotonic() < until, f"no {what} within {READY_WITHIN_S:g} s:\n{self._serve.log.text()[-4000:]}"
            assert self._serve.process.poll() is None, f"the platform has ended:\n{self._serve.log.text()[-4000:]}"
            time.sleep(0.01)

    # --- phase two

    def _media_phase(self) -> None:
        for number in range(self._sizes.media_kills):
            self._fill()
            before = {call["name"] for call in self._report() if _up(call)}
            workers = [pid for pid, line in self._tree() if b"waitline.media.worker" in line]
            at = time.time()
            os.kill(self._chance.choice(workers), signal.SIGKILL)
            new = self._call_until_answered()
            time.sleep(SETTLE_S)
            found = [call for call in self._report() if call["name"] in before or call["name"] in new]
            self._found.media.append({"at": at, "until": time.time(), "before": len(before), "calls": found, "new": new})
            self._say(f"media worker {number + 1}/{self._sizes.media_kills} killed")

    def _call_until_answered(self) -> list[str]:
        """Call four times a second; returns who called."""
        names: list[str] = []
        while len(names) < NEW_CALLS and not any(self._phones.last.get(name) == "answered" for name in names):
            names.append(f"w-{self._next}")
            self._next += 1
            self._phones.do("call", name=names[-1], number=LINE)
            time.sleep(0.25)
        return names

    def _report(self) -> list[dict[str, Any]]:
        calls: list[dict[str, Any]] = self._phones.ask("report", "report")["calls"]
        return calls

    # --- REST

    def _line(self) -> list[str]:
        """The calls that wait in the line, in their order; asked again where control has just gone."""
        for _ in range(20):
            try:
                queue = next(queue for queue in self._rest("Queues.json?PageSize=100")["queues"] if queue["friendly_name"] == "line")
                members = self._rest(f"Queues/{queue['sid']}/Members.json?PageSize=1000")["queue_members"]
                return [member["call_sid"] for member in sorted(members, key=lambda member: member["position"])]
            except (OSError, http.client.HTTPException):
                time.sleep(0.25)
        raise AssertionError("REST does not answer")

    def _rest(self, resource: str, **fields: str) -> Any:
        sid, token = self._account
        data = urllib.parse.urlencode(fields).encode() if fields else None
        request = urllib.request.Request(f"{self._serve.base_url}/2010-04-01/Accounts/{sid}/{resource}", data=data)
        request.add_header("Authorization", "Basic " + base64.b64encode(f"{sid}:{token}".encode()).decode())
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)


def _up(call: dict[str, Any]) -> bool:
    return bool(call["answered_at"] and not call["ended_at"] and not call["hung_up_at"])


_SENDER = """
import socket, sys, time
ports = [int(port) for port in sys.stdin.readline().split()[1:]]
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
due = time.monotonic()
while True:
    time.sleep(max(0, due - time.monotonic()))
    for port in ports:
        sock.sendto(b"\\x80" + bytes(171), ("127.0.0.1", port))
    due += 0.02
"""
