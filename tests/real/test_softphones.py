"""Independent softphones register, call, hear what the tenant plays, and are heard: baresip, and pyVoIP with its old habits."""

import io
import wave

import pytest
from harness import audio, pyvoip
from harness.baresip import Baresip
from harness.pyvoip import PyVoipPhone

pytestmark = pytest.mark.real

PASSWORD, DOMAIN = "Correct-Horse-7", "softphones.sip.test"
MUSIC_HZ = 660


def wav(pcm):
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(audio.RATE)
        writer.writeframes(pcm.tobytes())
    return file.getvalue()


@pytest.fixture(scope="module")
def tenant(shared_platform):
    """A SIP domain with two users, whose calls hear a tone for as long as they like."""
    return domain_of(shared_platform)


def domain_of(platform):
    tenant, sip = platform.tenant(), platform.client.sip
    tone = tenant.serves("/tone.wav", wav(audio.tone(MUSIC_HZ, 5.0)), "audio/wav")
    voice = tenant.answers("/voice", f"<Response><Play loop='0'>{tone}</Play></Response>")
    phones = sip.credential_lists.create("softphones").sid
    for user in ("bob", "paul"):
        sip.credential_lists(phones).credentials.create(user, PASSWORD)
    made = sip.domains.create(domain_name=DOMAIN, voice_url=voice, sip_registration=True)
    sip.domains(made.sid).auth.calls.credential_list_mappings.create(phones)
    sip.domains(made.sid).auth.registrations.credential_list_mappings.create(phones)
    return tenant


@pytest.mark.skipif(not Baresip.available(), reason="baresip is not installed (apt: baresip-core)")
@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_baresip_registers_calls_and_hears(shared_platform, tenant, tmp_path, transport):
    before = len(tenant.requests("/voice"))
    bob = Baresip(tmp_path, user="bob", password=PASSWORD, server=shared_platform.sip, domain=DOMAIN, register=True, transport=transport)
    with bob:
        bob.wait_until_registered()
        bob.dial("+15550100")
        bob.wait_for("CALL_ESTABLISHED")
        assert tenant.wait_for("/voice", count=before + 1).params["From"] == f"sip:bob@{DOMAIN}"
        bob.wait_until_heard(1.5)
        bob.hang_up()
        bob.wait_for("CALL_CLOSED")
        assert audio.purity(bob.heard()[-audio.RATE // 2 :], MUSIC_HZ) > 0.9


@pytest.mark.skipif(not Baresip.available(), reason="baresip is not installed (apt: baresip-core)")
def test_baresip_stays_registered_and_calls_after_a_death_of_control(start_platform, tmp_path):
    platform = start_platform(WAITLINE_SIP_REGISTER_MIN_S="1", WAITLINE_SIP_REGISTER_MAX_S="4")
    tenant = domain_of(platform)
    bob = Baresip(tmp_path / "bob", user="bob", password=PASSWORD, server=platform.sip, domain=DOMAIN, register=True)
    with bob:
        bob.wait_until_registered()
        platform.serve.kill_control()
        before = sum(event["type"] == "REGISTER_OK" for event in bob.events)
        bob.wait_for("REGISTER_OK", skip=before + 1, within_s=20.0)  # each by the nonce of the one before, the first of a dead process
        assert not [event for event in bob.events if event["type"] == "REGISTER_FAIL"]
        bob.dial("+15550100")
        bob.wait_for("CALL_ESTABLISHED")
        bob.wait_until_heard(1.0)
        assert tenant.wait_for("/voice").params["From"] == f"sip:bob@{DOMAIN}"
        bob.hang_up()
        bob.wait_for("CALL_CLOSED")


@pytest.mark.skipif(not pyvoip.available(), reason="pyVoIP is not installed (extra: test)")
def test_pyvoip_registers_calls_and_hears(shared_platform, tenant, tmp_path):
    with PyVoipPhone(tmp_path, server=shared_platform.sip, domain=DOMAIN, user="paul", password=PASSWORD) as paul:
        paul.dial("+15550100")
        paul.wait_for(state="ANSWERED")
        paul.wait_until_heard(1.5)
        paul.hang_up()
        paul.wait_for(state="ENDED")
        assert audio.purity(paul.heard()[-audio.RATE // 2 :], MUSIC_HZ) > 0.8
