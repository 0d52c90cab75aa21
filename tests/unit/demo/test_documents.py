"""What the example tenant answers: documents that the platform runs without a warning."""

import pytest

from waitline.bridge.instructions import document
from waitline.bridge.webhook.signature import sign
from waitline.demo import documents
from waitline.demo.documents import NUMBERS, PAGES, VISITORS_NUMBERS, Queues
from waitline.demo.tenant import melody, signature

QUEUES = Queues(support="QU" + "1" * 32, stranger="QU" + "2" * 32, visitors="QU" + "3" * 32)
URL = "http://127.0.0.1:9000/page"


def verbs(page, **params):
    parsed = document.parse(PAGES[page](params, QUEUES).encode(), "text/xml", url=URL)
    assert not parsed.warnings
    return parsed.verbs


@pytest.mark.parametrize("page", PAGES)
def test_every_page_is_a_document_without_a_warning(page):
    verbs(page)


def test_every_number_has_a_page():
    assert {*NUMBERS.values(), *VISITORS_NUMBERS.values()} <= set(PAGES)


def test_the_first_caller_is_enqueued_by_sid_and_the_second_by_name():
    one, two = verbs("/voice", From="sip:caller-1@127.0.0.1")[-1], verbs("/voice", From="caller-2")[-1]
    assert (one.queue, two.queue) == (QUEUES.support, "support")
    assert one.wait_url != two.wait_url


def test_a_visitor_hears_the_position_after_1():
    (say,) = verbs("/visitors/key", Digits="1", QueuePosition="2", CurrentQueueSize="5", QueueTime="30")
    assert say.text == "You are number 2 of 5. You have waited 30 seconds."


def test_a_visitor_leaves_after_9():
    assert [verb.name for verb in verbs("/visitors/key", Digits="9")] == ["Leave"]


def test_any_other_key_does_nothing():
    assert not verbs("/visitors/key", Digits="5")


@pytest.mark.parametrize(("result", "words"), [("leave", "You have left"), ("bridged", "Thank you"), ("error", "We are sorry")])
def test_a_visitor_is_told_how_it_ended(result, words):
    assert words in verbs("/visitors/done", QueueResult=result)[0].text


@pytest.mark.parametrize(("result", "words"), [("bridged", "has left"), ("queue-empty", "Nobody is waiting")])
def test_the_visitors_agent_is_told_how_it_ended(result, words):
    assert words in verbs("/visitors/agentdone", DequeueResult=result)[0].text


def test_text_and_names_are_escaped():
    assert documents.say("1 < 2") == "<Say>1 &lt; 2</Say>"
    assert "a&amp;b" in documents.enqueue("a&b", wait="/w", action="/a")


def test_the_tenants_own_signature_is_the_contracts():
    form = {"CallSid": "CA1234567890ABCDE", "Caller": "+14158675310", "Digits": "1234", "From": "+14158675310", "To": "+18005551212"}
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    assert signature("12345", url, form) == "GvWf1cFY/Q7PnoempGyD5oXAezc="
    assert signature("12345", url, form) == sign(url, form.items(), auth_token="12345")


def test_the_melody_is_long_soft_and_not_silent():
    tune = melody()
    assert len(tune) == 8 * 16_000
    assert 4000 < abs(tune).max() < 12_000
