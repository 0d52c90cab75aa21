"""Incoming phone numbers and applications (platform contract 5.6)."""

from __future__ import annotations

import asyncio

import pytest
from harness.rest import rest
from harness.virtual_time import run

URL = "http://tenant.test/voice"
NUMBERS, APPLICATIONS = "/IncomingPhoneNumbers.json", "/Applications.json"


def test_a_number_is_taken_changed_and_given_back():
    async def story():
        async with rest() as api:
            number = await api.post(NUMBERS, PhoneNumber="+14155550100", VoiceUrl=URL, VoiceCallerIdLookup="true", SmsUrl="")
            assert number.status == 201
            body = number.body
            assert (body["phone_number"], body["friendly_name"], body["type"]) == ("+14155550100", "(415) 555-0100", "local")
            assert (body["voice_url"], body["voice_method"], body["voice_caller_id_lookup"]) == (URL, "POST", True)
            assert body["capabilities"] == {"voice": True, "sms": False, "mms": False, "fax": False}
            path = f"/IncomingPhoneNumbers/{body['sid']}.json"
            changed = (await api.post(path, VoiceMethod="GET", VoiceUrl="", FriendlyName="front desk")).body
            assert (changed["voice_method"], changed["voice_url"], changed["friendly_name"]) == ("GET", "", "front desk")
            assert (await api.get(path)).body == changed
            assert (await api.delete(path)).status == 204
            assert (await api.get(path)).code == 20404
            assert (await api.as_other().post(NUMBERS, PhoneNumber="+14155550100")).status == 201

    run(story())


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ({}, 21421),
        ({"AreaCode": "415"}, 21452),
        ({"PhoneNumber": "5550100"}, 21421),
        ({"PhoneNumber": "+0550100"}, 21421),
        ({"PhoneNumber": "+1234567890123456"}, 21421),
        ({"PhoneNumber": "+1415555010x"}, 21421),
        ({"PhoneNumber": "+15550100\n"}, 21421),
        ({"PhoneNumber": "+1٤١٥٥"}, 21421),
        ({"PhoneNumber": "+15550100", "VoiceUrl": "tel:1"}, 21205),
        ({"PhoneNumber": "+15550100", "VoiceMethod": "PUT"}, 21209),
        ({"PhoneNumber": "+15550100", "VoiceCallerIdLookup": "yes"}, 20422),
        ({"PhoneNumber": "+15550100", "VoiceApplicationSid": "AP" + "0" * 32}, 21218),
        ({"PhoneNumber": "+15550100", "VoiceApplicationSid": "nonsense"}, 21218),
        ({"PhoneNumber": "+15550100", "TrunkSid": "TK" + "0" * 32}, 20422),
    ],
)
def test_a_number_that_cannot_be_is_refused_with_its_code(form, code):
    async def story():
        async with rest() as api:
            reply = await api.post(NUMBERS, form)
            assert (reply.status, reply.code) == (400, code)
            assert len(api.store.image.numbers) == 0

    run(story())


def test_a_number_belongs_to_one_account_of_the_platform():
    async def story():
        async with rest() as api:
            assert (await api.post(NUMBERS, PhoneNumber="+15550100")).status == 201
            assert (await api.post(NUMBERS, PhoneNumber="+15550100")).code == 21422
            refused = await api.as_other().post(NUMBERS, PhoneNumber="+15550100")
            assert refused.code == 21422
            assert api.account.sid not in str(refused.body)

    run(story())


def test_of_two_who_take_a_number_at_once_one_gets_it():
    async def story():
        async with rest() as api:
            tenants = [api, api.as_other()] * 3
            replies = await asyncio.gather(*(tenant.post(NUMBERS, PhoneNumber="+15550100") for tenant in tenants))
            assert sorted(reply.status for reply in replies) == [201, 400, 400, 400, 400, 400]

    run(story())


def test_numbers_are_listed_by_kind_part_and_name():
    async def story():
        async with rest() as api:
            for number, name in (("+18005550100", "free"), ("+14155550100", "west"), ("+442071838750", "london")):
                await api.post(NUMBERS, PhoneNumber=number, FriendlyName=name)

            async def names(path=NUMBERS, **query):
                return [number["friendly_name"] for number in (await api.get(path, **query)).body["incoming_phone_numbers"]]

            assert sorted(await names()) == ["free", "london", "west"]
            assert sorted(await names("/IncomingPhoneNumbers/Local.json")) == ["london", "west"]
            assert await names("/IncomingPhoneNumbers/TollFree.json") == ["free"]
            assert await names("/IncomingPhoneNumbers/Mobile.json") == []
            assert await names(PhoneNumber="+14155550100") == ["west"]
            assert sorted(await names(PhoneNumber="+1***555")) == ["free", "west"]
            assert await names(PhoneNumber="(.*") == []
            assert await names(FriendlyName="london") == ["london"]
            assert await names(Beta="true") == []

    run(story())


def test_a_number_is_handed_to_an_account_of_the_family_without_its_application():
    async def story():
        async with rest() as api:
            sub = (await api.post("/2010-04-01/Accounts.json")).body["sid"]
            application = (await api.post(APPLICATIONS)).body["sid"]
            number = (await api.post(NUMBERS, PhoneNumber="+15550100", VoiceApplicationSid=application)).body["sid"]
            assert (await api.post(f"/IncomingPhoneNumbers/{number}.json", AccountSid=api.other.sid)).code == 20422
            moved = await api.post(f"/IncomingPhoneNumbers/{number}.json", AccountSid=sub)
            assert (moved.body["account_sid"], moved.body["voice_application_sid"]) == (sub, "")
            assert (await api.get(f"/IncomingPhoneNumbers/{number}.json")).code == 20404
            assert (await api.get(f"/2010-04-01/Accounts/{sub}/IncomingPhoneNumbers/{number}.json")).status == 200

    run(story())


def test_an_application_is_made_changed_and_listed_by_name():
    async def story():
        async with rest() as api:
            one = (await api.post(APPLICATIONS, FriendlyName="ivr", VoiceUrl=URL, StatusCallback=URL, StatusCallbackMethod="GET")).body
            assert (one["voice_url"], one["status_callback_method"], one["voice_fallback_url"]) == (URL, "GET", "")
            assert (await api.post(APPLICATIONS)).body["friendly_name"] == "Application created at 2026-01-01 00:00"
            assert [a["sid"] for a in (await api.get(APPLICATIONS, FriendlyName="ivr")).body["applications"]] == [one["sid"]]
            changed = (await api.post(f"/Applications/{one['sid']}.json", VoiceFallbackUrl=URL)).body
            assert (changed["voice_fallback_url"], changed["voice_url"]) == (URL, URL)

    run(story())


def test_no_number_names_an_application_that_is_gone():
    async def story():
        async with rest() as api:
            application = (await api.post(APPLICATIONS)).body["sid"]
            number = (await api.post(NUMBERS, PhoneNumber="+15550100", VoiceApplicationSid=application)).body
            assert number["voice_application_sid"] == application
            assert (await api.delete(f"/Applications/{application}.json")).status == 204
            assert (await api.get(f"/IncomingPhoneNumbers/{number['sid']}.json")).body["voice_application_sid"] == ""

    run(story())
