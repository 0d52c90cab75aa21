"""``waitline serve`` as an operator meets it: it is ready, it ends, and what is at fault is one line and exit code 2."""

import os
import socket
import time
import urllib.request

import pytest
from harness.processes import port_is_free, wait_for_all
from harness.serve import Serve
from harness.sip_phone import SipPhone

pytestmark = pytest.mark.real

GONE_WITHIN_S = 3.0


@pytest.fixture
def launch(tmp_path):
    """Launch a platform that is expected to give up; returns its exit code and what it logged."""

    def begin(**settings):
        serve = Serve.launch(tmp_path / "faulty", **settings)
        try:
            code = serve.process.wait(20)
        finally:
            serve.stop()
        return code, serve.log.text()

    return begin


def assert_refused(outcome, *texts):
    code, log = outcome
    assert code == 2, log
    assert "Traceback" not in log
    assert all(text in log for text in texts), log


def test_three_seconds_after_sigkill_nothing_of_a_platform_with_a_call_is_left(start_platform):
    platform = start_platform()
    tenant = platform.answers("<Response><Say>Hold the line.</Say><Redirect>/stays</Redirect></Response>")
    tenant.answers("/stays", "<Response><Pause length='60'/></Response>")
    with SipPhone(server=platform.sip) as phone:
        call = phone.invite("+15550100")
        call.answered()
        call.ear.wait_for_packets(10)
        pids = platform.serve.tree()
        ports = [
            (socket.SOCK_STREAM, *platform.serve.http),
            (socket.SOCK_STREAM, *platform.sip),
            (socket.SOCK_DGRAM, *platform.sip),
            (socket.SOCK_DGRAM, *call.remote_rtp),
        ]
        assert len(pids) >= 4
        assert not any(port_is_free(*port) for port in ports)
        killed_at = time.monotonic()
        platform.serve.kill()
        assert wait_for_all(pids, GONE_WITHIN_S) == []
        assert [port for port in ports if not port_is_free(*port)] == []
        assert time.monotonic() - killed_at < GONE_WITHIN_S


def test_it_answers_where_the_ready_line_says_and_ends_with_0(start_platform):
    platform = start_platform()
    with urllib.request.urlopen(platform.base_url + "/healthz", timeout=5) as response:
        assert response.status == 200
    platform.serve.terminate()
    assert platform.serve.process.wait(20) == 0


def test_a_setting_that_cannot_be_read(launch):
    assert_refused(launch(WAITLINE_RTP_PORTS="lots"), "WAITLINE_RTP_PORTS", "'lots'")


@pytest.mark.parametrize(("setting", "kind"), [("WAITLINE_HTTP", "tcp"), ("WAITLINE_SIP", "tcp"), ("WAITLINE_SIP", "udp")])
def test_a_port_in_use(launch, setting, kind):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind == "tcp":
            taken.listen()
        port = taken.getsockname()[1]
        assert_refused(launch(**{setting: f"127.0.0.1:{port}"}), setting, f"{kind} 127.0.0.1:{port}", "the port is in use")


def test_a_data_folder_that_is_a_file(launch, tmp_path):
    (tmp_path / "data").write_text("not a folder")
    assert_refused(launch(WAITLINE_DATA=str(tmp_path / "data")), str(tmp_path / "data"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write every folder")
def test_a_data_folder_that_cannot_be_read(launch, tmp_path):
    (tmp_path / "data").mkdir(mode=0o000)
    assert_refused(launch(WAITLINE_DATA=str(tmp_path / "data")), str(tmp_path / "data"))


def test_a_data_folder_that_another_server_has(launch, start_platform):
    data = start_platform().serve.environment["WAITLINE_DATA"]
    assert_refused(launch(WAITLINE_DATA=data), data)
