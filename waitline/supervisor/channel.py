"""The supervisor's end of the link to one control process: JSON messages with descriptors, never waiting."""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

from waitline.supervisor.output import log

MAX_MESSAGE_BYTES = 65_536
MAX_DESCRIPTORS = 253
"""The kernel's limit for one message (SCM_MAX_FD)."""
_INT_BYTES = 4
_ANCILLARY_BYTES = socket.CMSG_SPACE(MAX_DESCRIPTORS * _INT_BYTES)


class Message(NamedTuple):
    """What control said; the descriptors are the receiver's to close."""

    content: dict[str, Any]
    descriptors: list[int]


class Channel:
    """See the module. ``ended`` once the other end is closed; the owner then closes this one."""

    def __init__(self, link: socket.socket) -> None:
        link.setblocking(False)
        self._link = link
        self.ended = False
        self.closed = False

    def fileno(self) -> int:
        return self._link.fileno()

    def receive(self) -> Message | None:
        """Return the next message, None when there is none now or never will be; one that is not understood is logged and left out."""
        while not self.ended:
            try:
                data, ancillary, _, _ = self._link.recvmsg(MAX_MESSAGE_BYTES, _ANCILLARY_BYTES, socket.MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                return None
            except ConnectionResetError:  # it ended with words of ours unread: told once, and before its own last words
                continue
            if not data:
                self.ended = True
                return None
            descriptors = _descriptors(ancillary)
            if (content := _parsed(data)) is not None:
                return Message(content, descriptors)
            close_all(descriptors)
        return None

    def send(self, message: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
        """Send if there is room and somebody there; that nobody is there is seen by reading."""
        try:
            socket.send_fds(self._link, [json.dumps(message).encode()], list(descriptors))
        except BlockingIOError:  # over 100 unread messages: control hangs, and a report more would not help it
            log(f"control does not read; dropped {str(message)[:200]}")
        except OSError as error:
            log(f"control is not there: {error}; dropped {str(message)[:200]}")

    def close(self) -> None:
        """Let go of the socket."""
        self.ended = self.closed = True
        self._link.close()


def close_all(descriptors: Sequence[int]) -> None:
    """Close them."""
    for descriptor in descriptors:
        os.close(descriptor)


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    """Return what came with a message (``socket.recv_fds`` takes no flags before Python 3.13, and each would be another system call)."""
    found: list[int] = []
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            count = len(data) // _INT_BYTES
            found += struct.unpack(f"{count}i", data[: count * _INT_BYTES])
    return found


def _parsed(data: bytes) -> dict[str, Any] | None:
    try:
        content = json.loads(data)
    except ValueError:
        content = None
    if isinstance(content, dict):
        return content
    log(f"control said what is no message: {data[:100]!r}")
    return None
