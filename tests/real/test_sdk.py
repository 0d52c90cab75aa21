"""The official client library, unmodified, against a running server: every resource, paging, codes, dates."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
from harness.rest_server import ServedRest, served_rest
from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

from waitline.bridge.store.records import CallEvent, Notification

pytestmark = pytest.mark.real
URL = "http://tenant.test/next"
PASSWORD = "Correct1Horse"


@pytest.fixture(scope="module")
def served() -> Iterator[ServedRest]:
    with served_rest() as server:
        yield server


def _client(served: ServedRest, user: str, password: str, account: str | None = None) -> Client:
    client = Client(user, password, account)
    client.api.base_url = served.base_url
    return client


@pytest.fixture
def client(served: ServedRest) -> Client:
    return _client(served, served.rest.account.sid, served.rest.account.auth_token)


def test_an_auth_token_is_changed_with_both_valid_meanwhile(served):
    branch = _client(served, served.rest.account.sid, served.rest.account.auth_token).api.accounts.create(friendly_name="rotating")
    first = _client(served, branch.sid, branch.auth_token)
    first.accounts.base_url = served.base_url
    made = first.accounts.v1.secondary_auth_token().create()
    assert (made.account_sid, _is_recent(made.date_created), _is_recent(made.date_updated)) == (branch.sid, True, True)
    second = _client(served, branch.sid, made.secondary_auth_token)
    assert first.api.accounts(branch.sid).fetch().auth_token == second.api.accounts(branch.sid).fetch().auth_token == branch.auth_token
    assert _refusal(first.accounts.v1.secondary_auth_token().create) == (409, 20409)
    promoted = first.accounts.v1.auth_token_promotion().update()
    assert promoted.auth_token == made.secondary_auth_token == second.api.accounts(branch.sid).fetch().auth_token
    assert _refusal(first.api.accounts(branch.sid).fetch) == (401, 20003)
    second.accounts.base_url = served.base_url
    third = _client(served, branch.sid, second.accounts.v1.secondary_auth_token().create().secondary_auth_token)
    assert second.accounts.v1.secondary_auth_token().delete() is True
    assert _refusal(third.api.accounts(branch.sid).fetch) == (401, 20003)
    assert _refusal(second.accounts.v1.auth_token_promotion().update) == (404, 20404)


@pytest.fixture
def other(served: ServedRest) -> Client:
    return _client(served, served.rest.other.sid, served.rest.other.auth_token)


def _refusal(call, *args, **kwargs) -> tuple[int, int]:
    with pytest.raises(TwilioRestException) as refused:
        call(*args, **kwargs)
    return refused.value.status, refused.value.code


def _is_recent(moment: datetime | None) -> bool:
    return moment is not None and moment.tzinfo is not None and abs(datetime.now(UTC) - moment) < timedelta(minutes=5)


def _enqueue(served: ServedRest, queue_sid: str):
    queue = served.rest.store.image.queues.get(queue_sid)
    assert queue is not None
    return served.do(lambda api: api.enqueue(queue))


def test_a_queue_is_created_fetched_updated_listed_and_deleted(client):
    queue = client.queues.create(friendly_name="crud", max_size=7)
    assert re.fullmatch("QU[0-9a-f]{32}", queue.sid)
    assert (queue.friendly_name, queue.max_size, queue.current_size, queue.average_wait_time) == ("crud", 7, 0, 0)
    assert _is_recent(queue.date_created)
    assert _is_recent(queue.date_updated)
    fetched = client.queues(queue.sid).fetch()
    assert (fetched.sid, fetched.uri, fetched.account_sid) == (queue.sid, queue.uri, client.account_sid)
    assert queue.update(friendly_name="renamed", max_size=9).max_size == 9
    assert queue.sid in [listed.sid for listed in client.queues.list()]
    assert queue.delete() is True
    assert _refusal(client.queues(queue.sid).fetch) == (404, 20404)


def test_lists_follow_their_pages_to_the_end(client):
    made = {client.queues.create(friendly_name=f"page{number}").sid for number in range(7)}
    assert made <= {queue.sid for queue in client.queues.list(page_size=2)}
    assert len(client.queues.list(limit=5)) == 5
    assert len(client.queues.list(limit=5, page_size=2)) == 5
    page = client.queues.page(page_size=3)
    follower = page.next_page()
    assert follower is not None
    assert not {queue.sid for queue in page} & {queue.sid for queue in follower}
    for sid in made:
        client.queues(sid).delete()


def test_queue_errors_have_the_codes_of_the_contract(client, other, served):
    queue = client.queues.create(friendly_name="codes")
    assert _refusal(client.queues.create, friendly_name="codes") == (400, 22003)
    assert _refusal(client.queues.create, friendly_name="") == (400, 20002)
    assert _refusal(client.queues.create, friendly_name="x", max_size=5001) == (400, 20422)
    assert _refusal(other.queues(queue.sid).fetch) == (404, 20404)
    assert _refusal(other.queues(queue.sid).delete) == (404, 20404)
    _enqueue(served, queue.sid)
    assert _refusal(queue.delete) == (400, 22002)


def test_members_are_listed_fetched_and_dequeued(client, other, served):
    queue = client.queues.create(friendly_name="members")
    calls = [_enqueue(served, queue.sid) for _ in range(3)]
    members = client.queues(queue.sid).members
    assert [(member.call_sid, member.position) for member in members.list(page_size=2)] == [
        (call.sid, position) for position, call in enumerate(calls, 1)
    ]
    front = members("Front").fetch()
    assert (front.call_sid, front.queue_sid, front.wait_time) == (calls[0].sid, queue.sid, 0)
    assert _is_recent(front.date_enqueued)
    assert members(calls[1].sid).update(url=URL, method="GET").call_sid == calls[1].sid
    assert calls[1].heard == [f"GET {URL}"]
    assert _refusal(members(calls[1].sid).update, url=URL)[0] == 400
    assert _refusal(members("Front").update, url="relative") == (400, 21205)
    assert [members("Front").update(url=URL).call_sid for _ in range(2)] == [calls[0].sid, calls[2].sid]
    assert _refusal(members("Front").update, url=URL) == (404, 20404)
    assert _refusal(other.queues(queue.sid).members("Front").fetch) == (404, 20404)


def test_calls_are_listed_by_filters_changed_ended_and_deleted(client, served):
    call = served.do(lambda api: api.call(to="+15557001"))
    shown = client.calls(call.sid).fetch()
    assert (shown.status, shown.direction, shown.to, shown._from) == ("in-progress", "inbound", "+15557001", "+15550199")
    assert _is_recent(shown.start_time)
    now = datetime.now(UTC)
    assert [c.sid for c in client.calls.list(to="+15557001", start_time_after=now - timedelta(hours=1))] == [call.sid]
    assert client.calls.list(to="+15557001", start_time_before=now - timedelta(hours=1)) == []
    assert client.calls.list(to="+15557001", status="busy") == []
    assert _refusal(client.calls(call.sid).delete) == (409, 20009)
    client.calls(call.sid).update(url=URL, method="POST")
    client.calls(call.sid).update(twiml="<Response/>")
    assert client.calls(call.sid).update(status="completed").status == "completed"
    assert call.heard == [f"POST {URL}", "<Response/>", "hangup"]
    assert _refusal(client.calls(call.sid).update, url=URL) == (400, 21220)
    assert client.calls(call.sid).delete() is True
    assert _refusal(client.calls(call.sid).fetch) == (404, 20404)


def test_placing_a_call_is_refused_with_a_code(client):
    assert _refusal(client.calls.create, to="+15550100", from_="+15550199", url=URL) == (501, 20501)


def test_notifications_and_events_of_a_call(client, served):
    call = served.do(lambda api: api.call())
    now = datetime.now(UTC)
    note = Notification(
        sid="NO" + "5" * 32, account_sid=client.account_sid, call_sid=call.sid, log=0, error_code=11200, message_text="HTTP 500",
        message_date=now, request_method="POST", request_url=URL, date_created=now, date_updated=now,
    )  # fmt: skip
    event = CallEvent(account_sid=client.account_sid, call_sid=call.sid, at=now, request={"url": URL}, response={"response_code": 500})
    for record in (note, event):
        served.do(lambda api, record=record: api.store.append(record))
    shown = client.notifications(note.sid).fetch()
    assert (shown.error_code, shown.log, shown.call_sid) == ("11200", "0", call.sid)
    assert _is_recent(shown.message_date)
    assert [n.sid for n in client.notifications.list(log=0, message_date_after=date(2020, 1, 1))] == [note.sid]
    assert client.notifications.list(message_date_before=date(2020, 1, 1)) == []
    assert [n.sid for n in client.calls(call.sid).notifications.list()] == [note.sid]
    assert client.calls(call.sid).notifications(note.sid).fetch().sid == note.sid
    assert [(e.request, e.response) for e in client.calls(call.sid).events.list()] == [(event.request, event.response)]


def test_accounts_and_keys(client, served):
    sub = client.api.accounts.create(friendly_name="branch")
    assert (sub.status, sub.owner_account_sid) == ("active", client.account_sid)
    assert _is_recent(sub.date_created)
    assert sub.sid in [account.sid for account in client.api.accounts.list(friendly_name="branch")]
    as_sub = _client(served, sub.sid, sub.auth_token)
    queue = as_sub.queues.create(friendly_name="theirs")
    assert client.api.accounts(sub.sid).queues(queue.sid).fetch().friendly_name == "theirs"
    assert client.api.accounts(sub.sid).update(status="suspended").status == "suspended"
    assert _refusal(as_sub.queues(queue.sid).fetch) == (401, 20003)
    assert _refusal(_client(served, client.account_sid, "wrong").queues(queue.sid).fetch) == (401, 20003)

    key = client.new_keys.create(friendly_name="ci")
    by_key = _client(served, key.sid, key.secret, client.account_sid)
    assert by_key.queues.list(limit=1) is not None
    assert client.keys(key.sid).update(friendly_name="cd").friendly_name == "cd"
    assert [k.sid for k in client.keys.list()] == [key.sid]
    assert client.keys(key.sid).delete() is True
    assert _refusal(by_key.queues(queue.sid).fetch) == (401, 20003)


def test_numbers_and_applications(client, other):
    application = client.applications.create(friendly_name="ivr", voice_url=URL, voice_caller_id_lookup=True)
    assert application.voice_caller_id_lookup is True
    number = client.incoming_phone_numbers.create(phone_number="+14155557002", voice_application_sid=application.sid, sms_url="")
    assert (number.friendly_name, number.voice_application_sid) == ("(415) 555-7002", application.sid)
    assert number.capabilities["voice"] is True
    assert _is_recent(number.date_created)
    assert _refusal(other.incoming_phone_numbers.create, phone_number="+14155557002") == (400, 21422)
    assert _refusal(client.incoming_phone_numbers.create, phone_number="123") == (400, 21421)
    assert _refusal(client.incoming_phone_numbers.create, phone_number="+15551", voice_application_sid="AP" + "0" * 32) == (400, 21218)
    assert number.update(voice_url=URL, voice_method="GET").voice_method == "GET"
    assert [n.sid for n in client.incoming_phone_numbers.list(phone_number="+14155557002")] == [number.sid]
    assert [n.sid for n in client.incoming_phone_numbers.local.list(phone_number="+14155557002")] == [number.sid]
    free = client.incoming_phone_numbers.toll_free.create(phone_number="+18005557002")
    assert [n.sid for n in client.incoming_phone_numbers.toll_free.list()] == [free.sid]
    assert client.incoming_phone_numbers.mobile.list() == []
    assert client.applications.list(friendly_name="ivr")[0].update(voice_url="").voice_url == ""
    assert application.delete() is True
    assert number.fetch().voice_application_sid == ""
    assert number.delete() is True


def test_sip_domains_lists_credentials_addresses_and_mappings(client, other):
    sip = client.sip
    domain = sip.domains.create(domain_name="sdk.sip.test", sip_registration=True, voice_url=URL)
    assert (domain.auth_type, domain.sip_registration) == ("", True)
    assert _is_recent(domain.date_created)
    assert _refusal(other.sip.domains.create, domain_name="sdk.sip.test") == (400, 21232)

    phones = sip.credential_lists.create(friendly_name="phones")
    alice = sip.credential_lists(phones.sid).credentials.create(username="alice", password=PASSWORD)
    assert [c.username for c in sip.credential_lists(phones.sid).credentials.list()] == ["alice"]
    assert _refusal(sip.credential_lists(phones.sid).credentials.create, username="bob", password="short") == (400, 21243)
    assert sip.credential_lists(phones.sid).credentials(alice.sid).update(password="Another1Horse").username == "alice"
    assert sip.credential_lists(phones.sid).update(friendly_name="desks").friendly_name == "desks"

    office = sip.ip_access_control_lists.create(friendly_name="office")
    addresses = sip.ip_access_control_lists(office.sid).ip_addresses
    gate = addresses.create(friendly_name="gate", ip_address="10.0.0.0", cidr_prefix_length=24)
    assert (gate.ip_address, gate.cidr_prefix_length) == ("10.0.0.0", 24)
    assert addresses(gate.sid).update(friendly_name="door").friendly_name == "door"
    assert [a.sid for a in addresses.list()] == [gate.sid]

    here = sip.domains(domain.sid)
    assert here.credential_list_mappings.create(credential_list_sid=phones.sid).friendly_name == "desks"
    assert here.auth.calls.ip_access_control_list_mappings.create(ip_access_control_list_sid=office.sid).sid == office.sid
    assert here.auth.registrations.credential_list_mappings.create(credential_list_sid=phones.sid).sid == phones.sid
    assert here.fetch().auth_type == "CREDENTIAL_LIST,IP_ACL"
    assert [m.sid for m in here.auth.calls.credential_list_mappings.list()] == [phones.sid]
    assert [m.sid for m in here.ip_access_control_list_mappings.list()] == [office.sid]
    assert [m.sid for m in here.auth.registrations.credential_list_mappings.list()] == [phones.sid]
    assert here.auth.calls.credential_list_mappings(phones.sid).fetch().friendly_name == "desks"
    assert here.ip_access_control_list_mappings(office.sid).delete() is True
    assert here.update(voice_method="GET", friendly_name="ours").friendly_name == "ours"

    assert addresses(gate.sid).delete() is True
    assert sip.credential_lists(phones.sid).delete() is True
    assert here.fetch().auth_type == ""
    assert sip.ip_access_control_lists(office.sid).delete() is True
    assert here.delete() is True
    assert [d.sid for d in sip.domains.list()] == []
