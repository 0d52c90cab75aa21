"""The wire form of commands and reports."""

import json

from waitline.media import messages
from waitline.media.messages import Bridge, ClipEnded, Play, TakeOver, decode, encode


def test_a_batch_survives_its_wire_form():
    batch: list[messages.Message] = [
        Play(1, 2, 3, ((0, 1, 50), (7, 9, 0)), 1),
        Bridge(1, 2, 3, "claim"),
        ClipEnded(2, 3),
        TakeOver(1, 2, {"ssrc": 5}),
    ]
    assert decode(encode(batch)) == batch


def test_a_message_of_a_newer_version_is_left_out():
    assert decode(json.dumps([["Whistle", 1, 2], ["ClipEnded", 2, 3]]).encode()) == [ClipEnded(2, 3)]


def test_every_message_can_be_decoded():
    for kind in messages.Message.__args__:
        assert decode(json.dumps([[kind.__name__, *range(len(kind._fields))]]).encode()) == [kind(*range(len(kind._fields)))]
