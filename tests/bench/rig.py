"""What figures of the whole platform share: ``waitline serve`` on free ports in a folder of its own, an account, a tenant beside it, and
what its processes cost.

CPU time is what the scheduler charged every thread of every process of the tree, the idle ones too (/proc/PID/task/*/schedstat; utime +
stime of /proc/PID/stat, in ticks of 10 ms, where the kernel keeps none). Memory is the proportional share (Pss), so that what processes
have in common counts once.
"""

from __future__ import annotations

import base64
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.hold import cpu_s
from bench.tenant import tenant
from harness.serve import Serve

_PARTS = {
    "waitline.server": "control",
    "waitline.standby": "standby",
    "waitline.media.worker": "media workers",
    "waitline.media.clip_worker": "clip workers",
}


@dataclass(frozen=True)
class Platform:
    """A platform that runs, and the account it serves."""

    serve: Serve
    account: str
    token: str

    def number(self, phone_number: str, voice_url: str) -> None:
        """Create a number that asks ``voice_url``."""
        self._post("IncomingPhoneNumbers.json", PhoneNumber=phone_number, VoiceUrl=voice_url)

    def _post(self, resource: str, **fields: str) -> None:
        request = urllib.request.Request(
            f"{self.serve.base_url}/2010-04-01/Accounts/{self.account}/{resource}", data=urllib.parse.urlencode(fields).encode()
        )
        credentials = base64.b64encode(f"{self.account}:{self.token}".encode()).decode()
        request.add_header("Authorization", f"Basic {credentials}")
        with urllib.request.urlopen(request, timeout=10) as response:
            assert response.status == 201, response.status

    def total_cpu_s(self) -> float:
        """Return the CPU seconds used so far by the whole tree."""
        return sum(self.cpu_s().values())

    def pss_kib(self) -> float:
        """Return the memory of the whole tree."""
        return sum(_pss_kib(pid) for pid in self.serve.tree())

    def cpu_s(self) -> dict[str, float]:
        """Return the CPU seconds used so far, by part of the tree."""
        used: dict[str, float] = {}
        for pid in self.serve.tree():
            part = "supervisor" if pid == self.serve.process.pid else _part(pid)
            used[part] = used.get(part, 0.0) + _cpu_of(pid)
        return used


@contextmanager
def platform(documents: dict[str, str], **settings: str) -> Iterator[tuple[Platform, str]]:
    """Run a platform with these WAITLINE_* settings and a tenant with these documents; gives both (the tenant as its base URL)."""
    with tempfile.TemporaryDirectory(prefix="waitline-bench-") as folder, tenant(documents) as base_url:
        serve = Serve.start(Path(folder), **settings)
        try:
            yield Platform(serve, *serve.create_account("bench")), base_url
        finally:
            serve.stop()


def difference(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """Return what each part used in between; a process that started meanwhile counts from zero."""
    return {part: used - before.get(part, 0.0) for part, used in after.items()}


def _cpu_of(pid: int) -> float:
    try:
        return cpu_s(pid)
    except OSError:  # it ended while we looked
        return 0.0


def _pss_kib(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(float(line.split()[1]) for line in lines if line.startswith("Pss:"))


def _part(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except FileNotFoundError:
        return "other"
    return next((_PARTS[word] for word in words if word in _PARTS), "other")
