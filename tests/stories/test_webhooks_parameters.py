"""What every request says of its call, how it is signed, and the cookies it carries (platform contract 4.2 to 4.5)."""

from __future__ import annotations

import pytest
from harness.story import NUMBER, Story, play
from harness.story_tenant import HOST, Answer, Asked, document, say, spoken
from twilio.request_validator import RequestValidator

GOES_ON = "<Redirect>/next</Redirect>"


async def both_requests(story: Story, *, headers: tuple[tuple[str, str], ...] = (), to: str = NUMBER) -> tuple[Asked, Asked]:
    """The first request of a call, and one after the answer."""
    story.tenant.on("/voice", spoken(400, seconds=0.5) + GOES_ON)
    story.tenant.on("/next", say(600))
    caller = story.phone("alice")
    caller.dials(to, headers=headers)
    return await story.tenant.asked("/voice"), await story.tenant.asked("/next")


def test_a_call_to_a_number_is_described() -> None:
    async def story(story: Story) -> None:
        first, second = await both_requests(story)
        (caller,) = story.phones.values()
        sid = story.sid_of(caller)
        assert first.params == {
            "CallSid": sid,
            "AccountSid": story.account.sid,
            "From": caller.number,
            "To": NUMBER,
            "Caller": caller.number,
            "Called": NUMBER,
            "CallStatus": "ringing",
            "ApiVersion": "2010-04-01",
            "Direction": "inbound",
            "CallerName": "alice",
            "SipCallId": caller.call_id,
            "SipSourceIp": caller.host,
        }
        assert second.params == first.params | {"CallStatus": "in-progress"}

    play(story)


def test_a_call_to_a_sip_domain_is_described_by_its_uris() -> None:
    async def story(story: Story) -> None:
        domain = await story.rest("POST", "/SIP/Domains.json", {"DomainName": "desk.sip.example", "VoiceUrl": f"{HOST}/voice"})
        first, _ = await both_requests(story, to="sip:support@desk.sip.example")
        (caller,) = story.phones.values()
        assert (first["To"], first["Called"]) == ("sip:support@desk.sip.example",) * 2
        assert first["From"] == f"sip:{caller.number}@{caller.host}"
        assert (first["SipDomain"], first["SipDomainSid"]) == ("desk.sip.example", domain["sid"])
        assert "SipUsername" not in first

    play(story)


def test_extension_headers_of_the_invite_are_passed_on_with_every_request() -> None:
    async def story(story: Story) -> None:
        headers = (("X-Ticket", "4711"), ("x-empty", ""), ("P-Charge", "no"), ("X-Name", "Zoë"))
        for asked in await both_requests(story, headers=headers):
            assert {name: value for name, value in asked.params.items() if name.startswith("SipHeader_")} == {
                "SipHeader_X-Ticket": "4711",
                "SipHeader_x-empty": "",
                "SipHeader_X-Name": "Zoë",
            }

    play(story)


def test_a_forwarded_call_says_by_whom() -> None:
    async def story(story: Story) -> None:
        diversions = (("Diversion", '"Desk" <sip:+15550177@gw.example>;reason=no-answer'), ("Diversion", "<sip:+15550188@gw.example>"))
        first, _ = await both_requests(story, headers=diversions)
        assert first["ForwardedFrom"] == "+15550177"
        assert (await story.record(first["CallSid"])).forwarded_from == "+15550177"

    play(story)


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_every_request_is_signed_so_that_the_official_validator_accepts_it(method: str) -> None:
    async def story(story: Story) -> None:
        await story.changes_number(
            voice_url="/voice?a=b%20c", voice_method=method, status_callback="/status", status_callback_method=method
        )
        await both_requests(story, headers=(("X-Name", "Zoë & Co"),))
        (caller,) = story.phones.values()
        caller.hangs_up()
        await story.tenant.asked("/status")
        validator = RequestValidator(story.account.auth_token)
        assert [asked.method for asked in story.tenant.requests] == [method, "POST", method]
        for asked in story.tenant.requests:
            in_query = {"a": ""} if asked.method == "POST" else asked.params
            form = {name: value for name, value in asked.params.items() if name not in in_query}
            assert validator.validate(asked.url, form, asked.headers["X-Twilio-Signature"])

    play(story)


def test_a_request_by_get_has_its_parameters_behind_those_of_the_url() -> None:
    async def story(story: Story) -> None:
        await story.changes_number(voice_url="/voice?desk=7", voice_method="GET")
        first, _ = await both_requests(story)
        assert first.method == "GET"
        assert first.url.startswith(f"{HOST}/voice?desk=7&CallSid=CA")
        assert first["desk"] == "7"

    play(story)


def test_cookies_go_back_within_their_call_and_to_no_other() -> None:
    async def story(story: Story) -> None:
        cookie = (("Set-Cookie", "session=abc; Path=/"),)
        story.tenant.on("/voice", lambda asked: Answer(body=document(GOES_ON), headers=() if "Cookie" in asked.headers else cookie))
        story.tenant.on("/next", say(400, seconds=5))
        first, second = story.phone("alice"), story.phone("bob")
        await first.calls(NUMBER)
        await second.calls(NUMBER)
        assert [asked.headers.get("Cookie") for asked in story.tenant.requests] == [None, "session=abc"] * 2
        first.hangs_up()
        await first.calls(NUMBER)
        assert story.tenant.asked_for("/voice")[-1].headers.get("Cookie") is None

    play(story)


def test_the_number_may_name_an_application_instead_of_urls() -> None:
    async def story(story: Story) -> None:
        form = {
            "FriendlyName": "desk",
            "VoiceUrl": f"{HOST}/app",
            "StatusCallback": f"{HOST}/app-status",
            "VoiceFallbackUrl": f"{HOST}/app-fallback",
        }
        application = await story.rest("POST", "/Applications.json", form)
        await story.changes_number(voice_application_sid=application["sid"])
        story.tenant.on("/app", Answer(status=500))
        story.tenant.on("/app-fallback", say(400))
        caller = story.phone("alice")
        await caller.calls(NUMBER)
        await caller.hears(400)
        caller.hangs_up()
        assert (await story.tenant.asked("/app-status"))["CallStatus"] == "completed"
        assert not story.tenant.asked_for("/voice")

    play(story)
