import pytest

from waitline.bridge.sip.uri import Uri
from waitline.errors import SipError


def test_every_part_of_a_sip_uri_is_read():
    uri = Uri.parse("sips:alice:secret@Example.COM:5071;Transport=TCP;lr?Subject=hello%20there&X-A=1")
    assert (uri.scheme, uri.user, uri.password, uri.host, uri.port) == ("sips", "alice", "secret", "example.com", 5071)
    assert uri.params == {"transport": "TCP", "lr": None}
    assert uri.headers == {"Subject": "hello there", "X-A": "1"}
    assert uri.lr
    assert uri.transport == "tcp"
    assert uri.address == ("example.com", 5071)
    assert str(uri) == "sips:alice:secret@example.com:5071;transport=TCP;lr?Subject=hello%20there&X-A=1"


@pytest.mark.parametrize(
    ("text", "user"),
    [
        ("sip:+15550100@h", "+15550100"),
        ("sip:%2B15550100@h", "+15550100"),
        ("sip:%75se%72@h", "user"),
        ("sip:sips%3Auser%40example.com@h", "sips:user@example.com"),
        ("sip:user;par=u%40example.net@h", "user;par=u@example.net"),
        ("sip:a%3Bb@h", "a%3Bb"),
        ("sip:#21#@h", "#21#"),
        ("sip:null-%00-null@h", "null-%00-null"),
        ("sip:h", ""),
        ("tel:+1-555;phone-context=x", "+1-555"),
    ],
)
def test_users_are_unescaped_as_far_as_nothing_is_lost(text, user):
    assert Uri.parse(text).user == user


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("SIP:Bob@HOST", "sip:Bob@host"),
        ("sip:%FF%00@h", "sip:%FF%00@h"),
        ("sip:a%3Bb@h", "sip:a%3Bb@h"),
        ("sip:#21#@h", "sip:%2321%23@h"),
        ("sip:%2B1@h", "sip:+1@h"),
        ("sip:é@h", "sip:%C3%A9@h"),
        ("sip:h;x=%3b", "sip:h;x=%3B"),
        ("tel:+1-555;ext=2", "tel:+1-555;ext=2"),
        ("sip:u@[2001:DB8::1]:5060", "sip:u@[2001:db8::1]:5060"),
    ],
)
def test_an_equivalent_uri_is_written(text, written):
    assert str(Uri.parse(text)) == written
    assert Uri.parse(written) == Uri.parse(text)


def test_an_ipv6_host_is_kept_without_its_brackets():
    uri = Uri.parse("sip:[2001:db8::10]:5070")
    assert uri.address == ("2001:db8::10", 5070)
    assert uri.host_port == "[2001:db8::10]:5070"


def test_the_port_of_an_address_is_the_schemes_own_unless_given():
    assert Uri.parse("sip:h").address == ("h", 5060)
    assert Uri.parse("sips:h").address == ("h", 5061)


def test_schemes_we_do_not_know_are_kept_as_they_are():
    uri = Uri.parse("soap.beep://192.0.2.103:3002")
    assert (uri.scheme, uri.opaque, uri.is_sip, str(uri)) == ("soap.beep", "//192.0.2.103:3002", False, "soap.beep://192.0.2.103:3002")


def test_of_a_parameter_given_twice_the_first_counts():
    assert Uri.parse("sip:h;transport=udp;transport=tcp").params == {"transport": "udp"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not a URI"),
        ("sip:", "not a URI"),
        ("sip:@host", "not a URI"),
        ("sip:a@b@c", "not a URI"),
        ("sip:2001:db8::10", "not a URI"),
        ("sip:user@host:", "not a URI"),
        ("sip:user@ho st", "not a URI"),
        ("sip:user@host:123456", "not a URI"),
        ("<sip:user@host>", "not a URI"),
        ("sip:user@host:70000", "not in 1..65535"),
        ("sip:user@host:0", "not in 1..65535"),
        ("sip:user@[2001:db8:::192.0.2.1]", "not an IPv6 address"),
        ("sip:u@h;;lr", "empty URI parameter"),
        ("sip:u@h?=x", "without a name"),
        ("sip:50%@h", "two hexadecimal digits"),
    ],
)
def test_what_is_no_uri_is_refused_with_the_reason(text, why):
    with pytest.raises(SipError, match=why):
        Uri.parse(text)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp", True),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5", True),
        ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;newparam=5", True),
        (
            "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
            "sip:biloxi.com;method=REGISTER;transport=tcp?To=sip:bob%40biloxi.com",
            True,
        ),
        ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP", False),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060", False),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp", False),
        ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off", False),
        ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting", False),
    ],
)
def test_uris_are_compared_as_the_examples_of_rfc_3261_section_19_1_4(one, other, same):
    assert Uri.parse(one).equivalent(Uri.parse(other)) is same
    assert Uri.parse(other).equivalent(Uri.parse(one)) is same
