"""Who knocks without being let in: guessers, scanners and floods, told against the whole platform while its callers talk on."""

from __future__ import annotations

import re

import pytest
from harness.sip_message import Message, authorization, build, challenge
from harness.story import NUMBER, Story, play
from harness.story_crash import CrashingStory
from harness.story_crash import play as play_over_a_death
from harness.story_phone import Phone
from harness.story_tenant import HOST, enqueue, say

from waitline.bridge.sip import digest

DOMAIN = "desk.sip.example"
PASSWORD = "Correct1Horse"
ATTACKER, OTHER = "203.0.113.66", "203.0.113.67"
URI = f"sip:desk@{DOMAIN}"


async def has_guarded_domain(story: Story) -> None:
    """A domain where alice may call and register with her password."""
    domain = await story.rest("POST", "/SIP/Domains.json", {"DomainName": DOMAIN, "VoiceUrl": f"{HOST}/voice", "SipRegistration": "true"})
    credentials = await story.rest("POST", "/SIP/CredentialLists.json", {"FriendlyName": "phones"})
    path = f"/SIP/CredentialLists/{credentials['sid']}/Credentials.json"
    assert (await story.rest("POST", path, {"Username": "alice", "Password": PASSWORD})).status == 201
    for kind in ("Calls", "Registrations"):
        path = f"/SIP/Domains/{domain['sid']}/Auth/{kind}/CredentialListMappings.json"
        assert (await story.rest("POST", path, {"CredentialListSid": credentials["sid"]})).status == 201


def final(message: Message) -> bool:
    return message.method == "INVITE" and message.status >= 200


async def asks(
    phone: Phone, *, user: str = "alice", password: str = PASSWORD, uri: str = URI, nonce: str = "", **form: bool
) -> Message | None:
    """Call with credentials for a fresh challenge (or for that nonce); returns the last answer, None if there was none."""
    phone.dials(uri)
    try:
        given = challenge((await phone.gets(final, within=0.4))["www-authenticate"])
    except AssertionError:
        return None
    given["nonce"] = nonce or given["nonce"]
    words = authorization(given, method="INVITE", uri=uri, username=user, password=password, cnonce="c", nc=1, **form)
    phone.to = f"<{uri}>"
    phone.send("INVITE", body=phone.offer(), headers=(("Authorization", words),))
    try:
        return await phone.gets(final, skip=1, within=2)
    except AssertionError:
        return None


def alike(message: Message | None) -> str:
    """An answer without what differs between any two."""
    assert message is not None
    kept = [(name, value) for name, value in message.headers if name not in ("via", "from", "to", "call-id")]
    return re.sub(r'nonce="[^"]*"', "nonce", str((message.start, kept, [name for name, _ in message.headers], message.body)))


# --- answers


def test_a_known_and_an_unknown_user_domain_and_number_are_refused_in_the_same_words() -> None:
    async def story(story: Story) -> None:
        await has_guarded_domain(story)
        answers = []
        for user, uri in (("alice", URI), ("mallory", URI), ("alice", "sip:desk@nobody.example"), ("x", f"sip:{NUMBER}@192.0.2.1"),
                          ("x", "sip:+15559999@192.0.2.1")):  # fmt: skip
            phone = story.phone("caller", host=ATTACKER, listens=False)
            answers.append(alike(await asks(phone, user=user, password="wrong", uri=uri)))
        assert len(set(answers)) == 1, answers
        assert "SIP/2.0 401" in answers[0]

    play(story)


def test_a_known_and_an_unknown_user_cost_the_same_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []
    plain = digest._hash

    def counting(algorithm: str, text: str) -> str:
        hashed.append(algorithm)
        return plain(algorithm, text)

    monkeypatch.setattr(digest, "_hash", counting)

    async def story(story: Story) -> None:
        await has_guarded_domain(story)
        costs = []
        for user in ("alice", "mallory"):
            phone = story.phone(user, host=ATTACKER, listens=False)
            hashed.clear()
            await asks(phone, user=user, password="wrong")
            costs.append(list(hashed))
        assert costs[0] == costs[1] == ["MD5", "MD5"]

    play(story)


# --- nonces


def authorized(challenged: Message, *, password: str = PASSWORD, qop: bool = True) -> tuple[tuple[str, str], ...]:
    given = challenge(challenged["www-authenticate"])
    words = authorization(given, method="INVITE", uri=URI, username="alice", password=password, cnonce="c", nc=1, qop=qop)
    return (("Authorization", words),)


@pytest.mark.parametrize(
    ("host", "qop"), [(ATTACKER, False), (ATTACKER, True), (OTHER, True)], ids=["elsewhere", "elsewhere, qop", "again"]
)
def test_credentials_overheard_are_of_no_use_at_another_address_nor_twice(host: str, qop: bool) -> None:
    async def story(story: Story) -> None:
        await has_guarded_domain(story)
        story.tenant.on("/voice", say(500, seconds=30))
        alice = story.phone("alice", host=OTHER)
        alice.dials(URI)
        overheard = authorized(await alice.gets(final), qop=qop)
        alice.send("INVITE", body=alice.offer(), headers=overheard)
        assert (await alice.gets(final, skip=1)).status == 200
        alice.hangs_up()
        await story.passes(1)
        thief = story.phone("thief", host=host)
        thief.dials(URI, headers=overheard)
        refused = await thief.gets(final)
        assert (refused.status, "stale=true" in refused["www-authenticate"]) == (401, True)

    play(story)


def test_a_nonce_five_minutes_old_is_stale() -> None:
    async def story(story: Story) -> None:
        await has_guarded_domain(story)
        alice = story.phone("alice", host=OTHER)
        alice.dials(URI)
        old = challenge((await alice.gets(final))["www-authenticate"])["nonce"]
        await story.passes(301)
        refused = await asks(alice, nonce=old)
        assert refused is not None
        assert (refused.status, "stale=true" in refused["www-authenticate"]) == (401, True)

    play(story)


def test_one_request_is_no_more_than_four_guesses() -> None:
    async def story(story: Story) -> None:
        await has_guarded_domain(story)
        phone = story.phone("mallory", host=ATTACKER)
        phone.dials(URI)
        given = challenge((await phone.gets(final))["www-authenticate"])
        guesses = [f"wrong{number}" for number in range(100)] + [PASSWORD]
        words = [authorization(given, method="INVITE", uri=URI, username="alice", password=guess, cnonce="c", nc=1) for guess in guesses]
        phone.to = f"<{URI}>"
        phone.send("INVITE", body=phone.offer(), headers=tuple(("Authorization", word) for word in words))
        assert (await phone.gets(final, skip=1)).status == 401

    play(story)


# --- guessing


def test_who_guesses_passwords_is_soon_not_heard_and_finds_nothing() -> None:
    async def story(story: Story) -> None:
        await has_guarded_domain(story)
        thief = story.phone("thief", host=ATTACKER, listens=False)
        answers = [await asks(thief, password=f"Guess{number}") for number in range(40)]
        heard = [answer for answer in answers if answer is not None]
        assert {answer.status for answer in heard} == {401}
        assert 10 <= len(heard) <= 20
        assert await asks(thief, password=PASSWORD) is None
        await story.passes(61)
        assert (found := await asks(thief, password="Guess99")) is not None
        assert found.status == 401

    play(story)


def test_a_password_guessed_at_from_everywhere_goes_on_working_where_its_phone_is_and_the_right_guess_tells_nothing() -> None:
    async def story(story: Story) -> None:
        await has_guarded_domain(story)
        story.tenant.on("/voice", say(500, seconds=2))
        alice = story.phone("alice", host=OTHER, listens=False)
        first = await asks(alice)
        assert first is not None
        assert first.status == 200
        alice.hangs_up()
        for number in range(12):
            assert alike(await asks(story.phone("bot", host=f"203.0.113.{100 + number}", listens=False), password="wrong")) != ""
        right = await asks(story.phone("bot", host="203.0.113.150", listens=False), password=PASSWORD)
        wrong = await asks(story.phone("bot", host="203.0.113.151", listens=False), password="wrong")
        assert alike(right) == alike(wrong)
        again = await asks(alice)
        assert again is not None
        assert again.status == 200
        alice.hangs_up()

    play(story)


def test_another_user_of_an_office_with_a_wrong_password_costs_nobody_anything() -> None:
    async def story(story: Story) -> None:
        await has_guarded_domain(story)
        story.tenant.on("/voice", say(500, seconds=2))
        alice = story.phone("alice", host=OTHER, listens=False)
        assert (answer := await asks(alice)) is not None
        assert answer.status == 200
        alice.hangs_up()
        bob = story.phone("bob", host=OTHER, listens=False)
        bob.address = (OTHER, 5062)
        story.phones[bob.address] = bob
        for _ in range(60):
            assert await asks(bob, user="bob", password="wrong") is not None
        story.phones[alice.address] = alice
        assert (answer := await asks(alice)) is not None
        assert answer.status == 200
        alice.hangs_up()

    play(story)


# --- scanning and floods


def requests(method: str, number: int, *, host: str = ATTACKER) -> bytes:
    return build(
        f"{method} sip:{number}@192.0.2.1 SIP/2.0",
        [
            ("Via", f"SIP/2.0/UDP {host}:5060;branch=z9hG4bK{method}{number}"),
            ("From", f"<sip:{number}@192.0.2.1>;tag={number}"),
            ("To", f"<sip:{number}@192.0.2.1>"),
            ("Call-ID", f"{method}{number}"),
            ("CSeq", f"1 {method}"),
            ("Contact", f"<sip:{number}@{host}>"),
            ("Max-Forwards", "70"),
        ],
    )


@pytest.mark.parametrize("method", ["INVITE", "REGISTER", "OPTIONS"])
def test_a_scanner_gets_some_equal_answers_and_then_none_while_a_caller_hears_its_music(method: str) -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", enqueue())
        story.tenant.on("/wait", say(400, seconds=60))
        caller = await story.caller_waits("caller")
        scanner = story.phone("scanner", host=ATTACKER, listens=False)
        before = story.now()
        for number in range(2000):
            story.send_sip(requests(method, number), scanner.address)
            if not number % 20:
                await story.passes(0.02)
        await story.passes(1)
        statuses = {message.status for _, message in scanner.received}
        assert statuses == ({200} if method == "OPTIONS" else {401})
        assert (295 <= len(scanner.received) <= 305) if method == "OPTIONS" else (95 <= len(scanner.received) <= 101)
        assert story.control.endpoint.user_agent.size["sessions"] == 1
        assert caller.ear.heard(before, story.now()).longest_silence_s < 0.1
        caller.hangs_up()
        await story.passes(1)

    play(story)


def test_nothing_is_kept_of_who_is_challenged() -> None:
    async def story(story: Story) -> None:
        before = story.control.endpoint.user_agent.size
        for number in range(500):
            host = f"198.18.{number >> 8}.{number & 255}"
            story.send_sip(requests("INVITE" if number % 2 else "REGISTER", number, host=host), (host, 5060))
        await story.passes(0.1)
        assert story.control.endpoint.user_agent.size == before

    play(story)


def test_a_challenge_that_was_lost_is_given_again() -> None:
    async def story(story: Story) -> None:
        await has_guarded_domain(story)
        story.tenant.on("/voice", say(500, seconds=2))
        alice = story.phone("alice", host=OTHER)
        lost: list[bytes] = []
        story.lost_sip = lambda data: data.startswith(b"SIP/2.0 401") and not lost and not lost.append(data)  # type: ignore[func-returns-value]
        alice.dials(URI)
        await story.passes(0.5)
        assert lost
        alice.again()
        alice.send("INVITE", body=alice.offer(), headers=authorized(await alice.gets(final)))
        assert (await alice.gets(final, skip=1)).status == 200
        alice.hangs_up()

    play(story)


def test_a_phone_that_was_let_in_is_no_stranger_to_the_control_that_follows() -> None:
    async def story(story: CrashingStory) -> None:
        await has_guarded_domain(story)
        story.tenant.on("/voice", enqueue())
        story.tenant.on("/wait", say(400, seconds=60))
        alice = story.phone("alice", host=OTHER)
        assert (answer := await asks(alice)) is not None
        assert answer.status == 200
        await story.crashes(for_s=0.1)
        assert not story.control.gate.is_stranger(OTHER)
        alice.hangs_up()
        await story.passes(1)

    play_over_a_death(story)
