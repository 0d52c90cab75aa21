import json
from dataclasses import fields

import pytest

from waitline.bridge.instructions.attributes import BadValue
from waitline.bridge.instructions.contexts import ALLOWED, Context, forbidden
from waitline.bridge.instructions.document import Document, parse
from waitline.bridge.instructions.verbs import (
    UNAVAILABLE,
    VERBS,
    Dial,
    Enqueue,
    Gather,
    Pause,
    Play,
    QueueNoun,
    Say,
    Spec,
    from_plain,
    to_plain,
)


def test_every_verb_has_a_row_of_contexts_and_no_verb_is_both_built_and_not() -> None:
    assert set(ALLOWED) == set(VERBS)
    assert not UNAVAILABLE & set(VERBS)
    assert all(spec.make.name == name for name, spec in VERBS.items())


def _specs() -> list[Spec]:
    return [*VERBS.values(), *(child for spec in VERBS.values() for child in spec.children.values())]


@pytest.mark.parametrize("spec", _specs(), ids=lambda spec: spec.make.name)
def test_every_row_of_an_attribute_table_fills_a_field_that_has_a_default(spec: Spec) -> None:
    known = {entry.name for entry in fields(spec.make)}
    rows = [*spec.attributes, *([spec.text] if spec.text else [])]
    assert {row.field for row in rows} <= known
    assert len({row.xml for row in rows}) == len(rows)
    assert spec.make().fault == 0


def test_verbs_survive_json_with_their_nested_verbs() -> None:
    verbs = (
        Gather(input=("dtmf",), num_digits=4, children=(Say(text="péché"), Play(url="http://h/a"), Pause(length_s=2))),
        Dial(queue=QueueNoun(queue="support", url="http://h/w"), hangup_on_star=True),
        Enqueue(queue="support", wait_url="", fault=14201, line=7),
    )
    for verb in verbs:
        assert from_plain(json.loads(json.dumps(to_plain(verb)))) == verb


def test_a_field_of_a_newer_version_is_left_out_when_a_verb_is_read_back() -> None:
    assert from_plain({"verb": "Pause", "length_s": 3, "colour": "blue"}) == Pause(length_s=3)


def test_a_document_survives_json_with_its_audio() -> None:
    document = parse(b"\x00\xffRIFF", "audio/wav", url="http://h/a.wav")
    assert Document.from_plain(json.loads(json.dumps(document.to_plain()))) == document
    document = parse(b"<Response><Leave/><Dance/></Response>", "text/xml", url="http://h/")
    again = Document.from_plain(json.loads(json.dumps(document.to_plain())))
    assert (again.verbs, again.url, again.dropped) == (document.verbs, document.url, ("Dance",))


@pytest.mark.parametrize(
    ("xml", "context", "expected"),
    [
        ("<Say>a</Say><Play>b</Play><Pause/><Gather/><Leave/><Hangup/><Redirect/>", Context.WAIT, None),
        ("<Say>a</Say><Enqueue>q</Enqueue>", Context.WAIT, "Enqueue"),
        ("<Dial><Queue>q</Queue></Dial>", Context.WAIT, "Dial"),
        ("<Reject/>", Context.WAIT, "Reject"),
        ("<Record/><Say>a</Say>", Context.WAIT, "Record"),
        ("<Dance/>", Context.WAIT, "Dance"),
        ("<Say>a</Say><Play>b</Play><Pause/><Redirect/>", Context.WHISPER, None),
        ("<Say>a</Say><Gather/>", Context.WHISPER, "Gather"),
        ("<Hangup/>", Context.WHISPER, "Hangup"),
        ("<Leave/>", Context.WHISPER, "Leave"),
        ("<Dance/><Record/><Enqueue>q</Enqueue><Leave/>", Context.MAIN, None),
        ("", Context.WAIT, None),
    ],
)
def test_which_verbs_may_stand_where(xml: str, context: Context, expected: str | None) -> None:
    document = parse(f"<Response>{xml}</Response>".encode(), "text/xml", url="http://h/")
    assert forbidden(document, context) == expected


def test_a_kind_tells_what_is_wrong_with_a_value() -> None:
    row = next(row for row in VERBS["Pause"].attributes if row.xml == "length")
    with pytest.raises(BadValue, match="'soon' is not a whole number"):
        row.kind("soon", "")
