"""Requests to tenants as a real call makes them: signed, with what the contract says, and what happens where the tenant fails.

Every failure is a Notification the tenant can read over REST, and none of them leaves a caller in silence or out of its queue.
"""

from __future__ import annotations

import itertools
from email.utils import parsedate_to_datetime

import pytest
from harness import audio
from harness.sip_phone import SipPhone
from harness.tenant import Answer, after
from twilio.request_validator import RequestValidator

pytestmark = pytest.mark.real

USERS = itertools.count(1)
HANG_UP = "<Response><Hangup/></Response>"
TOO_LARGE = "<Response><!--" + "x" * 70_000 + "--><Hangup/></Response>"


@pytest.fixture
def phone(shared_platform):
    with SipPhone(server=shared_platform.sip, user=f"+1555{next(USERS):07}") as phone:
        yield phone


@pytest.fixture
def tenant(shared_platform):
    tenant = shared_platform.tenant()
    tenant.serves("/tone.wav", audio.wav(audio.tone(900, 20.0)), "audio/wav")
    tenant.answers("/ended", Answer(status=204))
    tenant.answers("/fallback", HANG_UP)
    return tenant


def notifications(platform, call_sid):
    return [(note.error_code, note.request_url) for note in platform.client.calls(call_sid).notifications.list()][::-1]


# What is asked


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_official_validator_accepts_every_request(shared_platform, tenant, phone, method):
    document = f"<Response><Gather numDigits='1' action='/keys?a=1&amp;b=%C3%A4+%2B' method='{method}'/></Response>"
    number = shared_platform.fresh_number(
        tenant.answers("/voice", document) + "?tenant=%C3%A4", voice_method=method, status_callback=tenant.base_url + "/ended"
    )
    tenant.answers("/keys", HANG_UP)
    call = phone.invite(number, headers=[("X-Order", "7 of 9"), ("X-Umlaut", "ä + & =")])
    call.answered()
    call.press("5")
    call.hung_up()
    tenant.wait_for("/ended")
    asked = tenant.requests()
    assert [(request.path, request.method) for request in asked] == [("/voice", method), ("/keys", method), ("/ended", "POST")]
    assert all(request.signed for request in asked)
    assert asked[1].params["b"] == "ä +"
    assert asked[0].params["SipHeader_X-Umlaut"] == "ä + & ="


def test_the_signature_is_of_that_accounts_token_alone(shared_platform, tenant, phone):
    call = phone.invite(shared_platform.fresh_number(tenant.answers("/voice", HANG_UP)))
    call.answered()
    call.hung_up()
    (request,) = tenant.requests("/voice")
    signature = request.headers["X-Twilio-Signature"]
    assert RequestValidator(shared_platform.auth_token).validate(request.url, request.params, signature)
    assert not RequestValidator("0" * 32).validate(request.url, request.params, signature)


def test_a_sub_accounts_requests_are_signed_with_its_own_token(shared_platform, tenant, phone):
    sub = shared_platform.client.api.accounts.create(friendly_name="branch")
    url, number = tenant.answers("/voice", HANG_UP), f"+{next(shared_platform.numbers)}"
    shared_platform.client_for(sub.sid, sub.auth_token).incoming_phone_numbers.create(phone_number=number, voice_url=url)
    call = phone.invite(number)
    call.answered()
    call.hung_up()
    (request,) = tenant.requests("/voice")
    assert request.params["AccountSid"] == sub.sid
    assert RequestValidator(sub.auth_token).validate(request.url, request.params, request.headers["X-Twilio-Signature"])


def test_a_numbers_application_decides_over_its_own_urls(shared_platform, tenant, phone):
    application = shared_platform.client.applications.create(
        friendly_name="ivr",
        voice_url=tenant.answers("/application", HANG_UP),
        voice_method="GET",
        status_callback=tenant.base_url + "/ended",
    )
    number = shared_platform.fresh_number(tenant.answers("/voice", HANG_UP), voice_application_sid=application.sid)
    call = phone.invite(number)
    call.answered()
    call.hung_up()
    tenant.wait_for("/ended")
    assert [(request.path, request.method) for request in tenant.requests()] == [("/application", "GET"), ("/ended", "POST")]


def test_the_first_request_says_who_calls_whom(shared_platform, tenant, phone):
    number = shared_platform.fresh_number(tenant.answers("/voice", HANG_UP))
    call = phone.invite(number, headers=[("X-Order", "7 of 9")])
    call.answered()
    call.hung_up()
    params = tenant.requests("/voice")[0].params
    expected = {
        "From": phone.user, "To": number, "Caller": phone.user, "Called": number, "AccountSid": shared_platform.account_sid,
        "CallStatus": "ringing", "Direction": "inbound", "ApiVersion": "2010-04-01", "SipCallId": call.call_id,
        "SipSourceIp": "127.0.0.1", "SipHeader_X-Order": "7 of 9",
    }  # fmt: skip
    assert expected.items() <= params.items()
    assert "" not in params.values()


def test_the_status_callback_hears_once_that_the_call_is_over(shared_platform, tenant, phone):
    url = tenant.answers("/voice", "<Response><Play>/tone.wav</Play></Response>")
    number = shared_platform.fresh_number(url, status_callback=tenant.base_url + "/ended", status_callback_method="GET")
    call = phone.invite(number)
    call.answered()
    call.ear.wait_for_packets(60)
    call.hang_up()
    told = tenant.wait_for("/ended")
    expected = {"CallStatus": "completed", "CallbackSource": "call-progress-events", "SequenceNumber": "0", "Duration": "1"}
    assert expected.items() <= told.params.items()
    assert int(told.params["CallDuration"]) in (1, 2)
    assert parsedate_to_datetime(told.params["Timestamp"]).utcoffset() is not None
    assert (told.method, told.signed) == ("GET", True)


def test_the_status_callback_hears_of_a_call_that_was_never_answered(shared_platform, tenant, phone):
    url = tenant.answers("/voice", after(5.0, HANG_UP))
    number = shared_platform.fresh_number(url, status_callback=tenant.base_url + "/ended")
    call = phone.invite(number)
    tenant.wait_for("/voice")
    call.cancel()
    assert call.refused().status == 487
    told = tenant.wait_for("/ended")
    assert (told.params["CallStatus"], told.params["CallDuration"]) == ("canceled", "0")


def test_a_cookie_of_the_tenants_comes_back_within_the_call(shared_platform, tenant, phone):
    first = Answer("<Response><Redirect>/again</Redirect></Response>", headers={"Set-Cookie": "basket=42; Path=/"})
    tenant.answers("/again", HANG_UP)
    call = phone.invite(shared_platform.fresh_number(tenant.answers("/voice", first)))
    call.answered()
    call.hung_up()
    assert tenant.requests("/again")[0].headers["Cookie"] == "basket=42"


# What fails

FAILURES = {
    "not found": (Answer("gone", status=404, content_type="text/plain"), "", 11200),
    "server error": (Answer("oops", status=500, content_type="text/plain"), "", 11200),
    "too slow": (after(3.0, HANG_UP), "#rt=300&rc=0", 11203),
    "oversized": (TOO_LARGE, "", 11750),
    "redirect loop": (Answer(status=302, headers={"Location": "/voice"}), "", 11215),
    "not XML": ("<Response><Say>", "", 12100),
    "another root": ("<html/>", "", 12102),
    "no document": (Answer("%PDF-1.4", content_type="application/pdf"), "", 12300),
    "deeply nested": ("<Response>" + "<Say>" * 4000 + "</Say>" * 4000 + "</Response>", "", 12100),
    "a declared entity": ("<!DOCTYPE r [<!ENTITY e 'x'>]><Response><Say>&e;</Say></Response>", "", 12100),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failing_voice_url_is_told_to_the_fallback_and_noted(shared_platform, tenant, phone, failure):
    answer, fragment, code = FAILURES[failure]
    url = tenant.answers("/voice", answer)
    call = phone.invite(shared_platform.fresh_number(url + fragment, voice_fallback_url=tenant.base_url + "/fallback"))
    call.answered()
    call.hung_up()
    asked = tenant.requests("/fallback")[0]
    assert (asked.params["ErrorCode"], asked.params["ErrorUrl"].partition("#")[0], asked.signed) == (str(code), url, True)
    ((noted, where),) = notifications(shared_platform, asked.params["CallSid"])
    assert (noted, where.partition("#")[0]) == (str(code), url)
    assert shared_platform.client.calls(asked.params["CallSid"]).fetch().status == "completed"


def test_without_a_usable_fallback_the_caller_hears_an_apology_and_both_failures_are_noted(shared_platform, tenant, phone):
    url = tenant.answers("/voice", Answer("oops", status=500))
    tenant.answers("/fallback", "not a document at all <")
    call = phone.invite(shared_platform.fresh_number(url, voice_fallback_url=tenant.base_url + "/fallback"))
    call.answered()
    call.hung_up(within_s=10)
    assert not audio.is_silent(call.ear.sound())
    sid = tenant.requests("/fallback")[0].params["CallSid"]
    assert notifications(shared_platform, sid) == [("11200", url), ("12100", tenant.base_url + "/fallback")]


def test_a_number_without_a_voice_url_apologises_and_says_so(shared_platform, phone):
    number = shared_platform.fresh_number("")
    call = phone.invite(number)
    call.answered()
    call.hung_up(within_s=10)
    (made,) = shared_platform.client.calls.list(to=number)
    assert {code for code, _ in notifications(shared_platform, made.sid)} == {"11100"}


def test_a_redirect_to_another_host_of_the_operators_is_refused_unless_allowed(shared_platform, tenant, phone):
    url = tenant.answers("/voice", Answer(status=302, headers={"Location": "http://169.254.169.254/latest/meta-data"}))
    call = phone.invite(shared_platform.fresh_number(url, voice_fallback_url=tenant.base_url + "/fallback"))
    call.answered()
    call.hung_up()
    sid = tenant.requests("/fallback")[0].params["CallSid"]
    (note,) = shared_platform.client.calls(sid).notifications.list()
    assert "WAITLINE_WEBHOOK_ALLOW" in note.message_text


# A wait application that fails


def test_a_caller_whose_wait_application_fails_keeps_its_place_and_hears_music_until_it_works(shared_platform, tenant, phone):
    queue = shared_platform.client.queues.create("failing").sid
    tenant.answers("/voice", f"<Response><Enqueue waitUrl='/wait'>{queue}</Enqueue></Response>")
    tenant.answers(
        "/wait", Answer("oops", status=500), "<no", "<Response><Dial>1</Dial></Response>", "<Response><Play>/tone.wav</Play></Response>"
    )
    call = phone.invite(shared_platform.fresh_number(tenant.base_url + "/voice", voice_fallback_url=tenant.base_url + "/wait"))
    call.answered()
    sid = tenant.wait_for("/wait").params["CallSid"]
    assert [member.call_sid for member in shared_platform.client.queues(queue).members.list()] == [sid]
    call.ear.wait_for_tone(900, within_s=15)
    heard = call.ear.sound()
    assert audio.longest_silence_s(heard[: len(heard) - 1600]) < 0.5
    assert {code for code, _ in notifications(shared_platform, sid)} == {"11200", "12100"}
