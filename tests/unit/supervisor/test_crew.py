"""The workers, with processes that are the smallest there are: their parts in tests/real/test_control_succession.py."""

import json
import os
import select
import socket

import pytest

from waitline.supervisor import crew as crew_module
from waitline.supervisor.children import Child
from waitline.supervisor.crew import EXIT_CANNOT, HEIR_S, LEAVE_S, PATIENCE, Crew
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
    """What was started: the child, its arguments, the worker's ends of its link and its vault."""
    found = []

    def start(kind, index, module, args, fds):
        lifeline, write_end = os.pipe()
        os.close(lifeline)
        child = Child(kind, index, Process(), write_end)  # type: ignore[arg-type]
        found.append((child, args, *(socket.socket(fileno=os.dup(fd)) for fd in (fds[:2] if kind == "media" else fds[:1]))))
        return child

    monkeypatch.setattr(crew_module, "start_worker", start)
    yield found
    for _, _, *links in found:
        for link in links:
            link.close()


class Clock:
    def __init__(self):
        self.at = 0.0

    def now(self):
        return self.at

    def advance(self, seconds):
        self.at += seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def crew(started, clock):
    made = Crew({"control": "c", "media": "m", "clip": "l"}, clock=clock)
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
    _, _, link, _ = started[0]
    assert not select.select([link], [], [], 0)[0]
    assert not started[0][0].process.killed


def test_a_clip_worker_belongs_to_one_control_and_ends_with_it(crew, started):
    mine, other = crew.spawn("clip", 0, [], [], owner=10), crew.spawn("clip", 0, [], [], owner=11)
    assert mine.close
    assert not mine.adopted
    assert not other.adopted
    crew.bereave(10)
    assert [child.process.killed for child, *_ in started] == [True, False]
    os.close(mine.link)
    os.close(other.link)


def vault_of(started, number):
    """The worker's end of its vault."""
    return started[number][3]


def say(vault, message, descriptors=()):
    socket.send_fds(vault, [json.dumps(message).encode()], list(descriptors))


def keep(started, number, leg, descriptors):
    say(vault_of(started, number), {"do": "legs", "keep": [[leg, len(descriptors)]]}, descriptors)


def pages(vault):
    """What a successor is given: its table, and the descriptors of each leg."""
    table, legs, more = None, {}, True
    while more:
        data, descriptors, _, _ = socket.recv_fds(vault, 65_536, 253)
        content = json.loads(data)
        descriptors = list(descriptors)
        if content["table"]:
            table = descriptors.pop(0)
        for leg, count in content["legs"]:
            legs[leg], descriptors = descriptors[:count], descriptors[count:]
        assert not descriptors
        more = content["more"]
    return table, legs


def is_same(one, other):
    return os.fstat(one)[:3] == os.fstat(other)[:3]


def close(*descriptors):
    for descriptor in descriptors:
        os.close(descriptor)


def test_a_media_worker_that_died_is_succeeded_at_once_with_its_link_and_all_it_left(crew, started):
    spawned = crew.spawn("media", 1, ["--x"], [], owner=10)
    table, sockets = os.memfd_create("t"), [os.memfd_create(f"s{n}") for n in range(3)]
    say(vault_of(started, 0), {"do": "table"}, [table])
    keep(started, 0, 7, sockets[:2])
    crew.listen()
    keep(started, 0, 8, sockets[1:])
    say(vault_of(started, 0), {"do": "legs", "share": [8]})
    keep(started, 0, 9, sockets)
    say(vault_of(started, 0), {"do": "legs", "drop": [9]})
    started[0][0].process.kill()
    (death,) = crew.reap()
    assert death.goes_on
    assert death.child is started[0][0]
    child, args, link, vault = started[1]
    assert (child.index, args[-1]) == (1, "--succeed")
    assert os.fstat(link.fileno()).st_ino == os.fstat(started[0][2].fileno()).st_ino
    given, legs = pages(vault)
    assert is_same(given, table)
    assert [len(found) for found in (legs[7], legs[8])] == [2, 1]
    assert is_same(legs[8][0], sockets[1])
    assert 9 not in legs
    assert crew.spawn("media", 1, [], [], owner=11) == (spawned.link, True, False)
    assert crew.living() == [1]
    close(given, table, *sockets, *legs[7], *legs[8])


def test_what_control_says_to_a_dead_worker_waits_for_its_successor(crew, started):
    spawned = crew.spawn("media", 0, [], [], owner=10)
    started[0][0].process.kill()
    with socket.socket(fileno=os.dup(spawned.link)) as control:
        control.send(b"open")
        crew.reap()
        assert started[1][2].recv(10) == b"open"


def test_thousands_of_sockets_are_given_in_pages(crew, started):
    crew.spawn("media", 0, [], [], owner=10)
    descriptor = os.memfd_create("s")
    for leg in range(1, 301):
        keep(started, 0, leg, [descriptor, descriptor])
        crew.listen()
    started[0][0].process.kill()
    crew.reap()
    _, legs = pages(vault_of(started, 1))
    assert list(legs) == list(range(1, 301))
    close(descriptor, *(found for sockets in legs.values() for found in sockets))


def test_a_leg_between_two_workers_is_given_to_whichever_dies(crew, started):
    crew.spawn("media", 0, [], [], owner=10)
    crew.spawn("media", 1, [], [], owner=10)
    descriptor = os.memfd_create("s")
    keep(started, 0, 7, [descriptor])
    say(vault_of(started, 0), {"do": "part", "leg": 7})
    crew.listen()
    started[1][0].process.kill()
    crew.reap()
    _, legs = pages(vault_of(started, 2))
    assert is_same(legs[7][0], descriptor)
    keep(started, 2, 7, [descriptor])
    crew.listen()
    started[0][0].process.kill()
    crew.reap()
    assert pages(vault_of(started, 3)) == (None, {})
    close(descriptor, *legs[7])


@pytest.mark.parametrize("code", [EXIT_CANNOT, -9])
def test_a_worker_that_cannot_be_succeeded_is_forgotten_and_its_link_ends(crew, started, code):
    spawned = crew.spawn("media", 0, [], [], owner=10)
    with socket.socket(fileno=os.dup(spawned.link)) as control:
        deaths = []
        while crew.living():
            started[-1][0].process.returncode = code
            deaths += crew.reap()
        assert [death.goes_on for death in deaths] == [True] * (len(deaths) - 1) + [False]
        assert len(deaths) == (1 if code == EXIT_CANNOT else PATIENCE.deaths)
        for _, _, link, _ in started:
            link.close()
        assert control.recv(10) == b""
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(spawned.link)
    assert crew.living() == []
    assert not crew.spawn("media", 0, [], [], owner=10).adopted


def renewing(crew, started, *, layout="1"):
    """A worker with a leg, and the process that is to replace it, ready with a form of table."""
    crew.spawn("media", 0, [], [], owner=10)
    descriptor = os.memfd_create("s")
    say(vault_of(started, 0), {"do": "table", "layout": "1"}, [descriptor])
    keep(started, 0, 7, [descriptor])
    os.close(descriptor)
    crew.listen()
    crew.renew()
    say(vault_of(started, 1), {"do": "ready", "layout": layout})
    crew.listen()


def is_told_to_leave(started, number=0):
    link = vault_of(started, number)
    return bool(select.select([link], [], [], 0)[0]) and json.loads(link.recv(100)) == {"do": "leave"}


@pytest.mark.parametrize("has_ended", [True, False])
def test_a_worker_is_told_to_leave_when_its_heir_is_ready_and_leaves_it_everything(crew, started, has_ended):
    renewing(crew, started)
    assert is_told_to_leave(started)
    assert crew.renewing == 1
    keep(started, 0, 8, [0])
    if has_ended:
        started[0][0].process.returncode = 75
    else:
        say(vault_of(started, 0), {"do": "left"})
        crew.listen()
    (death,) = crew.reap()
    assert (death.child, death.left, death.goes_on) == (started[0][0], True, True)
    table, legs = pages(vault_of(started, 1))
    assert list(legs) == [7, 8]
    assert (crew.renewing, crew.failures, len(started)) == (0, [], 2)
    assert crew.reap() == []
    close(table, *legs[7], *legs[8])


def test_a_worker_that_dies_before_its_heir_is_ready_is_followed_by_that_one(crew, started):
    crew.spawn("media", 0, [], [], owner=10)
    crew.renew()
    started[0][0].process.kill()
    (death,) = crew.reap()
    assert (death.left, death.goes_on, len(started)) == (False, True, 2)


def test_an_heir_with_another_form_of_table_is_sent_away_and_the_worker_stays_until_its_last_leg_is_closed(crew, started):
    renewing(crew, started, layout="2")
    assert not is_told_to_leave(started)
    assert crew.renewing == 0
    assert "another form of table (2)" in crew.failures[0]
    assert started[1][0].process.killed
    assert crew.reap() == []
    say(vault_of(started, 0), {"do": "legs", "drop": [7]})
    crew.listen()
    crew.reap()
    assert crew.renewing == 1


def test_an_heir_that_dies_changes_nothing(crew, started):
    renewing(crew, started)
    started[1][0].process.returncode = 1
    assert crew.reap() == []
    assert crew.failures == ["media worker 0: the new process ended: exit code 1"]
    assert crew.living() == [0]


def test_an_heir_that_is_never_ready_is_given_up_and_a_worker_that_does_not_leave_is_killed(crew, started, clock):
    crew.spawn("media", 0, [], [], owner=10)
    crew.renew()
    assert crew.due() == [HEIR_S]
    clock.advance(HEIR_S)
    crew.reap()
    assert "not ready within 20 s" in crew.failures[0]
    crew.renew()
    say(vault_of(started, 2), {"do": "ready", "layout": "1"})
    crew.listen()
    assert crew.due() == [HEIR_S + LEAVE_S]
    clock.advance(LEAVE_S)
    crew.reap()
    assert started[0][0].process.killed
    assert [death.goes_on for death in crew.reap()] == [True]


def test_after_an_upgrade_a_worker_without_legs_is_replaced_and_one_with_legs_later(crew, started):
    crew.spawn("media", 0, [], [], owner=10)
    keep(started, 0, 7, [0])
    crew.listen()
    crew.age()
    crew.reap()
    assert crew.renewing == 0
    say(vault_of(started, 0), {"do": "legs", "drop": [7]})
    crew.listen()
    crew.reap()
    assert crew.renewing == 1
    assert len(started) == 2


@pytest.mark.parametrize("kind", ["control", "pirate"])
def test_there_are_no_other_kinds(crew, kind):
    with pytest.raises(RequestFailed, match=kind):
        crew.spawn(kind, 0, [], [], owner=10)


def test_calls_that_come_and_go_leave_everything_settled_and_a_death_or_an_heir_does_not(crew, started):
    crew.spawn("media", 0, [], [], owner=10)
    keep(started, 0, 7, [0])
    crew.listen()
    assert crew.is_settled
    crew.renew()
    assert not crew.is_settled
