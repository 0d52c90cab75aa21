"""The tree of processes, for real: who starts, who ends, and what is left. Control and workers are stubs, the supervisor is ours."""

import os
import re
import signal
import socket
import time

import pytest
from harness.processes import port_is_free, wait_for_all, wait_for_exit
from harness.serve import Serve

pytestmark = pytest.mark.real

GONE_WITHIN_S = 3.0
STUBS = {"WAITLINE_CONTROL_MODULE": "harness.stub_control", "WAITLINE_WORKER_MODULE": "harness.stub_worker"}


@pytest.fixture
def start(tmp_path):
    """Start the platform with stubs; whatever a test leaves running is ended."""
    started = []

    def begin(**settings):
        serve = Serve.start(tmp_path, **STUBS, **settings)
        started.append(serve)
        return serve

    yield begin
    for serve in started:
        serve.stop()


def ports_of(serve):
    """Return (kind, host, port) of everything the tree has bound."""
    workers = [int(port) for port in re.findall(r"worker \d+ pid=\d+ port=(\d+)", serve.log.text())]
    assert workers
    return [
        (socket.SOCK_STREAM, *serve.http),
        (socket.SOCK_STREAM, *serve.sip),
        (socket.SOCK_DGRAM, *serve.sip),
        *((socket.SOCK_DGRAM, "127.0.0.1", port) for port in workers),
    ]


def worker_pids(serve):
    return [int(pid) for pid in re.findall(r"worker \d+ pid=(\d+)", serve.log.text())]


def test_the_ready_line_names_the_real_ports_and_the_supervisor(start):
    serve = start()
    assert serve.pid == serve.process.pid
    assert serve.http[1] > 0
    assert serve.sip[1] > 0
    assert not any(port_is_free(*port) for port in ports_of(serve))


@pytest.mark.parametrize("behaviour", [{}, {"STUB_CONTROL": "stuck", "STUB_WORKER": "stuck"}], ids=["all well", "all stuck"])
def test_three_seconds_after_sigkill_of_the_supervisor_nothing_is_left(start, behaviour):
    serve = start(**behaviour)
    pids, ports = serve.tree(), ports_of(serve)
    assert len(pids) == 4
    killed_at = time.monotonic()
    serve.kill()
    assert wait_for_all(pids, GONE_WITHIN_S) == []
    assert [port for port in ports if not port_is_free(*port)] == []
    assert time.monotonic() - killed_at < GONE_WITHIN_S


def test_a_control_that_crashes_again_and_again_is_told_by_its_signal_and_tried_at_growing_intervals(start):
    serve = start(STUB_CONTROL="crash")
    serve.log.wait_for(r"control \(pid \d+\) died after \d\.\d s: SIGSEGV; starting another\n")
    serve.log.wait_for(r"control \(pid \d+\) died after \d\.\d s: SIGSEGV; starting another in 0.5 s\n")
    serve.log.wait_for(r"control \(pid \d+\) died after \d\.\d s: SIGSEGV; starting another in 1 s\n")
    assert "is ready after" in serve.log.text()


def test_bad_configuration_is_exit_code_2_with_a_message(tmp_path):
    serve = Serve.launch(tmp_path, **STUBS, STUB_CONTROL="bad-config")
    assert serve.process.wait(10) == 2
    serve.stop()
    assert "WAITLINE_DATA: cannot be read" in serve.log.text()


def test_a_port_in_use_is_exit_code_2_and_names_port_and_setting(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        serve = Serve.launch(tmp_path, **STUBS, STUB_HTTP_PORT=str(port))
        assert serve.process.wait(10) == 2
        serve.stop()
    assert f"WAITLINE_HTTP: cannot listen on tcp 127.0.0.1:{port}: the port is in use" in serve.log.text()


def test_the_first_signal_drains(start):
    serve = start()
    pids = serve.tree()
    serve.terminate()
    assert serve.process.wait(5) == 0
    assert "told to Drain(deadline_s=None)" in serve.log.text()
    assert wait_for_all(pids, GONE_WITHIN_S) == []


def test_the_second_signal_ends_even_what_does_not_listen(start):
    serve = start(STUB_CONTROL="deaf")
    pids = serve.tree()
    serve.terminate()
    serve.log.wait_for("told to Drain")
    serve.process.send_signal(signal.SIGINT)
    serve.log.wait_for("told to End")
    assert serve.process.wait(8) == 128 + signal.SIGKILL
    assert "control did not end within 3 s" in serve.log.text()
    assert wait_for_all(pids, GONE_WITHIN_S) == []


def test_children_are_deaf_to_the_terminals_signals(start):
    serve = start()
    for pid in serve.tree()[1:]:
        os.kill(pid, signal.SIGINT)
        os.kill(pid, signal.SIGTERM)
        assert not wait_for_exit(pid, 0.1)


def test_the_death_of_a_worker_is_told_to_control_and_another_is_started_in_its_place(start):
    serve = start()
    first = worker_pids(serve)
    os.kill(first[0], signal.SIGKILL)
    serve.log.wait_for("told of media 0: SIGKILL")
    serve.log.wait_for("worker 0 pid=.* frames=4096 hello=0\n", count=2)
    assert f"media worker 0 (pid {first[0]}) died: SIGKILL" in serve.log.text()
    assert len(worker_pids(serve)) == 3


def test_a_folder_named_like_a_module_in_the_working_folder_is_not_imported(start, tmp_path):
    for name in ("waitline", "bridge", "api", "media", "json", "asyncio"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('the wrong module')")
    assert start().http[1] > 0
