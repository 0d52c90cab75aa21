"""``waitline upgrade`` and ``waitline drain``, against a platform that the test plays."""

import io
import json
import os
import threading

import pytest

from waitline import operate
from waitline.clock import VirtualClock
from waitline.errors import ConfigError
from waitline.operate import Countdown, drain, reload, seconds, status, upgrade
from waitline.supervisor.door import Door, door_name


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def platform(tmp_path):
    """Plays a platform on tmp_path: to the first order it says what it was given, then hangs up; returns the orders."""
    door = Door(door_name(tmp_path))
    door.socket.settimeout(10)
    orders, threads = [], []

    def play(*messages):
        def answer():
            link, _ = door.socket.accept()
            with link:
                link.settimeout(10)
                if not (order := link.recv(1000)):
                    return
                orders.append(json.loads(order))
                for message in messages:
                    link.send(json.dumps(message).encode())

        threads.append(threading.Thread(target=answer))
        threads[-1].start()
        return orders

    yield play
    for thread in threads:
        thread.join(10)
    door.socket.close()


def test_an_upgrade_prints_what_became_of_it(platform, tmp_path):
    said: list[str] = []
    orders = platform({"done": True, "ok": True, "text": "version 2 is in control"})
    assert upgrade(tmp_path, said.append) == 0
    assert (said, orders) == (["version 2 is in control"], [{"do": "upgrade"}])


def test_media_workers_are_replaced_too_where_that_is_said(platform, tmp_path):
    orders = platform({"done": True, "ok": True, "text": "media workers are replaced"})
    assert upgrade(tmp_path, lambda _: None, media=True) == 0
    assert orders == [{"do": "upgrade", "media": True}]


def test_an_upgrade_that_is_refused_is_exit_code_1(platform, tmp_path):
    said: list[str] = []
    platform({"done": True, "ok": False, "text": "cannot read format 7"})
    assert upgrade(tmp_path, said.append) == 1
    assert said == ["cannot read format 7"]


def test_a_reload_prints_what_came_of_it(platform, tmp_path):
    said: list[str] = []
    orders = platform({"done": True, "ok": False, "text": "the certificate stays as it is"})
    assert reload(tmp_path, said.append) == 1
    assert (said, orders) == (["the certificate stays as it is"], [{"do": "reload"}])


def test_a_platform_that_ends_meanwhile_is_exit_code_1(platform, tmp_path):
    said: list[str] = []
    platform()
    assert upgrade(tmp_path, said.append) == 1
    assert said == ["the platform ended meanwhile"]


def test_a_drain_is_shown_until_the_end(platform, tmp_path):
    out = io.StringIO()
    orders = platform(
        {"status": {}, "left_s": 60},
        {"status": {"calls": 2}, "left_s": 60},
        {"status": {"calls": 2}, "left_s": 60},
        {"status": {"calls": 1}, "left_s": 60},
        {"done": True, "ok": True, "text": "ended"},
    )
    assert drain(tmp_path, 60, out) == 0
    assert orders == [{"do": "drain", "deadline_s": 60}]
    assert out.getvalue() == "draining, 1:00 left\ndraining: 2 calls, 1:00 left\ndraining: 1 call, 1:00 left\nended\n"


def test_a_platform_that_vanishes_while_it_drains_is_exit_code_1(platform, tmp_path):
    platform({"status": {}, "left_s": 60})
    out = io.StringIO()
    assert drain(tmp_path, 60, out) == 1
    assert out.getvalue().endswith("the platform is gone\n")


@pytest.mark.parametrize("folder", [".", "nowhere"])
def test_where_nothing_runs_both_say_so(tmp_path, folder):
    said: list[str] = []
    out = io.StringIO()
    assert upgrade(tmp_path / folder, said.append) == drain(tmp_path / folder, 60, out) == 1
    assert said[0] == out.getvalue().strip() == f"no platform runs on {tmp_path / folder}"


def test_what_belongs_to_another_user_is_not_believed(platform, tmp_path, monkeypatch):
    orders = platform()
    monkeypatch.setattr(operate, "peer_user", lambda _: os.geteuid() + 4711)
    said: list[str] = []
    assert upgrade(tmp_path, said.append) == 1
    assert "not trusted" in said[0]
    assert orders == []


def test_on_a_terminal_one_line_counts_down():
    now, out = [0.0], Terminal()
    countdown = Countdown(out, VirtualClock(lambda: now[0]))
    countdown.show()
    countdown.update({"status": {"calls": 1}, "left_s": 61})
    countdown.show()
    now[0] = 10
    countdown.show()
    now[0] = 100
    countdown.show()
    countdown.end("ended")
    lines = ["draining", "draining: 1 call, 1:01 left", "draining: 1 call, 0:51 left", "draining: 1 call, 0:00 left", "ended\n"]
    assert out.getvalue() == "".join(f"\r\x1b[K{line}" for line in lines)


@pytest.mark.parametrize(("text", "expected"), [("90", 90), ("90s", 90), ("30m", 1800), ("1.5h", 5400), (" 2 h ", 7200), ("0", 0)])
def test_times_are_read_as_people_write_them(text, expected):
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "m", "-5m", "1d", "30 minutes", "nan"])
def test_what_is_no_time_is_the_operators_error(text):
    with pytest.raises(ConfigError, match="--deadline"):
        seconds(text)


@pytest.mark.parametrize(
    ("said", "code", "line"),
    [
        ({"draining": False, "left_s": None, "status": {"calls": 2}}, 0, "takes calls: 2 calls\n"),
        ({"draining": True, "left_s": 90.2, "status": {"calls": 1}}, 3, "draining: 1 call, 1:30 left\n"),
        ({"draining": True, "left_s": None, "status": {}}, 3, "draining\n"),
    ],
)
def test_the_status_is_one_line_and_an_exit_code(platform, tmp_path, said, code, line):
    orders, out = platform({"done": True, "ok": True, **said}), io.StringIO()
    assert status(tmp_path, out) == code
    assert (out.getvalue(), orders) == (line, [{"do": "status"}])


def test_the_status_of_no_platform_is_exit_code_1(tmp_path):
    out = io.StringIO()
    assert status(tmp_path, out) == 1
    assert out.getvalue() == f"no platform runs on {tmp_path}\n"
