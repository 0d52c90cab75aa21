"""The supervisor's end of a link: it never waits, and never falls over what it is told."""

import json
import os
import socket

import pytest

from waitline.supervisor.channel import Channel


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    channel = Channel(ours)
    yield channel, theirs
    channel.close()
    theirs.close()


def test_messages_come_with_their_descriptors_which_no_child_inherits(pair):
    channel, control = pair
    socket.send_fds(control, [b'{"do": "keep"}'], [0, 1])
    message = channel.receive()
    assert message is not None
    assert message.content == {"do": "keep"}
    assert [os.get_inheritable(descriptor) for descriptor in message.descriptors] == [False, False]
    for descriptor in message.descriptors:
        os.close(descriptor)
    assert channel.receive() is None
    assert not channel.ended


@pytest.mark.parametrize("data", [b"no json", b"[1]", b"\xff\xfe", b"null"])
def test_what_is_no_message_is_logged_and_left_out_with_its_descriptors(pair, data, capfd):
    channel, control = pair
    before = len(os.listdir("/proc/self/fd"))
    socket.send_fds(control, [data], [0])
    control.send(b'{"do": "ready"}')
    message = channel.receive()
    assert message is not None
    assert message.content == {"do": "ready"}
    assert len(os.listdir("/proc/self/fd")) == before
    assert "no message" in capfd.readouterr().err


def test_the_end_of_the_other_side_is_seen_after_its_last_words(pair):
    channel, control = pair
    control.send(b"{}")
    control.close()
    assert channel.receive() is not None
    assert channel.receive() is None
    assert channel.ended


def test_the_last_words_of_one_that_died_with_ours_unread_are_heard(pair):
    channel, control = pair
    channel.send({"event": "died"})
    control.send(b'{"do": "keep"}')
    control.close()
    message = channel.receive()
    assert message is not None
    assert message.content == {"do": "keep"}
    assert channel.receive() is None
    assert channel.ended


def test_to_a_side_that_is_gone_nothing_is_said_and_that_is_logged(pair, capfd):
    channel, control = pair
    control.close()
    channel.send({"event": "drain"})
    assert "dropped {'event': 'drain'}" in capfd.readouterr().err


def test_to_a_side_that_does_not_read_nothing_more_is_said(pair, capfd):
    channel, control = pair
    for number in range(1000):
        channel.send({"event": "died", "index": number})
    assert "control does not read" in capfd.readouterr().err
    assert json.loads(control.recv(1000))["index"] == 0
