"""A stand-in for a worker under the real supervisor: binds a UDP port, says so on its link, and again when asked; ends with its lifeline.

STUB_WORKER=stuck: never looks at the lifeline, so only the kernel or a SIGKILL ends it.
"""

import argparse
import os
import select
import signal
import socket


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("--index", "--link", "--lifeline", "--frames"):
        parser.add_argument(name, type=int, required=True)
    parser.add_argument("--hello", default="")
    options, _ = parser.parse_known_args()
    port = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    port.bind(("127.0.0.1", 0))
    link = socket.socket(fileno=options.link)
    frames = os.fstat(options.frames).st_size
    hello = f"{options.index} pid={os.getpid()} port={port.getsockname()[1]} frames={frames} hello={options.hello}".encode()
    link.send(hello)
    if os.environ.get("STUB_WORKER") == "stuck":
        while True:
            signal.pause()
    while True:
        readable, _, _ = select.select([link, options.lifeline], [], [])
        if options.lifeline in readable:
            return
        assert link.recv(100) == b"who", "control's death is not to be seen here"
        link.send(hello)


if __name__ == "__main__":
    main()
