import pytest

from waitline.bridge.sip.description import MAX_LINES, MAX_MEDIA, Media, SessionDescription
from waitline.errors import SipError

FULL = b"""\
v=0\r
o=alice 2890844526 2890844527 IN IP4 host.example.com\r
s=Call\r
i=information\r
c=IN IP4 192.0.2.1\r
b=AS:64\r
t=0 0\r
a=recvonly\r
m=audio 49170/2 RTP/AVP 0 97 101\r
a=rtpmap:97 iLBC/8000\r
a=rtpmap:101 Telephone-Event/8000/1\r
a=ptime:30\r
a=rtcp:53020 IN IP4 192.0.2.2\r
m=video 0 UDP/TLS/RTP/SAVPF 96\r
c=IN IP6 2001:db8::1\r
a=rtcp-mux\r
a=sendonly\r
"""


def test_a_description_is_read_with_what_a_call_needs():
    description = SessionDescription.parse(FULL)
    assert (description.origin.username, description.origin.session_id, description.origin.version) == ("alice", 2890844526, 2890844527)
    assert (description.name, description.host, description.direction) == ("Call", "192.0.2.1", "recvonly")
    audio, video = description.media
    assert (audio.kind, audio.port, audio.transport, audio.formats) == ("audio", 49170, "RTP/AVP", ("0", "97", "101"))
    assert [audio.encoding(pt) for pt in ("0", "8", "97", "101", "18")] == [
        ("PCMU", 8000),
        ("PCMA", 8000),
        ("ILBC", 8000),
        ("TELEPHONE-EVENT", 8000),
        None,
    ]
    assert (audio.attribute("ptime"), audio.has("rtcp-mux"), video.has("rtcp-mux")) == ("30", False, True)
    assert (description.host_of(audio), description.host_of(video)) == ("192.0.2.1", "2001:db8::1")
    assert (description.direction_of(audio), description.direction_of(video)) == ("recvonly", "sendonly")


def test_what_is_written_is_read_as_the_same():
    description = SessionDescription.parse(FULL)
    assert SessionDescription.parse(bytes(description)) == description
    assert b"c=IN IP6 2001:db8::1\r\n" in bytes(description)


def test_our_own_form_is_written_octet_by_octet():
    lines = (
        b"v=0",
        b"o=- 1 2 IN IP4 192.0.2.9",
        b"s=-",
        b"c=IN IP4 192.0.2.9",
        b"t=0 0",
        b"m=audio 4000 RTP/AVP 0",
        b"a=rtpmap:0 PCMU/8000",
        b"a=sendrecv",
    )
    data = b"".join(line + b"\r\n" for line in lines)
    assert bytes(SessionDescription.parse(data)) == data


@pytest.mark.parametrize(
    "data",
    [
        FULL.replace(b"\r\n", b"\n"),
        FULL + b"\r\n\r\n",
        FULL.replace(b"t=0 0\r\n", b"").replace(b"s=Call\r\n", b"s=Call \r\n"),
        FULL.replace(b"c=IN IP4 192.0.2.1", b"c=IN IP4 192.0.2.1/127"),
        FULL + b"\0",
    ],
)
def test_sloppy_forms_are_read_as_the_same(data):
    assert SessionDescription.parse(data) == SessionDescription.parse(FULL)


def test_an_empty_session_name_and_latin_1_are_tolerated():
    assert SessionDescription.parse(FULL.replace(b"s=Call", b"s=")).name == "-"
    assert SessionDescription.parse(FULL.replace(b"s=Call", b"s=B\xe9")).name == "Bé"


def test_stereo_and_odd_rtpmaps_are_unknown_encodings():
    media = Media(
        kind="audio", port=1, formats=("96",), attributes=(("rtpmap", "96 L16/44100/2"), ("rtpmap", "97 x"), ("rtpmap", "0 G726-32/8000"))
    )
    assert media.encoding("96") is None
    assert media.encoding("97") is None
    assert media.encoding("0") == ("G726-32", 8000)


def test_a_refused_line_keeps_its_place_transport_and_formats():
    video = SessionDescription.parse(FULL).media[1]
    assert list(video.rejected().lines()) == ["m=video 0 UDP/TLS/RTP/SAVPF 96"]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "not a session description"),
        (b"<audio/>", "not a session description"),
        (FULL.replace(b"v=0", b"v=1"), "not a session description"),
        (FULL.replace(b"o=alice", b"x=alice"), "no o= line"),
        (FULL.replace(b"2890844526", b"x"), "not an o= line"),
        (FULL.replace(b" IN IP4 host.example.com", b""), "not an o= line"),
        (FULL.replace(b"c=IN IP4 192.0.2.1", b"c=IN"), "not a c= line"),
        (FULL.replace(b"c=IN IP4 192.0.2.1", b"c=ATM NSAP 1"), "not a c= line"),
        (FULL.replace(b"49170", b"65536"), "not an m= line"),
        (FULL.replace(b"49170/2", b"49170/x"), "not an m= line"),
        (FULL.replace(b"49170", b"-1"), "not an m= line"),
        (FULL.replace(b"m=audio 49170/2 RTP/AVP 0 97 101", b"m=audio 49170"), "not an m= line"),
        (FULL.replace(b"m=video", b"m =video"), "not a line"),
        (FULL.replace(b"a=ptime:30", b"a=ptime:30\rx"), "not a line"),
        (FULL.replace(b"a=ptime:30\r\n", b"\r\n"), "not a line"),
        (FULL + b"m=audio 1 RTP/AVP 0\r\n" * MAX_MEDIA, f"more than {MAX_MEDIA} media lines"),
        (FULL + b"a=x\r\n" * MAX_LINES, "lines"),
    ],
)
def test_what_is_no_description_is_refused_with_the_reason(data, why):
    with pytest.raises(SipError, match=why) as caught:
        SessionDescription.parse(data)
    assert caught.value.status == 400
