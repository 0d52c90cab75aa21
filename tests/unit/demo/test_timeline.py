"""What a person reads."""

import io

import pytest
from rich.console import Console

from waitline.clock import VirtualClock
from waitline.demo.evidence import PhoneSeen
from waitline.demo.judge import Verdict
from waitline.demo.main import heard_in_words
from waitline.demo.sound import Heard
from waitline.demo.timeline import Timeline, described

TWIML = "<?xml version='1.0'?><Response><Say>Hi</Say><Enqueue>QU1</Enqueue></Response>"


@pytest.fixture
def page():
    return io.StringIO()


@pytest.fixture
def timeline(page):
    times = iter([100.0, 101.5, 103.0])
    return Timeline(Console(file=page, width=40), VirtualClock(lambda: next(times)))


def request(**fields):
    given = {"method": "POST", "path": "/wait", "params": {"QueuePosition": "1", "CallSid": "CA1"}, "status": 200, "reply": TWIML}
    return {"event": "request", **given, **fields}


def test_a_line_says_when_who_and_what(timeline, page):
    timeline.note("caller 1", "dials [b]+15550190[/b]")
    assert page.getvalue() == "  1.50 s  caller 1     dials [b]+15550190[/b]\n"


def test_an_event_is_told_at_the_time_it_happened(timeline, page):
    timeline.event("caller 1", {"event": "bye", "at": 100.25})
    assert page.getvalue().startswith("  0.25 s  caller 1")


def test_lines_are_not_cut_to_a_width(timeline, page):
    timeline.plain("x" * 200)
    assert page.getvalue() == "x" * 200 + "\n"


def test_a_verdict_begins_with_its_name_and_the_word(timeline, page):
    timeline.verdict(Verdict("P1", True, "two accounts"))
    timeline.verdict(Verdict("P2", False, "answered 503"))
    assert page.getvalue() == "P1 ok two accounts\nP2 FAILED answered 503\n"


@pytest.mark.parametrize(
    ("event", "text"),
    [
        ({"event": "status", "code": 180}, "is told 180"),
        ({"event": "answered"}, "is answered (200 OK)"),
        ({"event": "hears", "what": "440 Hz"}, "hears 440 Hz (the first wait application)"),
        ({"event": "hears", "what": "silence"}, "hears silence"),
        ({"event": "wire", "error": "refused"}, "has trouble: refused"),
        ({"event": "ready"}, ""),
        (request(), "is asked POST /wait QueuePosition=1 → <Say> <Enqueue>"),
        (request(reply="WAV, 440 Hz, 3 s", params={}), "is asked POST /wait → WAV, 440 Hz, 3 s"),
        (request(reply="", status=404, params={}), "is asked POST /wait → 404"),
        (request(reply="<Response></Response>", params={}), "is asked POST /wait → nothing"),
    ],
)
def test_an_event_in_words(event, text):
    assert described(event) == text


def test_what_a_phone_heard_in_words():
    phone = PhoneSeen(
        heard=[Heard("silence", 0.9), Heard("440 Hz", 1.0)], figures={"last_at": 3.0, "packets": 100.0, "longest_gap_ms": 21.0}
    )
    assert heard_in_words(phone) == "440 Hz 2.0 s   (100 packets, 0 missing, longest gap 21 ms)"
    assert heard_in_words(PhoneSeen()).startswith("nothing")
