"""The workers, with processes that are the smallest there are: their parts in tests/real/test_control_succession.py."""

import os
import select
import socket

import pytest

from waitline.supervisor import crew as crew_module
from waitline.supervisor.children import Child
from waitline.supervisor.crew import Crew
from waitline.supervisor.listeners import RequestFailed


class Process:
    """Stands for a process: ends when it is told to."""

    def __init__(self):
        self.returncode = None
        self.killed = False

    def poll(self):
        return self.returncode

    def kill(self):
        self.killed, self.returncode = True, -9

    def wait(self, timeout=None):
        return self.returncode


@pytest.fixture
def started(monkeypatch):
    """What was started: (kind, index, args), with the worker's end of its link as ``.link``."""
    found = []

    def start(kind, index, module, args, fds):
        lifeline, write_end = os.pipe()
        os.close(lifeline)
        child = Child(kind, index, Process(), write_end)  # type: ignore[arg-type]
        found.append((child, args, socket.socket(fileno=os.dup(fds[0]))))
        return child

    monkeypatch.setattr(crew_module, "start_worker", start)
    yield found
    for _, _, link in found:
        link.close()


@pytest.fixture
def crew(started):
    made = Crew({"control": "c", "media": "m", "clip": "l"})
    yield made
    made.end()


def test_a_media_worker_that_lives_is_given_to_the_next_control_with_the_same_link(crew, started):
    first = crew.spawn("media", 1, ["--x"], [7], owner=10)
    again = crew.spawn("media", 1, [], [7], owner=11)
    assert (first.adopted, again.adopted) == (False, True)
    assert first.link == again.link
    assert not first.close
    assert len(started) == 1
    assert started[0][1][:2] == ["--index", "1"]
    assert started[0][1][-2:] == ["--frames=7", "--x"]
    assert crew.living() == [1]


def test_a_media_worker_does_not_see_the_end_of_a_control(crew, started):
    spawned = crew.spawn("media", 0, [], [], owner=10)
    os.close(os.dup(spawned.link))  # control's own, which went with it
    crew.bereave(10)
    _, _, link = started[0]
    assert not select.select([link], [], [], 0)[0]
    assert not started[0][0].process.killed


def test_a_clip_worker_belongs_to_one_control_and_ends_with_it(crew, started):
    mine, other = crew.spawn("clip", 0, [], [], owner=10), crew.spawn("clip", 0, [], [], owner=11)
    assert mine.close
    assert not mine.adopted
    assert not other.adopted
    crew.bereave(10)
    assert [child.process.killed for child, _, _ in started] == [True, False]
    os.close(mine.link)
    os.close(other.link)


def test_a_worker_that_closed_its_link_but_has_not_ended_is_killed_before_another_takes_its_ports(crew, started):
    crew.spawn("media", 0, [], [], owner=10)
    started[0][2].close()
    assert crew.living() == []
    assert not crew.spawn("media", 0, [], [], owner=10).adopted
    assert started[0][0].process.killed
    assert len(started) == 2


def test_one_that_has_ended_is_forgotten_and_what_we_held_of_it_is_closed(crew, started):
    spawned = crew.spawn("media", 0, [], [], owner=10)
    assert crew.reap() == []
    started[0][0].process.kill()
    (worker,) = crew.reap()
    assert worker.child is started[0][0]
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(spawned.link)
    assert crew.living() == []


@pytest.mark.parametrize("kind", ["control", "pirate"])
def test_there_are_no_other_kinds(crew, kind):
    with pytest.raises(RequestFailed, match=kind):
        crew.spawn(kind, 0, [], [], owner=10)
