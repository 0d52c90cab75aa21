"""Documents made by the official library's VoiceResponse run on real calls: every verb of the main job, seen and heard by its effect."""

from __future__ import annotations

import itertools
import struct

import pytest
from harness import audio
from harness.sip_phone import SipPhone
from twilio.twiml.voice_response import Dial, Gather, VoiceResponse

pytestmark = pytest.mark.real

HZ = 900
USERS = itertools.count(1)


class Stage:
    """A tenant with a number, and a phone."""

    def __init__(self, platform, phone):
        self.platform, self.phone, self.tenant = platform, phone, platform.tenant()
        self.tone = self.tenant.serves("/tone.wav", audio.wav(audio.tone(HZ, 0.6)), "audio/wav")
        self.long_tone = self.tenant.serves("/long.wav", audio.wav(audio.tone(HZ, 20.0)), "audio/wav")
        self.answers("/next", VoiceResponse())
        self.number = platform.fresh_number(self.tenant.base_url + "/voice")

    def answers(self, path, response):
        return self.tenant.answers(path, str(response))

    def calls(self, response):
        """Have the number answered with that document, and call it; returns the phone's call, answered."""
        self.answers("/voice", response)
        call = self.phone.invite(self.number)
        call.answered()
        return call

    def warnings(self):
        """What the tenant was told of its documents; nothing, where they are right."""
        sid = self.tenant.requests("/voice")[0].params["CallSid"]
        return [notification.message_text for notification in self.platform.client.calls(sid).notifications.list()]


@pytest.fixture
def stage(shared_platform):
    with SipPhone(server=shared_platform.sip, user=f"+1555{next(USERS):07}") as phone:
        stage = Stage(shared_platform, phone)
        yield stage
        assert stage.warnings() == []


@pytest.fixture(scope="module", autouse=True)
def long_calls(shared_platform):
    """Calls over UDP and over TCP that begin before the first test here, and nobody hangs up."""
    tenant = shared_platform.tenant()
    number = shared_platform.fresh_number(tenant.answers("/voice", "<Response><Enqueue>the patient</Enqueue></Response>"))
    phones = [SipPhone(server=shared_platform.sip, user=f"patient-{transport}", transport=transport) for transport in ("udp", "tcp")]
    calls = [phone.invite(number) for phone in phones]
    for call in calls:
        call.answered()
    yield calls
    for phone in phones:
        phone.close()


def seconds_of_tone(pcm):
    return sum(audio.purity(pcm[start : start + 160], HZ) > 0.8 for start in range(0, len(pcm) - 159, 160)) / 50


def test_say_is_spoken_as_often_as_it_says(stage):
    once, twice = VoiceResponse(), VoiceResponse()
    once.say("One two three.", voice="woman", language="en-GB")
    twice.say("One two three.", voice="woman", language="en-GB", loop=2)
    lengths = []
    for response in (once, twice):
        call = stage.calls(response)
        call.hung_up(within_s=10)
        lengths.append(len(call.ear.sound()) / audio.RATE)
        assert not audio.is_silent(call.ear.sound())
    assert lengths[1] == pytest.approx(2 * lengths[0], rel=0.3)


def test_play_is_heard_as_often_as_it_says_with_pauses_between(stage):
    response = VoiceResponse()
    response.play(stage.tone, loop=2)
    response.pause(length=1)
    response.play(stage.tone)
    call = stage.calls(response)
    call.hung_up(within_s=10)
    heard = call.ear.sound()
    assert seconds_of_tone(heard) == pytest.approx(1.8, abs=0.1)
    assert audio.longest_silence_s(heard) == pytest.approx(1.0, abs=0.1)


def test_play_sends_keys(stage):
    response = VoiceResponse()
    response.play(digits="1w2#")
    call = stage.calls(response)
    call.hung_up(within_s=10)
    assert call.ear.digits() == "12#"


def test_gather_is_cut_off_by_a_key_and_told_all_before_the_last(stage):
    response, gather = VoiceResponse(), Gather(action="/keys", method="GET", finish_on_key="*", timeout=5, input="dtmf")
    gather.play(stage.long_tone)
    response.append(gather)
    stage.answers("/keys", VoiceResponse())
    call = stage.calls(response)
    call.ear.wait_for_tone(HZ)
    call.press("42*")
    request = stage.tenant.wait_for("/keys")
    assert (request.method, request.params["Digits"]) == ("GET", "42")
    call.hung_up()
    assert audio.is_silent(call.ear.sound()[-1600:])


def test_gather_without_a_key_goes_on_or_asks_as_it_says(stage):
    response, asking = VoiceResponse(), Gather(action="/keys", timeout=1, action_on_empty_result=True)
    silent = Gather(timeout=1, num_digits=1)
    silent.say("Press a key.")
    silent.pause(length=1)
    response.append(silent)
    response.append(asking)
    stage.answers("/keys", VoiceResponse())
    call = stage.calls(response)
    assert stage.tenant.wait_for("/keys", within_s=10).params["Digits"] == ""
    call.hung_up()


def test_redirect_goes_on_with_another_document_and_never_comes_back(stage):
    response = VoiceResponse()
    response.redirect("/next?a=1", method="GET")
    response.play(stage.long_tone)
    following = VoiceResponse()
    following.play(stage.tone)
    following.hangup()
    following.play(stage.long_tone)
    stage.answers("/next", following)
    call = stage.calls(response)
    call.hung_up()
    request = stage.tenant.wait_for("/next")
    assert (request.method, request.query["a"]) == ("GET", "1")
    assert seconds_of_tone(call.ear.sound()) == pytest.approx(0.6, abs=0.1)


@pytest.mark.parametrize(("reason", "sip_status", "call_status"), [("busy", 486, "busy"), ("rejected", 404, "no-answer")])
def test_reject_refuses_without_answering(stage, reason, sip_status, call_status):
    response = VoiceResponse()
    response.reject(reason=reason)
    stage.answers("/voice", response)
    call = stage.phone.invite(stage.number)
    assert call.refused().status == sip_status
    sid = stage.tenant.requests("/voice")[0].params["CallSid"]
    assert stage.platform.client.calls(sid).fetch().status == call_status


def test_a_redirect_first_keeps_ringing_and_a_pause_first_waits_before_it_picks_up(stage):
    response, following = VoiceResponse(), VoiceResponse()
    response.redirect("/next")
    following.pause(length=1)
    following.play(stage.tone)
    stage.answers("/next", following)
    stage.answers("/voice", response)
    call = stage.phone.invite(stage.number)
    call.provisional(180)
    stage.tenant.wait_for("/next")
    assert stage.phone.silent_for(0.5, lambda message: message.status == 200)
    call.answered()
    call.hung_up()
    assert seconds_of_tone(call.ear.sound()) == pytest.approx(0.6, abs=0.1)


def test_enqueue_with_every_attribute_makes_its_queue_and_leave_goes_to_the_action(stage):
    response, wait = VoiceResponse(), VoiceResponse()
    response.enqueue("made on demand", action="/done", method="GET", wait_url="/wait?x=1", wait_url_method="GET", max_queue_size=5)
    wait.play(stage.tone)
    wait.leave()
    done = VoiceResponse()
    done.play(stage.tone)
    stage.answers("/wait", wait)
    stage.answers("/done", done)
    call = stage.calls(response)
    asked = stage.tenant.wait_for("/wait")
    assert (asked.method, asked.query["x"], asked.params["MaxQueueSize"]) == ("GET", "1", "5")
    told = stage.tenant.wait_for("/done")
    assert (told.method, told.params["QueueResult"], told.params["QueueSid"]) == ("GET", "leave", asked.params["QueueSid"])
    call.hung_up()
    assert seconds_of_tone(call.ear.sound()) == pytest.approx(1.2, abs=0.1)
    queue = stage.platform.client.queues(asked.params["QueueSid"]).fetch()
    assert (queue.friendly_name, queue.max_size) == ("made on demand", 5)


def test_an_enqueue_without_an_action_goes_on_with_the_next_verb(stage):
    response, wait = VoiceResponse(), VoiceResponse()
    response.enqueue("falls through", wait_url="/wait")
    response.play(stage.tone)
    wait.leave()
    stage.answers("/wait", wait)
    call = stage.calls(response)
    call.hung_up()
    assert seconds_of_tone(call.ear.sound()) == pytest.approx(0.6, abs=0.1)


def test_a_gather_in_a_wait_document_keeps_its_caller_queued_until_it_leaves(stage):
    response, wait, chosen, choice = VoiceResponse(), VoiceResponse(), VoiceResponse(), Gather(action="/chosen", num_digits=1)
    response.enqueue("choosers", action="/done", wait_url="/wait")
    choice.play(stage.long_tone)
    wait.append(choice)
    chosen.leave()
    stage.answers("/wait", wait)
    stage.answers("/chosen", chosen)
    stage.answers("/done", VoiceResponse())
    call = stage.calls(response)
    call.ear.wait_for_tone(HZ)
    call.press("2")
    asked = stage.tenant.wait_for("/chosen")
    assert (asked.params["Digits"], asked.params["QueuePosition"]) == ("2", "1")
    assert stage.tenant.wait_for("/done").params["QueueResult"] == "leave"
    call.hung_up()


def test_dial_with_every_attribute_takes_a_caller_and_star_ends_the_talk(stage):
    enqueue, response, whisper, agent_done, caller_done = (VoiceResponse() for _ in range(5))
    enqueue.enqueue("desk", action="/callerdone")
    dial = Dial(action="/agentdone", method="GET", timeout=10, hangup_on_star=True, time_limit=60, ring_tone="de", answer_on_bridge=True)
    dial.queue("desk", url="/whisper", method="GET")
    response.append(dial)
    whisper.play(stage.tone)
    agent_done.play(stage.tone)
    caller_done.play(stage.tone)
    for path, document in (("/whisper", whisper), ("/agentdone", agent_done), ("/callerdone", caller_done), ("/agent", response)):
        stage.answers(path, document)
    caller = stage.calls(enqueue)
    agent = stage.phone.invite(stage.platform.fresh_number(stage.tenant.base_url + "/agent"))
    caller.ear.wait_for_tone(HZ)
    agent.answered()
    agent.talk(audio.tone(1100, 1.0), loop=True)
    caller.ear.wait_for_tone(1100)
    agent.ear.hush()
    agent.press("*")
    told = stage.tenant.wait_for("/agentdone")
    assert (told.method, told.params["DequeueResult"], told.params["DialCallStatus"]) == ("GET", "bridged", "completed")
    assert stage.tenant.wait_for("/callerdone").params["QueueResult"] == "bridged"
    agent.hung_up()
    caller.hung_up()
    assert seconds_of_tone(agent.ear.sound()) == pytest.approx(0.6, abs=0.1)
    assert seconds_of_tone(caller.ear.sound()) == pytest.approx(1.2, abs=0.15)


def test_dial_an_empty_queue_gives_up_in_time_and_an_unknown_one_at_once(stage):
    waiting, unknown = VoiceResponse(), VoiceResponse()
    stage.platform.client.queues.create("empty")
    for response, name in ((waiting, "empty"), (unknown, "nobody made this")):
        dial = Dial(action="/done", timeout=5)
        dial.queue(name)
        response.append(dial)
    stage.answers("/done", VoiceResponse())
    call = stage.calls(waiting)
    call.hung_up(within_s=10)
    refused = stage.phone.invite(stage.platform.fresh_number(stage.answers("/unknown", unknown)))
    refused.answered()
    refused.hung_up()
    results = [(told.params["DequeueResult"], told.params["DialCallStatus"]) for told in stage.tenant.requests("/done")]
    assert results == [("queue-empty", "no-answer"), ("queue-not-found", "failed")]
    assert not audio.is_silent(call.ear.sound())  # the ringing tone


def test_a_call_outlives_every_timer_of_its_invite(long_calls):
    for call in long_calls:
        call.ear.wait_until(lambda ear: ear.packets[-1].at - ear.packets[0].at > 33, 35)  # timers B, F, H: 32 s
        assert call.phone.count(lambda message: message.method == "BYE") == 0
        assert call.final(call.send("OPTIONS")).status == 200


def test_our_reports_count_the_packets_we_sent(long_calls):
    ear = long_calls[0].ear
    sent = [data for data in ear.rtcp if data[1] == 200]  # sender reports
    assert len(sent) >= 3
    ssrc, *_, packets, octets = struct.unpack_from("!6I", sent[-1], 4)
    assert ssrc == ear.packets[0].ssrc
    assert packets == pytest.approx(len(ear.packets), abs=400)  # it is at most some seconds old
    assert octets == packets * 160
