"""From where a leg takes media: symmetric RTP, within limits.

Behind NAT the address in a peer's SDP is not where its packets come from, so a leg sends to where they do come from. That is also how a
stranger would steal a call's audio; therefore: the address that was signalled is always good; any other must be one of the hosts that
control named (empty: any), and must come within a window after the media was set. The first packet that is admitted locks the leg to its
source. Everything else is dropped. A new remote address in a later SDP opens the window again.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address

from waitline.media.rtp import Address


@lru_cache(maxsize=4096)  # a peer has few addresses, and is asked for them with each message of control
def usable(host: str, port: int) -> Address | None:
    """Return an address that a worker may send to; None for a name (it would have to be resolved), a wildcard, or no port."""
    try:
        address = IPv4Address(host)
    except AddressValueError:
        return None
    return None if address.is_unspecified or not 0 < port < 65536 else (str(address), port)


class Latch:
    """The lock of one leg."""

    __slots__ = ("_hosts", "_signalled", "source", "until_tick")

    def __init__(self) -> None:
        self.source: Address | None = None
        """Locked on to this; None: not yet."""
        self._signalled: tuple[str, int] = ("", 0)
        self._hosts: tuple[str, ...] = ()
        self.until_tick = 0

    def set(self, host: str, port: int, hosts: tuple[str, ...], until_tick: int) -> bool:
        """Take what was signalled; return True if the address is another than before, so that the lock is open again."""
        self._hosts = hosts
        if self._signalled == (host, port):
            return False
        self._signalled = (host, port)
        self.until_tick = until_tick
        self.source = None
        return True

    def admit(self, source: Address, tick: int) -> bool:
        """Tell whether media from here is taken; lock on to it if nothing was latched so far."""
        if self.source is not None:
            return source == self.source
        if source != self._signalled and not self._is_allowed(source, tick):
            return False
        self.source = source
        return True

    def knows_host(self, host: str) -> bool:
        """Tell whether RTCP from this host is the peer's."""
        return host == self._signalled[0] or (self.source is not None and host == self.source[0]) or host in self._hosts

    def _is_allowed(self, source: Address, tick: int) -> bool:
        return tick <= self.until_tick and (not self._hosts or source[0] in self._hosts)

    def dump(self) -> list[object]:
        """Return the lock as plain values, without the window: for another worker, see ``restored``."""
        return [*self._signalled, list(self._hosts), list(self.source) if self.source else None]

    @classmethod
    def restored(cls, dump: list[object], until_tick: int) -> Latch:
        """Return a lock from ``dump``."""
        host, port, hosts, source = dump
        latch = cls()
        latch.set(str(host), int(str(port)), tuple(hosts) if isinstance(hosts, list) else (), until_tick)
        if isinstance(source, list):
            latch.source = (str(source[0]), int(source[1]))
        return latch
