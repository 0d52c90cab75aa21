"""A media worker that is killed: another goes on with its calls. The phones are sockets that are not the product's."""

from __future__ import annotations

import os
import signal
from itertools import pairwise
from pathlib import Path

import pytest
from harness import audio
from harness.sip_phone import SipPhone

pytestmark = pytest.mark.real

WAIT, CALLER, AGENT = 440, 500, 1100
GAP_LIMIT_S = 1.0
HAND_OVER_LIMIT_S = 0.5
"""Generous, for the machine is shared: the figure is printed."""


@pytest.fixture(scope="module")
def desk(start_shared):
    """A platform with one media worker and a queue with a tone as its wait application; returns the platform and its tenant."""
    platform = start_shared(WAITLINE_MEDIA_WORKERS="1")
    tenant = platform.tenant()
    tenant.serves("/tone.wav", audio.wav(audio.tone(WAIT, 2.0)), "audio/wav")
    tenant.answers("/wait", "<Response><Play loop='0'>/tone.wav</Play></Response>")
    tenant.answers("/done", "<Response><Hangup/></Response>")
    platform.number(tenant.answers("/voice", "<Response><Enqueue waitUrl='/wait' action='/done'>desk</Enqueue></Response>"))
    platform.number(tenant.answers("/agent", "<Response><Dial action='/done'><Queue>desk</Queue></Dial></Response>"), "+15550101")
    menu = "<Response><Gather numDigits='3' timeout='30' action='/typed'><Play loop='0'>/tone.wav</Play></Gather></Response>"
    platform.number(tenant.answers("/menu", menu), "+15550102")
    tenant.answers("/typed", "<Response><Hangup/></Response>")
    return platform, tenant


@pytest.fixture
def phone(desk):
    with SipPhone(server=desk[0].sip, user=f"+1555{len(desk[1].requests()):07}") as phone:
        yield phone


def kill_worker(platform):
    """SIGKILL the media worker; returns when another is there."""
    before = platform.serve.log.text().count("takes the place")
    (victim,) = workers(platform)
    os.kill(victim, signal.SIGKILL)
    platform.serve.log.wait_for("takes the place", count=before + 1, within_s=10)


def workers(platform):
    lines = {pid: Path(f"/proc/{pid}/cmdline").read_text() for pid in platform.serve.tree()}
    return [pid for pid, line in lines.items() if "media.worker" in line]


def assert_one_stream(packets, *, holes=False):
    """One SSRC from one address, sequence numbers without a hole, timestamps that keep time; returns the longest gap in seconds.

    ``holes``: the partner of a talk spoke on while nobody relayed, and what was lost is to be seen.
    """
    assert len({(packet.ssrc, packet.source) for packet in packets}) == 1
    for before, after in pairwise(packets):
        step = (after.sequence - before.sequence) & 0xFFFF
        assert 0 < step < 100 if holes else step == 1
        assert 0 < (after.timestamp - before.timestamp) & 0xFFFFFFFF < 160 * 100
    gap_s = max(after.at - before.at for before, after in pairwise(packets))
    print(f"longest gap {gap_s * 1000:.0f} ms over {len(packets)} packets")
    return gap_s


def waits(phone):
    call = phone.invite("+15550100")
    call.answered()
    call.ear.wait_for_tone(WAIT)
    return call


def test_a_waiting_caller_hears_a_gap_of_less_than_a_second_and_keeps_its_place(desk, phone):
    platform, tenant = desk
    calls = [waits(phone) for _ in range(5)]
    waits_asked = len(tenant.requests("/wait"))
    kill_worker(platform)
    for call in calls:
        call.ear.wait_for_packets(50)
        call.ear.wait_for_tone(WAIT)
        assert assert_one_stream(list(call.ear.packets)) < GAP_LIMIT_S
    assert platform.client.queues.list()[0].current_size == 5
    assert len(tenant.requests("/wait")) == waits_asked
    for call in calls:
        assert call.hang_up().status == 200


def test_a_talk_goes_on_in_both_directions(desk, phone):
    platform, tenant = desk
    caller, agent = waits(phone), phone.invite("+15550101")
    agent.answered()
    caller.talk(audio.tone(CALLER, 1.0), loop=True)
    agent.talk(audio.tone(AGENT, 1.0), loop=True)
    caller.ear.wait_for_tone(AGENT)
    agent.ear.wait_for_tone(CALLER)
    kill_worker(platform)
    for call, tone in ((caller, AGENT), (agent, CALLER)):
        call.ear.wait_for_packets(50)
        call.ear.wait_for_tone(tone)
        assert assert_one_stream(list(call.ear.packets), holes=True) < GAP_LIMIT_S
    asked = len(tenant.requests("/done"))
    assert agent.hang_up().status == 200
    assert tenant.wait_for("/done", count=asked + 1)
    caller.hung_up()


def test_keys_before_and_after_the_death_are_one_number(desk, phone):
    platform, tenant = desk
    call = phone.invite("+15550102")
    call.answered()
    call.ear.wait_for_tone(WAIT)
    call.press("12")
    kill_worker(platform)
    call.press("3")
    assert tenant.wait_for("/typed").params["Digits"] == "123"
    call.hung_up()


def test_a_call_that_comes_right_after_the_death_is_answered(desk, phone):
    platform, _ = desk
    waiting = waits(phone)
    (victim,) = workers(platform)
    os.kill(victim, signal.SIGKILL)
    call = phone.invite("+15550100")
    call.answered()
    call.ear.wait_for_tone(WAIT)
    for each in (call, waiting):
        assert each.hang_up().status == 200


def test_control_and_media_worker_die_at_once_and_the_caller_waits_on(start_platform):
    platform = start_platform(WAITLINE_MEDIA_WORKERS="1")
    tenant = platform.tenant()
    tenant.serves("/tone.wav", audio.wav(audio.tone(WAIT, 2.0)), "audio/wav")
    tenant.answers("/wait", "<Response><Play loop='0'>/tone.wav</Play></Response>")
    platform.number(tenant.answers("/voice", "<Response><Enqueue waitUrl='/wait'>desk</Enqueue></Response>"))
    with SipPhone(server=platform.sip) as phone:
        call = waits(phone)
        (victim,) = workers(platform)
        control = next(pid for pid in platform.serve.tree() if b"waitline.server" in Path(f"/proc/{pid}/cmdline").read_bytes())
        for pid in (control, victim):
            os.kill(pid, signal.SIGKILL)
        platform.serve.log.wait_for("takes the place of another", within_s=10)
        platform.serve.log.wait_for(r"control \(pid \d+\) is ready after", within_s=20)
        call.ear.wait_for_packets(50)
        call.ear.wait_for_tone(WAIT)
        assert assert_one_stream(list(call.ear.packets)) < GAP_LIMIT_S
        assert platform.client.queues.list()[0].current_size == 1
        assert call.hang_up().status == 200


def test_media_workers_are_replaced_under_waiting_and_talking_callers(start_platform):
    platform = start_platform(WAITLINE_MEDIA_WORKERS="1")
    tenant = platform.tenant()
    tenant.serves("/tone.wav", audio.wav(audio.tone(WAIT, 2.0)), "audio/wav")
    tenant.answers("/wait", "<Response><Play loop='0'>/tone.wav</Play></Response>")
    platform.number(tenant.answers("/voice", "<Response><Enqueue waitUrl='/wait'>desk</Enqueue></Response>"))
    platform.number(tenant.answers("/agent", "<Response><Dial><Queue>desk</Queue></Dial></Response>"), "+15550101")
    with SipPhone(server=platform.sip) as phone:
        talking, agent = waits(phone), phone.invite("+15550101")
        agent.answered()
        agent.talk(audio.tone(AGENT, 1.0), loop=True)
        talking.ear.wait_for_tone(AGENT)
        waiting = waits(phone)
        (before,) = workers(platform)
        done = platform.serve.command("upgrade", "--media")
        assert (done.returncode, "media workers are replaced" in done.stdout) == (0, True), done
        (after,) = workers(platform)
        assert before != after
        for call, tone in ((waiting, WAIT), (talking, AGENT)):
            call.ear.wait_for_packets(50)
            call.ear.wait_for_tone(tone)
            assert assert_one_stream(list(call.ear.packets), holes=call is talking) < HAND_OVER_LIMIT_S
        assert "died" not in platform.serve.log.text()


def test_a_media_worker_without_calls_is_replaced_after_an_upgrade(desk, phone):
    platform, _ = desk
    call = waits(phone)
    (before,) = workers(platform)
    left = platform.serve.log.text().count("left: another")
    assert platform.serve.command("upgrade").returncode == 0
    assert workers(platform) == [before]
    assert call.hang_up().status == 200
    platform.serve.log.wait_for("left: another", count=left + 1)
    waits(phone)
    assert before not in workers(platform)
