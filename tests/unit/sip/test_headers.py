import pytest

from waitline.bridge.sip.headers import MAX_LIST, Headers
from waitline.errors import SipError


def headers(*lines):
    made = Headers.from_lines(list(lines))
    assert made is not None
    return made


def test_names_are_found_in_any_case_and_in_the_compact_form():
    made = headers("v: SIP/2.0/UDP h", "FROM: <sip:a@h>", "i:x", "Content-Length: 0", "X-Thing: 1")
    assert made.get("via") == made.get("VIA") == made.get("v") == "SIP/2.0/UDP h"
    assert made.get("f") == "<sip:a@h>"
    assert made.get("Call-ID") == "x"
    assert made.get("l") == "0"
    assert made.get("x-thing") == "1"
    assert "X-THING" in made
    assert made.get("Contact") is None
    assert "m" not in made


def test_list_headers_are_split_and_others_are_not():
    made = headers("Via: a, b", "v: c", "Subject: one, two", "Date: Sat, 15 Oct 2005 04:44:56 GMT")
    assert made.get_all("Via") == ["a", "b", "c"]
    assert made.fields("Via") == ["a, b", "c"]
    assert made.get_all("Subject") == ["one, two"]
    assert made.get_all("Date") == ["Sat, 15 Oct 2005 04:44:56 GMT"]
    assert made.get_all("Route") == []
    assert made.count("Via") == 2
    assert set(made.repeated) == {"via"}


def test_an_empty_list_header_has_no_values():
    assert headers("Supported:").get_all("k") == []


def test_a_list_header_is_bounded():
    with pytest.raises(SipError, match=f"more than {MAX_LIST}"):
        headers("Via: " + ",".join(["a"] * (MAX_LIST + 1))).get_all("Via")


@pytest.mark.parametrize("line", ["no colon", "Via", " folded: x", "Na me: x", ": x", "Via : x", "ü: x"])
def test_lines_that_are_no_plain_field_are_left_to_the_slow_path(line):
    assert Headers.from_lines([line]) is None


def test_fields_are_written_as_they_came():
    assert str(headers("v:x  ", "f:\t<sip:a@h>")) == "v: x\r\nf: <sip:a@h>\r\n"


def test_set_replaces_where_the_first_one_stood():
    made = headers("A: 1", "Via: x", "B: 2", "v: y")
    made.set("Via", "p", "q")
    assert list(made) == [("A", "1"), ("Via", "p"), ("Via", "q"), ("B", "2")]
    made.set("New", "n")
    assert list(made)[-1] == ("New", "n")
    made.set("b")
    assert "B" not in made


def test_add_and_remove_keep_the_index_right():
    made = Headers([("A", "1")])
    made.add("a", "2")
    assert made.fields("A") == ["1", "2"]
    made.remove("A")
    assert made.get("A") is None
    assert len(made) == 0


def test_a_change_drops_what_was_derived():
    made = headers("A: 1")
    made.derived["a"] = 1
    made.add("B", "2")
    assert made.derived == {}


def test_a_copy_is_independent():
    made = headers("A: 1")
    copy = made.copy()
    copy.add("B", "2")
    assert "B" not in made
    assert copy != made


def test_equality_ignores_the_spelling_of_names_and_not_the_order():
    assert headers("v: x", "t: y") == headers("Via: x", "TO: y")
    assert headers("v: x", "t: y") != headers("t: y", "v: x")
    assert headers() != "headers"
    assert repr(headers("v: x")) == "Headers([('v', 'x')])"


@pytest.mark.parametrize(
    ("name", "value"), [("X-A", "1\r\nX-B: 2"), ("X-A", "1\nX-B: 2"), ("X-A", "1\r"), ("X A", "1"), ("X-A:", "1"), ("", "1")]
)
def test_nobody_injects_headers_through_us(name, value):
    for change in (Headers.add, Headers.set):
        with pytest.raises(ValueError, match="header"):
            change(Headers(), name, value)
