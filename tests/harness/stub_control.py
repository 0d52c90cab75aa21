"""A stand-in for control under the real supervisor: opens what control opens, starts workers, does as STUB_CONTROL says.

Run by the supervisor as ``python -m harness.stub_control`` (WAITLINE_CONTROL_MODULE). STUB_CONTROL: empty (run until told to drain or
end), ``bad-config`` (exit 2 with a message), ``deaf`` (ignores drain and end), ``crash`` (SIGSEGV once it is up), ``stuck`` (stops its
loop, so that neither events nor the end of the link are seen: only the kernel can end it).
"""

import asyncio
import os
import signal
import socket
import sys

from waitline.errors import ConfigError
from waitline.supervision import Drain, End, Supervision, SupervisionEvent, SupervisorGone, WorkerDied

WORKERS = 2


def say(text: str) -> None:
    print(f"stub: {text}", file=sys.stderr, flush=True)


def start(supervision: Supervision) -> list[socket.socket]:
    """Ask for one of each; returns the workers' links."""
    http = supervision.listen("tcp", "127.0.0.1", int(os.environ.get("STUB_HTTP_PORT", "0")), setting="WAITLINE_HTTP")
    udp, tcp = supervision.listen_both("127.0.0.1", 0, setting="WAITLINE_SIP")
    assert udp.getsockname() == tcp.getsockname()
    again, _ = supervision.listen_both("127.0.0.1", 0)
    assert again.getsockname() == udp.getsockname()
    assert os.fstat(supervision.memfd("frames", 4096)).st_size == 4096
    links = [supervision.spawn("media", index, args=["--hello", str(index)]) for index in range(WORKERS)]
    for link in links:
        link.settimeout(10)
        say(f"worker {link.recv(1000).decode()}")
        link.setblocking(False)
    supervision.ready(http="{}:{}".format(*http.getsockname()), sip="{}:{}".format(*udp.getsockname()))
    return links


async def serve(supervision: Supervision, behaviour: str) -> None:
    links = start(supervision)
    events: asyncio.Queue[SupervisionEvent] = asyncio.Queue()
    supervision.attach(events.put_nowait)
    if behaviour == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if behaviour == "stuck":
        while True:
            signal.pause()
    while True:
        match await events.get():
            case WorkerDied() as died:
                say(f"told of {died.kind} {died.index}: {died.why}")
                link = await supervision.spawn_async(died.kind, died.index)
                say(f"worker {(await asyncio.get_running_loop().sock_recv(link, 1000)).decode()}")
                links.append(link)
            case SupervisorGone():
                return
            case Drain() | End() as event:
                say(f"told to {type(event).__name__}")
                if behaviour != "deaf":
                    return


def main() -> None:
    behaviour = os.environ.get("STUB_CONTROL", "")
    try:
        if behaviour == "bad-config":
            raise ConfigError("WAITLINE_DATA: cannot be read")
        asyncio.run(serve(Supervision.from_environment(), behaviour))
    except ConfigError as error:
        say(str(error))
        sys.exit(2)


if __name__ == "__main__":
    main()
