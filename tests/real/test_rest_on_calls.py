"""The unmodified official SDK against a running platform with live calls: queues, members, calls, and the codes of what is refused."""

from __future__ import annotations

import itertools

import pytest
import requests
from harness import audio
from harness.sip_phone import SipPhone
from twilio.base.exceptions import TwilioRestException

pytestmark = pytest.mark.real

USERS = itertools.count(1)


def refusal(operation, *positional, **arguments):
    with pytest.raises(TwilioRestException) as refused:
        operation(*positional, **arguments)
    return refused.value.status, refused.value.code


class Desk:
    """A queue, a tenant whose callers wait in it, and the callers: (the phone's call, CallSid) in the order they came."""

    def __init__(self, platform, phone):
        self.platform, self.phone, self.tenant = platform, phone, platform.tenant()
        self.queue = platform.client.queues.create(phone.user).sid
        self.tenant.answers("/voice", f"<Response><Enqueue action='/done' waitUrl='/wait'>{self.queue}</Enqueue></Response>")
        self.tenant.answers("/wait", "<Response><Pause length='60'/></Response>")
        self.tenant.answers("/done", "<Response><Hangup/></Response>")
        self.tenant.serves("/tone.wav", audio.wav(audio.tone(900, 30.0)), "audio/wav")
        self.moved = self.tenant.answers("/moved", "<Response><Play>/tone.wav</Play></Response>")
        self.number = platform.fresh_number(self.tenant.base_url + "/voice")
        self.callers = [self.caller(count + 1) for count in range(3)]

    def caller(self, count):
        call = self.phone.invite(self.number)
        call.answered()
        return call, self.tenant.wait_for("/wait", count=count).params["CallSid"]

    @property
    def sids(self):
        return [sid for _, sid in self.callers]

    def members(self):
        return self.platform.client.queues(self.queue).members

    def order(self):
        return [member.call_sid for member in self.members().list()]

    def results(self):
        return {request.params["CallSid"]: request.params["QueueResult"] for request in self.tenant.requests("/done")}


@pytest.fixture
def desk(shared_platform):
    with SipPhone(server=shared_platform.sip, user=f"+1555{next(USERS):07}") as phone:
        yield Desk(shared_platform, phone)


@pytest.fixture
def client(shared_platform):
    return shared_platform.client


# Queues


def test_a_queue_is_created_fetched_changed_listed_and_deleted(client):
    queue = client.queues.create(friendly_name="crud", max_size=7)
    assert (queue.friendly_name, queue.max_size, queue.current_size, queue.average_wait_time) == ("crud", 7, 0, 0)
    changed = client.queues(queue.sid).update(friendly_name="renamed", max_size=9)
    assert (changed.friendly_name, changed.max_size) == ("renamed", 9)
    assert client.queues(queue.sid).fetch().date_created == queue.date_created
    assert queue.sid in [listed.sid for listed in client.queues.list()]
    assert client.queues(queue.sid).delete() is True
    assert refusal(client.queues(queue.sid).fetch) == (404, 20404)


def test_a_list_of_queues_is_read_page_by_page_without_a_gap_or_a_double(client):
    made = [client.queues.create(f"page {number}").sid for number in range(7)]
    listed = [queue.sid for queue in client.queues.list(page_size=3)]
    assert [sid for sid in listed if sid in made] == made[::-1]
    assert len(set(listed)) == len(listed)
    assert len(client.queues.list(limit=5)) == 5
    for sid in made:
        client.queues(sid).delete()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"friendly_name": ""}, 20002),
        ({"friendly_name": "x" * 65}, 20002),
        ({"friendly_name": "sized", "max_size": 0}, 20422),
        ({"friendly_name": "sized", "max_size": 5001}, 20422),
    ],
)
def test_a_bad_queue_is_refused_with_its_code(client, arguments, code):
    assert refusal(client.queues.create, **arguments) == (400, code)


def test_a_name_that_is_taken_is_refused_but_another_account_may_have_it(shared_platform, client):
    client.queues.create("taken")
    assert refusal(client.queues.create, "taken") == (400, 22003)
    assert shared_platform.other_account().queues.create("taken").friendly_name == "taken"


def test_a_queue_with_a_caller_in_it_cannot_be_deleted(client, desk):
    assert refusal(client.queues(desk.queue).delete) == (400, 22002)
    assert client.queues(desk.queue).fetch().current_size == 3


def test_without_or_with_wrong_credentials_nothing_is_told(shared_platform, client):
    assert refusal(shared_platform.client_for(client.username, "wrong").queues.create, "x") == (401, 20003)
    url = f"{shared_platform.base_url}/2010-04-01/Accounts/{client.username}/Queues.json"
    answer = requests.get(url, timeout=5)
    assert (answer.status_code, answer.json()["code"]) == (401, 20003)


# Members


def test_members_are_listed_in_order_paged_and_fetched_by_sid_and_front(desk):
    listed = desk.members().list(page_size=2)
    assert [(member.call_sid, member.position) for member in listed] == [(sid, n + 1) for n, sid in enumerate(desk.sids)]
    assert desk.members()("Front").fetch().call_sid == desk.sids[0]
    third = desk.members()(desk.sids[2]).fetch()
    assert (third.position, third.queue_sid) == (3, desk.queue)
    assert third.wait_time >= 0
    assert third.date_enqueued is not None


def test_front_takes_the_next_each_time_and_an_empty_queue_has_none(desk):
    taken = [desk.members()("Front").update(url=desk.moved).call_sid for _ in range(3)]
    assert taken == desk.sids
    assert desk.order() == []
    assert refusal(desk.members()("Front").update, url=desk.moved) == (404, 20404)
    desk.tenant.wait_for("/done", count=3)
    assert set(desk.results().values()) == {"redirected"}
    for call, _ in desk.callers:
        call.ear.wait_for_tone(900)


def test_a_member_is_dequeued_by_its_sid_once(desk):
    (_, first), (call, second), (_, third) = desk.callers
    assert desk.members()(second).update(url=desk.moved, method="GET").position == 2
    assert desk.order() == [first, third]
    call.ear.wait_for_tone(900)
    assert desk.tenant.wait_for("/moved").method == "GET"
    assert refusal(desk.members()(second).update, url=desk.moved)[0] == 400
    assert refusal(desk.members()(second).fetch) == (404, 20404)


def test_a_member_of_one_queue_is_none_of_another(client, desk):
    elsewhere = client.queues.create(f"not {desk.queue}").sid
    assert refusal(client.queues(elsewhere).members(desk.sids[0]).fetch) == (404, 20404)
    assert refusal(client.queues(elsewhere).members(desk.sids[0]).update, url=desk.moved)[0] == 400
    assert desk.order() == desk.sids


def test_a_dequeue_needs_an_absolute_url(desk):
    assert refusal(desk.members()("Front").update, url="/relative")[1] == 21205
    assert refusal(desk.members()("Front").update, url=desk.moved, method="PUT")[1] == 21209
    assert desk.order() == desk.sids


# Calls


def test_a_waiting_call_is_redirected_by_url_and_by_document_and_ended(client, desk):
    (by_url, first), (by_document, second), (ended, third) = desk.callers
    client.calls(first).update(url=desk.moved)
    client.calls(second).update(twiml=f"<Response><Play>{desk.tenant.base_url}/tone.wav</Play></Response>")
    client.calls(third).update(status="completed")
    assert desk.order() == []
    by_url.ear.wait_for_tone(900)
    by_document.ear.wait_for_tone(900)
    ended.hung_up()
    desk.tenant.wait_for("/done", count=3)
    assert desk.results() == {first: "redirected", second: "redirected", third: "hangup"}


def test_a_call_that_hangs_up_leaves_its_queue_and_the_others_move_up(client, desk):
    (call, first), (_, second), (_, third) = desk.callers
    call.hang_up()
    request = desk.tenant.wait_for("/done")
    assert (request.params["CallSid"], request.params["QueueResult"], request.params["CallStatus"]) == (first, "hangup", "completed")
    assert desk.order() == [second, third]
    assert client.calls(first).fetch().status == "completed"


def test_calls_are_listed_by_their_facts(client, desk):
    in_progress = client.calls.list(to=desk.number, status="in-progress")
    assert [call.sid for call in in_progress] == desk.sids[::-1]
    assert {(call.direction, call._from, call.duration) for call in in_progress} == {("inbound", desk.phone.user, None)}
    assert len(client.calls.list(to=desk.number, page_size=2)) == 3
    assert client.calls.list(to=desk.number, status="completed") == []


def test_a_call_that_is_over_can_be_changed_no_more(client, desk):
    call, sid = desk.callers[0]
    call.hang_up()
    desk.tenant.wait_for("/done")
    assert refusal(client.calls(sid).update, url=desk.moved) == (400, 21220)
    assert refusal(client.calls(sid).update, status="completed") == (400, 21220)
    assert client.calls(sid).delete() is True
    assert refusal(client.calls(sid).fetch) == (404, 20404)


def test_a_live_call_cannot_be_deleted_or_cancelled_and_a_bad_document_changes_nothing(client, desk):
    sid = desk.sids[0]
    assert refusal(client.calls(sid).delete) == (409, 20009)
    assert refusal(client.calls(sid).update, status="canceled") == (400, 21220)
    assert refusal(client.calls(sid).update, twiml="<Response><Say>")[0] == 400
    assert refusal(client.calls("CA" + "0" * 32).update, status="completed") == (404, 20404)
    assert desk.order() == desk.sids
