"""The main job on phones that are not ours: the fourteen requirements of the claim, then the whole scenario, from one run.

A tenant (a process of its own) keeps an account over REST. Two callers dial in and are enqueued into one queue with a wait application
each; an agent takes the first, who hears a whisper before the bridge; the second is taken out over REST. The first caller is the tests' own
scripted phone, whose received packets are kept, the second caller and the agent are baresip. ``the_main_job`` does all of it once and
keeps what was seen; each test judges one requirement by that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests
from harness import audio
from harness.baresip import Baresip
from harness.sip_phone import SipPhone
from harness.tenant import Answer, TenantProcess, TenantRequest
from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

pytestmark = [pytest.mark.real, pytest.mark.skipif(not Baresip.available(), reason="baresip is not installed (apt: baresip-core)")]

CALLERS, AGENTS, STRAYS = "+15550101", "+15550102", "+15550103"
WAIT_1, WAIT_2, WHISPER, MOVED = 440, 700, 900, 1300
VOICE_1, VOICE_2, VOICE_AGENT = 500, 600, 1100
WAIT_S = 2.6  # a wait document this long is asked for again about 1.5 s after it began


@dataclass
class Seen:
    """What the run showed, in the order of the fields."""

    platform: Any
    client: Client
    other: Client
    tenant: TenantProcess
    created: requests.Response
    queue: str
    elsewhere: str
    foreign: str
    invite_status: int = 0
    packets_per_second: float = 0.0
    first: str = ""
    """The first caller's call"""
    second: str = ""
    sound_1: audio.Pcm = field(default_factory=lambda: audio.tone(0, 0))
    sound_2: audio.Pcm = field(default_factory=lambda: audio.tone(0, 0))
    heard_by_agent: audio.Pcm = field(default_factory=lambda: audio.tone(0, 0))
    alone: Any = None
    """The queue and its members while the first caller waits in it alone"""
    both: list[tuple[str, int]] = field(default_factory=list)
    """(call, position) while both wait"""
    members_elsewhere: int = -1
    status_while_queued: str = ""
    alive_while_queued: int = 0
    bridged: list[tuple[str, int]] = field(default_factory=list)
    """(call, position) while the first talks"""
    dequeued: Any = None
    others_refusals: dict[str, tuple[int, int]] = field(default_factory=dict)

    def asked(self, path: str, call: str = "") -> list[TenantRequest]:
        return [request for request in self.tenant.requests(path) if not call or request.params["CallSid"] == call]

    def replies(self, call: str, path: str) -> list[str]:
        """What the tenant answered, by the platform's own log of the call."""
        events = self.client.calls(call).events.list()
        return [event.response["body"] for event in events if event.request["url"].endswith(path)]


def enqueue(queue: str, wait: str, done: str = "/done") -> str:
    return f"<Response><Say>Welcome.</Say><Enqueue waitUrl='{wait}' action='{done}'>{queue}</Enqueue></Response>"


def play(name: int) -> str:
    return f"<Response><Play>/tones/{name}.wav</Play></Response>"


def answers(queue: str, foreign: str) -> dict[str, list[str | Answer]]:
    """The tenant's application."""
    tones: dict[str, list[str | Answer]] = {
        f"/tones/{hz}.wav": [Answer(audio.wav(audio.tone(hz, seconds)), content_type="audio/wav")]
        for hz, seconds in ((WAIT_1, WAIT_S), (WAIT_2, WAIT_S), (WHISPER, 1.0), (MOVED, 2.0))
    }
    dial = f"<Response><Dial action='/agentdone'><Queue url='/whisper'>{queue}</Queue></Dial></Response>"
    return {
        "/voice": [enqueue(queue, "/wait-1"), enqueue(queue, "/wait-2")],
        "/wait-1": [play(WAIT_1)],
        "/wait-2": [play(WAIT_2)],
        "/done": ["<Response><Hangup/></Response>"],
        "/agent": [dial],
        "/whisper": [play(WHISPER)],
        "/agentdone": ["<Response><Hangup/></Response>"],
        "/moved": [play(MOVED)],
        "/stray": [enqueue(foreign, "/wait-1", "/stray-done")],
        "/stray-done": ["<Response><Hangup/></Response>"],
        **tones,
    }


@pytest.fixture(scope="module")
def seen(shared_platform, tmp_path_factory):
    """The whole scenario of platform.md 1.5, once."""
    client, other = shared_platform.client, shared_platform.other_account()
    url = f"{shared_platform.base_url}/2010-04-01/Accounts/{client.username}/Queues.json"
    created = requests.post(url, data={"FriendlyName": "support"}, auth=(client.username, client.password), timeout=5)
    queue, elsewhere = created.json()["sid"], client.queues.create("sales").sid
    foreign = other.queues.create("support").sid
    with TenantProcess(auth_token=shared_platform.auth_token, answers=answers(queue, foreign)) as tenant:
        for number, path in ((CALLERS, "/voice"), (AGENTS, "/agent"), (STRAYS, "/stray")):
            shared_platform.number(tenant.base_url + path, number)
        seen = Seen(shared_platform, client, other, tenant, created, queue, elsewhere, foreign)
        the_main_job(seen, tmp_path_factory.mktemp("phones"))
        yield seen


def the_main_job(seen: Seen, folder) -> None:
    sip = seen.platform.sip
    with (
        SipPhone(server=sip, user="+15551001") as caller,
        Baresip(folder / "two", user="+15551002", server=sip, voice_hz=VOICE_2) as second,
    ):
        call = caller.invite(CALLERS)
        the_first_caller_waits(seen, call)
        a_second_caller_joins(seen, second)
        with Baresip(folder / "agent", user="+15551003", server=sip, voice_hz=VOICE_AGENT) as agent:
            an_agent_takes_the_first(seen, call, agent)
        the_second_is_taken_out_over_rest(seen, second)
        a_call_names_a_queue_of_another_account(seen, caller)
        seen.sound_1, seen.sound_2 = call.ear.sound(), second.heard()
    another_tenant_looks(seen)


def the_first_caller_waits(seen: Seen, call) -> None:
    seen.invite_status = call.answered().status
    call.talk(audio.tone(VOICE_1, 1.0), loop=True)
    call.ear.wait_for_tone(WAIT_1)
    seen.packets_per_second = call.ear.judge(call.ear.wait_for_packets(50)).per_second
    seen.first = seen.tenant.wait_for("/wait-1").params["CallSid"]
    queue = seen.client.queues(seen.queue)
    seen.alone = (queue.fetch().current_size, [member.call_sid for member in queue.members.list()])
    seen.members_elsewhere = len(seen.client.queues(seen.elsewhere).members.list())
    seen.status_while_queued = seen.client.calls(seen.first).fetch().status
    seen.alive_while_queued = call.final(call.send("OPTIONS")).status


def a_second_caller_joins(seen: Seen, second: Baresip) -> None:
    second.dial(CALLERS)
    seen.second = seen.tenant.wait_for("/wait-2").params["CallSid"]
    audio.wait_for_tone(second.heard, WAIT_2)
    seen.both = positions(seen)
    seen.tenant.wait_for("/wait-1", count=2, where=lambda request: request.params["CallSid"] == seen.first)


def an_agent_takes_the_first(seen: Seen, call, agent: Baresip) -> None:
    agent.dial(AGENTS)
    call.ear.wait_for_tone(WHISPER)
    call.ear.wait_for_tone(VOICE_AGENT, seconds=0.5)
    audio.wait_for_tone(agent.heard, VOICE_1, seconds=0.5)
    seen.bridged = positions(seen)
    agent.hang_up()
    seen.tenant.wait_for("/done")
    seen.tenant.wait_for("/agentdone")
    call.hung_up()
    seen.heard_by_agent = agent.heard()


def the_second_is_taken_out_over_rest(seen: Seen, second: Baresip) -> None:
    seen.dequeued = seen.client.queues(seen.queue).members("Front").update(url=seen.tenant.base_url + "/moved")
    seen.tenant.wait_for("/done", count=2)
    audio.wait_for_tone(second.heard, MOVED)
    second.wait_for("CALL_CLOSED")


def a_call_names_a_queue_of_another_account(seen: Seen, caller: SipPhone) -> None:
    stray = caller.invite(STRAYS)
    stray.answered()
    seen.tenant.wait_for("/stray-done")
    stray.hung_up()


def another_tenant_looks(seen: Seen) -> None:
    queue = seen.other.queues(seen.queue)
    seen.others_refusals = {
        "queue": refusal(queue.fetch),
        "queue update": refusal(queue.update, friendly_name="mine"),
        "queue delete": refusal(queue.delete),
        "member": refusal(queue.members(seen.first).fetch),
        "front": refusal(queue.members("Front").update, url="http://127.0.0.1:9/"),
        "call": refusal(seen.other.calls(seen.first).fetch),
        "call update": refusal(seen.other.calls(seen.first).update, status="completed"),
    }


def positions(seen: Seen) -> list[tuple[str, int]]:
    return [(member.call_sid, member.position) for member in seen.client.queues(seen.queue).members.list()]


def refusal(operation, **arguments: Any) -> tuple[int, int]:
    with pytest.raises(TwilioRestException) as refused:
        operation(**arguments)
    return refused.value.status, refused.value.code


# The claim, requirement by requirement


def test_p01_two_tenants_share_one_platform_and_their_server_is_another_process(seen):
    assert seen.client.username != seen.other.username
    assert seen.other.queues(seen.foreign).fetch().account_sid == seen.other.username
    assert seen.tenant.pid not in seen.platform.serve.tree()
    assert {request.params["AccountSid"] for request in seen.tenant.requests() if request.method == "POST"} == {seen.client.username}


def test_p02_the_tenants_create_queue_call_is_accepted(seen):
    assert seen.created.status_code == 201


def test_p03_the_queue_is_that_accounts_alone(seen):
    assert seen.client.queues(seen.queue).fetch().account_sid == seen.client.username
    assert seen.others_refusals["queue"] == (404, 20404)
    assert seen.queue not in [queue.sid for queue in seen.other.queues.list()]


def test_p04_an_identifier_is_generated(seen):
    sids = [seen.queue, seen.elsewhere, seen.foreign]
    assert all(re.fullmatch(r"QU[0-9a-f]{32}", sid) for sid in sids)
    assert len(set(sids)) == 3


def test_p05_the_identifier_is_provided_to_the_tenant(seen):
    assert seen.created.json()["sid"] == seen.queue
    assert seen.client.queues(seen.queue).fetch().sid == seen.queue
    assert seen.queue in [queue.sid for queue in seen.client.queues.list()]


def test_p06_a_real_call_is_established(seen):
    assert seen.invite_status == 200
    assert seen.packets_per_second == pytest.approx(50, abs=5)
    assert share_of(seen.heard_by_agent, VOICE_1) > 0.1  # what the caller said arrived
    assert seen.status_while_queued == "in-progress"


def test_p07_the_tenant_answers_the_call_with_an_enqueue_instruction_over_http(seen):
    (request,) = seen.asked("/voice", seen.first)
    assert request.method == "POST"
    (reply,) = seen.replies(seen.first, "/voice")
    assert "<Enqueue" in reply


def test_p08_the_instruction_holds_the_generated_identifier(seen):
    assert f">{seen.queue}</Enqueue>" in seen.replies(seen.first, "/voice")[0]


def test_p09_the_queue_is_found_by_that_identifier_within_the_account(seen):
    assert seen.alone == (1, [seen.first])
    assert seen.members_elsewhere == 0
    (refused,) = seen.asked("/stray-done")
    assert refused.params["QueueResult"] == "error"
    assert "QueueSid" not in refused.params
    assert seen.other.queues(seen.foreign).members.list() == []


def test_p10_the_call_is_in_the_queue_and_its_dialog_is_up(seen):
    assert seen.alone == (1, [seen.first])
    assert seen.alive_while_queued == 200


def test_p11_each_enqueue_names_its_own_wait_application(seen):
    assert seen.both == [(seen.first, 1), (seen.second, 2)]
    assert {request.params["CallSid"] for request in seen.asked("/wait-1")} == {seen.first}
    assert {request.params["CallSid"] for request in seen.asked("/wait-2")} == {seen.second}


def test_p12_the_wait_application_is_requested_with_the_queues_values(seen):
    request = seen.asked("/wait-1")[0]
    wanted = {"QueueSid": seen.queue, "QueuePosition": "1", "QueueTime": "0", "CurrentQueueSize": "1", "MaxQueueSize": "1000"}
    assert wanted.items() <= request.params.items()
    assert int(request.params["AvgQueueTime"]) == 0
    assert request.signed


def test_p13_the_tenant_answers_with_a_wait_instruction(seen):
    assert all("<Play>" in reply for reply in seen.replies(seen.first, "/wait-1"))


def test_p14_the_instruction_decides_what_that_caller_hears_and_no_other(seen):
    assert share_of(seen.sound_1, WAIT_1) > 1.5
    assert share_of(seen.sound_1, WAIT_2) == 0
    assert share_of(seen.sound_2, WAIT_2) > 1.5
    assert share_of(seen.sound_2, WAIT_1) == 0


def share_of(heard: audio.Pcm, frequency: float) -> float:
    """Return for how many seconds a tone was heard, by blocks of 0.1 s."""
    blocks = [heard[start : start + 800] for start in range(0, len(heard) - 799, 800)]
    return sum(audio.purity(block, frequency) > 0.8 for block in blocks) / 10


# The scenario's further steps


def test_the_second_callers_first_wait_request_says_position_two(seen):
    request = seen.asked("/wait-2", seen.second)[0]
    assert (request.params["QueuePosition"], request.params["CurrentQueueSize"]) == ("2", "2")


def test_a_wait_document_that_ran_out_is_asked_for_again_and_the_time_has_grown(seen):
    first, again = seen.asked("/wait-1")[:2]
    assert int(again.params["QueueTime"]) > int(first.params["QueueTime"])


def test_the_wait_music_does_not_stop_where_its_document_is_asked_for_again(seen):
    start = next(n for n in range(0, len(seen.sound_1), 800) if audio.purity(seen.sound_1[n : n + 800], WAIT_1) > 0.8)
    whispered = next(n for n in range(start, len(seen.sound_1), 800) if audio.purity(seen.sound_1[n : n + 800], WHISPER) > 0.8)
    assert audio.longest_silence_s(seen.sound_1[start:whispered]) < 0.1


def test_the_caller_hears_the_whisper_and_then_the_agent_and_the_agent_hears_the_caller(seen):
    assert share_of(seen.sound_1, WHISPER) == pytest.approx(1.0, abs=0.25)
    assert share_of(seen.sound_1, VOICE_AGENT) > 0.1
    assert share_of(seen.heard_by_agent, VOICE_1) > 0.1
    assert share_of(seen.heard_by_agent, WHISPER) == 0  # the whisper is the caller's alone


def test_the_whisper_is_asked_for_on_behalf_of_the_caller(seen):
    (request,) = seen.asked("/whisper")
    assert request.params["CallSid"] == seen.first
    assert request.params["QueueSid"] == seen.queue
    assert request.params["DequeingCallSid"] == seen.asked("/agent")[0].params["CallSid"]


def test_the_next_caller_moves_up_when_the_first_is_bridged(seen):
    assert seen.bridged == [(seen.second, 1)]


def test_the_callers_action_hears_of_the_bridge_once_it_is_over(seen):
    (request,) = seen.asked("/done", seen.first)
    assert (request.params["QueueResult"], request.params["QueueSid"]) == ("bridged", seen.queue)
    assert int(request.params["QueueTime"]) >= 1


def test_the_agents_action_hears_whom_it_got(seen):
    (request,) = seen.asked("/agentdone")
    wanted = {"DequeueResult": "bridged", "DialCallStatus": "completed", "DequeuedCallSid": seen.first, "QueueSid": seen.queue}
    assert wanted.items() <= request.params.items()


def test_a_caller_taken_out_over_rest_runs_the_new_document_and_its_action_hears_redirected(seen):
    assert (seen.dequeued.call_sid, seen.dequeued.position) == (seen.second, 1)
    (request,) = seen.asked("/done", seen.second)
    assert request.params["QueueResult"] == "redirected"
    assert [asked.params["CallSid"] for asked in seen.asked("/moved")] == [seen.second]
    assert share_of(seen.sound_2, MOVED) > 1


def test_another_tenant_sees_none_of_it(seen):
    assert set(seen.others_refusals.values()) == {(404, 20404)}
    assert seen.other.calls.list() == []


def test_every_request_to_the_tenant_is_signed(seen):
    assert all(request.signed for request in seen.tenant.requests())


def test_nothing_of_it_made_a_notification_but_the_stray_call(seen):
    assert {notification.error_code for notification in seen.client.notifications.list()} == {"14204"}


def test_when_all_have_gone_the_queue_stays_and_is_empty(seen):
    queue = seen.client.queues(seen.queue).fetch()
    assert (queue.current_size, queue.average_wait_time) == (0, 0)
    assert {call.status for call in seen.client.calls.list()} == {"completed"}
