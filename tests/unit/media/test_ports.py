"""Port pairs: even and odd, in turn, drained."""

import socket

import pytest

from waitline.media.ports import PortPool
from waitline.media.worker_link import split_ports


class Now:
    def __init__(self):
        self.s = 0.0

    def __call__(self):
        return self.s


@pytest.fixture
def free_range():
    """Return the first of four ports that are free, found by asking the kernel."""
    for _ in range(50):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            first = probe.getsockname()[1] & ~3
        if first > 1024 and all(_is_free(port) for port in range(first, first + 4)):
            return first
    pytest.skip("no four free ports in a row")


def _is_free(port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def open_port(pool):
    rtp, rtcp = pool.open()
    with rtp, rtcp:
        assert rtcp.getsockname()[1] == rtp.getsockname()[1] + 1
        return rtp.getsockname()[1]


def test_pairs_are_even_and_odd_and_taken_in_turn(free_range):
    pool = PortPool("127.0.0.1", free_range, free_range + 3, now=Now())
    assert [open_port(pool), open_port(pool)] == [free_range, free_range + 2]
    with pytest.raises(OSError, match="no RTP port is free"):
        pool.open()


def test_a_pair_drains_before_it_is_used_again(free_range):
    now = Now()
    pool = PortPool("127.0.0.1", free_range, free_range + 1, now=now, drain_s=5)
    pool.give_back(open_port(pool))
    now.s = 4.9
    with pytest.raises(OSError, match="1 pairs drain"):
        pool.open()
    now.s = 5.0
    assert open_port(pool) == free_range


def test_a_port_that_somebody_holds_is_passed_over(free_range):
    pool = PortPool("127.0.0.1", free_range, free_range + 3, now=Now())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("127.0.0.1", free_range + 1))
        assert open_port(pool) == free_range + 2


def test_range_zero_is_any_pair():
    assert open_port(PortPool("127.0.0.1", 0, 0, now=Now())) % 2 == 0


def test_an_address_that_is_not_ours_is_an_error_at_once():
    pool = PortPool("192.0.2.1", 20000, 30000, now=Now())
    with pytest.raises(OSError, match="assign"):
        pool.open()


def test_workers_share_a_range_without_overlap():
    assert split_ports(16384, 32767, 2) == [(16384, 24575), (24576, 32767)]
    assert split_ports(16385, 16391, 2) == [(16386, 16387), (16388, 16391)]
    assert split_ports(0, 0, 3) == [(0, 0)] * 3
