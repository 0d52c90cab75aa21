"""Several media workers, as on a machine with more cores: talks across them, and what the death of one costs."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from harness import audio
from harness.sip_phone import SipPhone

pytestmark = pytest.mark.real

WAIT, CALLER, AGENT = 440, 500, 1100
SAYS = "<Response><Say>One, two, three, four, five.</Say></Response>"


@pytest.fixture(scope="module")
def desk(start_shared):
    """A platform with two media workers, and a queue with a tone as its wait application; returns the platform and its tenant."""
    platform = start_shared(WAITLINE_MEDIA_WORKERS="2")
    tenant = platform.tenant()
    tenant.serves("/tone.wav", audio.wav(audio.tone(WAIT, 2.0)), "audio/wav")
    tenant.answers("/wait", "<Response><Play loop='0'>/tone.wav</Play></Response>")
    tenant.answers("/done", "<Response><Hangup/></Response>")
    platform.number(tenant.answers("/voice", "<Response><Enqueue waitUrl='/wait' action='/done'>desk</Enqueue></Response>"))
    platform.number(tenant.answers("/agent", "<Response><Dial action='/done'><Queue>desk</Queue></Dial></Response>"), "+15550101")
    platform.number(tenant.answers("/say", SAYS), "+15550102")
    return platform, tenant


@pytest.fixture
def phone(desk):
    with SipPhone(server=desk[0].sip, user=f"+1555{len(desk[1].requests()):07}") as phone:
        yield phone


def waits(phone):
    call = phone.invite("+15550100")
    call.answered()
    call.ear.wait_for_tone(WAIT)
    return call


def processes(platform, *words):
    """The processes of the platform whose command lines hold all these words."""
    lines = {pid: Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ") for pid in platform.serve.tree()}
    return [pid for pid, line in lines.items() if all(word in line for word in words)]


def half(call):
    """Which half of the ports, which is a worker's, a call's sound comes from."""
    return call.remote_rtp[1] // 24_576


def test_callers_and_agents_on_different_workers_hear_each_other_in_one_stream(desk, phone):
    callers = [waits(phone) for _ in range(2)]
    assert {half(call) for call in callers} == {0, 1}
    waits(phone)  # shifts the agents to the other worker each
    crossings = 0
    for caller in callers:
        caller.talk(audio.tone(CALLER, 1.0), loop=True)
        agent = phone.invite("+15550101")
        agent.answered()
        agent.talk(audio.tone(AGENT, 1.0), loop=True)
        caller.ear.wait_for_tone(AGENT)
        agent.ear.wait_for_tone(CALLER)
        crossings += half(caller) != half(agent)
        judged = caller.ear.judge()
        assert (judged.ssrcs, judged.sequence_steps) == (1, {1})
        assert {packet.source for packet in caller.ear.packets} == {caller.remote_rtp}
        assert agent.hang_up().status == 200
        caller.hung_up()
    assert crossings > 0


def test_a_dead_media_worker_costs_a_gap_of_its_own_calls_alone(desk, phone):
    platform, tenant = desk
    calls = [waits(phone) for _ in range(2)]
    struck, other = sorted(calls, key=half)
    before = len(tenant.requests("/done"))
    (victim,) = processes(platform, "media.worker", f"--index {half(struck)} ")
    os.kill(victim, signal.SIGKILL)
    platform.serve.log.wait_for("takes the place of another")
    for call in calls:
        call.ear.wait_for_packets(20)
        call.ear.wait_for_tone(WAIT)
        assert call.ear.judge().ssrcs == 1
    assert other.ear.judge().longest_gap_s < 0.2
    assert len(tenant.requests("/done")) == before
    waits(phone)
    waits(phone)
    assert len(processes(platform, "media.worker")) == 2
    (queue,) = platform.client.queues.list()
    assert queue.current_size == 4


def test_a_dead_clip_worker_costs_nobody_anything(desk, phone):
    platform, _ = desk
    call = waits(phone)
    (victim,) = processes(platform, "clip_worker")
    os.kill(victim, signal.SIGKILL)
    spoken = phone.invite("+15550102")
    spoken.answered()
    spoken.hung_up(within_s=15)
    assert not audio.is_silent(spoken.ear.sound())
    call.ear.wait_for_packets(20)
    call.ear.wait_for_tone(WAIT)
