"""What a worker tells its supervisor of its legs: together, some time after, and not at all of what is gone by then."""

import json
import os
import socket
from typing import Any

import pytest

from waitline.media.vault import DROP_TICKS, KEEP_TICKS, LEGS_A_MESSAGE, Vault


class Link:
    """A worker's vault and the supervisor's end of it, with sockets to keep."""

    def __init__(self, links):
        ours, self.theirs = links
        self.vault = Vault(ours)
        self.theirs.setblocking(False)
        self.sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]

    def told(self):
        """Return what the supervisor has been told, with the number of descriptors of each."""
        found: list[tuple[dict[str, Any], int]] = []
        while True:
            try:
                data, descriptors, _, _ = socket.recv_fds(self.theirs, 65_536, 253)
            except BlockingIOError:
                return found
            for descriptor in descriptors:
                os.close(descriptor)
            found.append((json.loads(data), len(descriptors)))

    def ticks(self, count):
        for _ in range(count):
            self.vault.tick()


@pytest.fixture
def link():
    links = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with links[0], links[1]:
        found = Link(links)
        yield found
        for sock in found.sockets:
            sock.close()


def legs(keep=(), share=(), drop=()):
    return {"do": "legs", "keep": list(keep), "share": list(share), "drop": list(drop)}


def test_legs_that_nobody_answered_yet_are_told_together_within_100_ms(link):
    for leg in (7, 8):
        link.vault.keep(leg, link.sockets)
    link.vault.share(8)
    link.ticks(KEEP_TICKS - 1)
    assert link.told() == []
    link.ticks(1)
    assert link.told() == [(legs(keep=[[7, 2], [8, 1]]), 3)]
    link.ticks(DROP_TICKS)
    assert link.told() == []


def test_a_leg_in_use_is_told_at_the_next_tick(link):
    link.vault.keep(7, link.sockets)
    link.vault.hurry()
    link.ticks(1)
    assert link.told() == [(legs(keep=[[7, 2]]), 2)]
    link.vault.hurry()
    link.ticks(1)
    assert link.told() == []


def test_a_leg_that_is_closed_soon_is_never_told(link):
    link.vault.keep(7, link.sockets)
    link.vault.drop(7)
    link.ticks(DROP_TICKS)
    assert link.told() == []


def test_what_is_closed_is_told_within_500_ms_or_with_the_next_that_is_opened(link):
    for number in (1, 2):
        link.vault.keep(number, link.sockets)
    link.ticks(KEEP_TICKS)
    link.told()
    link.vault.drop(1)
    link.vault.share(2)
    link.ticks(DROP_TICKS)
    assert link.told() == [(legs(share=[2], drop=[1]), 0)]
    link.vault.drop(2)
    link.vault.keep(3, link.sockets)
    link.ticks(KEEP_TICKS)
    assert link.told() == [(legs(keep=[[3, 2]], drop=[2]), 2)]


@pytest.mark.parametrize(("last", "words"), [("left", {"do": "left"}), ("part", {"do": "part", "leg": 7})])
def test_what_waits_is_told_before_a_leg_or_the_worker_goes(link, last, words):
    link.vault.keep(7, link.sockets)
    if last == "left":
        link.vault.left()
    else:
        link.vault.part(7)
    assert link.told() == [(legs(keep=[[7, 2]]), 2), (words, 0)]


def test_more_legs_than_a_message_holds_are_told_in_several(link):
    for leg in range(LEGS_A_MESSAGE + 1):
        link.vault.keep(leg, link.sockets)
    link.ticks(KEEP_TICKS)
    assert [(len(message["keep"]), count) for message, count in link.told()] == [(LEGS_A_MESSAGE, 2 * LEGS_A_MESSAGE), (1, 2)]
