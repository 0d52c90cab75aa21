"""Control's side of the link, against a supervisor that the test plays."""

import asyncio
import json
import os
import socket

import pytest
from harness.virtual_time import run

from waitline import __version__
from waitline.errors import BridgeError, ConfigError
from waitline.supervision import Drain, End, HandOver, Supervision, SupervisionEvent, SupervisorGone, WorkerDied
from waitline.supervisor.door import door_name


@pytest.fixture
def link():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.settimeout(5)
    yield ours, theirs
    ours.close()
    theirs.close()


def tell(supervisor, message, *fds):
    socket.send_fds(supervisor, [json.dumps(message).encode()], list(fds))


def said(supervisor):
    """Return the next thing that control said, besides that it is alive."""
    while (message := json.loads(supervisor.recv(65_536))).get("do") == "alive":
        continue
    return message


def test_a_socket_is_asked_for_and_received(link):
    supervision = Supervision(link[0])
    with socket.create_server(("127.0.0.1", 0)) as server:
        tell(link[1], {"id": 1, "ok": True}, server.fileno())
        with supervision.listen("tcp", "127.0.0.1", 0) as listener:
            assert listener.getsockname() == server.getsockname()
            assert listener.fileno() != server.fileno()
            assert not os.get_inheritable(listener.fileno())
    assert json.loads(link[1].recv(1000)) == {"id": 1, "do": "listen", "kind": "tcp", "host": "127.0.0.1", "port": 0}


def test_an_address_that_cannot_be_had_is_the_operators_error_and_names_the_setting(link):
    tell(link[1], {"id": 1, "error": "cannot listen on udp 127.0.0.1:5060: the port is in use"})
    with pytest.raises(ConfigError, match=r"WAITLINE_SIP: cannot listen on udp 127.0.0.1:5060: the port is in use"):
        Supervision(link[0]).listen("udp", "127.0.0.1", 5060, setting="WAITLINE_SIP")


def test_another_refusal_is_ours(link):
    tell(link[1], {"id": 1, "error": "no"})
    with pytest.raises(BridgeError, match="no"):
        Supervision(link[0]).spawn("media", 0)


def test_a_supervisor_that_goes_while_it_is_asked_is_said(link):
    link[1].close()
    with pytest.raises(BridgeError, match="supervisor"):
        Supervision(link[0]).memfd("frames", 1)


def test_what_is_told_while_asking_is_not_lost(link):
    async def story():
        supervision = Supervision(link[0])
        tell(link[1], {"event": "drain"})
        tell(link[1], {"id": 1, "ok": True}, 0)
        os.close(supervision.memfd("frames", 1))
        heard: list[SupervisionEvent] = []
        supervision.attach(heard.append)
        await asyncio.sleep(0.01)
        supervision.close()
        return heard

    assert run(story()) == [Drain()]


def test_facts_arrive_in_order_and_the_end_of_the_supervisor_is_the_last():
    async def story():
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        supervision = Supervision(ours)
        heard: list[SupervisionEvent] = []
        supervision.attach(heard.append)
        tell(theirs, {"event": "died", "kind": "clip", "index": 1, "why": "SIGKILL"})
        tell(theirs, {"event": "end"})
        theirs.close()
        await asyncio.sleep(0.01)
        supervision.close()
        return heard

    assert run(story()) == [WorkerDied("clip", 1, "SIGKILL"), End(), SupervisorGone()]


def test_a_worker_is_started_without_blocking_the_loop(link):
    async def story():
        supervision = Supervision(link[0])
        supervision.attach(lambda _: None)
        asking = asyncio.create_task(supervision.spawn_async("media", 2))
        await asyncio.sleep(0)
        asked = said(link[1])
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        tell(link[1], {"id": asked["id"], "ok": True}, near.fileno())
        near.close()
        worker = await asking
        worker.send(b"hello")
        heard = far.recv(10)
        worker.close()
        far.close()
        supervision.close()
        return asked, heard

    asked, heard = run(story())
    assert asked == {"id": 1, "do": "spawn", "kind": "media", "index": 2, "memfd": "frames", "args": []}
    assert heard == b"hello"


def test_a_supervisor_that_does_not_answer_is_not_waited_for_for_ever(link):
    async def story():
        supervision = Supervision(link[0])
        supervision.attach(lambda _: None)
        with pytest.raises(TimeoutError):
            await supervision.spawn_async("media", 0)
        supervision.close()

    run(story())


def test_a_blocking_request_in_a_running_loop_is_a_bug_and_said_so(link):
    async def story():
        supervision = Supervision(link[0])
        supervision.attach(lambda _: None)
        with pytest.raises(BridgeError, match="awaited"):
            supervision.spawn("media", 0)
        supervision.close()

    run(story())


# --- a worker that lived before


def test_whether_a_worker_has_lived_before_is_told(link):
    tell(link[1], {"id": 1, "ok": True, "adopted": True}, link[1].fileno())
    tell(link[1], {"id": 2, "ok": True, "adopted": False}, link[1].fileno())
    tell(link[1], {"id": 3, "ok": True, "media": [0, 2]})
    supervision = Supervision(link[0])
    old, new = supervision.worker("media", 0), supervision.worker("media", 1)
    old.socket.close()
    new.socket.close()
    assert (old.adopted, new.adopted) == (True, False)
    assert supervision.living() == [0, 2]


# --- what is kept


def test_descriptors_and_bytes_are_given_to_be_kept_and_dropped(link):
    supervision = Supervision(link[0])
    supervision.keep("tcp 1", [link[0].fileno()], b"\x00INV")
    supervision.keep("tcp 1", data=b"ITE")
    supervision.drop("tcp 1")
    data, descriptors, _, _ = socket.recv_fds(link[1], 1000, 4)
    os.close(descriptors[0])
    assert json.loads(data) == {"do": "keep", "name": "tcp 1", "fds": 1, "data": "AElOVg=="}
    assert said(link[1]) == {"do": "keep", "name": "tcp 1", "data": "SVRF"}
    assert said(link[1]) == {"do": "drop", "name": "tcp 1"}


def test_more_than_can_be_kept_is_a_bug_and_said_so(link):
    with pytest.raises(BridgeError, match="too many"):
        Supervision(link[0]).keep("tcp 1", data=bytes(32_769))


def test_what_is_kept_comes_by_pages(link):
    tell(link[1], {"id": 1, "ok": True, "kept": [["a", 2, "AA=="], ["b", 0, ""]], "more": True}, 0, 1)
    tell(link[1], {"id": 2, "ok": True, "kept": [["c", 1, ""]], "more": False}, 2)
    kept = Supervision(link[0]).kept()
    for entry in kept:
        for descriptor in entry.descriptors:
            os.close(descriptor)
    assert [(entry.name, len(entry.descriptors), entry.data) for entry in kept] == [("a", 2, b"\x00"), ("b", 0, b""), ("c", 1, b"")]
    assert said(link[1])["from"] == 0
    assert said(link[1])["from"] == 2


def test_in_a_running_loop_what_is_kept_and_who_lives_is_awaited(link):
    async def story():
        supervision = Supervision(link[0])
        supervision.attach(lambda _: None)
        asking = asyncio.gather(supervision.kept_async(), supervision.living_async())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        tell(link[1], {"id": said(link[1])["id"], "ok": True, "kept": [["a", 0, ""]], "more": False})
        tell(link[1], {"id": said(link[1])["id"], "ok": True, "media": [1]})
        found = await asking
        supervision.close()
        return found

    assert run(story()) == [[("a", [], b"")], [1]]


def test_what_a_full_link_does_not_take_is_sent_in_order_when_it_does_and_the_caller_may_close_at_once(link):
    async def story():
        supervision = Supervision(link[0])
        supervision.attach(lambda _: None)
        for number in range(1000):
            read_end, write_end = os.pipe()
            os.write(write_end, str(number).encode())
            supervision.keep(str(number), [read_end], b"x" * 1000)
            os.close(read_end)
            os.close(write_end)
        names: list[int] = []
        contents: list[int] = []
        link[1].setblocking(False)
        while len(names) < 1000:
            await asyncio.sleep(0.001)
            try:
                data, descriptors, _, _ = socket.recv_fds(link[1], 65_536, 4)
            except BlockingIOError:
                continue
            if (message := json.loads(data))["do"] == "keep":
                names.append(int(message["name"]))
                contents.append(int(os.read(descriptors[0], 10)))
                os.close(descriptors[0])
        supervision.close()
        return names, contents

    assert run(story()) == (list(range(1000)), list(range(1000)))


def test_a_link_that_closes_with_words_unsent_closes_their_descriptors(link):
    async def story():
        supervision = Supervision(link[0])
        supervision.attach(lambda _: None)
        before = len(os.listdir("/proc/self/fd"))
        for number in range(1000):
            supervision.keep(str(number), [0], b"x" * 1000)
        assert len(os.listdir("/proc/self/fd")) > before
        supervision.close()
        return before - 1 - len(os.listdir("/proc/self/fd"))

    assert run(story()) == 0


# --- the pulse


def test_a_loop_that_runs_says_so_twice_a_second_with_its_numbers_until_the_link_is_closed(link):
    async def story():
        supervision = Supervision(link[0])
        supervision.status_from(lambda: {"calls": 7})
        supervision.attach(lambda _: None)
        await asyncio.sleep(2.2)
        supervision.close()
        await asyncio.sleep(2)

    run(story())
    beats = []
    while data := link[1].recv(1000):
        beats.append(json.loads(data))
    assert beats == [{"do": "alive", "status": {"calls": 7}}] * 5


# --- a standby


def standing_by(link, *facts, check=lambda: ""):
    for fact in facts:
        tell(link[1], fact)
    supervision = Supervision(link[0])
    return supervision.await_go(check)


def test_a_standby_says_that_it_waits_and_goes_when_it_is_told(link):
    assert standing_by(link, {"event": "go"})
    assert said(link[1]) == {"do": "standing-by"}


def test_a_standby_whose_supervisor_goes_has_nothing_to_do(link):
    link[1].shutdown(socket.SHUT_WR)
    assert not standing_by(link)


def test_a_standby_whose_supervisor_is_gone_before_it_can_say_a_word_ends_too(link):
    link[1].close()
    assert not standing_by(link)


@pytest.mark.parametrize(("outcome", "reason"), [("", ""), ("format 7", "format 7"), (ValueError("no"), "ValueError: no")])
def test_a_candidate_checks_itself_and_answers(link, outcome, reason):
    def check():
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    assert standing_by(link, {"event": "check"}, {"event": "go"}, check=check)
    said(link[1])
    assert said(link[1]) == {"do": "checked", "reason": reason, "version": __version__}


def test_the_orders_of_the_operator_arrive_as_events(link):
    async def story():
        supervision = Supervision(link[0])
        heard: list[SupervisionEvent] = []
        supervision.attach(heard.append)
        for fact in ({"event": "drain", "deadline_s": 60}, {"event": "hand_over"}):
            tell(link[1], fact)
        await asyncio.sleep(0.01)
        supervision.handed_over()
        supervision.close()
        return heard

    assert run(story()) == [Drain(60), HandOver()]
    assert said(link[1]) == {"do": "handed-over"}


def test_wishes_are_sent_as_they_are(link, tmp_path):
    supervision = Supervision(link[0])
    supervision.ready(http="127.0.0.1:1", sip="127.0.0.1:2")
    supervision.standby(on=True)
    supervision.open_door(tmp_path)
    assert said(link[1]) == {"do": "ready", "http": "127.0.0.1:1", "sip": "127.0.0.1:2"}
    assert said(link[1]) == {"do": "standby", "on": True}
    assert said(link[1]) == {"do": "door", "name": door_name(tmp_path)}


def test_outside_a_supervisor_the_operator_is_told_what_to_use(monkeypatch):
    monkeypatch.delenv("WAITLINE_SUPERVISOR_FD", raising=False)
    with pytest.raises(ConfigError, match="waitline serve"):
        Supervision.from_environment()
