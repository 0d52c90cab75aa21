"""Control's side of the link, against a supervisor that the test plays."""

import asyncio
import json
import os
import socket

import pytest
from harness.virtual_time import run

from waitline.errors import BridgeError, ConfigError
from waitline.supervision import Drain, End, Supervision, SupervisionEvent, SupervisorGone, WorkerDied


@pytest.fixture
def link():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.settimeout(5)
    yield ours, theirs
    ours.close()
    theirs.close()


def tell(supervisor, message, *fds):
    socket.send_fds(supervisor, [json.dumps(message).encode()], list(fds))


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
        asked = json.loads(link[1].recv(1000))
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        tell(link[1], {"id": asked["id"], "ok": True}, near.fileno())
        near.close()
        worker = await asking
        worker.send(b"hello")
        said = far.recv(10)
        worker.close()
        far.close()
        supervision.close()
        return asked, said

    asked, said = run(story())
    assert asked == {"id": 1, "do": "spawn", "kind": "media", "index": 2, "memfd": "frames", "args": []}
    assert said == b"hello"


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
        with pytest.raises(BridgeError, match="spawn_async"):
            supervision.spawn("media", 0)
        supervision.close()

    run(story())


def test_outside_a_supervisor_the_operator_is_told_what_to_use(monkeypatch):
    monkeypatch.delenv("WAITLINE_SUPERVISOR_FD", raising=False)
    with pytest.raises(ConfigError, match="waitline serve"):
        Supervision.from_environment()
