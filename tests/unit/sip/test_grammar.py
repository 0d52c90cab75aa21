import pytest

from waitline.bridge.sip.grammar import is_token, parse_params, quote, render_params, split_list, unescape, unquote
from waitline.errors import SipError


def test_parameters_are_read_with_names_in_lower_case_and_flags_as_none():
    assert parse_params(";Tag=aB;LR;q = 0.5") == {"tag": "aB", "lr": None, "q": "0.5"}


def test_quotes_of_a_parameter_value_are_removed_and_escapes_resolved():
    assert parse_params(r';x="a;b,\"c\"";y=1') == {"x": 'a;b,"c"', "y": "1"}


def test_one_trailing_semicolon_is_tolerated():
    assert parse_params(";tag=1;") == {"tag": "1"}


def test_an_empty_value_is_not_a_flag():
    assert parse_params(";tag=") == {"tag": ""}


@pytest.mark.parametrize("text", [";;", ";a=1;;b=2", ";,;,,", "a=1", ';x="open', ";=1", ";a=b c", ";a=<b>"])
def test_parameters_that_cannot_be_read_are_refused(text):
    with pytest.raises(SipError, match="parameters cannot be read"):
        parse_params(text)


@pytest.mark.parametrize("text", [";tag=1;tag=2", ";branch=a;BRANCH=b", ';a="1";a=2'])
def test_a_parameter_given_twice_is_refused(text):
    with pytest.raises(SipError, match="given twice"):
        parse_params(text)


def test_rendered_parameters_quote_only_what_needs_it():
    params = {"lr": None, "tag": "a-b", "x": 'he said "hi"'}
    assert render_params(params) == r';lr;tag=a-b;x="he said \"hi\""'
    assert parse_params(render_params(params)) == params


def test_commas_in_quotes_and_angle_brackets_do_not_split_a_list():
    assert split_list('"Bell, A" <sip:a,b@x> , <sip:c@y>;q="1,2",sip:d@z') == ['"Bell, A" <sip:a,b@x>', '<sip:c@y>;q="1,2"', "sip:d@z"]


def test_empty_list_elements_drop_out():
    assert split_list("a, ,b,,") == ["a", "b"]
    assert split_list("") == []
    assert split_list('"a",,<b>') == ['"a"', "<b>"]


@pytest.mark.parametrize("text", ['a, "open', 'a, b"', "a, <sip:b", "<a,b"])
def test_a_list_with_an_open_quote_or_bracket_is_refused(text):
    with pytest.raises(SipError, match="not closed"):
        split_list(text)


@pytest.mark.parametrize("text", ["INVITE", "!interesting-Method0123456789_*+`.%indeed'~"])
def test_tokens_hold_all_the_characters_of_the_grammar(text):
    assert is_token(text)


@pytest.mark.parametrize("text", ["", "a b", "a:b", "ä", 'a"'])
def test_other_texts_are_no_tokens(text):
    assert not is_token(text)


def test_quoting_is_undone_by_unquoting():
    assert unquote(quote('a"b\\c')) == 'a"b\\c'
    assert unquote("bare") == "bare"


def test_only_what_is_readable_is_unescaped():
    assert unescape("%41%2b%20") == "A+ "
    assert unescape("%00%fF%25x") == "%00%FF%25x"
    assert unescape("é") == "%C3%A9"


def test_a_lone_per_cent_sign_is_refused():
    with pytest.raises(SipError, match="two hexadecimal digits"):
        unescape("50%")
