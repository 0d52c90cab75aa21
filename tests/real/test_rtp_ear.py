"""Two ears on loopback: what one says the other hears."""

import pytest
from harness import audio
from harness.rtp_ear import RtpEar

pytestmark = pytest.mark.real


@pytest.fixture
def ears():
    with RtpEar(seed=1) as near, RtpEar(seed=2) as far:
        yield near, far


def test_a_tone_arrives_in_time_and_whole(ears):
    near, far = ears
    near.talk((far.host, far.port), audio.tone(440, 0.5))
    far.wait_for_tone(440)
    near.finish_talking()
    far.wait_until(lambda ear: len(ear.packets) == 25, 2)
    verdict = far.judge()
    assert verdict.per_second == pytest.approx(50, abs=2)
    assert (verdict.sequence_steps, verdict.timestamp_steps, verdict.ssrcs) == ({1}, {160}, 1)


@pytest.mark.parametrize("marker", [True, False])
def test_digits_arrive_once_each(ears, marker):
    near, far = ears
    near.press((far.host, far.port), "15#", marker=marker, tone_ms=60)
    far.wait_until(lambda ear: ear.digits() == "15#", 2)


def test_a_lost_packet_is_heard_as_silence_of_its_length(ears):
    near, far = ears
    for payload in (audio.encode(audio.tone(440, 0.02)),) * 3:
        near.send((far.host, far.port), payload)
    far.wait_until(lambda ear: len(ear.packets) == 3, 2)
    del far.packets[1]
    assert len(far.sound()) == 480
    assert audio.is_silent(far.sound()[160:320])
