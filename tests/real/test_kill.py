"""SIGKILL of ``waitline serve`` with callers in its queues: nothing of ours is left running, and what was promised to be kept is kept."""

from __future__ import annotations

import socket

import pytest
from harness import audio
from harness.processes import port_is_free, wait_for_all
from harness.serve import Serve
from harness.sip_phone import SipPhone

pytestmark = pytest.mark.real

GONE_WITHIN_S = 3.0


@pytest.fixture
def desk(platform):
    """A tenant whose callers wait in a queue and hear a tone; returns the queue's sid."""
    tenant = platform.tenant()
    queue = platform.client.queues.create("desk", max_size=7).sid
    tenant.serves("/tone.wav", audio.wav(audio.tone(440, 2.0)), "audio/wav")
    tenant.answers("/wait", "<Response><Play>/tone.wav</Play></Response>")
    platform.number(tenant.answers("/voice", f"<Response><Enqueue waitUrl='/wait'>{queue}</Enqueue></Response>"))
    tenant.answers("/moved", "<Response><Hangup/></Response>")
    return queue


@pytest.fixture
def phones(platform):
    """Phones that are told where the platform is."""
    made = []

    def phone(server, user):
        made.append(SipPhone(server=server, user=user))
        return made[-1]

    yield phone
    for one in made:
        one.close()


@pytest.fixture
def restart(platform):
    """Start the platform again on the same data; it ends with the test."""
    started = []

    def again():
        started.append(Serve.start(platform.folder))
        platform.client.api.base_url = started[-1].base_url
        return started[-1]

    yield again
    for serve in started:
        serve.stop()


def waits(phone):
    call = phone.invite("+15550100")
    call.answered()
    call.ear.wait_for_tone(440)
    return call


def test_nothing_is_left_and_after_a_restart_all_is_there_but_the_callers(platform, desk, phones, restart):
    client, tenant = platform.client, platform.tenants[0]
    finished = waits(phones(platform.sip, "+15551000"))
    over = tenant.requests("/voice")[0].params["CallSid"]
    client.queues(desk).members("Front").update(url=tenant.base_url + "/moved")
    finished.hung_up()
    callers = [waits(phones(platform.sip, f"+1555100{n}")) for n in (1, 2)]
    cut_off = [member.call_sid for member in client.queues(desk).members.list()]
    before = facts(client, desk)
    bound = [
        ("tcp", *platform.serve.http),
        ("tcp", *platform.sip),
        ("udp", *platform.sip),
        *(("udp", *call.remote_rtp) for call in callers),
    ]
    tree = platform.serve.tree()

    platform.serve.kill()

    assert wait_for_all(tree, GONE_WITHIN_S) == []
    assert [address for address in bound if not is_free(*address)] == []
    serve = restart()
    assert facts(client, desk) == before
    assert client.queues(desk).members.list() == []
    assert client.queues(desk).fetch().current_size == 0
    assert len(cut_off) == 2
    history = {call.sid: call for call in client.calls.list()}
    assert set(history) == {over, *cut_off}
    assert history[over].status == "completed"
    assert {history[sid].status for sid in cut_off} == {"completed"}  # they were answered
    assert all(call.end_time is not None for call in history.values())
    a_new_call_is_first_in_the_queue(client, desk, tenant, phones(serve.sip, "+15551009"))


def test_a_sound_that_a_killed_call_heard_is_heard_by_the_next_call_after_a_restart(platform, desk, phones, restart):
    waits(phones(platform.sip, "+15551000"))
    platform.serve.kill()
    call = waits(phones(restart().sip, "+15551009"))
    assert audio.purity(call.ear.hear(0.5), 440) > 0.9


def facts(client, queue):
    """What is kept of the account."""
    row = client.queues(queue).fetch()
    numbers = [(number.sid, number.phone_number, number.voice_url) for number in client.incoming_phone_numbers.list()]
    return (row.sid, row.friendly_name, row.max_size, row.date_created), numbers


def is_free(kind, host, port):
    return port_is_free({"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}[kind], host, port)


def a_new_call_is_first_in_the_queue(client, queue, tenant, phone):
    before = len(tenant.requests("/wait"))
    waits(phone)
    asked = tenant.wait_for("/wait", count=before + 1)
    assert asked.params["QueuePosition"] == "1"
    assert [member.call_sid for member in client.queues(queue).members.list()] == [asked.params["CallSid"]]
