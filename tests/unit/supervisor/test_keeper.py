"""What outlives a control: the same question gets the same thing, and what was given comes back."""

import base64
import json
import os
import socket
from typing import Any

import pytest

from waitline.supervisor.channel import MAX_MESSAGE_BYTES, Message
from waitline.supervisor.crew import Crew, Spawned
from waitline.supervisor.keeper import MAX_KEPT_BYTES, MAX_NAME_CHARACTERS, Keeper


class StubCrew(Crew):
    """Starts nothing and notes what it was asked for."""

    def __init__(self):
        super().__init__({})
        self.asked = []

    def spawn(self, kind, index, args, frames, *, owner):
        self.asked.append((kind, index, args, frames, owner))
        return Spawned(0, adopted=index == 1, close=index == 0)

    def living(self):
        return [0, 3]


@pytest.fixture
def crew():
    return StubCrew()


@pytest.fixture
def keeper(crew):
    made = Keeper(crew)
    yield made
    made.close()


def ask(keeper, descriptors=(), **request):
    return keeper.answer(Message({"id": 1, **request}, list(descriptors)), owner=77)


def encoded(data):
    return base64.b64encode(data).decode()


def is_open(descriptor):
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def test_the_same_question_gets_the_same_socket(keeper):
    question = {"do": "listen", "kind": "tcp", "host": "127.0.0.1", "port": 0}
    first, again, other = ask(keeper, **question), ask(keeper, **question), ask(keeper, **question | {"kind": "udp"})
    assert first == again == ({"id": 1, "ok": True}, first.send, ())
    assert other.send != first.send


def test_a_memory_file_keeps_its_content_under_its_name(keeper):
    question = {"do": "memfd", "name": "frames", "size": 160}
    (descriptor,) = ask(keeper, **question).send
    os.pwrite(descriptor, b"music", 0)
    (again,) = ask(keeper, **question).send
    assert os.pread(again, 5, 0) == b"music"
    assert os.fstat(again).st_size == 160


def test_a_worker_is_asked_for_with_the_frames_and_it_is_told_whether_it_lived_before(keeper, crew):
    (frames,) = ask(keeper, do="memfd", name="frames", size=160).send
    new = ask(keeper, do="spawn", kind="media", index=0, memfd="frames", args=["--x", "1"])
    old = ask(keeper, do="spawn", kind="media", index=1, memfd="frames")
    assert (new.content["adopted"], new.close) == (False, [0])
    assert (old.content["adopted"], old.close) == (True, [])
    assert crew.asked == [("media", 0, ["--x", "1"], [frames], 77), ("media", 1, [], [frames], 77)]
    assert ask(keeper, do="workers").content["media"] == [0, 3]


@pytest.mark.parametrize(
    "request_",
    [
        {"do": "dance"},
        {},
        {"do": "listen", "kind": "udp"},
        {"do": "listen", "kind": "udp", "host": "127.0.0.1", "port": 70000},
        {"do": "spawn", "kind": "media", "index": 0, "memfd": "nothing"},
        {"do": "memfd", "name": "frames", "size": -1},
        {"do": "keep", "name": "a", "data": "this is not base64"},
        {"do": "keep", "name": "a", "fds": 1},
        {"do": "keep", "name": "a", "data": encoded(bytes(MAX_KEPT_BYTES + 1))},
        {"do": "keep", "name": "a" * (MAX_NAME_CHARACTERS + 1)},
        {"do": "drop"},
        {"do": "kept", "from": "the start"},
    ],
)
def test_a_question_that_makes_no_sense_is_answered_with_an_error(keeper, request_):
    answer = ask(keeper, **request_)
    assert answer.content["id"] == 1
    assert answer.content["error"]
    assert (answer.send, answer.close) == ((), ())


def test_what_was_given_comes_back_under_its_name_in_order(keeper):
    descriptors = [os.dup(0), os.dup(0), os.dup(0)]
    ask(keeper, descriptors[:2], do="keep", name="leg 1", fds=2, data=encoded(b"state"))
    ask(keeper, descriptors[2:], do="keep", name="tcp 2", fds=1)
    page = ask(keeper, do="kept", **{"from": 0})
    assert page.content == {"id": 1, "ok": True, "kept": [("leg 1", 2, encoded(b"state")), ("tcp 2", 1, "")], "more": False}
    assert page.send == descriptors
    assert page.close == ()


def test_new_data_leaves_the_descriptors_and_new_descriptors_replace_them(keeper):
    first, second = os.dup(0), os.dup(0)
    ask(keeper, [first], do="keep", name="tcp", fds=1, data=encoded(b"INV"))
    ask(keeper, do="keep", name="tcp", data=encoded(b"INVITE"))
    page = ask(keeper, do="kept", **{"from": 0})
    assert (page.content["kept"], page.send) == ([("tcp", 1, encoded(b"INVITE"))], [first])
    ask(keeper, [second], do="keep", name="tcp", fds=1)
    assert ask(keeper, do="kept", **{"from": 0}).send == [second]
    assert not is_open(first)


def test_what_is_dropped_is_closed_and_a_name_that_is_not_known_is_no_error(keeper):
    descriptor = os.dup(0)
    ask(keeper, [descriptor], do="keep", name="tcp", fds=1)
    ask(keeper, do="drop", name="tcp")
    assert not is_open(descriptor)
    assert "error" not in ask(keeper, do="drop", name="tcp").content
    assert ask(keeper, do="kept", **{"from": 0}).content["kept"] == []


def test_descriptors_that_come_with_anything_else_are_closed(keeper):
    for request in ({"do": "drop", "name": "x"}, {"do": "keep", "name": "x", "fds": 2}, {"do": "keep", "name": "x"}):
        descriptor = os.dup(0)
        ask(keeper, [descriptor], **request)
        assert not is_open(descriptor)


def test_pages_hold_what_fits_into_a_message_and_together_hold_everything(keeper):
    names = [f"leg {number}" for number in range(300)] + ["large 1", "large 2"]
    for name in names:
        data = encoded(bytes(MAX_KEPT_BYTES)) if name.startswith("large") else ""
        ask(keeper, [os.dup(0), os.dup(0)], do="keep", name=name, fds=2, data=data)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    found: list[Any] = []
    more = True
    while more:
        page = ask(keeper, do="kept", **{"from": len(found)})
        socket.send_fds(ours, [json.dumps(page.content).encode()], list(page.send))
        data, descriptors, _, _ = socket.recv_fds(theirs, MAX_MESSAGE_BYTES, 253)
        content = json.loads(data)
        assert sum(count for _, count, _ in content["kept"]) == len(descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        found += [name for name, _, _ in content["kept"]]
        more = content["more"]
    ours.close()
    theirs.close()
    assert found == names


def test_many_small_entries_do_not_make_a_page_too_long(keeper):
    for number in range(5000):
        ask(keeper, do="keep", name=f"{number:010}")
    assert len(json.dumps(ask(keeper, do="kept", **{"from": 0}).content)) < MAX_MESSAGE_BYTES
