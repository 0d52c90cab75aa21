"""The door for commands: how it is found, and who comes in."""

import os
import socket
import uuid

import pytest

from waitline.supervisor import door as door_module
from waitline.supervisor.door import MAX_VISITORS, Door, door_name


@pytest.fixture
def door():
    made = Door(f"waitline-test-{uuid.uuid4().hex}")
    yield made
    for visitor in made.visitors:
        visitor.close()
    made.socket.close()


def knock(door):
    caller = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    caller.settimeout(5)
    caller.connect(f"\0{door.name}")
    return caller


def test_the_name_follows_from_the_folder_however_it_is_written(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    names = {door_name(path) for path in (tmp_path / "data", tmp_path / "link", tmp_path / "data" / ".." / "data", type(tmp_path)("data"))}
    assert len(names) == 1
    assert len(names.pop()) < 100
    assert door_name(tmp_path) != door_name(tmp_path / "data")


def test_two_folders_that_have_had_the_same_path_have_two_names(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    before = door_name(tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "c")
    (tmp_path / "b").rename(tmp_path / "a")
    assert door_name(tmp_path / "a") != before


def test_a_folder_that_is_not_there_has_none(tmp_path):
    with pytest.raises(FileNotFoundError):
        door_name(tmp_path / "nowhere")


def test_a_name_can_be_had_once(door):
    with pytest.raises(OSError, match="in use"):
        Door(door.name)


def test_a_visitor_says_what_it_wants_and_is_answered(door):
    with knock(door) as caller:
        visitor = door.admit()
        assert visitor.order() is None
        caller.send(b'{"do": "upgrade"}')
        assert visitor.order() == {"do": "upgrade"}
        caller.send(b"please")
        assert visitor.order() == {}
        visitor.say({"done": True})
        assert caller.recv(100) == b'{"done": true}'
    assert visitor.order() is None
    assert visitor.gone
    visitor.say({"done": True})


def test_another_user_is_sent_away_and_root_is_not(door, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    for user, comes_in in ((4711, False), (12345, True), (0, True)):
        monkeypatch.setattr(door_module, "peer_user", lambda _, user=user: user)
        with knock(door) as caller:
            assert (door.admit() is not None) == comes_in
            if not comes_in:
                assert b"only the user that runs the platform" in caller.recv(1000)
                assert caller.recv(1000) == b""


def test_too_many_visitors_are_sent_away_until_one_has_gone(door):
    callers = [knock(door) for _ in range(MAX_VISITORS)]
    visitors = [door.admit() for _ in callers]
    with knock(door) as caller:
        assert door.admit() is None
        assert b"connected already" in caller.recv(1000)
    visitors[0].close()
    with knock(door):
        assert door.admit() is not None
    assert door.admit() is None, "nobody knocks"
    for caller in callers:
        caller.close()


def test_the_state_of_a_drain_goes_to_those_that_follow_it(door):
    with knock(door) as follower, knock(door) as other:
        door.admit().follows_drain = True
        door.admit()
        door.publish({"left_s": 3})
        assert follower.recv(100) == b'{"left_s": 3}'
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            other.recv(100)
