"""The demo phone's SIP, against messages written by hand."""

from random import Random

import pytest

from waitline.demo.phone_sip import Call, Message, Unreadable, build, description

OK = (
    b"SIP/2.0 200 OK\r\n"
    b"v: SIP/2.0/UDP 127.0.0.1:7000;branch=z9hG4bK1\r\n"
    b"Record-Route: <sip:first@10.0.0.1;lr>, <sip:second@10.0.0.2;lr>\r\n"
    b"f: <sip:alice@10.0.0.9>;tag=a\r\n"
    b't: "Tele, phone"\r\n <sip:+1555@10.0.0.9>;tag=b\r\n'
    b"i: 1@127.0.0.1\r\nCSeq: 1 INVITE\r\n"
    b"m: <sip:line@10.0.0.9:5070;transport=udp>\r\n"
    b"\r\nv=0\r\nc=IN IP4 10.0.0.9\r\nm=audio 16384 RTP/AVP 0\r\n"
)


@pytest.fixture
def call():
    return Call(
        user="alice", uri="sip:+1555@10.0.0.9:5060", server=("10.0.0.9", 5060), local=("127.0.0.1", 7000), rtp_port=7002, random=Random(1)
    )


def sent(data):
    return Message.parse(data)


def test_a_message_is_read_with_folded_lines_and_compact_names():
    message = Message.parse(OK)
    assert (message.status, message.method, message.cseq) == (200, "INVITE", 1)
    assert message["to"] == '"Tele, phone" <sip:+1555@10.0.0.9>;tag=b'
    assert message["call-id"] == "1@127.0.0.1"
    assert message["subject"] == ""
    assert message.media == ("10.0.0.9", 16384)


def test_lists_are_split_at_their_commas_only():
    assert Message.parse(OK).all("record-route") == ["<sip:first@10.0.0.1;lr>", "<sip:second@10.0.0.2;lr>"]
    assert len(Message.parse(OK).all("to")) == 1


def test_a_message_without_a_session_has_no_media():
    assert Message.parse(OK.partition(b"\r\n\r\n")[0]).media is None


@pytest.mark.parametrize("data", [b"hello", b"\x80\x00\x00", b"SIP/2.0 200 OK\r\nCSeq: one INVITE\r\n\r\n", b"BYE sip:a@b SIP/2.0\r\n\r\n"])
def test_what_is_not_sip_is_said_to_be_unreadable(data):
    with pytest.raises(Unreadable):
        Message.parse(data)


def test_an_invite_offers_pcmu_and_digits(call):
    invite = sent(call.request("INVITE"))
    assert invite.start == "INVITE sip:+1555@10.0.0.9:5060 SIP/2.0"
    assert invite["content-type"] == "application/sdp"
    assert int(invite["content-length"]) == len(invite.body)
    assert invite.media == ("127.0.0.1", 7002)
    assert "a=rtpmap:101 telephone-event/8000" in invite.body
    assert "tag=" not in invite["to"]


def test_the_ack_of_a_200_goes_through_the_dialog(call):
    call.request("INVITE")
    call.take(Message.parse(OK))
    ack = sent(call.ack(Message.parse(OK)))
    assert ack.start == "ACK sip:line@10.0.0.9:5070;transport=udp SIP/2.0"
    assert ack.all("route") == ["<sip:second@10.0.0.2;lr>", "<sip:first@10.0.0.1;lr>"]
    assert ack["cseq"] == "1 ACK"
    assert call.branch not in ack["via"]


def test_the_ack_of_a_refusal_is_on_the_invites_branch(call):
    call.request("INVITE")
    refusal = Message.parse(OK.replace(b"200 OK", b"486 Busy Here"))
    ack = sent(call.ack(refusal))
    assert call.branch in ack["via"]
    assert ack["to"] == refusal["to"]


def test_a_cancel_is_the_invites_twin(call):
    invite, cancel = sent(call.request("INVITE")), sent(call.cancel())
    assert cancel.start == invite.start.replace("INVITE", "CANCEL", 1)
    assert (cancel["via"], cancel["call-id"], cancel["cseq"]) == (invite["via"], invite["call-id"], "1 CANCEL")


def test_each_request_of_a_call_has_a_number_and_a_branch_of_its_own(call):
    first, second = sent(call.request("INVITE")), sent(call.request("BYE"))
    assert second.cseq == first.cseq + 1
    assert second["via"] != first["via"]
    assert second["call-id"] == first["call-id"]


def test_an_answer_copies_what_the_rfc_says(call):
    headers = [("Via", "one"), ("Via", "two"), ("From", "f"), ("To", "t"), ("Call-ID", "c"), ("CSeq", "7 BYE"), ("Subject", "no")]
    answer = sent(call.answer(Message.parse(build("BYE sip:a@b SIP/2.0", headers))))
    assert answer.start == "SIP/2.0 200 OK"
    assert [value for name, value in answer.headers if name == "via"] == ["one", "two"]
    assert (answer["cseq"], answer["subject"], answer.body) == ("7 BYE", "", "")


def test_an_answer_to_a_new_offer_carries_our_session(call):
    headers = [("Via", "v"), ("From", "f"), ("To", "t"), ("Call-ID", "c"), ("CSeq", "7 INVITE")]
    offer = Message.parse(build("INVITE sip:a@b SIP/2.0", headers, description("10.0.0.9", 1)))
    assert sent(call.answer(offer)).media == ("127.0.0.1", 7002)
