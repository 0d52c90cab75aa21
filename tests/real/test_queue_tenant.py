"""The example in examples/queue-tenant, run as its README says, with phones that are not ours."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from harness.audio import purity, tone
from harness.processes import end, read_line
from harness.serve import Serve
from harness.sip_phone import SipPhone

pytestmark = [pytest.mark.real, pytest.mark.slow]

EXAMPLE = Path(__file__).parents[2] / "examples" / "queue-tenant" / "tenant.py"
CALLERS, AGENTS = "+15550100", "+15550101"


@pytest.fixture
def serve(tmp_path):
    platform = Serve.start(tmp_path)
    yield platform
    platform.stop()


@pytest.fixture
def tenant(serve, tmp_path):
    """The example as a process; yields a reader of its lines."""
    sid, token = serve.create_account("example")
    environment = os.environ | {"ACCOUNT_SID": sid, "AUTH_TOKEN": token, "WAITLINE_URL": serve.base_url, "LISTEN": "127.0.0.1:0"}
    process = subprocess.Popen([sys.executable, EXAMPLE], env=environment, cwd=tmp_path, stdout=subprocess.PIPE, bufsize=0)
    assert read_line(process.stdout, 20).startswith("queue QU")
    yield lambda: read_line(process.stdout, 10)
    assert end(process, first=signal.SIGINT) == 0


def line_about(tenant, path):
    """Read the tenant's lines up to the one about that page; a waiting caller makes lines for ever."""
    deadline = time.monotonic() + 30
    while not (line := tenant()).startswith(f"{path} "):
        assert line, f"the tenant said no more, and nothing about {path}"
        assert time.monotonic() < deadline, f"no line about {path}"
    return line


def hears_music(call):
    """The menu is open again: a key pressed while something else speaks is nobody's."""
    call.ear.wait_until(lambda ear: max(purity(ear.sound(ear.packets[-10:]), hz) for hz in (262, 330, 392)) > 0.25, 10)


def test_a_caller_waits_asks_for_the_position_and_leaves(serve, tenant):
    with SipPhone(server=serve.sip) as phone:
        call = phone.invite(CALLERS)
        call.answered()
        assert "'QueuePosition': '1'" in line_about(tenant, "/wait")
        hears_music(call)
        call.press("1")
        assert "'Digits': '1'" in line_about(tenant, "/key")
        line_about(tenant, "/wait")  # asked ahead, while the answer to the key is still spoken
        hears_music(call)
        call.press("9")
        assert "'Digits': '9'" in line_about(tenant, "/key")
        assert "'QueueResult': 'leave'" in line_about(tenant, "/done")
        call.hung_up(within_s=10)


def test_an_agent_is_given_the_caller(serve, tenant):
    with SipPhone(server=serve.sip, user="alice") as alice, SipPhone(server=serve.sip, user="agent") as agent:
        caller = alice.invite(CALLERS)
        caller.answered()
        line_about(tenant, "/wait")
        taker = agent.invite(AGENTS)
        taker.answered()
        line_about(tenant, "/whisper")
        taker.talk(tone(1000, 1.0), loop=True)
        caller.ear.wait_for_tone(1000, within_s=10)
        taker.hang_up()
        assert "'QueueResult': 'bridged'" in line_about(tenant, "/done")
        caller.hung_up(within_s=10)
