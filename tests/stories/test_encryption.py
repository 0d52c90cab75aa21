"""Calls with encrypted media: who may, who must, who hears whom, and that it survives what calls survive."""

from __future__ import annotations

import pytest
from harness.story import AGENTS, NUMBER, Story, play
from harness.story_crash import CrashingStory
from harness.story_crash import play as play_crashes
from harness.story_phone import Phone
from harness.story_tenant import enqueue, say, spoken

from waitline.bridge.call.keeping import CALL

CM, GCM = "AES_CM_128_HMAC_SHA1_80", "AEAD_AES_256_GCM"


def encrypting(story: Story, name: str, suite: str = CM, *, profile: str = "RTP/SAVP", transport: str = "tls") -> Phone:
    phone = story.phone(name)
    phone.suite, phone.profile, phone.transport = suite, profile, transport
    return phone


@pytest.mark.parametrize("profile", ["RTP/SAVP", "RTP/AVP", "RTP/SAVPF"])
@pytest.mark.parametrize("suite", [CM, "AES_CM_128_HMAC_SHA1_32", "AEAD_AES_128_GCM", GCM])
def test_a_phone_that_encrypts_hears_its_tenant_and_is_heard(suite: str, profile: str) -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", f"<Gather numDigits='2' action='/keys'>{spoken(400, seconds=9)}</Gather>")
        story.tenant.on("/keys", say(600, seconds=9))
        caller = encrypting(story, "alice", suite, profile=profile)
        await caller.calls(NUMBER)
        assert caller.hears_by is not None
        await caller.hears(400)
        caller.presses("42")
        await caller.hears(600)
        assert story.tenant.asked_for("/keys")[0]["Digits"] == "42"
        caller.hangs_up()

    play(story)


@pytest.mark.parametrize(("one", "two"), [(CM, ""), ("", CM), (CM, GCM)])
def test_a_caller_and_an_agent_talk_whether_they_encrypt_or_not(one: str, two: str) -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        caller = encrypting(story, "alice", one, profile="RTP/SAVP" if one else "RTP/AVP")
        await caller.calls(NUMBER)
        await story.passes(0.1)
        agent = encrypting(story, "agent", two, profile="RTP/SAVP" if two else "RTP/AVP")
        await agent.calls(AGENTS)
        agent.talks(1000)
        caller.talks(1200)
        await caller.hears(1000)
        await agent.hears(1200)
        agent.hangs_up()
        caller.hangs_up()

    play(story)


def test_hold_and_resume_keep_the_key_and_the_counters() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", say(400, seconds=60))
        caller = encrypting(story, "alice")
        await caller.calls(NUMBER)
        await caller.hears(400)
        before = caller.crypto
        await caller.holds()
        await story.passes(2)
        await caller.resumes()
        await caller.hears(400)
        assert caller.crypto == before
        caller.hangs_up()

    play(story)


def test_a_phone_that_stops_to_encrypt_and_begins_again_is_given_another_key() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", say(400, seconds=60))
        caller = encrypting(story, "alice")
        await caller.calls(NUMBER)
        await caller.hears(400)
        keys = [caller.crypto]
        for suite, profile in (("", "RTP/AVP"), (CM, "RTP/SAVP")):
            caller.suite, caller.profile = suite, profile
            caller._take_media(await caller.resumes())
            await caller.hears(400)
            keys.append(caller.crypto)
        assert keys[1] == []
        assert keys[0] != keys[2]
        caller.hangs_up()

    play(story)


# --- policy


@pytest.mark.parametrize(
    ("policy", "suite", "profile", "transport", "status", "warning"),
    [
        ("off", CM, "RTP/SAVP", "tls", 488, '302 waitline "encrypted media is not taken here"'),
        ("off", "", "RTP/AVP", "udp", 200, ""),
        ("off", CM, "RTP/AVP", "tls", 200, ""),
        ("offered", "", "RTP/AVP", "udp", 200, ""),
        ("offered", CM, "RTP/SAVP", "udp", 200, ""),
        ("offered", "", "RTP/SAVP", "tls", 488, '302 waitline "none of the crypto suites offered can be used"'),
        ("required", CM, "RTP/SAVP", "tls", 200, ""),
        ("required", CM, "RTP/AVP", "tls", 200, ""),
        ("required", "", "RTP/AVP", "tls", 488, '302 waitline "media must be encrypted: RTP/SAVP with a=crypto"'),
        ("required", CM, "RTP/SAVP", "udp", 403, '399 waitline "calls to this address come over TLS, with encrypted media"'),
    ],
)
def test_who_may_and_who_must_encrypt(policy: str, suite: str, profile: str, transport: str, status: int, warning: str) -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", say(400, seconds=9))
        caller = encrypting(story, "alice", suite, profile=profile, transport=transport)
        caller.dials(NUMBER)
        answer = await caller.gets(lambda m: m.status >= 200 and m.method == "INVITE")
        assert (answer.status, answer["warning"]) == (status, warning)
        if status == 200:
            assert bool(caller.crypto) is (suite != "" and policy != "off")
            await caller.hears(400)
            caller.hangs_up()

    play(story, sip_srtp=policy)


def test_behind_a_proxy_that_ends_tls_keys_may_come_over_udp() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", say(400, seconds=9))
        caller = encrypting(story, "alice", transport="udp")
        await caller.calls(NUMBER)
        await caller.hears(400)
        caller.hangs_up()

    play(story, sip_srtp="required", sip_srtp_without_tls=True)


def test_an_invite_without_an_offer_is_offered_keys_over_tls_only() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", say(400, seconds=9))
        for transport, suites in (("udp", 0), ("tls", 3)):
            caller = story.phone(transport)
            caller.transport = transport
            caller.dials(NUMBER, offer=False)
            await caller.is_answered()
            assert len(caller.crypto) == suites
            assert len(set(caller.crypto)) == suites
            await caller.hears(400)  # its answer took none of them
            caller.hangs_up()
            await story.passes(0.5)

    play(story)


# --- what a call survives


def test_an_encrypted_call_goes_on_when_control_dies_and_its_keys_are_not_on_disk_in_the_clear() -> None:
    async def story(story: CrashingStory) -> None:
        story.tenant.on("/voice", enqueue())
        story.tenant.on("/wait", say(400, seconds=10))
        caller = encrypting(story, "alice")
        await caller.calls(NUMBER)
        await caller.hears(400)
        before = caller.crypto
        rows = story.store._opened.driver.query("SELECT * FROM live_states", ())
        assert rows
        assert "inline" not in repr(rows)
        [record] = await story.store.live_states(CALL)
        assert record.data["state"]["media"]["srtp_suite"] == CM
        assert await story.crashes(for_s=1.5) == 1
        await caller.hears(400)
        await caller.holds()
        await caller.resumes()
        assert caller.crypto == before
        await caller.hears(400)
        assert caller.heard(caller.since + 1).longest_silence_s < 3
        caller.hangs_up()

    play_crashes(story)


def test_a_call_of_an_hour_is_still_heard() -> None:
    """Counters roll over each 22 minutes, on both sides and in both ways."""

    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        caller = encrypting(story, "alice")
        await caller.calls(NUMBER)
        await story.passes(0.1)
        agent = encrypting(story, "agent", GCM)
        await agent.calls(AGENTS)
        for phone in (caller, agent):
            phone._sequence = 0xFF00
        agent.talks(1000)
        caller.talks(1200)
        await story.passes(10)
        assert caller._rollovers == agent._rollovers == 1
        await caller.hears(1000)
        await agent.hears(1200)
        agent.hangs_up()
        caller.hangs_up()

    play(story)
