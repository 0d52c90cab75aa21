"""The processes of the demo, seen from the demo: started, spoken to, waited for, ended by their PID.

``Peer`` is one that speaks as ``pipe.py`` says (the phones and the tenant); ``Platform`` is ``waitline serve``, known by its ready line.
Their standard error goes to files in the demo's folder; whoever dies is reported with the last lines of its file.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import re
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from waitline.demo.failure import DemoFailure, within

Event = dict[str, Any]

ASK_S = 10.0
STOP_S = 2.0
DRAIN_S = 4.0
LAST_LINES = 15
READY_S = 30.0
_READY = re.compile(r"ready http=(\S+):(\d+) sip=(\S+):(\d+) pid=(\d+)")
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return a child's environment: ours, no setting of a platform but ``settings``; our own source tree where that is what we run."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("WAITLINE_")}
    root = str(Path(__file__).absolute().parents[2])
    if sys.path and (sys.path[0] or os.getcwd()) == root:  # python -m waitline in a checkout that is not installed
        inherited["PYTHONPATH"] = os.pathsep.join(filter(None, [root, inherited.get("PYTHONPATH")]))
    return inherited | dict(settings)


def _end_with_parent() -> None:
    """Have the kernel end this child when the demo is gone, however it went."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


async def spawn(
    module: str, arguments: Sequence[str], *, folder: Path, log: Path, settings: Mapping[str, str]
) -> asyncio.subprocess.Process:
    """Start ``python -m module`` in a session of its own (a Ctrl-C is ours alone), its standard error to ``log``."""
    with log.open("ab") as errors:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", module, *arguments,
            cwd=folder, env=environment(settings), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=errors,
            start_new_session=True, preexec_fn=_end_with_parent, limit=1 << 20,
        )  # fmt: skip


def last_lines(log: Path) -> str:
    """Return the end of a log for a failure's text."""
    lines = log.read_text(errors="replace").splitlines()[-LAST_LINES:]
    return "\n".join(f"    {line}" for line in lines) or "    (it wrote nothing)"


async def end(process: asyncio.subprocess.Process, *signals: tuple[signal.Signals, float]) -> None:
    """Send each signal and wait so many seconds; kill what is left, by its PID."""
    for number, wait_s in signals:
        if process.returncode is not None:
            return
        process.send_signal(number)
        try:
            async with asyncio.timeout(wait_s):
                await process.wait()
        except TimeoutError:
            continue
    if process.returncode is None:
        process.kill()
        await process.wait()


class Peer:
    """A process that is spoken to in lines of JSON. ``events`` is everything it said by itself."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path, on_event: Callable[[str, Event], None]) -> None:
        self.name = name
        self.events: list[Event] = []
        self._process, self._log, self._on_event = process, log, on_event
        self._asked = 0
        self._replies: dict[int, asyncio.Future[Event]] = {}
        self._waiters: list[tuple[Callable[[Event], object], asyncio.Future[Event]]] = []
        self._gone = False
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def start(
        cls, name: str, module: str, settings: Mapping[str, Any], *, folder: Path, on_event: Callable[[str, Event], None]
    ) -> Peer:
        """Start it and wait until it is ready."""
        log = folder / f"{name.replace(' ', '-')}.log"
        peer = cls(name, await spawn(module, [], folder=folder, log=log, settings={}), log, on_event)
        try:
            peer._write(settings)
            await peer.wait_for(lambda event: event["event"] == "ready", "it is ready", within_s=READY_S)
        except BaseException:
            await peer.close()
            raise
        return peer

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ask(self, do: str, *, within_s: float = ASK_S, **arguments: Any) -> Event:
        """Have it do something and return its reply. Raises DemoFailure."""
        self._asked += 1
        number = self._asked
        reply: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
        self._replies[number] = reply
        self._fail_if_gone()
        self._write({"id": number, "do": do, **arguments})
        try:
            async with within(within_s, f"{self.name}: the reply to {do!r}"):
                answer = await reply
        finally:
            del self._replies[number]
        if "error" in answer:
            raise DemoFailure(f"{self.name}: {do}: {answer['error']}")
        return answer

    async def wait_for(self, wanted: Callable[[Event], object], what: str, *, within_s: float, since: int = 0) -> Event:
        """Return the first event (of ``events[since:]`` or to come) that is wanted. Raises DemoFailure naming ``what``."""
        for event in self.events[since:]:
            if wanted(event):
                return event
        self._fail_if_gone()
        came: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
        waiter = (wanted, came)
        self._waiters.append(waiter)
        try:
            async with within(within_s, f"{self.name}: {what}"):
                return await came
        finally:
            self._waiters.remove(waiter)

    async def close(self) -> None:
        """End it: the end of its input does, else a signal."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(STOP_S):
                await self._process.wait()
        except TimeoutError:
            await end(self._process, (signal.SIGTERM, STOP_S))
        await self._reader

    def _write(self, command: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")

    async def _read(self) -> None:
        assert self._process.stdout is not None
        try:
            while line := await self._process.stdout.readline():
                self._take(json.loads(line))
        finally:
            self._gone = True
            for future in [*self._replies.values(), *(waiter[1] for waiter in self._waiters)]:
                if not future.done():
                    future.set_exception(self._death())

    def _take(self, event: Event) -> None:
        if "answers" in event:
            reply = self._replies.get(event["answers"])
            if reply is not None and not reply.done():
                reply.set_result(event)
            return
        self.events.append(event)
        for wanted, future in self._waiters:
            if not future.done() and wanted(event):
                future.set_result(event)
        self._on_event(self.name, event)

    def _death(self) -> DemoFailure:
        return DemoFailure(f"{self.name} has ended; its last lines:\n{last_lines(self._log)}")

    def _fail_if_gone(self) -> None:
        if self._gone:
            raise self._death()


class Platform:
    """A running ``waitline serve``."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process, self.log = process, log
        self.http = self.sip = ("", 0)
        self.pid = 0

    @classmethod
    async def start(cls, settings: Mapping[str, str], *, folder: Path) -> Platform:
        """Start it and wait for its ready line. Raises DemoFailure with what it said instead."""
        log = folder / "platform.log"
        platform = cls(await spawn("waitline", ["serve"], folder=folder, log=log, settings=settings), log)
        try:
            await platform._wait_ready()
        except BaseException:
            await platform.close()
            raise
        return platform

    async def _wait_ready(self) -> None:
        assert self._process.stdout is not None
        async with within(READY_S, "the platform's ready line"):
            line = (await self._process.stdout.readline()).decode()
            found = _READY.fullmatch(line.strip())
            if found is None:
                await self._process.wait()
                raise DemoFailure(
                    f"the platform did not start (exit code {self._process.returncode}); its last lines:\n{last_lines(self.log)}"
                )
        self.http, self.sip, self.pid = (found[1], int(found[2])), (found[3], int(found[4])), int(found[5])

    @property
    def base_url(self) -> str:
        return f"http://{self.http[0]}:{self.http[1]}"

    async def died(self) -> None:
        """Wait until it has ended by itself, and raise DemoFailure then."""
        code = await self._process.wait()
        raise DemoFailure(f"the platform has ended with exit code {code}; its last lines:\n{last_lines(self.log)}")

    async def close(self) -> None:
        """Ask it to drain, then to end, then end it; its children end with it."""
        await end(self._process, (signal.SIGTERM, DRAIN_S), (signal.SIGTERM, DRAIN_S))


async def run_command(arguments: Sequence[str], settings: Mapping[str, str], *, folder: Path) -> str:
    """Run ``waitline ARGUMENTS`` to its end and return what it printed. Raises DemoFailure with what it complained of."""
    process = await spawn("waitline", arguments, folder=folder, log=(log := folder / "commands.log"), settings=settings)
    try:
        async with within(READY_S, f"waitline {' '.join(arguments)}"):
            printed, _ = await process.communicate()
    finally:
        await end(process)
    if process.returncode:
        raise DemoFailure(f"waitline {' '.join(arguments)}: exit code {process.returncode}:\n{last_lines(log)}")
    return printed.decode()
