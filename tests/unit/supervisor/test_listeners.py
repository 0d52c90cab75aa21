"""Opening the listening sockets."""

import re
import socket

import pytest

from waitline.supervisor.listeners import RequestFailed, open_listener, open_pair


def test_a_pair_has_one_port_number_for_udp_and_tcp():
    udp, tcp = open_pair("127.0.0.1", 0)
    with udp, tcp:
        assert udp.getsockname() == tcp.getsockname()
        assert (udp.type, tcp.type) == (socket.SOCK_DGRAM, socket.SOCK_STREAM)
        assert not udp.getblocking()


def test_a_pair_on_a_port_whose_tcp_is_taken_is_refused_and_leaves_udp_free():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(RequestFailed, match=f"tcp 127.0.0.1:{port}: the port is in use"):
            open_pair("127.0.0.1", port)
        open_listener("udp", "127.0.0.1", port).close()


def test_a_udp_port_in_use_is_refused():
    with open_listener("udp", "127.0.0.1", 0) as first, pytest.raises(RequestFailed, match="in use"):
        open_listener("udp", "127.0.0.1", first.getsockname()[1])


def test_ipv6_is_listened_on():
    with open_listener("tcp", "::1", 0) as listener:
        assert listener.family == socket.AF_INET6


@pytest.mark.parametrize(("kind", "host"), [("sctp", "127.0.0.1"), ("tcp", "192.0.2.1")])
def test_what_cannot_be_listened_on_is_refused_in_words(kind, host):
    with pytest.raises(RequestFailed, match=f"cannot listen on {kind} {re.escape(host)}:0"):
        open_listener(kind, host, 0)
