"""What a caller on hold hears, exactly, and what our RTP is like to an independent judge.

baresip hears the platform's own music and writes it down; it must be the very clip of the repository. tshark judges the packets.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile
from harness import audio, tshark
from harness.baresip import Baresip
from harness.sip_phone import SipPhone

pytestmark = pytest.mark.real

MUSIC = Path(__file__).parents[2] / "media" / "data" / "hold-music.wav"
needs_baresip = pytest.mark.skipif(not Baresip.available(), reason="baresip is not installed (apt: baresip-core)")
needs_tshark = pytest.mark.skipif(not tshark.available(), reason="tshark is not installed (apt: tshark)")


@pytest.fixture(scope="module")
def music():
    """The repository's hold music as samples."""
    return soundfile.read(MUSIC, dtype="int16")[0]


@pytest.fixture
def desk(shared_platform):
    """Numbers of a queue without a wait application: one for callers, one for agents."""
    tenant = shared_platform.tenant()
    queue = shared_platform.client.queues.create(f"desk {len(shared_platform.tenants)}").sid
    callers = tenant.answers("/voice", f"<Response><Enqueue>{queue}</Enqueue></Response>")
    agents = tenant.answers("/agent", f"<Response><Dial><Queue>{queue}</Queue></Dial></Response>")
    return shared_platform.fresh_number(callers), shared_platform.fresh_number(agents)


@needs_baresip
def test_a_caller_hears_the_exact_hold_loop_until_an_agent_takes_it_and_then_both_hear_each_other(shared_platform, desk, music, tmp_path):
    callers, agents = desk
    caller = Baresip(tmp_path / "caller", user="+15551001", server=shared_platform.sip, voice_hz=500)
    agent = Baresip(tmp_path / "agent", user="+15551002", server=shared_platform.sip, voice_hz=1100)
    with caller, agent:
        caller.dial(callers)
        caller.wait_for("CALL_ESTABLISHED")
        audio.wait_until_heard(caller.heard, 3.5)
        held = caller.heard()
        agent.dial(agents)
        audio.wait_for_tone(caller.heard, 1100)
        audio.wait_for_tone(agent.heard, 500)
        caller.hang_up()
        agent.wait_for("CALL_CLOSED")
    first, then = (audio.find(held[start : start + 12_000], music, looped=True) for start in (4_000, 14_000))
    assert min(first.score, then.score) > 0.9
    assert (then.offset - first.offset) % len(music) == pytest.approx(10_000, abs=320)  # the phone's own buffer may slip by a frame


@needs_tshark
def test_our_rtp_is_fifty_packets_a_second_without_a_gap_or_a_jump(shared_platform, desk, tmp_path):
    with SipPhone(server=shared_platform.sip, user="+15551003") as caller:
        call = caller.invite(desk[0])
        with tshark.Capture(tmp_path / "hold.pcap", port=call.ear.port) as capture:
            call.answered()
            call.ear.wait_for_packets(200)
        (stream,) = capture.streams()
    assert stream.packets >= 200
    assert stream.lost == 0
    assert stream.per_second == pytest.approx(50, abs=0.5)
    assert (set(stream.sequence_steps), set(stream.timestamp_steps)) == ({1}, {160})
    assert stream.longest_gap_s < 0.04


@needs_tshark
def test_one_stream_runs_from_music_into_talk_and_back_into_silence(shared_platform, desk, tmp_path):
    callers, agents = desk
    with SipPhone(server=shared_platform.sip, user="+15551004") as caller, SipPhone(server=shared_platform.sip, user="+15551005") as agent:
        call = caller.invite(callers)
        with tshark.Capture(tmp_path / "talk.pcap", port=call.ear.port) as capture:
            call.answered()
            call.ear.wait_for_packets(25)
            talk = agent.invite(agents)
            talk.answered()
            talk.talk(audio.tone(1100, 1.0), loop=True)
            call.ear.wait_for_tone(1100, seconds=0.5)
            talk.hang_up()
            call.hung_up()
        (stream,) = capture.streams()
    assert stream.lost == 0
    assert set(stream.sequence_steps) == {1}
    assert all(0 < step <= 1600 for step in stream.timestamp_steps), stream.timestamp_steps
