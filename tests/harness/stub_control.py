"""A stand-in for control under the real supervisor: opens what control opens, starts workers, does as STUB_CONTROL says.

Run by the supervisor as ``python -m harness.stub_control`` (WAITLINE_CONTROL_MODULE), or as a standby. STUB_CONTROL: empty (run until
told to drain or end), ``bad-config`` (exit 2 with a message), ``deaf`` (ignores drain and end), ``crash`` (SIGSEGV once it is up),
``stuck`` (stops its loop, so that neither events nor the end of the link are seen: only the kernel can end it).

STUB_STANDBY: has a standby kept. STUB_FOLDER: opens the door for that folder. There, a file ``reason`` makes the self-check fail with its
text, ``slow-check`` makes it never answer, and ``crash`` makes a control crash that takes over.

Each line it says begins with its process number, so that a test can tell one control from the next.
"""

import asyncio
import os
import signal
import socket
import sys
import time
from pathlib import Path

from waitline.errors import ConfigError
from waitline.supervision import EXIT_HANDED_OVER, Drain, End, HandOver, Supervision, SupervisionEvent, SupervisorGone, WorkerDied

WORKERS = 2
FOLDER = Path(os.environ.get("STUB_FOLDER", "/nowhere"))


def say(text: str) -> None:
    print(f"stub: [{os.getpid()}] {text}", file=sys.stderr, flush=True)


def inode(sock: socket.socket) -> int:
    """Return what tells one socket from another, whatever its descriptor."""
    return os.fstat(sock.fileno()).st_ino


def check() -> str:
    if (FOLDER / "slow-check").exists():
        signal.pause()
    reason = FOLDER / "reason"
    return reason.read_text() if reason.exists() else ""


class Stub:
    """One control."""

    def __init__(self, supervision: Supervision, behaviour: str) -> None:
        self.supervision = supervision
        self.behaviour = behaviour
        self.links: list[socket.socket] = []
        self.http = supervision.listen("tcp", "127.0.0.1", int(os.environ.get("STUB_HTTP_PORT", "0")), setting="WAITLINE_HTTP")
        self.udp, self.tcp = supervision.listen_both("127.0.0.1", 0, setting="WAITLINE_SIP")
        say(f"has sockets at={time.monotonic():.6f} inodes={inode(self.http)},{inode(self.udp)},{inode(self.tcp)}")
        self.http.setblocking(False)

    def start(self) -> None:
        """Ask for one of each, and say what came."""
        supervision = self.supervision
        assert self.udp.getsockname() == self.tcp.getsockname()
        again, _ = supervision.listen_both("127.0.0.1", 0)
        assert inode(again) == inode(self.udp)
        frames = supervision.memfd("frames", 4096)
        say(f"finds {os.pread(frames, 5, 0)!r} in the memory and workers {supervision.living()}")
        os.pwrite(frames, b"music", 0)
        for index in range(WORKERS):
            self.take(*supervision.worker("media", index, args=["--hello", str(index)]))
        for name, descriptors, data in supervision.kept():
            connection = socket.socket(fileno=descriptors[0])
            say(f"goes on with {name} after {data!r}")
            connection.send(b"hello from another")
            connection.close()
        supervision.ready(http="{}:{}".format(*self.http.getsockname()), sip="{}:{}".format(*self.udp.getsockname()))
        supervision.standby(on=bool(os.environ.get("STUB_STANDBY")))
        if FOLDER.exists():
            supervision.open_door(FOLDER)

    def take(self, link: socket.socket, adopted: bool) -> None:
        """Hear a worker: the first time it speaks by itself, later it is asked."""
        link.settimeout(10)
        if adopted:
            link.send(b"who")
        say(f"worker {link.recv(1000).decode()}{' adopted' if adopted else ''}")
        link.setblocking(False)
        self.links.append(link)

    async def serve(self) -> int:
        self.start()
        events: asyncio.Queue[SupervisionEvent] = asyncio.Queue()
        self.supervision.attach(events.put_nowait)
        self.supervision.status_from(lambda: {"calls": 3})
        if self.behaviour == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if self.behaviour == "stuck":
            while True:
                signal.pause()
        accepting = asyncio.create_task(self.accept())
        try:
            return await self.obey(events)
        finally:
            accepting.cancel()

    async def accept(self) -> None:
        """Give each connection to the supervisor to keep, with what it sent first."""
        loop = asyncio.get_running_loop()
        while True:
            connection, _ = await loop.sock_accept(self.http)
            data = await loop.sock_recv(connection, 1000)
            self.supervision.keep("connection", [connection.fileno()], data)
            if data == b"die":
                os.kill(os.getpid(), signal.SIGKILL)
            connection.close()
            say("keeps the connection")

    async def obey(self, events: "asyncio.Queue[SupervisionEvent]") -> int:
        while True:
            match await events.get():
                case WorkerDied() as died:
                    say(f"told of {died.kind} {died.index}: {died.why}")
                    link = await self.supervision.spawn_async(died.kind, died.index)
                    say(f"worker {(await asyncio.get_running_loop().sock_recv(link, 1000)).decode()}")
                    self.links.append(link)
                case SupervisorGone():
                    return 0
                case HandOver():
                    say("hands over")
                    return EXIT_HANDED_OVER
                case Drain() | End() as event:
                    say(f"told to {event}")
                    if self.behaviour != "deaf":
                        return 0


def main(arguments: list[str] | None = None) -> int:
    behaviour = os.environ.get("STUB_CONTROL", "")
    try:
        if behaviour == "bad-config":
            raise ConfigError("WAITLINE_DATA: cannot be read")
        supervision = Supervision.from_environment()
        if arguments and "--standby" in arguments:
            say("stands by")
            if not supervision.await_go(check):
                return 0
            if (FOLDER / "crash").exists():
                os.kill(os.getpid(), signal.SIGSEGV)
        return asyncio.run(Stub(supervision, behaviour).serve())
    except ConfigError as error:
        say(str(error))
        return 2


if __name__ == "__main__":
    sys.exit(main())
