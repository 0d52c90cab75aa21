import pytest

from waitline.bridge.sip.address import Address
from waitline.bridge.sip.uri import Uri
from waitline.errors import SipError


@pytest.mark.parametrize(
    ("text", "display", "uri", "params"),
    [
        ("<sip:a@h>;tag=1", "", "sip:a@h", {"tag": "1"}),
        ('"A. B" <sip:a@h;lr>;tag=1', "A. B", "sip:a@h;lr", {"tag": "1"}),
        ("sip:a@h;tag=1", "", "sip:a@h", {"tag": "1"}),
        ("sip:a@h ;  tag = 1", "", "sip:a@h", {"tag": "1"}),
        ("caller<sip:a@h>", "caller", "sip:a@h", {}),
        ("token1~` token2'+_ token3*%!.- <sip:a@h>", "token1~` token2'+_ token3*%!.-", "sip:a@h", {}),
        ("Jürgen (work) <sip:a@h>", "Jürgen (work)", "sip:a@h", {}),
        (r'"J Rosenberg \\\"" <sip:a@h> ; tag = 98asjd8', 'J Rosenberg \\"', "sip:a@h", {"tag": "98asjd8"}),
        ('"q" <sip:a@h>;x="a>b;c";q=0.3', "q", "sip:a@h", {"x": "a>b;c", "q": "0.3"}),
        ("<name:John_Smith>", "", "name:John_Smith", {}),
        ("isbn:2983792873", "", "isbn:2983792873", {}),
        ('"" <sip:a@h>', "", "sip:a@h", {}),
    ],
)
def test_addresses_are_read_in_both_forms(text, display, uri, params):
    address = Address.parse(text)
    assert (address.display, str(address.uri), address.params, address.tag) == (display, uri, params, params.get("tag"))
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not an address"),
        ('"Mr. J. User <sip:j.user@example.com>', "not an address"),
        ("Bell, Alexander <sip:a@h>", "not an address"),
        ('"Watson" < sip:t@h >', "not an address"),
        ("<sip:a@h", "not an address"),
        ("<>", "not a URI"),
        ("sip:user@h?Route=%3Csip:x%3E", "parameters cannot be read"),
        ('"Joe" <sip:joe@example.org>;;;;', "parameters cannot be read"),
        ("<sip:a@h>tag=1", "parameters cannot be read"),
        ("<sip:a@h>;tag=1;tag=2", "given twice"),
        ("<sip:a@h:99999>", "not in 1..65535"),
        ("<sip:a@h;;lr>", "empty URI parameter"),
        ("<sip:a@[::1::2]>", "not an IPv6 address"),
        ("alan@jasomi.com", "not a URI"),
    ],
)
def test_what_is_no_address_is_refused_at_once_and_not_when_the_uri_is_read(text, why):
    with pytest.raises(SipError, match=why):
        Address.parse(text)


def test_an_address_with_another_tag_keeps_the_rest():
    address = Address.parse('"A" <sip:a@h>;x=1;tag=old')
    assert str(address.tagged("new")) == '"A" <sip:a@h>;x=1;tag=new'
    assert address.tagged(None).tag is None
    assert address.tag == "old"


def test_an_address_is_built_from_a_uri():
    address = Address(uri=Uri.parse("sip:q@192.0.2.1"), display='say "x"')
    assert str(address) == r'"say \"x\"" <sip:q@192.0.2.1>'
    assert address == Address.parse(str(address))
    assert address != "something else"
    assert "sip:q@192.0.2.1" in repr(address)
