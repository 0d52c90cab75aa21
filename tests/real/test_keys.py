"""Keys that callers press reach the tenant, each once: recorded RFC 4733 streams, baresip's own, careless ones, and SIP INFO."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from harness import audio, sipp
from harness.baresip import Baresip
from harness.sip_phone import SipPhone

pytestmark = pytest.mark.real

RECORDED = Path("/usr/share/sip-tester")
IN_ORDER = "1023456789*#"
"""The recordings are pieces of one stream; this is its order."""
needs_sipp = pytest.mark.skipif(not sipp.available(), reason="SIPp is not installed (apt: sip-tester)")
needs_baresip = pytest.mark.skipif(not Baresip.available(), reason="baresip is not installed (apt: baresip-core)")


@pytest.fixture
def gathers(shared_platform):
    """A number that takes so many keys, whichever they are, and the tenant that is told."""
    tenant = shared_platform.tenant()

    def number(keys: int) -> str:
        gather = f"<Gather action='/keys' numDigits='{keys}' finishOnKey='' timeout='8'/>"
        tenant.answers("/keys", "<Response><Hangup/></Response>")
        return str(shared_platform.fresh_number(tenant.answers("/voice", f"<Response>{gather}</Response>")))

    return tenant, number


def unmarked(capture: bytes) -> bytes:
    """Return a capture of RTP over UDP over Ethernet with each packet's marker bit cleared."""
    written, at = bytearray(capture), 24
    while at < len(capture):
        (length,) = struct.unpack_from("<I", capture, at + 8)
        written[at + 16 + 14 + 20 + 8 + 1] &= 0x7F
        at += 16 + length
    return bytes(written)


@needs_sipp
@pytest.mark.sipp
@pytest.mark.parametrize("change", [bytes, unmarked], ids=["as recorded", "without the marker bit"])
def test_every_recorded_key_reaches_gather_once(shared_platform, gathers, tmp_path, change):
    tenant, number = gathers
    for recording in RECORDED.glob("dtmf_2833_*.pcap"):
        (tmp_path / recording.name).write_bytes(change(recording.read_bytes()))
    sipp.run("every-key", shared_platform.sip, tmp_path, service=number(len(IN_ORDER)))
    (request,) = tenant.requests("/keys")
    assert request.params["Digits"] == IN_ORDER


@needs_baresip
def test_the_keys_of_an_independent_phone_reach_gather_once(shared_platform, gathers, tmp_path):
    tenant, number = gathers
    with Baresip(tmp_path / "phone", user="+15551001", server=shared_platform.sip) as phone:
        phone.dial(number(4))
        phone.wait_for("CALL_ESTABLISHED")
        phone.press("12#4")
        assert tenant.wait_for("/keys").params["Digits"] == "12#4"
        phone.wait_for("CALL_CLOSED")


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_keys_of_sip_info_reach_gather(shared_platform, gathers, transport):
    tenant, number = gathers
    with SipPhone(server=shared_platform.sip, user=f"{transport}-phone", transport=transport) as phone:
        call = phone.invite(number(3))
        call.answered()
        assert [call.info_digit(key).status for key in "7*0"] == [200, 200, 200]
        assert tenant.wait_for("/keys").params["Digits"] == "7*0"
        call.hung_up()


def test_keys_pressed_amid_speech_and_without_marker_reach_gather_once(shared_platform, gathers):
    tenant, number = gathers
    with SipPhone(server=shared_platform.sip, user="+15551003") as phone:
        call = phone.invite(number(3))
        call.answered()
        call.talk(audio.tone(400, 0.5))
        call.press("5", marker=False)
        call.press("55")
        assert tenant.wait_for("/keys").params["Digits"] == "555"
        call.hung_up()
