"""A platform that has run out of something: of RTP ports, or of file descriptors in one of its processes.

A new call is told 503 with Retry-After, so that a trunk tries elsewhere; the calls that are up notice nothing; and when there is enough
again the next call is answered. Limits are set from outside on the running processes, so each is exhausted by itself.
"""

from __future__ import annotations

import resource
from contextlib import contextmanager
from pathlib import Path

import pytest
from harness import audio
from harness.ports import free_block
from harness.sip_phone import SipPhone

pytestmark = pytest.mark.real

WAIT = 440
DRAIN_S = 5.0


def desk(start_platform, **settings):
    """A platform with one media worker whose number puts callers into a queue that plays a tone for ever."""
    platform = start_platform(WAITLINE_MEDIA_WORKERS="1", **settings)
    tenant = platform.tenant()
    tenant.serves("/tone.wav", audio.wav(audio.tone(WAIT, 2.0)), "audio/wav")
    tenant.answers("/wait", "<Response><Play loop='0'>/tone.wav</Play></Response>")
    platform.number(tenant.answers("/voice", "<Response><Enqueue waitUrl='/wait'>desk</Enqueue></Response>"))
    return platform


def waits(phone):
    call = phone.invite("+15550100")
    call.answered()
    call.ear.wait_for_tone(WAIT)
    return call


def assert_refused(phone):
    final = phone.invite("+15550100").refused()
    assert (final.status, final["retry-after"]) == (503, "10")


@contextmanager
def no_descriptors(platform, module):
    """The process that runs that module gets no further descriptor meanwhile."""
    (pid,) = (pid for pid in platform.serve.tree() if f"-m\0{module}\0" in Path(f"/proc/{pid}/cmdline").read_text())
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE, (0, resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize("module", ["waitline.server", "waitline.media.worker"])
def test_without_descriptors_a_call_is_refused_and_the_others_hear_on(start_platform, module):
    platform = desk(start_platform)
    with SipPhone(server=platform.sip) as phone:
        call = waits(phone)
        with no_descriptors(platform, module):
            assert_refused(phone)
            call.ear.wait_for_packets(25)
        waits(phone)
        assert call.ear.judge().longest_gap_s < 0.2
        (queue,) = platform.client.queues.list()
        assert queue.current_size == 2
    assert "Traceback" not in platform.log()


def test_without_rtp_ports_a_call_is_refused_until_those_of_another_have_drained(start_platform):
    first = free_block(4)
    platform = desk(start_platform, WAITLINE_RTP_PORTS=f"{first}-{first + 3}")
    with SipPhone(server=platform.sip) as phone:
        calls = [waits(phone) for _ in range(2)]
        assert_refused(phone)
        calls[0].ear.wait_for_packets(25)
        assert calls[1].hang_up().status == 200
        calls[0].ear.wait_for_packets(int(50 * (DRAIN_S + 1)), within_s=DRAIN_S + 5)
        waits(phone)
