"""Random lives of a leg: the table against the reference model, and a relayed leg against the rules of RTP."""

import itertools

from harness.media_rig import FRAMES, Rig
from harness.reference_leg import FRAMES_OF_STORE, ReferenceLeg
from hypothesis import given, settings
from hypothesis import strategies as st

from waitline.media import messages
from waitline.media.messages import ClipEnded
from waitline.media.rtp import RtpPacket

segment = st.tuples(st.integers(-1, 92), st.integers(-1, 7), st.integers(0, 3))
program = st.tuples(st.lists(segment, max_size=3).map(tuple), st.integers(0, 4))
step = st.one_of(
    st.tuples(st.just("play"), program),
    st.tuples(st.just("play_next"), program),
    st.tuples(st.just("run"), st.integers(1, 12)),
    st.tuples(st.just("hold"), st.booleans()),
)


def run_frames(rig, frames, *, jump):
    """Do the frames one by one, or, where nobody listens, as the virtual world does: events only."""
    if not jump:
        rig.frames(frames)
        return
    end = rig.table.now + 4 * frames
    while (event := rig.table.next_event(lambda _address: False)) is not None and event <= end:
        rig.table.advance(event - 1)
        rig.table.tick(event)
    rig.table.advance(end)


@settings(max_examples=150, deadline=None)
@given(st.lists(step, max_size=14), st.integers(0, 65535), st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_the_table_sends_what_the_reference_model_sends(steps, sequence, timestamp, leg):
    assert FRAMES_OF_STORE == FRAMES
    rig = Rig()
    for other in range(1, leg):
        rig.open(other)
    rig.table.command(messages.OpenLeg(1, leg, 0x5000, sequence, timestamp))
    rig.set_media(leg)
    rig.table.command(messages.StartAudio(1, leg))
    model = ReferenceLeg(sequence, timestamp)
    expected = []
    for kind, value in steps:
        if kind == "run":
            expected += [model.frame() for _ in range(value)]
            rig.frames(value)
        elif kind == "hold":
            model.mute(value)
            rig.set_media(leg, direction="recvonly" if value else "sendrecv")
        else:
            segments, report_after = value
            token = rig.play(*segments, leg=leg, report_after=report_after, after=kind == "play_next")
            getattr(model, kind)(token, segments, report_after)
        assert [report.token for report in rig.reported(ClipEnded)][-1:] == ([model.through] if model.through else [])
    sent = [sent.rtp for sent in rig.sent(leg)]
    assert [(p.sequence, p.timestamp, p.payload[0], p.marker) for p in sent] == [item for item in expected if item is not None]


@settings(max_examples=80, deadline=None)
@given(st.lists(step, max_size=12))
def test_skipping_time_arithmetically_ends_where_ticking_does(steps):
    ticking, jumping = Rig(), Rig()
    for rig in (ticking, jumping):
        rig.open()
    for kind, value in [*steps, ("run", 3)]:
        for rig in (ticking, jumping):
            if kind == "run":
                run_frames(rig, value * 7, jump=rig is jumping)
            elif kind == "hold":
                rig.set_media(direction="recvonly" if value else "sendrecv")
            else:
                rig.play(*value[0], report_after=value[1], after=kind == "play_next")
    assert jumping.reported(ClipEnded) == ticking.reported(ClipEnded)
    assert [(sent.tick, sent.data) for sent in jumping.rtcp()] == [(sent.tick, sent.data) for sent in ticking.rtcp()]
    for rig in (ticking, jumping):
        rig.wire.sent.clear()
        rig.set_media()
        rig.frames(3)
    assert [sent.data for sent in jumping.sent()] == [sent.data for sent in ticking.sent()]


action = st.one_of(
    st.tuples(st.just("run"), st.integers(1, 9)),
    st.tuples(st.just("speak"), st.integers(1, 5)),
    st.tuples(st.just("bridge"), st.none()),
    st.tuples(st.just("unbridge"), st.none()),
    st.tuples(st.just("play"), st.integers(0, 5)),
    st.tuples(st.just("digits"), st.sampled_from(["1", "w", "23", ""])),
    st.tuples(st.just("new stream"), st.integers(0, 65535)),
    st.tuples(st.just("hold"), st.booleans()),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(action, max_size=25))
def test_whatever_a_leg_is_told_it_is_one_stream_to_its_peer(actions):
    """Sequence numbers without a gap (the partner loses nothing here), timestamps that never go back, one SSRC, time kept."""
    rig = Rig()
    rig.open(1, peer=("192.0.2.7", 4000), latch=True)
    rig.open(2, peer=("192.0.2.9", 6000))
    sequence, ssrc = 1000, 9
    for kind, value in actions:
        match kind:
            case "run":
                rig.run(value)
            case "speak":
                for _ in range(value):
                    sequence = (sequence + 1) % 65536
                    rig.receive(1, RtpPacket(0, sequence, sequence * 160, ssrc, b"\x55" * 160), source=("192.0.2.7", 4000))
                    rig.run(4)
            case "bridge":
                rig.bridge()
            case "unbridge":
                rig.table.command(messages.Unbridge(1, 2))
            case "play":
                rig.play((10, value, 1), leg=2, report_after=1)
            case "digits":
                rig.token += 1
                rig.table.command(messages.SendDigits(1, 2, rig.token, value))
            case "new stream":
                sequence, ssrc = value, ssrc + 1
            case "hold":
                rig.set_media(2, peer=("192.0.2.9", 6000), direction="recvonly" if value else "sendrecv")
    rig.set_media(2, peer=("192.0.2.9", 6000))
    rig.run(230)
    sent = rig.sent(2)
    packets = [item.rtp for item in sent]
    assert [p.sequence for p in packets] == [(100 + n) % 65536 for n in range(len(packets))]
    assert {p.ssrc for p in packets} == {0x5002}
    audio = [(item.tick, item.rtp) for item in sent if item.rtp.payload_type == 0]
    for (tick, before), (later_tick, after) in itertools.pairwise(audio):
        assert 0 < (after.timestamp - before.timestamp) % 2**32 < 2**31
        assert abs((after.timestamp - before.timestamp) % 2**32 / 160 - (later_tick - tick) / 4) <= 2.5
