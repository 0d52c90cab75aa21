"""Nothing lost: control is killed with SIGKILL under live calls, and phones cannot tell."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from harness import audio
from harness.sip_phone import PhoneCall, SipPhone

if TYPE_CHECKING:
    from real.conftest import Platform

pytestmark = pytest.mark.real
LONGEST_GAP_S = 0.2
"""Between two packets of music: generous, for the machine is shared; `make chaos` prints the figures."""


def kill_control(platform: Platform, *, deaths: int) -> None:
    """Kill it when another stands by, and return when that one is ready."""
    platform.serve.log.wait_for(r"stands by", within_s=20, count=deaths)
    os.kill(platform.serve.control(), signal.SIGKILL)
    platform.serve.log.wait_for(r"control \(pid \d+\) is ready after", within_s=15, count=deaths)


def longest_gap(call: PhoneCall) -> float:
    packets = call.ear.packets
    return max(later.at - earlier.at for earlier, later in pairwise(packets))


def waiting_caller(phone: SipPhone) -> PhoneCall:
    """One after the other: of callers who come at once the tenant's answers decide who is first."""
    caller = phone.invite("+15550100")
    caller.answered()
    caller.ear.wait_for_tone(440)
    return caller


@pytest.fixture
def desk(start_platform: Callable[..., Platform]) -> Platform:
    platform = start_platform(WAITLINE_STANDBY="true")
    tenant = platform.tenant()
    tone = tenant.serves("/tone", audio.wav(audio.tone(440, 5.0)), "audio/wav")
    wait = tenant.answers("/wait", f"<Response><Play>{tone}</Play></Response>")
    platform.number(tenant.answers("/voice", f'<Response><Enqueue waitUrl="{wait}">support</Enqueue></Response>'))
    platform.number(tenant.answers("/agent", "<Response><Dial><Queue>support</Queue></Dial></Response>"), "+15550199")
    return platform


def test_callers_wait_on_with_their_music_and_places_when_control_is_killed(desk: Platform) -> None:
    with SipPhone(server=desk.sip) as phone, SipPhone(server=desk.sip, user="agent", seed=2) as desk_phone:
        callers = [waiting_caller(phone) for _ in range(3)]
        queue = desk.client.queues.list()[0]
        before = [member.call_sid for member in desk.client.queues(queue.sid).members.list()]
        for deaths in (1, 2, 3):
            kill_control(desk, deaths=deaths)
            for caller in callers:
                caller.ear.hear(1.0)
        after = [member.call_sid for member in desk.client.queues(queue.sid).members.list()]
        assert after == before
        assert len(before) == 3
        assert max(longest_gap(caller) for caller in callers) < LONGEST_GAP_S
        agent = desk_phone.invite("+15550199")
        agent.answered()
        agent.talk(audio.tone(1000, 5.0), loop=True)
        callers[0].ear.wait_for_tone(1000)


def test_callers_wait_on_through_an_upgrade(desk: Platform) -> None:
    with SipPhone(server=desk.sip) as phone:
        callers = [waiting_caller(phone) for _ in range(2)]
        old = desk.serve.control()
        done = desk.serve.command("upgrade")
        assert done.returncode == 0, done.stderr
        assert desk.serve.control() != old
        for caller in callers:
            caller.ear.hear(2.0)
        assert max(longest_gap(caller) for caller in callers) < LONGEST_GAP_S
        queue = desk.client.queues.list()[0]
        assert len(desk.client.queues(queue.sid).members.list()) == 2
        assert not phone.count(lambda message: message.method == "BYE" and not message.status)


def test_a_phone_that_falls_silent_and_calls_again_has_its_place_even_after_a_death(start_platform: Callable[..., Platform]) -> None:
    platform = start_platform(WAITLINE_STANDBY="true", WAITLINE_QUIET_LIMIT_S="1", WAITLINE_QUIET_PROBE_S="5")
    tenant = platform.tenant()
    tone = tenant.serves("/tone", audio.wav(audio.tone(440, 2.0)), "audio/wav")
    tenant.answers("/wait", f"<Response><Play>{tone}</Play></Response>")
    tenant.answers("/done", "<Response/>")
    document = "<Response><Enqueue waitUrl='/wait' action='/done' resumeWindow='60'>support</Enqueue></Response>"
    platform.number(tenant.answers("/voice", document))
    with SipPhone(server=platform.sip) as dead, SipPhone(server=platform.sip, user="bob", seed=2) as other:
        waiting_caller(dead)
        waiting_caller(other)
        dead.auto = False  # its network is gone: it is silent, and answers nothing that it is asked
        done = tenant.wait_for("/done", within_s=60.0)
        assert done.params["QueueResult"] == "hangup"
        kill_control(platform, deaths=1)
        with SipPhone(server=platform.sip, seed=3) as again:
            waiting_caller(again)
            queue = platform.client.queues.list()[0]
            members = [member.call_sid for member in platform.client.queues(queue.sid).members.list()]
            callers = [request.params["CallSid"] for request in tenant.requests("/voice")]
            assert members == [callers[2], callers[1]]
            asked = next(request.params for request in tenant.requests("/wait") if request.params["CallSid"] == callers[2])
            assert (asked["QueueResumed"], asked["QueuePosition"]) == ("true", "1")
            assert int(asked["QueueTime"]) > 30


def test_a_tcp_connection_goes_on_in_the_middle_of_a_message_when_control_is_killed(desk: Platform) -> None:
    with SipPhone(server=desk.sip, transport="tcp") as phone:
        caller = waiting_caller(phone)
        send, written = phone.send, list[bytes]()
        phone.send = written.append  # type: ignore[assignment,method-assign]
        number = caller.send("OPTIONS")
        phone.send = send  # type: ignore[method-assign]
        send(written[0][:150])
        time.sleep(0.5)  # until control has read it
        kill_control(desk, deaths=1)
        send(written[0][150:])
        assert caller.final(number).status == 200
        assert caller.hang_up().status == 200


def test_a_tcp_connection_that_breaks_while_nobody_is_in_control_ends_no_call(desk: Platform) -> None:
    with SipPhone(server=desk.sip, transport="tcp") as phone, SipPhone(server=desk.sip, transport="tcp", seed=2) as later:
        caller = waiting_caller(phone)
        desk.serve.log.wait_for(r"stands by", within_s=20)
        os.kill(desk.serve.control(), signal.SIGKILL)
        phone.lose_connection()
        caller.ear.hear(2.0)
        assert longest_gap(caller) < LONGEST_GAP_S
        caller.phone = later  # the phone's next connection
        assert caller.hang_up().status == 200


def test_a_request_whose_answer_was_lost_with_control_is_repeated_and_done_once(platform: Platform) -> None:
    url = f"{platform.base_url}/2010-04-01/Accounts/{platform.account_sid}/Queues.json"
    headers, form = {"Idempotency-Key": "first queue"}, {"FriendlyName": "support"}
    first = platform.client.request("POST", url, data=form, headers=headers)
    platform.serve.kill_control()
    again = platform.client.request("POST", url, data=form, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.text == first.text
    assert platform.client.request("POST", url, data={"FriendlyName": "sales"}, headers=headers).status_code == 422
    assert [queue.friendly_name for queue in platform.client.queues.list()] == ["support"]
