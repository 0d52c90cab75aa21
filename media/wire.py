"""The network as the table sees it: a port that a worker's sockets, or a wire in memory, fill in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from waitline.media.rtp import Address, Buffer

Send = Callable[[Buffer, Address], object]


class Wire(Protocol):
    """The ports of all legs. Incoming datagrams are brought to the table by whoever owns the wire."""

    def open(self, leg: int) -> tuple[int, int]:
        """Bind an even port for RTP and the one above it for RTCP; OSError when none is left."""
        ...

    def close(self, leg: int) -> None:
        """Close the leg's ports; they drain before they are used again."""
        ...

    def sender(self, leg: int) -> Send:
        """Return what sends a packet from the RTP port."""
        ...

    def rtcp_sender(self, leg: int) -> Send:
        """Return what sends a packet from the RTCP port."""
        ...

    def share_rtcp(self, leg: int) -> None:
        """RTCP comes to the RTP port from now on (RFC 5761): the other may be closed."""
        ...

    def listen(self, leg: int, *, drop_type: int, urgent: bool) -> None:
        """Let the kernel drop most packets of this payload type (-1: none); bring packets as they come, or once a slot."""
        ...

    def dropped(self, leg: int) -> int:
        """Return how many packets came to the RTP port that were never brought: by the filter, or for want of room."""
        ...

    def release(self, leg: int) -> None:
        """Keep the leg's sockets for the one message that hands them over."""
        ...

    def adopt(self, leg: int, port: int, rtcp_port: int) -> None:
        """Take the sockets that came with a TakeOver as this leg's; OSError when there are none."""
        ...

    def resume(self, leg: int) -> None:
        """Go on with the sockets that a worker before this one had for the leg; OSError where there are none."""
        ...
