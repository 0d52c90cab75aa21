"""A softphone on pyVoIP, as a program of its own.

pyVoIP is licensed under the GNU General Public License, version 3. This file is the only one that imports it; it is run as a separate
process and talks to what is tested over SIP and RTP only. It is part of the tests, never of the product, and may be used and passed on
under GPL-3.0-or-later together with pyVoIP.

It reads commands on standard input, one a line (``dial NUMBER``, ``hangup``, ``quit``), and writes what happens as JSON, one object a
line, on standard output. What it hears is appended to a file as unsigned 8-bit samples at 8000 Hz, the only form pyVoIP has.

Known habits: it needs a registrar, answers with the oldest digest (MD5 without qop), and its PCMA is wrong (only PCMU is used here).
"""

from __future__ import annotations

import argparse
import json
import math
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyVoIP.VoIP  # isort: skip - before anything else of it: its modules import each other in a circle
import pyVoIP.SIP
from pyVoIP.VoIP import CallState, PhoneStatus, VoIPPhone

FRAME = 160
ARGUMENTS = {
    "host": str, "domain": str, "server-port": int, "user": str, "password": str, "sip-port": int, "rtp-low": int, "rtp-high": int,
    "tone": float, "heard": str,
}  # fmt: skip


def say(**fact: Any) -> None:
    print(json.dumps(fact), flush=True)


def tone(frequency: float) -> bytes:
    """One second of a tone as pyVoIP takes it: unsigned 8 bit, 128 is silence."""
    return bytes(128 + round(40 * math.sin(2 * math.pi * frequency * n / 8000)) for n in range(8000))


@contextmanager
def unblocked_while_locked(lock: threading.Lock, wire: socket.socket) -> Iterator[None]:
    """What pyVoIP means: its own has the socket block again only after the lock is free, so that a call then and now fails to read."""
    with lock:
        wire.setblocking(False)
        try:
            yield
        finally:
            wire.setblocking(True)


vars(pyVoIP.SIP)["acquired_lock_and_unblocked_socket"] = unblocked_while_locked


def resolve(name: str, address: str) -> None:
    """Have datagrams to ``name`` go to ``address``: pyVoIP takes its SIP domain for a host name, and tests have no name server."""
    plain = socket.socket.sendto

    def sendto(wire: socket.socket, data: bytes, to: tuple[str, int]) -> int:
        return plain(wire, data, (address if to[0] == name else to[0], to[1]))

    socket.socket.sendto = sendto  # type: ignore[assignment,method-assign]


class Softphone:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.call: Any = None
        resolve(options.domain, options.host)
        self.phone = VoIPPhone(
            options.domain, options.server_port, options.user, options.password, callCallback=None, myIP=options.host,
            sipPort=options.sip_port, rtpPortLow=options.rtp_low, rtpPortHigh=options.rtp_high,
        )  # fmt: skip

    def start(self) -> None:
        self.phone.start()
        while self.phone.get_status() == PhoneStatus.REGISTERING:
            time.sleep(0.02)  # pyVoIP tells nobody when it is registered
        say(event="started", status=self.phone.get_status().name)

    def dial(self, number: str) -> None:
        self.call = self.phone.call(number)
        threading.Thread(target=self._converse, args=(self.call,), daemon=True).start()

    def _converse(self, call: Any) -> None:
        """Report each change of state; while answered, hear and speak."""
        state, speech = None, tone(self.options.tone)
        with open(self.options.heard, "ab", buffering=0) as heard:
            position = 0
            while state != CallState.ENDED:
                if call.state != state:
                    state = call.state
                    say(event="state", state=state.name)
                if state == CallState.ANSWERED:
                    call.write_audio(speech[position : position + FRAME])
                    position = (position + FRAME) % len(speech)
                    heard.write(call.read_audio(FRAME, blocking=True))  # pyVoIP paces its readers at 20 ms
                else:
                    time.sleep(0.02)  # pyVoIP tells nobody when a call's state changes

    def hang_up(self) -> None:
        if self.call is not None and self.call.state == CallState.ANSWERED:
            self.call.hangup()

    def stop(self) -> None:
        self.hang_up()
        self.phone.stop()


def main() -> None:
    parser = argparse.ArgumentParser()
    for name, kind in ARGUMENTS.items():
        parser.add_argument(f"--{name}", type=kind, required=True)
    softphone = Softphone(parser.parse_args())
    softphone.start()
    for line in sys.stdin:
        command, _, argument = line.strip().partition(" ")
        if command == "dial":
            softphone.dial(argument)
        elif command == "hangup":
            softphone.hang_up()
        elif command == "quit":
            break
    softphone.stop()
    say(event="stopped")


if __name__ == "__main__":
    main()
