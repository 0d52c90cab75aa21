"""``waitline demo`` as a person runs it: what it prints, what it leaves behind, and that it leaves nothing running however it ends."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from harness import audio
from harness.processes import children, end, read_line, wait_for_all
from harness.serve import WAITLINE
from harness.sip_phone import SipPhone

pytestmark = [pytest.mark.real, pytest.mark.slow]

WITHIN_S = 75.0
CLAIM = [f"P{number}" for number in range(1, 15)]


class Demo:
    """A demo in an empty folder; ``line`` reads what it prints as it prints it."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("WAITLINE_")}
        self.process = subprocess.Popen(
            [WAITLINE, "demo", *arguments],
            cwd=folder, env=environment | {"TMPDIR": str(self.temporary)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0,
        )  # fmt: skip
        self.printed: list[str] = []
        self.below: set[int] = set()

    def wait_for(self, pattern: str, within_s: float = WITHIN_S) -> re.Match[str]:
        """Read lines up to the one that matches; keeps an eye on which processes there are."""
        deadline = time.monotonic() + within_s
        while line := read_line(self.process.stdout, max(0.0, deadline - time.monotonic())):
            self.printed.append(line)
            self.below.update(children(self.process.pid))
            if found := re.search(pattern, line):
                return found
        raise AssertionError(f"no line like {pattern!r} in:\n{self.text}")

    def finish(self) -> int:
        """Read to the end; returns the exit code."""
        while line := read_line(self.process.stdout, WITHIN_S):
            self.printed.append(line)
        return self.process.wait(10)

    @property
    def text(self) -> str:
        return "".join(self.printed)

    def left_running(self, within_s: float = 5.0) -> list[int]:
        return wait_for_all(sorted(self.below), within_s)

    def files(self) -> list[str]:
        return sorted(path.name for folder in self.temporary.iterdir() for path in folder.iterdir())


@pytest.fixture
def start(tmp_path):
    demos = []

    def started(*arguments: str) -> Demo:
        demos.append(Demo(tmp_path, *arguments))
        return demos[-1]

    yield started
    for demo in demos:
        end(demo.process, within_s=15)


def test_the_demo_shows_the_main_job_and_leaves_only_recordings(start):
    demo = start()
    demo.wait_for("P14 ")
    assert demo.finish() == 0, demo.text
    lines = demo.text.splitlines()
    assert [line.split()[:2] for line in lines[-14:]] == [[name, "ok"] for name in CLAIM]
    assert "FAILED" not in demo.text
    assert demo.left_running() == []
    assert demo.files() == ["agent.wav", "caller-1.wav", "caller-2.wav", "platform.log"]
    assert heard(demo, "caller-1.wav", (440, 784, 1397)) == [440, 784, 1397]
    assert heard(demo, "caller-2.wav", (587, 988)) == [587, 988]
    assert heard(demo, "agent.wav", (1175, 784)) == [1175]


def heard(demo, name, tones):
    """Return which of the tones are in the recording for a while, judged by ears that are not the demo's."""
    (path,) = demo.temporary.glob(f"*/{name}")
    assert str(path) in demo.text
    pcm = audio.read_wav(path)
    windows = [pcm[start : start + 1600] for start in range(0, len(pcm) - 1600, 1600)]
    return [hz for hz in tones if sum(audio.purity(window, hz) > 0.8 for window in windows) >= 3]


def test_the_demo_stays_up_for_a_softphone_and_ends_on_ctrl_c(start):
    demo = start("--keep")
    where = demo.wait_for(r"as a caller +sip:(\+\d+)@([\d.]+):(\d+) ")
    number, sip = where[1], (where[2], int(where[3]))
    demo.wait_for("Ctrl-C ends everything")
    with SipPhone(server=sip) as phone:
        call = phone.invite(number)
        call.answered()
        demo.wait_for(r"/visitors/wait QueuePosition=1 .*<Gather>")
        call.press("1")
        demo.wait_for(r"/visitors/key Digits=1 QueuePosition=1 .*<Say>")
        demo.wait_for(r"/visitors/wait .*<Gather>")  # asked for ahead: keys pressed while the last one still speaks are nobody's
        call.ear.wait_for_packets(100)
        call.press("9")
        demo.wait_for("/visitors/done .*QueueResult=leave")
        call.hung_up(within_s=10)
        demo.process.send_signal(signal.SIGINT)
        assert demo.finish() == 0, demo.text
    assert demo.left_running() == []
    assert "FAILED" not in demo.text


def test_ctrl_c_in_the_middle_ends_everything(start):
    demo = start()
    demo.wait_for("caller 1 +hears 440 Hz")
    demo.process.send_signal(signal.SIGINT)
    assert demo.finish() == 130
    assert demo.left_running() == []
    assert not any(name == "data" for name in demo.files())
    assert "Traceback" not in demo.text


def test_a_demo_that_is_killed_leaves_no_process(start):
    demo = start()
    demo.wait_for("caller 1 +hears 440 Hz")
    demo.process.kill()
    assert demo.left_running() == []


def test_a_platform_that_dies_is_told_with_its_last_words(start):
    demo = start()
    platform = int(demo.wait_for(r"platform +is up, pid (\d+)")[1])
    demo.wait_for("caller 1 +dials")
    os.kill(platform, signal.SIGKILL)
    assert demo.finish() == 1
    assert "the platform has ended with exit code -9; its last lines:" in demo.text
    assert "call received" in demo.text
    assert "Traceback" not in demo.text
    assert demo.left_running() == []


def test_the_demo_runs_beside_a_platform_on_the_usual_ports(start):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sip, socket.socket() as http:
        for wire, port in ((sip, 5060), (http, 8080)):
            with contextlib.suppress(OSError):  # somebody has it: all that is wanted
                wire.bind(("127.0.0.1", port))
        demo = start()
        demo.wait_for("caller 1 +is answered")
