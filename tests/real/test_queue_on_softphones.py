"""Independent softphones in the queue: baresip holds and resumes as it waits and as it talks, pyVoIP waits and is taken by an agent."""

from __future__ import annotations

import pytest
from harness import audio, pyvoip
from harness.baresip import Baresip
from harness.pyvoip import PyVoipPhone
from harness.sip_phone import SipPhone

pytestmark = pytest.mark.real

WAIT, VOICE, AGENT = 440, 500, 1100
USER, PASSWORD, DOMAIN = "paul", "Correct-Horse-7", "queue.sip.test"
needs_baresip = pytest.mark.skipif(not Baresip.available(), reason="baresip is not installed (apt: baresip-core)")
needs_pyvoip = pytest.mark.skipif(not pyvoip.available(), reason="pyVoIP is not installed (extra: test)")


class Desk:
    """A queue with a tone as its wait application, reached by a number and by a SIP domain; its agents have a number too."""

    def __init__(self, platform):
        self.platform, self.tenant, client = platform, platform.tenant(), platform.client
        self.queue = client.queues.create("softphones").sid
        self.tenant.serves("/tone.wav", audio.wav(audio.tone(WAIT, 2.0)), "audio/wav")
        self.tenant.answers("/wait", "<Response><Play loop='0'>/tone.wav</Play></Response>")
        self.tenant.answers("/done", "<Response><Hangup/></Response>")
        voice = self.tenant.answers("/voice", f"<Response><Enqueue waitUrl='/wait' action='/done'>{self.queue}</Enqueue></Response>")
        self.callers = platform.fresh_number(voice)
        self.agents = platform.fresh_number(
            self.tenant.answers("/agent", f"<Response><Dial action='/done'><Queue>{self.queue}</Queue></Dial></Response>")
        )
        lists = client.sip.credential_lists.create("softphones").sid
        client.sip.credential_lists(lists).credentials.create(USER, PASSWORD)
        domain = client.sip.domains.create(domain_name=DOMAIN, voice_url=voice, sip_registration=True).sid
        client.sip.domains(domain).auth.calls.credential_list_mappings.create(lists)
        client.sip.domains(domain).auth.registrations.credential_list_mappings.create(lists)

    def members(self):
        return [member.call_sid for member in self.platform.client.queues(self.queue).members.list()]


@pytest.fixture(scope="module")
def desk(shared_platform):
    return Desk(shared_platform)


@pytest.fixture
def agent(desk):
    """Take a caller: an agent's call that speaks."""
    phones = []

    def takes():
        phones.append(SipPhone(server=desk.platform.sip, user=f"agent-{len(desk.tenant.requests())}"))
        call = phones[-1].invite(desk.agents)
        call.answered()
        call.talk(audio.tone(AGENT, 1.0), loop=True)
        return call

    yield takes
    for phone in phones:
        phone.close()


def hears(call, tone):
    """What comes from now on is that tone."""
    call.ear.wait_for_packets(15)
    call.ear.wait_for_tone(tone)


@needs_baresip
def test_baresip_holds_and_resumes_in_the_queue_and_in_talk(desk, agent, tmp_path):
    with Baresip(tmp_path, user="+15551001", server=desk.platform.sip, voice_hz=VOICE) as caller:
        caller.dial(desk.callers)
        audio.wait_for_tone(caller.heard, WAIT)
        (sid,) = desk.members()
        caller.hold()
        caller.resume()
        assert desk.members() == [sid]
        taken = agent()
        hears(taken, VOICE)
        caller.hold()
        caller.resume()
        hears(taken, VOICE)
        caller.hang_up()
        taken.hung_up()
    assert desk.tenant.wait_for("/done", where=lambda request: request.params["CallSid"] == sid).params["QueueResult"] == "bridged"


@needs_pyvoip
def test_pyvoip_waits_is_taken_and_both_hear_each_other(desk, agent, tmp_path):
    with PyVoipPhone(tmp_path, server=desk.platform.sip, domain=DOMAIN, user=USER, password=PASSWORD, tone_hz=VOICE) as caller:
        caller.dial("+15550100")
        audio.wait_for_tone(caller.heard, WAIT, within_s=15)
        (sid,) = desk.members()
        taken = agent()
        hears(taken, VOICE)
        audio.wait_for_tone(caller.heard, AGENT)
        assert taken.hang_up().status == 200
        caller.wait_for(state="ENDED")
    assert desk.tenant.wait_for("/done", where=lambda request: request.params["CallSid"] == sid).params["QueueResult"] == "bridged"
