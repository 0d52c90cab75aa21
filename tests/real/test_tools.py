"""The other tools against each other: SIPp's scenarios against baresip, tshark against our own ear."""

import pytest
from harness import audio, sipp, tshark
from harness.baresip import Baresip
from harness.rtp_ear import RtpEar

pytestmark = pytest.mark.real


@pytest.mark.skipif(not tshark.available(), reason="tshark is not installed")
def test_tshark_sees_what_was_sent(tmp_path):
    with RtpEar(seed=1) as near, RtpEar(seed=2) as far:
        with tshark.Capture(tmp_path / "x.pcap", port=far.port) as capture:
            near.talk((far.host, far.port), audio.tone(440, 0.6))
            near.finish_talking()
            near.press((far.host, far.port), "7")
            far.wait_until(lambda ear: ear.digits() == "7", 2)
        (stream,) = capture.streams()
        assert (stream.packets, stream.lost) == (30, 0)
        assert (set(stream.sequence_steps), set(stream.timestamp_steps)) == ({1}, {160})
        assert stream.per_second == pytest.approx(50, abs=2)
        assert capture.digits() == "7"


needs_sipp_and_baresip = pytest.mark.skipif(not (sipp.available() and Baresip.available()), reason="sipp or baresip is not installed")


@pytest.mark.sipp
@needs_sipp_and_baresip
@pytest.mark.parametrize(
    "scenario",
    [
        "basic-call",
        "invite-without-sdp",
        "hold-and-resume",
        "retransmitted-invite-after-200",
        "lost-ack",
        "unacknowledged-200-is-resent",
        "duplicate-bye",
    ],
)
def test_an_independent_phone_passes_the_scenario(scenario, tmp_path):
    with Baresip(tmp_path / "bob", user="bob", server=("127.0.0.1", 9)) as bob:
        sipp.run(scenario, ("127.0.0.1", bob.sip_port), tmp_path / "sipp", service="bob")


@pytest.mark.sipp
@needs_sipp_and_baresip
@pytest.mark.parametrize("scenario", ["cancel-before-answer", "retransmitted-invite-while-ringing"])
def test_an_independent_phone_that_rings_passes_the_scenario(scenario, tmp_path):
    with Baresip(tmp_path / "bob", user="bob", server=("127.0.0.1", 9), answer="manual") as bob:
        sipp.run(scenario, ("127.0.0.1", bob.sip_port), tmp_path / "sipp", service="bob")


@pytest.mark.sipp
@needs_sipp_and_baresip
def test_the_other_end_hangs_up(tmp_path):
    bob = Baresip(tmp_path / "bob", user="bob", server=("127.0.0.1", 9))
    with bob, sipp.start("bye-from-platform", ("127.0.0.1", bob.sip_port), tmp_path / "sipp", service="bob") as caller:
        bob.wait_for("CALL_ESTABLISHED")
        bob.hang_up()
        caller.wait()
