"""Whole conversations, compared line by line with tests/golden: what no other test asks about, and would not be noticed when it changes."""

from __future__ import annotations

from harness.story import AGENTS, NUMBER
from harness.story_tenant import HOST, Answer, Asked, dial, say, spoken
from harness.story_trace import TracedStory, compare, play


async def main_job(story: TracedStory) -> None:
    """P1 to P14: two callers wait to applications of their own, an agent takes the first, the tenant moves the second."""
    stranger = await story.opens_account("tenant b")
    queue = (await story.rest("POST", "/Queues.json", {"FriendlyName": "support"}))["sid"]

    def greets(asked: Asked) -> str:
        wait = "/wait-a" if asked["From"].endswith("01") else "/wait-b"
        return f"{spoken(1000)}<Enqueue waitUrl='{wait}' action='/done'>{queue}</Enqueue>"

    story.tenant.on("/voice", greets)
    story.tenant.on("/wait-a", say(400, seconds=3))
    story.tenant.on("/wait-b", say(500, seconds=3))
    story.tenant.on("/agent", dial(queue, whisper="/whisper"))
    story.tenant.on("/whisper", say(600))
    story.tenant.on("/agent-done", "<Hangup/>")
    story.tenant.on("/done", say(800))
    story.tenant.on("/elsewhere", say(1200))

    alice, bob, carol = (story.phone(name) for name in ("alice", "bob", "carol"))
    await alice.calls(NUMBER)
    await alice.hears(400)
    await bob.calls(NUMBER)
    await bob.hears(500)
    await story.rest("GET", f"/Queues/{queue}/Members.json")
    await story.rest("GET", f"/Queues/{queue}.json", account=stranger)
    await carol.calls(AGENTS)
    alice.talks(1500)
    carol.talks(1700)
    await alice.hears(1700)
    await carol.hears(1500)
    await story.passes(1)
    carol.hangs_up()
    await alice.is_hung_up_on()
    await story.rest("POST", f"/Queues/{queue}/Members/Front.json", {"Url": f"{HOST}/elsewhere"})
    await bob.is_hung_up_on()
    await story.passes(1)


async def edges_of_a_call(story: TracedStory) -> None:
    """Refused, given up while it rings, keys pressed, put on hold and back, hung up on."""
    story.tenant.on("/voice", "<Reject reason='busy'/>", Answer(after_s=3), "<Redirect>/menu</Redirect>")
    story.tenant.on("/menu", f"<Gather numDigits='2' action='/keys' timeout='9'>{spoken(900, seconds=3)}</Gather>")
    story.tenant.on("/keys", spoken(400, seconds=3))
    story.tenant.on("/status", "<Response/>")
    await story.changes_number(status_callback="/status")
    refused, hasty, alice = (story.phone(name) for name in ("refused", "hasty", "alice"))
    refused.dials(NUMBER)
    assert await refused.is_refused() == 486
    hasty.dials(NUMBER)
    await hasty.gets(lambda m: m.status == 180)
    hasty.cancels()
    assert await hasty.is_refused() == 487
    await alice.calls(NUMBER)
    await alice.hears(900)
    alice.presses("12")
    await alice.hears(400)
    await alice.holds("sendonly")
    await story.passes(1)
    await alice.resumes()
    await alice.is_hung_up_on()
    await story.passes(1)


def test_the_main_job_is_the_conversation_it_was() -> None:
    compare("main-job", play(main_job))


def test_the_edges_of_a_call_are_the_conversation_they_were() -> None:
    compare("edges-of-a-call", play(edges_of_a_call))
