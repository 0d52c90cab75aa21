from dataclasses import replace

import pytest

from waitline.bridge.sip.sdp import LocalMedia, NoCommonCodec, SessionDescription, accept, answer, offer

LOCAL = LocalMedia(host="192.0.2.9", port=20000, rtcp_port=20001, session_id=77, version=1)


def description(*lines, host="198.51.100.7"):
    text = ["v=0", "o=- 1 1 IN IP4 198.51.100.7", "s=-", f"c=IN {'IP6' if ':' in host else 'IP4'} {host}", "t=0 0", *lines]
    return SessionDescription.parse("".join(line + "\r\n" for line in text).encode())


def sent(negotiated):
    """The description we answer with."""
    assert negotiated.description is not None
    return negotiated.description


def media_lines(negotiated):
    return [line for line in bytes(sent(negotiated)).decode().splitlines() if line.startswith("m=")]


PHONE = ("m=audio 40012 RTP/AVP 0 8 101", "a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-16")


def test_an_offer_of_both_laws_is_answered_with_one_codec_and_digits():
    agreed = answer(description(*PHONE), LOCAL)
    assert (agreed.codec, agreed.payload_type, agreed.dtmf_payload_type) == ("PCMU", 0, 101)
    assert (agreed.remote_host, agreed.remote_port, agreed.remote_rtcp_port) == ("198.51.100.7", 40012, 40013)
    assert (agreed.direction, agreed.ptime_ms) == ("sendrecv", 20)
    assert bytes(sent(agreed)).decode().splitlines() == [
        "v=0",
        "o=- 77 1 IN IP4 192.0.2.9",
        "s=-",
        "c=IN IP4 192.0.2.9",
        "t=0 0",
        "m=audio 20000 RTP/AVP 0 101",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-15",
        "a=ptime:20",
        "a=sendrecv",
    ]


def test_the_offerers_order_of_preference_decides():
    assert answer(description("m=audio 4000 RTP/AVP 18 8 0"), LOCAL).codec == "PCMA"


def test_static_payload_types_need_no_rtpmap():
    assert answer(description("m=audio 4000 RTP/AVP 0"), LOCAL).codec == "PCMU"
    assert answer(description("m=audio 4000 RTP/AVP 8"), LOCAL).codec == "PCMA"


def test_renumbered_payload_types_are_answered_under_the_offers_numbers():
    agreed = answer(description("m=audio 4000 RTP/AVP 97 96", "a=rtpmap:97 pcma/8000/1", "a=rtpmap:96 TELEPHONE-EVENT/8000"), LOCAL)
    assert (agreed.codec, agreed.payload_type, agreed.dtmf_payload_type) == ("PCMA", 97, 96)
    assert media_lines(agreed) == ["m=audio 20000 RTP/AVP 97 96"]


def test_a_static_number_that_means_something_else_is_believed():
    with pytest.raises(NoCommonCodec):
        answer(description("m=audio 4000 RTP/AVP 0", "a=rtpmap:0 G726-32/8000"), LOCAL)


def test_the_event_clock_must_be_the_audios():
    agreed = answer(
        description("m=audio 4000 RTP/AVP 0 100 101", "a=rtpmap:100 telephone-event/48000", "a=rtpmap:101 telephone-event/8000"), LOCAL
    )
    assert agreed.dtmf_payload_type == 101


def test_without_digits_on_either_side_there_is_no_event_type():
    assert answer(description("m=audio 4000 RTP/AVP 0"), LOCAL).dtmf_payload_type == -1
    assert answer(description(*PHONE), replace(LOCAL, dtmf=False)).dtmf_payload_type == -1


def test_other_media_lines_are_refused_in_their_places():
    agreed = answer(
        description(
            "m=video 5000 RTP/AVP 96",
            "m=audio 4002 RTP/AVP 18",
            "m=audio 4000 RTP/AVP 0",
            "m=audio 4004 RTP/AVP 8",
            "m=application 9 TCP/BFCP *",
        ),
        LOCAL,
    )
    assert media_lines(agreed) == [
        "m=video 0 RTP/AVP 96",
        "m=audio 0 RTP/AVP 18",
        "m=audio 20000 RTP/AVP 0",
        "m=audio 0 RTP/AVP 8",
        "m=application 0 TCP/BFCP *",
    ]
    assert agreed.remote_port == 4000


def test_an_encrypted_line_is_refused_and_the_plain_one_beside_it_taken():
    agreed = answer(description("m=audio 4000 RTP/SAVP 0", "m=audio 4002 RTP/AVP 0"), LOCAL)
    assert media_lines(agreed) == ["m=audio 0 RTP/SAVP 0", "m=audio 20000 RTP/AVP 0"]


def test_avpf_is_answered_as_avpf():
    assert media_lines(answer(description("m=audio 4000 RTP/AVPF 0"), LOCAL)) == ["m=audio 20000 RTP/AVPF 0"]


@pytest.mark.parametrize(
    "line",
    [
        "m=audio 4000 RTP/AVP 18",
        "m=audio 4000 RTP/AVP 200",
        "m=audio 0 RTP/AVP 0",
        "m=audio 4000 UDP/TLS/RTP/SAVPF 111 0 8",
        "m=video 4000 RTP/AVP 31",
        "m=audio 4000 RTP/AVP",
    ],
)
def test_nothing_in_common_is_488(line):
    with pytest.raises(NoCommonCodec, match="no audio stream") as caught:
        answer(description(line), LOCAL)
    assert caught.value.status == 488


@pytest.mark.parametrize("lines", [(), ("m=audio 4000 RTP/AVP 0",)])
def test_no_media_or_no_address_is_488(lines):
    data = b"v=0\r\no=- 1 1 IN IP4 h\r\ns=-\r\nt=0 0\r\n" + "".join(line + "\r\n" for line in lines).encode()
    with pytest.raises(NoCommonCodec):
        answer(SessionDescription.parse(data), LOCAL)


def test_an_address_of_the_other_family_and_a_name_are_refused():
    for host in ("2001:db8::7", "phone.example.com"):
        with pytest.raises(NoCommonCodec):
            answer(description(*PHONE, host=host), LOCAL)


def test_ipv6_is_negotiated_where_we_have_it():
    agreed = answer(description(*PHONE, host="2001:db8::7"), replace(LOCAL, host="2001:db8::9"))
    assert agreed.remote_host == "2001:db8::7"
    assert b"c=IN IP6 2001:db8::9\r\n" in bytes(sent(agreed))


def test_a_streams_own_address_comes_before_the_sessions():
    assert answer(description("m=audio 4000 RTP/AVP 0", "c=IN IP4 203.0.113.5"), LOCAL).remote_host == "203.0.113.5"


# --- hold


@pytest.mark.parametrize(
    ("theirs", "ours"), [("sendrecv", "sendrecv"), ("sendonly", "recvonly"), ("recvonly", "sendonly"), ("inactive", "inactive")]
)
def test_directions_are_turned_round(theirs, ours):
    agreed = answer(description(*PHONE, f"a={theirs}"), LOCAL)
    assert agreed.direction == ours
    assert f"a={ours}\r\n".encode() in bytes(sent(agreed))


def test_a_direction_of_the_session_counts_for_a_stream_without_one():
    assert answer(description("a=sendonly", *PHONE), LOCAL).direction == "recvonly"
    assert answer(description("a=sendonly", *PHONE, "a=sendrecv"), LOCAL).direction == "sendrecv"


@pytest.mark.parametrize(("host", "local"), [("0.0.0.0", LOCAL), ("::", replace(LOCAL, host="2001:db8::9"))])
def test_the_unspecified_address_is_the_old_form_of_hold(host, local):
    assert answer(description(*PHONE, host=host), local).direction == "recvonly"
    assert answer(description(*PHONE, "a=inactive", host=host), local).direction == "inactive"
    assert answer(description(*PHONE, "a=recvonly", host=host), local).direction == "inactive"


@pytest.mark.parametrize(("willing", "agreed"), [("recvonly", "recvonly"), ("sendonly", "sendonly"), ("inactive", "inactive")])
def test_we_do_no_more_than_we_are_willing_to(willing, agreed):
    assert answer(description(*PHONE), replace(LOCAL, direction=willing)).direction == agreed


# --- RTCP and packet time


def test_rtcp_goes_where_the_attribute_says():
    assert answer(description(*PHONE, "a=rtcp:53020 IN IP4 192.0.2.2"), LOCAL).remote_rtcp_port == 53020
    assert answer(description(*PHONE, "a=rtcp:nowhere"), LOCAL).remote_rtcp_port == 40013
    assert answer(description(*PHONE, "a=rtcp:99999"), LOCAL).remote_rtcp_port == 40013


def test_rtcp_mux_is_agreed_whenever_it_is_offered():
    agreed = answer(description(*PHONE, "a=rtcp-mux", "a=rtcp:40012"), LOCAL)
    assert agreed.remote_rtcp_port == 0
    assert b"a=rtcp-mux\r\n" in bytes(sent(agreed))
    assert b"a=rtcp-mux" not in bytes(sent(answer(description(*PHONE), LOCAL)))


def test_our_rtcp_port_is_named_only_where_it_is_not_the_next_one():
    assert b"a=rtcp:30000\r\n" in bytes(sent(answer(description(*PHONE), replace(LOCAL, rtcp_port=30000))))
    assert b"a=rtcp:" not in bytes(sent(answer(description(*PHONE), LOCAL)))


@pytest.mark.parametrize(
    ("line", "ptime_ms"), [("a=ptime:30", 30), ("a=ptime:10.5", 10), ("a=ptime:x", 20), ("a=ptime:0", 20), ("a=ptime", 20)]
)
def test_the_peers_packet_time_is_told_and_nonsense_is_20_ms(line, ptime_ms):
    assert answer(description(*PHONE, line), LOCAL).ptime_ms == ptime_ms


# --- versions, offers of ours


def test_the_version_counts_up_only_when_something_changed():
    first = sent(answer(description(*PHONE), LOCAL))
    same = sent(answer(description(*PHONE), replace(LOCAL, session_id=99, version=50), previous=first))
    assert same == first
    held = sent(answer(description(*PHONE, "a=sendonly"), LOCAL, previous=same))
    assert (held.origin.session_id, held.origin.version) == (77, 2)
    resumed = sent(answer(description(*PHONE), LOCAL, previous=held))
    assert resumed.origin.version == 3


def test_a_late_offer_names_all_we_can_do():
    assert bytes(offer(LOCAL)).decode().splitlines()[5:] == [
        "m=audio 20000 RTP/AVP 0 8 101",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:8 PCMA/8000",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-15",
        "a=ptime:20",
        "a=rtcp-mux",
        "a=sendrecv",
    ]


def test_a_later_offer_keeps_the_session_and_the_places_of_its_lines():
    first = sent(answer(description("m=video 5000 RTP/AVP 96", *PHONE), LOCAL))
    again = offer(LOCAL, previous=first)
    assert [line.port for line in again.media] == [0, 20000]
    assert (again.origin.session_id, again.origin.version) == (77, 2)
    assert offer(LOCAL, previous=again) == again


def test_the_peers_answer_to_our_offer_decides():
    agreed = accept(offer(LOCAL), description("m=audio 6000 RTP/AVP 8 96", "a=rtpmap:96 telephone-event/8000", "a=rtcp-mux", "a=recvonly"))
    assert (agreed.codec, agreed.payload_type, agreed.dtmf_payload_type, agreed.description) == ("PCMA", 8, 96, None)
    assert (agreed.remote_port, agreed.remote_rtcp_port, agreed.direction) == (6000, 0, "sendonly")


def test_an_answer_takes_the_place_our_line_has_in_the_offer():
    ours = offer(LOCAL, previous=sent(answer(description("m=video 5000 RTP/AVP 96", *PHONE), LOCAL)))
    assert accept(ours, description("m=video 0 RTP/AVP 96", "m=audio 6000 RTP/AVP 0")).remote_port == 6000


def test_an_answer_cannot_bring_back_what_we_did_not_offer():
    ours = offer(replace(LOCAL, codecs=("PCMU",), dtmf=False, direction="sendonly"))
    with pytest.raises(NoCommonCodec):
        accept(ours, description("m=audio 6000 RTP/AVP 8"))
    agreed = accept(ours, description("m=audio 6000 RTP/AVP 0 101", "a=rtpmap:101 telephone-event/8000", "a=sendrecv"))
    assert (agreed.dtmf_payload_type, agreed.direction) == (-1, "sendonly")


@pytest.mark.parametrize("lines", [("m=audio 0 RTP/AVP 0",), (), ("m=audio 6000 RTP/AVP 18",)])
def test_a_refusing_answer_is_488(lines):
    with pytest.raises(NoCommonCodec):
        accept(offer(LOCAL), description(*lines))


def test_what_we_answer_can_be_accepted():
    ours = offer(LOCAL)
    theirs = answer(ours, replace(LOCAL, host="198.51.100.7", port=30000, direction="recvonly"))
    agreed = accept(ours, sent(theirs))
    assert (agreed.codec, agreed.dtmf_payload_type, agreed.direction, agreed.remote_rtcp_port) == ("PCMU", 101, "sendonly", 0)
