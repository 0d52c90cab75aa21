"""The tests' own phone against an independent one, so that a failure later is the platform's and not the tools'."""

import pytest
from harness import audio
from harness.baresip import Baresip
from harness.sip_phone import SipPhone

pytestmark = [pytest.mark.real, pytest.mark.skipif(not Baresip.available(), reason="baresip is not installed")]


@pytest.fixture(params=["udp", "tcp"])
def pair(tmp_path, request):
    """A baresip that answers at once, and our phone that has it as its server."""
    with Baresip(tmp_path / "bob", user="bob", server=("127.0.0.1", 9), voice_hz=600) as bob:
        server = ("127.0.0.1", bob.sip_port)
        with SipPhone(server=server, transport=request.param) as phone:
            yield phone, bob


def test_a_call_is_answered_heard_both_ways_held_resumed_and_hung_up(pair):
    phone, bob = pair
    call = phone.invite("bob")
    call.answered()
    call.talk(audio.tone(440, 5.0))
    call.ear.wait_for_tone(600)
    call.press("5")
    bob.wait_for("CALL_DTMF_START")
    call.ear.wait_for_packets(50)
    assert call.reinvite("sendonly").direction == "recvonly"
    assert call.reinvite("sendrecv").direction == "sendrecv"
    assert call.hang_up().status == 200
    bob.wait_for("CALL_CLOSED")
    assert audio.purity(bob.heard()[4000:8000], 440) > 0.9


def test_the_peer_hangs_up(pair):
    phone, bob = pair
    call = phone.invite("bob")
    call.answered()
    bob.wait_for("CALL_ESTABLISHED")
    bob.hang_up()
    assert call.hung_up().method == "BYE"


def test_options_are_answered(pair):
    assert pair[0].options("bob").status == 200


def test_a_call_is_cancelled_while_it_rings(tmp_path):
    bob = Baresip(tmp_path / "bob", user="bob", server=("127.0.0.1", 9), answer="manual")
    with bob, SipPhone(server=("127.0.0.1", bob.sip_port)) as phone:
        call = phone.invite("bob")
        call.provisional(180)
        assert call.cancel().status == 200
        assert call.refused().status == 487
