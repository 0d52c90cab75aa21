"""One control after another under one supervisor, for real: what outlives a control, who takes over, and how an operator replaces it."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import pytest
from harness.processes import end, wait_for_all, wait_for_exit
from harness.serve import WAITLINE, Serve

from waitline.supervisor.door import door_name

pytestmark = pytest.mark.real

STUBS = {"WAITLINE_CONTROL_MODULE": "harness.stub_control", "WAITLINE_WORKER_MODULE": "harness.stub_worker"}
DEATHS_IN_A_ROW = 20
HAS_SOCKETS = r"\[(\d+)\] has sockets at=(\S+) inodes=(\S+)"
READY_AGAIN = r"control \(pid (\d+)\) is ready after"


@pytest.fixture
def start(tmp_path):
    """Start the platform with stubs, whose door is the folder of the test; whatever a test leaves running is ended."""
    started = []

    def begin(**settings):
        folder = tmp_path / "platform"
        folder.mkdir(exist_ok=True)
        settings = {"WAITLINE_DATA": str(folder), "STUB_FOLDER": str(folder), **settings}
        serve = Serve.start(tmp_path, **STUBS, **settings)
        serve.folder = folder
        serve.environment["WAITLINE_DATA"] = str(folder)
        started.append(serve)
        return serve

    yield begin
    for serve in started:
        serve.stop()


def controls(serve):
    """Return (pid, when it had its sockets, which they are) of each control that ever was active, in order."""
    return [(int(pid), float(at), inodes) for pid, at, inodes in re.findall(HAS_SOCKETS, serve.log.text())]


def kill_control(serve, times=1):
    """SIGKILL the active control and wait for the next; returns how many seconds later that had its sockets."""
    before = controls(serve)[-1][0]
    killed_at = time.monotonic()
    os.kill(before, signal.SIGKILL)
    serve.log.wait_for(READY_AGAIN, 10, count=times)
    return controls(serve)[-1][1] - killed_at


def standby(serve, count=1):
    """Wait for the n-th standby to be one, and return its process number."""
    return int(serve.log.wait_for(r"\[(\d+)\] stands by", 10, count=count)[1])


def worker_pids(serve):
    """Return the workers that controls have spoken with, each once."""
    return sorted({int(pid) for pid in re.findall(r"worker \d+ pid=(\d+)", serve.log.text())})


def command(serve, *arguments):
    """Run ``waitline ARGUMENTS`` beside the platform, without waiting for its end."""
    return subprocess.Popen([WAITLINE, *arguments], env=serve.environment, cwd=serve.folder, stdout=subprocess.PIPE, text=True)


# --- a death


def test_another_control_has_the_same_sockets_the_same_memory_and_the_same_workers(start):
    serve = start()
    workers = worker_pids(serve)
    kill_control(serve)
    (_, _, sockets), (second, _, sockets_of_second) = controls(serve)
    assert sockets_of_second == sockets
    assert f"[{second}] finds b'music' in the memory and workers [0, 1]" in serve.log.text()
    assert len(re.findall(rf"\[{second}\] worker \d pid=\d+ port=\d+ frames=4096 hello=\d adopted", serve.log.text())) == 2
    assert worker_pids(serve) == workers
    assert "died after" in serve.log.text()
    assert "SIGKILL; starting another\n" in serve.log.text()


def test_the_ready_line_is_printed_once_and_later_ones_are_logged(start):
    serve = start()
    kill_control(serve)
    serve.terminate()
    assert serve.process.wait(5) == 0
    assert serve.process.stdout.read() == b""


def test_a_connection_with_what_of_it_was_not_parsed_is_found_by_the_next_control(start):
    serve = start()
    with socket.create_connection(serve.http, timeout=10) as connection:
        connection.send(b"INVITE sip:a")
        serve.log.wait_for("keeps the connection")
        kill_control(serve)
        serve.log.wait_for("goes on with connection after b'INVITE sip:a'")
        assert connection.recv(100) == b"hello from another"


def test_what_a_control_said_just_before_it_died_counts(start):
    serve = start()
    with socket.create_connection(serve.http, timeout=10) as connection:
        connection.send(b"die")
        serve.log.wait_for("goes on with connection after b'die'")
        assert connection.recv(100) == b"hello from another"


def test_a_connection_made_while_there_is_no_control_is_served_by_the_next(start):
    serve = start()
    os.kill(controls(serve)[-1][0], signal.SIGKILL)
    with socket.create_connection(serve.http, timeout=10) as connection:
        connection.send(b"anybody?")
        serve.log.wait_for("keeps the connection")


def test_twenty_deaths_in_a_row_cost_no_socket_no_memory_and_no_worker(start):
    serve = start(WAITLINE_DRILL="1", STUB_STANDBY="1")
    workers = worker_pids(serve)
    kill_control(serve, 1)
    descriptors = len(os.listdir(f"/proc/{serve.pid}/fd"))
    for times in range(2, DEATHS_IN_A_ROW + 1):
        kill_control(serve, times)
    assert len({sockets for _, _, sockets in controls(serve)}) == 1
    assert len({pid for pid, _, _ in controls(serve)}) == DEATHS_IN_A_ROW + 1
    assert serve.log.text().count("finds b'music'") == DEATHS_IN_A_ROW
    assert worker_pids(serve) == workers
    assert len(os.listdir(f"/proc/{serve.pid}/fd")) < descriptors + 5, "the supervisor loses none over time"


def test_a_worker_that_died_while_there_was_no_control_has_a_successor_with_the_same_link(start):
    serve = start()
    os.kill(worker_pids(serve)[0], signal.SIGKILL)
    serve.log.wait_for("told of media 0")
    serve.log.wait_for(r"worker 0 .* hello=0\n", count=2)
    first = controls(serve)[0][0]
    os.kill(first, signal.SIGSTOP)
    os.kill(worker_pids(serve)[-1], signal.SIGKILL)
    serve.log.wait_for(r"worker \d \(pid \d+\) died: SIGKILL", count=2)
    kill_control(serve)
    second = controls(serve)[1][0]
    answers = re.findall(rf"\[{second}\] worker (\d) .*hello=\d?( adopted)?\n", serve.log.text())
    assert [bool(adopted) for _, adopted in answers] == [True, True]


def test_a_control_whose_loop_stands_still_is_replaced_within_four_seconds(start):
    serve = start()
    stopped_at = time.monotonic()
    os.kill(controls(serve)[0][0], signal.SIGSTOP)
    serve.log.wait_for(READY_AGAIN, 6)
    assert 2.4 < controls(serve)[1][1] - stopped_at < 4.5
    assert "SIGKILL (it had said nothing for 3 s); starting another" in serve.log.text()


# --- the standby


def test_the_standby_takes_over_at_once_and_has_a_successor(start):
    serve = start(STUB_STANDBY="1")
    heir = standby(serve)
    gap_s = kill_control(serve)
    assert controls(serve)[1][0] == heir
    assert f"the standby (pid {heir}) takes over" in serve.log.text()
    assert gap_s < 1.0
    assert standby(serve, 2) not in (heir, controls(serve)[0][0])


def test_a_standby_that_dies_is_replaced_and_control_does_not_notice(start):
    serve = start(STUB_STANDBY="1")
    os.kill(standby(serve), signal.SIGKILL)
    serve.log.wait_for(r"standby \(pid \d+\) died: SIGKILL; another in 1 s")
    standby(serve, 2)
    assert len(controls(serve)) == 1


def test_nothing_is_left_after_sigkill_of_the_supervisor_the_standby_included(start):
    serve = start(STUB_STANDBY="1")
    heir = standby(serve)
    pids = serve.tree()
    assert heir in pids
    assert len(pids) == 5
    serve.kill()
    assert wait_for_all(pids, 3.0) == []


# --- the real control

OPTIONS = (
    "OPTIONS sip:probe@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK{number};rport\r\nMax-Forwards: 70\r\n"
    "From: <sip:a@127.0.0.1>;tag=1\r\nTo: <sip:probe@127.0.0.1>\r\nCall-ID: {number}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
)


def answers(serve, number):
    """Tell whether it answers over HTTP and over SIP."""
    with urlopen(f"{serve.base_url}/readyz", timeout=10) as answer:
        is_ready = answer.status == 200
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.settimeout(5)
        phone.connect(serve.sip)
        phone.send(OPTIONS.format(port=phone.getsockname()[1], number=number).encode())
        return is_ready and phone.recv(2000).startswith(b"SIP/2.0 200")


def programs(serve):
    """Return (process number, what it runs) below the supervisor."""
    found = {}
    for pid in serve.tree()[1:]:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if b"-m" in words:
            found[pid] = words[words.index(b"-m") + 1].decode()
    return found


def test_the_platform_goes_on_on_its_ports_when_control_dies_and_when_it_is_upgraded(tmp_path):
    serve = Serve.start(tmp_path, WAITLINE_STANDBY="true")
    try:
        assert answers(serve, 1)
        serve.log.wait_for("stands by", 20)
        active = next(pid for pid, program in programs(serve).items() if program == "waitline.server")
        killed_at = time.monotonic()
        os.kill(active, signal.SIGKILL)
        assert answers(serve, 2)
        assert time.monotonic() - killed_at < 1.5
        serve.log.wait_for("stands by", 20, count=2)
        done = serve.command("upgrade")
        assert done.returncode == 0, done.stdout + done.stderr
        assert answers(serve, 3)
        serve.log.wait_for("stands by", 20, count=3)
        of_the_first = {active}
        assert not of_the_first & programs(serve).keys()
        assert sorted(programs(serve).values()) == ["waitline.media.clip_worker", "waitline.standby", "waitline.standby"]
        serve.terminate()
        assert serve.process.wait(10) == 0
    finally:
        serve.stop()


# --- an upgrade


def test_an_upgrade_hands_over_to_a_fresh_process_that_has_checked_itself(start):
    serve = start(STUB_STANDBY="1")
    old, heir = controls(serve)[0][0], standby(serve)
    done = serve.command("upgrade")
    assert done.returncode == 0, done.stdout
    new = controls(serve)[1][0]
    assert new not in (old, heir)
    assert f"(pid {new}) is in control" in done.stdout
    assert f"[{old}] hands over" in serve.log.text()
    assert "died" not in serve.log.text()
    assert wait_for_all([old, heir], 2.0) == []
    assert standby(serve, 3) != heir


@pytest.mark.parametrize("case", ["reason", "dead candidate"])
def test_an_upgrade_that_cannot_be_is_refused_and_changes_nothing(start, case):
    serve = start()
    if case == "reason":
        (serve.folder / "reason").write_text("it cannot read format 3")
    else:
        (serve.folder / "slow-check").touch()
    command_running = command(serve, "upgrade")
    if case == "dead candidate":
        os.kill(standby(serve), signal.SIGKILL)
    said, _ = command_running.communicate(timeout=20)
    assert command_running.returncode == 1
    assert ("it cannot read format 3" if case == "reason" else "died while it checked itself: SIGKILL") in said
    assert len(controls(serve)) == 1
    assert not wait_for_exit(controls(serve)[0][0], 0.1)


def test_a_new_version_that_dies_in_control_is_followed_by_the_standby_of_the_old(start):
    serve = start(STUB_STANDBY="1")
    heir = standby(serve)
    (serve.folder / "crash").touch()
    candidate = command(serve, "upgrade")
    serve.log.wait_for("SIGSEGV")
    (serve.folder / "crash").unlink()
    said, _ = candidate.communicate(timeout=20)
    assert candidate.returncode == 1
    assert f"SIGSEGV; the standby (pid {heir}) takes over" in said


def test_without_a_platform_the_commands_say_so(start, tmp_path):
    serve = start()
    serve.environment["WAITLINE_DATA"] = str(tmp_path)
    for name in ("upgrade", "drain"):
        done = serve.command(name)
        assert (done.returncode, done.stdout) == (1, f"no platform runs on {tmp_path}\n")


# --- who may command

KNOCK = """
import contextlib, os, socket, sys
os.setuid(int(sys.argv[2]))
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door:
    door.settimeout(10)
    door.connect("\\0" + sys.argv[1])
    with contextlib.suppress(BrokenPipeError):  # it may have been sent away already
        door.send(b'{"do": "drain", "deadline_s": 0}')
    with contextlib.suppress(ConnectionResetError):  # told once where our words were not read, before the other's last words
        print(door.recv(4096).decode())
    print(door.recv(4096).decode())
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user for a moment")
def test_another_user_of_the_machine_commands_nothing(start):
    serve = start()
    name = door_name(serve.folder)
    said = subprocess.run([sys.executable, "-c", KNOCK, name, "65534"], capture_output=True, text=True, timeout=20)
    assert "only the user that runs the platform may command it" in said.stdout, said.stderr
    shown = serve.command("drain", "--status")
    assert (shown.returncode, shown.stdout.startswith("takes calls")) == (0, True)
    assert "told to" not in serve.log.text()


# --- a drain


def test_a_drain_is_shown_until_the_platform_has_ended(start):
    serve = start()
    done = serve.command("drain", "--deadline", "30m")
    assert done.returncode == 0
    assert done.stdout.endswith("ended\n")
    serve.log.wait_for(r"told to Drain\(deadline_s=1(800|799\.9)")
    assert serve.process.wait(5) == 0


def test_a_drain_goes_on_when_the_command_is_interrupted_and_under_the_next_control(start):
    serve = start(STUB_CONTROL="deaf", STUB_STANDBY="1")
    standby(serve)
    following = command(serve, "drain", "--deadline", "30m")
    assert following.stdout is not None
    assert following.stdout.readline() == "draining, 30:00 left\n"
    assert following.stdout.readline().startswith("draining: 3 calls, ")
    kill_control(serve)
    heir = controls(serve)[1][0]
    serve.log.wait_for(rf"\[{heir}\] told to Drain\(deadline_s=179\d\.\d+\)")
    following.send_signal(signal.SIGINT)
    assert following.wait(5) == 130
    assert "still draining" in following.stdout.read()
    end(following)
