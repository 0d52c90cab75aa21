import contextlib
import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twilio.twiml import voice_response as sdk

from waitline.bridge.instructions.document import Document, parse
from waitline.bridge.instructions.verbs import (
    Dial,
    Enqueue,
    Gather,
    Hangup,
    Leave,
    Pause,
    Play,
    QueueNoun,
    Redirect,
    Reject,
    Say,
    Verb,
    to_plain,
)
from waitline.errors import DocumentError

URL = "http://tenant.test/ivr/voice?x=1"


def read(xml: str, *, url: str = URL) -> Document:
    return parse(f"<Response>{xml}</Response>".encode(), "text/xml", url=url)


def verb(xml: str, *, url: str = URL) -> Any:
    (only,) = read(xml, url=url).verbs
    return only


def codes(xml: str, *, url: str = URL) -> list[int]:
    return [finding.code for finding in read(xml, url=url).warnings]


def error(body: bytes, content_type: str = "text/xml") -> DocumentError:
    with pytest.raises(DocumentError) as caught:
        parse(body, content_type, url=URL)
    return caught.value


# --- what the official library writes


def _official() -> list[tuple[str, sdk.TwiML, Verb]]:
    make = sdk.VoiceResponse
    gather = sdk.Gather(
        input="dtmf", action="/digits", method="GET", timeout=3, finish_on_key="", num_digits=2, action_on_empty_result=True, hints="a, b",
        language="en-US", barge_in=True, speech_timeout="auto", profanity_filter=False, enhanced=False, speech_model="default", debug=False,
        max_speech_time=60, partial_result_callback="/p", partial_result_callback_method="POST",
    )  # fmt: skip
    gather.say("one", voice="alice", language="en-GB", loop=0)
    gather.play("/two.mp3")
    gather.pause(length=1)
    dial = sdk.Dial(
        action="/done", method="POST", timeout=10, hangup_on_star=True, time_limit=60, answer_on_bridge=True, ring_tone="uk",
        caller_id="+15550100", record="do-not-record", trim="do-not-trim", sequential=False,
    )  # fmt: skip
    dial.queue("support", url="whisper", method="GET")
    spoken = sdk.Say("You are ", voice="Polly.Amy", language="en-GB", loop=2)
    spoken.break_(strength="weak", time="100ms")
    spoken.emphasis("number", level="strong")
    spoken.say_as("3", interpret_as="cardinal")
    return [
        ("say", spoken, Say(text="You are number3", voice="Polly.Amy", language="en-GB", loop=2)),
        ("play", make().play("../a.wav", loop=0), Play(url="http://tenant.test/a.wav", loop=0)),
        ("digits", make().play("", digits="1w2W#"), Play(digits="1w2W#")),
        ("pause", make().pause(length=5), Pause(length_s=5)),
        (
            "gather",
            gather,
            Gather(
                action="http://tenant.test/digits", method="GET", timeout_s=3, finish_on_key="", num_digits=2, action_on_empty_result=True,
                children=(Say(text="one", voice="alice", language="en-GB", loop=0), Play(url="http://tenant.test/two.mp3"), Pause()),
            ),
        ),
        ("redirect", make().redirect("next?y=2#rc=3", method="GET"), Redirect(url="http://tenant.test/ivr/next?y=2#rc=3", method="GET")),
        ("hangup", make().hangup(), Hangup()),
        ("reject", make().reject(reason="busy"), Reject(reason="busy")),
        (
            "enqueue",
            make().enqueue("support", action="/a", max_queue_size=7, method="GET", wait_url="/w", wait_url_method="GET", priority=3),
            Enqueue(
                queue="support", action="http://tenant.test/a", max_queue_size=7, method="GET", wait_url="http://tenant.test/w",
                wait_url_method="GET", priority=3,
            ),
        ),
        ("leave", make().leave(), Leave()),
        (
            "dial",
            dial,
            Dial(
                queue=QueueNoun(queue="support", url="http://tenant.test/ivr/whisper", method="GET"), action="http://tenant.test/done",
                timeout_s=10, hangup_on_star=True, time_limit_s=60, answer_on_bridge=True, ring_tone="uk",
            ),
        ),
    ]  # fmt: skip


def _without_lines(verb: Any) -> Any:
    plain = to_plain(verb)

    def strip(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: strip(inner) for key, inner in value.items() if key != "line"}
        return [strip(item) for item in value] if isinstance(value, list) else value

    return strip(plain)


@pytest.mark.parametrize(("name", "element", "expected"), _official(), ids=[name for name, _, _ in _official()])
def test_what_the_official_library_writes_is_read_without_a_warning(name: str, element: sdk.TwiML, expected: Verb) -> None:
    response = sdk.VoiceResponse()
    response.append(element)
    parsed = parse(str(response).encode(), "application/xml; charset=utf-8", url=URL)
    assert parsed.warnings == ()
    assert [_without_lines(verb) for verb in parsed.verbs] == [_without_lines(expected)]


# --- content types


@pytest.mark.parametrize("content_type", ["text/xml", "application/xml", "text/html; charset=UTF-8", 'TEXT/XML ;charset="utf-8"'])
def test_xml_comes_under_three_names(content_type: str) -> None:
    assert parse(b"<Response><Leave/></Response>", content_type, url=URL).verbs == (Leave(line=1),)


def test_plain_text_that_is_a_document_is_run() -> None:
    assert parse(b"<Response><Leave/></Response>", "text/plain", url=URL).verbs == (Leave(line=1),)


def test_plain_text_that_is_no_document_is_spoken() -> None:
    assert parse("Grüß\n Gott".encode("latin-1"), "text/plain; charset=iso-8859-1", url=URL).verbs == (Say(text="Grüß Gott", line=1),)
    assert parse(b" \n", "text/plain", url=URL).verbs == ()


@pytest.mark.parametrize("charset", ["rot13", "zip", "no-such", "idna", "punycode", "undefined", "\x00", "hex"])
def test_a_charset_that_is_none_is_taken_for_utf_8(charset: str) -> None:
    assert parse("é".encode(), f"text/plain; charset={charset}", url=URL).verbs == (Say(text="é", line=1),)


def test_audio_is_a_document_of_one_play_of_that_very_body() -> None:
    parsed = parse(b"\x00" * 100_000, "audio/x-wav; rate=8000", url=URL)
    assert parsed.verbs == (Play(url=URL, audio_key=parsed.verbs[0].audio_key),)  # type: ignore[attr-defined]
    assert parsed.verbs != parse(b"\x00" * 100_001, "audio/x-wav", url=URL).verbs, "another sound has another name"
    assert (parsed.audio_body, parsed.audio_type) == (b"\x00" * 100_000, "audio/x-wav")


@pytest.mark.parametrize("content_type", ["", "application/json", "image/png", "text", ";;", "audio"])
def test_any_other_type_is_refused(content_type: str) -> None:
    assert error(b"<Response/>", content_type).code == 12300


# --- the whole document


def test_an_empty_response_is_a_document_of_no_verbs() -> None:
    assert read("").verbs == ()


def test_an_empty_body_is_an_error() -> None:
    assert error(b"").code == 11770


def test_64_kilobytes_are_read_and_one_byte_more_is_not() -> None:
    body = b"<Response><!--" + b"x" * (65536 - len(b"<Response><!----></Response>")) + b"--></Response>"
    assert parse(body, "text/xml", url=URL).verbs == ()
    assert error(body + b" ").code == 11750


def test_what_is_not_well_formed_is_an_error_with_its_line() -> None:
    caught = error(b"<Response>\n<Say>a</Play>\n</Response>")
    assert (caught.code, caught.line) == (12100, 2)


@pytest.mark.parametrize("body", [b"<response/>", b"<html/>", b'<Response xmlns="urn:x"/>'])
def test_another_root_is_an_error(body: bytes) -> None:
    assert error(body).code == 12102


def test_white_space_before_the_declaration_is_an_error_but_not_before_the_root() -> None:
    assert error(b'\n<?xml version="1.0"?><Response/>').code == 12100
    assert parse(b"\n <Response/>", "text/xml", url=URL).verbs == ()


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ('<?xml version="1.0" encoding="ISO-8859-1"?><Response><Say>é</Say></Response>'.encode("latin-1"), "text/xml"),
        ('<?xml version="1.0" encoding="UTF-8"?><Response><Say>é</Say></Response>'.encode(), "text/html; charset=ISO-8859-1"),
        ("<Response><Say>é</Say></Response>".encode("latin-1"), "text/xml; charset=ISO-8859-1"),
        ('<?xml version="1.0"?><Response><Say>é</Say></Response>'.encode("latin-1"), "text/xml; charset=ISO-8859-1"),
        ("<Response><Say>é</Say></Response>".encode(), "text/xml"),
        ("\ufeff<Response><Say>é</Say></Response>".encode(), "text/xml; charset=ISO-8859-1"),
        ('<?xml version="1.0" encoding="UTF-16"?><Response><Say>é</Say></Response>'.encode("utf-16"), "text/xml"),
    ],
)
def test_encodings_by_mark_by_declaration_and_by_header_in_this_order(body: bytes, content_type: str) -> None:
    assert parse(body, content_type, url=URL).verbs == (Say(text="é", line=1),)


# --- attacks


@pytest.mark.parametrize(
    "body",
    [
        b'<!DOCTYPE Response SYSTEM "file:///etc/passwd"><Response/>',
        b'<?xml version="1.0"?>\n<!-- a --><?pi b?>\n<!DOCTYPE Response [<!ENTITY x SYSTEM "file:///etc/passwd">]><Response><Say>&x;</Say></Response>',
        b'\xef\xbb\xbf<!DOCTYPE Response><Response/>',
        '<!DOCTYPE Response [<!ENTITY x "y">]><Response a="&x;"/>'.encode("utf-16"),
        b'<?xml version="1.0" encoding="UTF-7"?>+ADw-!DOCTYPE Response+AD4-+ADw-Response/+AD4-',
    ],
)  # fmt: skip
def test_a_document_type_declaration_is_refused(body: bytes) -> None:
    assert error(body).code == 12100


@pytest.mark.parametrize("kind", ["text/xml", "text/plain"])
def test_half_a_character_in_utf_7_is_a_tenants_mistake_and_ends_no_call(kind: str) -> None:
    for body in (b"<Response>+AD3-</Response>+2zQ-", b"hello +2zQ- there", b"+2zQ-"):
        with contextlib.suppress(DocumentError):
            json.dumps(parse(body, f"{kind}; charset=utf-7", url="").to_plain()).encode()


def test_a_billion_laughs_cost_nothing() -> None:
    lines = "".join(f'<!ENTITY l{at} "{f"&l{at - 1};" * 10}">' for at in range(1, 10))
    body = f'<!DOCTYPE Response [<!ENTITY l0 "ha">{lines}]><Response><Say a="&l9;">&l9;</Say></Response>'
    began = time.process_time()
    assert error(body.encode()).code == 12100
    assert error(body.encode("utf-16")).code == 12100
    assert time.process_time() - began < 0.5


def test_many_comments_before_the_root_are_read_in_linear_time() -> None:
    began = time.process_time()
    error(b"<!--a-->" * 8000 + b"<!DOCTYP")
    assert time.process_time() - began < 0.5


def test_depth_attributes_and_verbs_are_bounded() -> None:
    assert error(b"<Response>" + b"<a>" * 16 + b"</a>" * 16 + b"</Response>").code == 12100
    assert error(b"<Response>" + b"<a>" * 5000 + b"</a>" * 5000 + b"</Response>").code == 12100
    many = " ".join(f'a{at}="1"' for at in range(65))
    assert error(f"<Response><Say {many}>x</Say></Response>".encode()).code == 12100
    assert error(b"<Response>" + b"<Leave/>" * 1001 + b"</Response>").code == 12100
    assert len(read("<Leave/>" * 1000).verbs) == 1000


def test_text_that_only_mentions_a_doctype_is_text() -> None:
    assert verb("<Say><![CDATA[<!DOCTYPE x>]]></Say>").text == "<!DOCTYPE x>"


# --- what is passed over, and told


def test_an_unknown_verb_is_told_and_passed_over() -> None:
    parsed = read("\n<Dance/>\n<Leave/>")
    assert parsed.verbs == (Leave(line=3),)
    assert [(finding.code, finding.line, finding.fault) for finding in parsed.warnings] == [(12200, 2, False)]
    assert parsed.dropped == ("Dance",)


@pytest.mark.parametrize("name", ["Record", "Refer", "Connect", "Start", "Stop", "Pay", "Echo"])
def test_a_verb_that_is_not_built_is_said_to_be_unavailable(name: str) -> None:
    parsed = read(f"<{name}/>")
    assert "not available" in parsed.warnings[0].message
    assert parsed.verbs == ()


def test_names_are_case_sensitive() -> None:
    assert codes("<say>x</say>") == [12200]
    assert codes('<Pause Length="2"/>') == [12200]


def test_an_unknown_attribute_is_told_and_one_of_xml_itself_is_not() -> None:
    assert codes('<Leave colour="blue"/>') == [12200]
    assert parse(b'<Response a="1">x<Leave/></Response>', "text/xml", url=URL).warnings[1].message.startswith("text in <Response>")
    body = b'<Response xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:noNamespaceSchemaLocation="x.xsd"><Leave/></Response>'
    assert parse(body, "text/xml", url=URL).warnings == ()


@pytest.mark.parametrize(
    ("xml", "code", "field", "value"),
    [
        ('<Say loop="x">a</Say>', 13510, "loop", 1),
        ('<Say loop="-1">a</Say>', 13510, "loop", 1),
        ('<Say language="?">a</Say>', 13511, "language", "en-US"),
        ("<Say/>", 13520, "text", ""),
        ('<Play loop="2.5">a</Play>', 13410, "loop", 1),
        ('<Play digits="1x2">a</Play>', 13430, "digits", ""),
        ('<Pause length="soon"/>', 13910, "length_s", 1),
        ('<Gather input="telepathy"/>', 13335, "input", ("dtmf",)),
        ('<Gather method="PUT"/>', 13312, "method", "POST"),
        ('<Gather timeout="auto"/>', 13313, "timeout_s", 5),
        ('<Gather finishOnKey="x"/>', 13310, "finish_on_key", "#"),
        ('<Gather numDigits="0"/>', 13314, "num_digits", 1),
        ('<Gather actionOnEmptyResult="maybe"/>', 13338, "action_on_empty_result", False),
        ('<Redirect method="PUT">a</Redirect>', 13710, "method", "POST"),
        ('<Reject reason="tired"/>', 13810, "reason", "rejected"),
        ('<Enqueue maxQueueSize="9999">q</Enqueue>', 12200, "max_queue_size", 5000),
        ('<Enqueue priority="1000">q</Enqueue>', 12200, "priority", 999),
        ('<Dial method="PUT"><Queue>q</Queue></Dial>', 13210, "method", "POST"),
        ('<Dial timeout="2"><Queue>q</Queue></Dial>', 13212, "timeout_s", 5),
        ('<Dial timeout="x"><Queue>q</Queue></Dial>', 13212, "timeout_s", 30),
        ('<Dial hangupOnStar="x"><Queue>q</Queue></Dial>', 13213, "hangup_on_star", False),
        ('<Dial timeLimit="0"><Queue>q</Queue></Dial>', 13216, "time_limit_s", 1),
        ('<Dial ringTone="zz"><Queue>q</Queue></Dial>', 12200, "ring_tone", ""),
    ],
)
def test_a_bad_value_is_told_and_its_default_or_bound_is_used(xml: str, code: int, field: str, value: object) -> None:
    assert codes(xml) == [code]
    assert getattr(verb(xml), field) == value
    assert verb(xml).fault == 0


@pytest.mark.parametrize(
    ("xml", "code"),
    [
        ("<Enqueue/>", 14204),
        ("<Enqueue>  </Enqueue>", 14204),
        (f"<Enqueue>{'q' * 65}</Enqueue>", 14205),
        ('<Enqueue method="PUT">q</Enqueue>', 14201),
        ('<Enqueue waitUrl="ftp://h/a">q</Enqueue>', 14202),
        ('<Enqueue action="http://:80/">q</Enqueue>', 14203),
        ('<Enqueue waitUrlMethod="PUT">q</Enqueue>', 14206),
        ("<Play>http://[::1</Play>", 11100),
        ("<Play/>", 11100),
        ("<Redirect>http://a b/</Redirect>", 11100),
        ("<Redirect>javascript:alert(1)</Redirect>", 11100),
        ('<Gather action="http://h:99999/"/>', 11100),
    ],
)
def test_what_makes_a_verb_unusable_is_a_fault(xml: str, code: int) -> None:
    assert verb(xml).fault == code
    assert [(finding.code, finding.fault) for finding in read(xml).warnings] == [(code, True)]


@pytest.mark.parametrize(("name", "code"), [("", 14212), ("q" * 65, 14213)])
def test_a_dialled_queue_without_a_good_name_is_a_fault_of_the_noun(name: str, code: int) -> None:
    dial = verb(f"<Dial><Queue>{name}</Queue></Dial>")
    assert (dial.fault, dial.queue.fault) == (0, code)


@pytest.mark.parametrize(("attribute", "code"), [('method="PUT"', 14210), ('url="ftp://x"', 14211)])
def test_a_bad_whisper_costs_only_the_whisper(attribute: str, code: int) -> None:
    xml = f"<Dial><Queue {attribute}>q</Queue></Dial>"
    assert codes(xml) == [code]
    assert (verb(xml).queue.url, verb(xml).queue.fault) == (None, 0)


def test_no_wait_url_is_music_and_an_empty_one_is_silence() -> None:
    assert verb("<Enqueue>q</Enqueue>").wait_url is None
    assert verb('<Enqueue waitUrl="">q</Enqueue>').wait_url == ""


def test_a_loop_of_more_than_a_thousand_is_a_thousand() -> None:
    assert verb('<Say loop="99999">a</Say>').loop == 1000
    assert codes('<Say loop="99999">a</Say>') == []


def test_a_dial_of_anything_but_a_queue_is_told_and_has_no_queue() -> None:
    parsed = read("<Dial><Number>+15550100</Number></Dial>")
    assert [finding.code for finding in parsed.warnings] == [12200, 12200]
    assert parsed.verbs == (Dial(line=1),)
    assert verb("<Dial>+15550100</Dial>").number == "+15550100"


def test_a_dial_takes_one_queue() -> None:
    xml = "<Dial><Queue>a</Queue><Queue>b</Queue></Dial>"
    assert verb(xml).queue.queue == "a"
    assert codes(xml) == [12200]


def test_asking_to_record_is_told_to_be_unavailable() -> None:
    assert codes('<Dial record="record-from-answer"><Queue>q</Queue></Dial>') == [12200]
    assert codes('<Gather input="dtmf speech"/>') == [12200]


def test_a_verb_that_cannot_be_nested_is_left_out_of_a_gather() -> None:
    xml = "<Gather><Say>a</Say><Dial>1</Dial></Gather>"
    assert codes(xml) == [13320]
    assert [child.name for child in verb(xml).children] == ["Say"]


def test_speech_markup_becomes_its_text() -> None:
    xml = '<Say><p>One.</p><s>Two</s><break time="1s"/>three <w>four</w> <sub alias="five">V</sub> <lang xml:lang="fr">six</lang></Say>'
    assert verb(xml).text == "One. Two three four five six"
    assert codes(xml) == []
    assert codes("<Say>a<blink>b</blink></Say>") == [12200]
    assert verb("<Say>a<blink>b</blink>c</Say>").text == "ac"


# --- URLs


def test_relative_urls_are_resolved_against_the_document() -> None:
    assert verb('<Gather action="?y=2"/>').action == "http://tenant.test/ivr/voice?y=2"
    assert verb("<Redirect>//other.test/z</Redirect>").url == "http://other.test/z"
    assert verb("<Redirect/>").url is None


@pytest.mark.parametrize("xml", ['<Gather action="next"/>', "<Redirect>/next</Redirect>", '<Enqueue action="/a">q</Enqueue>'])
def test_a_relative_action_in_an_inline_document_is_a_fault(xml: str) -> None:
    assert verb(xml, url="").fault == 15004


def test_an_absolute_action_in_an_inline_document_is_fine() -> None:
    assert verb('<Gather action="https://h.test/x"/>', url="").action == "https://h.test/x"


# --- anything at all


_CONTENT = st.sampled_from(["text/xml", "text/plain", "text/html; charset=utf-16", "audio/wav", 'application/xml; charset="', "x"])
_XMLISH = st.lists(
    st.sampled_from([
        "<Response>", "</Response>", "<Say>", "</Say>", "<Gather ", 'action="', '"', ">", "<Enqueue>", "</Enqueue>", "<Dial>", "<Queue/>",
        "</Dial>", "&amp;", "&x;", "<!--", "-->", "<![CDATA[", "]]>", "<?xml", "?>", "<!DOCTYPE", "é", "\x00", "http://[", "<a:b/>",
        " xml:lang='x'",
    ])
).map(lambda parts: "".join(parts).encode())  # fmt: skip


@given(body=st.binary(max_size=400) | _XMLISH, content_type=_CONTENT | st.text(max_size=40), url=st.sampled_from(["", URL]))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_a_document_or_a_document_error(body: bytes, content_type: str, url: str) -> None:
    try:
        parsed = parse(body, content_type, url=url)
    except DocumentError:
        return
    assert Document.from_plain(parsed.to_plain()).verbs == parsed.verbs


_NAMES = st.sampled_from(["Say", "Play", "Gather", "Enqueue", "Dial", "Queue", "Redirect", "Pause", "Reject", "Record", "Zzz"])
_ATTRIBUTES = st.dictionaries(
    st.sampled_from(["loop", "action", "method", "timeout", "url", "waitUrl", "length", "numDigits", "digits", "input", "record", "zzz"]),
    st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="<&\"\ufffe\uffff"), max_size=20),
    max_size=4,
)  # fmt: skip
_TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="<&>\ufffe\uffff"), max_size=80)


def _element(name: str, attributes: dict[str, str], text: str, children: list[str]) -> str:
    written = "".join(f' {key}="{value}"' for key, value in attributes.items())
    return f"<{name}{written}>{text}{''.join(children)}</{name}>"


_ELEMENTS = st.recursive(
    st.builds(_element, _NAMES, _ATTRIBUTES, _TEXTS, st.just([])),
    lambda inner: st.builds(_element, _NAMES, _ATTRIBUTES, _TEXTS, st.lists(inner, max_size=3)),
    max_leaves=6,
)


@given(elements=st.lists(_ELEMENTS, max_size=4), url=st.sampled_from(["", URL]))
@settings(max_examples=200, deadline=None)
def test_whatever_is_written_into_verbs_they_are_made_and_survive_json(elements: list[str], url: str) -> None:
    parsed = read("".join(elements), url=url)
    assert Document.from_plain(parsed.to_plain()).verbs == parsed.verbs
    assert len(parsed.verbs) + len(parsed.dropped) == len(elements)
