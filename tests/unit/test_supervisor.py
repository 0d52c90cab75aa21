"""The supervisor's parts in this process: what it opens, keeps and says. The tree itself is in tests/real/test_process_tree.py."""

import os
import re
import socket

import pytest

from waitline import supervisor
from waitline.supervisor import RequestFailed, Requests, open_listener, open_pair, why


@pytest.fixture
def requests():
    made = Requests(start_worker=lambda *_: None, print_ready=lambda _: None)
    yield made
    for listeners in made.listeners.values():
        for listener in listeners:
            listener.close()
    for descriptor in made.memfds.values():
        os.close(descriptor)


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


def test_the_same_question_gets_the_same_socket(requests):
    question = {"id": 1, "do": "listen", "kind": "tcp", "host": "127.0.0.1", "port": 0}
    first, again, other = requests.answer(question), requests.answer(question), requests.answer(question | {"kind": "udp"})
    assert first == again == ({"id": 1, "ok": True}, first[1], [])
    assert other[1] != first[1]


def test_a_memory_file_keeps_its_content_under_its_name(requests):
    question = {"id": 1, "do": "memfd", "name": "frames", "size": 160}
    (descriptor,) = requests.answer(question)[1]
    os.pwrite(descriptor, b"music", 0)
    (again,) = requests.answer(question)[1]
    assert os.pread(again, 5, 0) == b"music"
    assert os.fstat(again).st_size == 160


def test_a_worker_is_started_with_its_end_of_a_new_link_and_the_frames(requests):
    started = []
    requests.start_worker = lambda *given: started.append(given)
    (frames,) = requests.answer({"id": 1, "do": "memfd", "name": "frames", "size": 160})[1]
    answer, send, close = requests.answer({"id": 2, "do": "spawn", "kind": "media", "index": 3, "memfd": "frames", "args": ["--x", "1"]})
    os.close(send[0])
    ((kind, index, args, fds),) = started
    assert answer == {"id": 2, "ok": True}
    assert send == close
    assert (kind, index) == ("media", 3)
    assert args == ["--index", "3", "--link", str(fds[0]), f"--frames={frames}", "--x", "1"]


@pytest.mark.parametrize(
    "request_",
    [
        {"id": 1, "do": "dance"},
        {"id": 1},
        {"id": 1, "do": "listen", "kind": "udp"},
        {"id": 1, "do": "listen", "kind": "udp", "host": "127.0.0.1", "port": 70000},
        {"id": 1, "do": "spawn", "kind": "media", "index": 0, "memfd": "nothing"},
        {"id": 1, "do": "memfd", "name": "frames", "size": -1},
    ],
)
def test_a_question_that_makes_no_sense_is_answered_with_an_error(requests, request_):
    answer, send, close = requests.answer(request_)
    assert answer["id"] == 1
    assert answer["error"]
    assert (send, close) == ([], [])


def test_the_ready_line_is_exact(requests):
    lines: list[str] = []
    requests.print_ready = lines.append
    requests.answer({"do": "ready", "http": "127.0.0.1:8080", "sip": "127.0.0.1:5060"})
    assert lines == [f"ready http=127.0.0.1:8080 sip=127.0.0.1:5060 pid={os.getpid()}"]


@pytest.mark.parametrize(
    ("returncode", "text"), [(0, "exit code 0"), (2, "exit code 2"), (-9, "SIGKILL"), (-11, "SIGSEGV"), (-40, "signal 40")]
)
def test_why_a_process_ended_is_said_in_words(returncode, text):
    assert why(returncode) == text


def test_tests_may_put_stubs_in_the_place_of_control_and_workers(monkeypatch):
    monkeypatch.setenv("WAITLINE_CONTROL_MODULE", "stub.control")
    monkeypatch.setenv("WAITLINE_WORKER_MODULE", "stub.worker")
    assert supervisor.modules_from_environment() == {"control": "stub.control", "media": "stub.worker", "clip": "stub.worker"}


def test_an_unknown_argument_of_serve_is_exit_code_2(capsys):
    with pytest.raises(SystemExit) as ended:
        supervisor.main(["--prot", "1"])
    assert ended.value.code == 2
    assert "waitline serve" in capsys.readouterr().err
