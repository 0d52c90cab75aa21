"""Sound through everything that may change under it: codecs that differ, hold and resume, a codec or a port that changes, TCP beside UDP.

Each both while the caller waits in the queue and while it talks.
"""

from __future__ import annotations

import itertools

import pytest
from harness import audio, sip_message
from harness.rtp_ear import RtpEar
from harness.sip_phone import SipPhone

pytestmark = pytest.mark.real

USERS = itertools.count(1)
WAIT, CALLER, AGENT = 440, 500, 1100


class Desk:
    """A queue with a tone as its wait application; its callers' number and its agents'."""

    def __init__(self, platform):
        self.platform, self.tenant = platform, platform.tenant()
        self.queue = platform.client.queues.create(f"talk {len(platform.tenants)}").sid
        self.tenant.serves("/tone.wav", audio.wav(audio.tone(WAIT, 3.0)), "audio/wav")
        self.tenant.answers("/wait", "<Response><Play loop='0'>/tone.wav</Play></Response>")
        callers = f"<Response><Enqueue waitUrl='/wait' action='/done'>{self.queue}</Enqueue></Response>"
        agents = f"<Response><Dial action='/done'><Queue>{self.queue}</Queue></Dial></Response>"
        self.tenant.answers("/done", "<Response><Hangup/></Response>")
        self.callers = platform.fresh_number(self.tenant.answers("/voice", callers))
        self.agents = platform.fresh_number(self.tenant.answers("/agent", agents))

    def order(self):
        return [member.call_sid for member in self.platform.client.queues(self.queue).members.list()]


@pytest.fixture
def desk(shared_platform):
    return Desk(shared_platform)


@pytest.fixture
def phone(shared_platform):
    """A phone, by transport."""
    phones = []

    def make(transport="udp"):
        phones.append(SipPhone(server=shared_platform.sip, user=f"+1555{next(USERS):07}", transport=transport))
        return phones[-1]

    yield make
    for made in phones:
        made.close()


@pytest.fixture
def waiting(desk, phone):
    """A caller that waits and hears its tone; says which codecs it offers."""

    def call(codecs="0 8", transport="udp"):
        caller = phone(transport).invite(desk.callers, codecs=codecs)
        caller.answered()
        caller.ear.wait_for_tone(WAIT)
        return caller

    return call


@pytest.fixture
def talking(desk, phone, waiting):
    """A caller and an agent who talk and hear each other."""

    def talk(caller_codec="PCMU", agent_codec="PCMU", transport="udp"):
        caller = waiting(number_of(caller_codec), transport)
        caller.talk(audio.tone(CALLER, 1.0), codec=caller_codec, loop=True)
        agent = phone().invite(desk.agents, codecs=number_of(agent_codec))
        agent.answered()
        agent.talk(audio.tone(AGENT, 1.0), codec=agent_codec, loop=True)
        caller.ear.wait_for_tone(AGENT)
        agent.ear.wait_for_tone(CALLER)
        return caller, agent

    return talk


def hears(call, tone):
    """What comes from now on is that tone."""
    call.ear.wait_for_packets(15)
    call.ear.wait_for_tone(tone)


def number_of(codec):
    return {"PCMU": "0", "PCMA": "8"}[codec]


def payload_types(ear, count=25):
    return {packet.payload_type for packet in ear.wait_for_packets(count)}


# Codecs and transports


@pytest.mark.parametrize(("caller_codec", "agent_codec"), [("PCMA", "PCMU"), ("PCMU", "PCMA"), ("PCMA", "PCMA")])
def test_each_side_hears_the_other_in_its_own_codec(talking, caller_codec, agent_codec):
    caller, agent = talking(caller_codec, agent_codec)
    for call, codec, tone in ((caller, caller_codec, AGENT), (agent, agent_codec, CALLER)):
        heard = call.ear.wait_for_packets(50)
        assert {packet.payload_type for packet in heard} == {int(number_of(codec))}
        assert audio.purity(call.ear.sound(heard), tone) > 0.95


def test_a_caller_over_tcp_talks_to_an_agent_over_udp(talking):
    caller, agent = talking(transport="tcp")
    assert agent.hang_up().status == 200
    caller.hung_up()


def test_no_common_codec_is_488_and_costs_no_webhook(desk, phone):
    caller = phone().invite(desk.callers, codecs="3")
    assert caller.refused().status == 488
    assert desk.tenant.requests("/voice") == []


def test_a_caller_that_offers_nothing_hears_us_after_its_answer(desk, phone):
    caller = phone().invite(desk.callers, body="")
    response = caller.answered(ack=False)
    caller.ack(response, body=caller.offer())
    hears(caller, WAIT)


def test_a_caller_behind_a_router_is_sent_sound_where_its_own_comes_from(desk, phone):
    """Its description names a port that the router does not know."""
    with RtpEar(seed=7) as named:
        caller = phone().invite(desk.callers, body=sip_message.sdp(named.host, named.port))
        caller.answered()
        caller.talk(audio.tone(CALLER, 1.0), loop=True)
        hears(caller, WAIT)
        named.wait_for_silence(0.2)


# While the caller waits


@pytest.mark.parametrize(("offered", "answered"), [("sendonly", "recvonly"), ("inactive", "inactive")])
def test_a_caller_that_holds_us_keeps_its_place_and_hears_on_when_it_comes_back(desk, waiting, offered, answered):
    caller = waiting()
    (sid,) = desk.order()
    assert caller.reinvite(offered).direction == answered
    caller.ear.wait_for_silence(0.2)
    assert desk.order() == [sid]
    assert caller.reinvite("sendrecv").direction == "sendrecv"
    hears(caller, WAIT)
    assert desk.order() == [sid]


def test_a_caller_on_hold_by_an_old_phones_zero_address_is_sent_nothing(desk, waiting):
    caller = waiting()
    zero = caller.offer().replace(f"c=IN IP4 {caller.ear.host}", "c=IN IP4 0.0.0.0")
    assert caller.reinvite(body=zero).status == 200
    caller.ear.wait_for_silence(0.2)
    caller.reinvite("sendrecv")
    hears(caller, WAIT)


def test_a_waiting_caller_may_change_its_codec(desk, waiting):
    caller = waiting("0 8")
    assert payload_types(caller.ear) == {0}
    caller.codecs = "8"
    assert caller.reinvite().status == 200
    caller.ear.wait_until(lambda ear: ear.packets[-1].payload_type == 8, 2)
    hears(caller, WAIT)
    assert len(desk.order()) == 1


def test_a_waiting_caller_may_move_to_another_port(desk, waiting):
    caller = waiting()
    old = moved(caller)
    hears(caller, WAIT)
    old.wait_for_silence(0.2)
    old.close()


def test_a_waiting_caller_may_offer_nothing_and_answer_our_offer(desk, waiting):
    caller = waiting()
    response = caller.reinvite(body="")
    assert response.status == 200
    assert response.rtp
    hears(caller, WAIT)
    assert len(desk.order()) == 1


def moved(call):
    """Move the call's sound to another port; returns the old ear, still open."""
    old, call.ear = call.ear, RtpEar(seed=99)
    old.hush()
    assert call.reinvite().status == 200
    return old


# While they talk


def test_a_caller_that_holds_the_agent_comes_back_to_it(talking):
    caller, agent = talking()
    assert caller.reinvite("sendonly").direction == "recvonly"
    caller.ear.wait_for_silence(0.2)
    assert caller.reinvite("sendrecv").direction == "sendrecv"
    hears(caller, AGENT)
    hears(agent, CALLER)


def test_a_talking_caller_may_change_its_codec(talking):
    caller, agent = talking()
    caller.ear.hush()
    caller.codecs = "8"
    assert caller.reinvite().status == 200
    caller.talk(audio.tone(700, 1.0), codec="PCMA", loop=True)
    hears(agent, 700)
    caller.ear.wait_until(lambda ear: ear.packets[-1].payload_type == 8, 2)
    hears(caller, AGENT)


def test_a_talking_caller_may_move_to_another_port(talking):
    caller, agent = talking()
    old = moved(caller)
    caller.talk(audio.tone(700, 1.0), loop=True)
    hears(agent, 700)
    hears(caller, AGENT)
    old.close()
