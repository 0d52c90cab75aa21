"""From evidence to verdicts: one function for each requirement P1–P14 of the claim, and one for each further element of the scenario.

A requirement holds when each of its facts does. A fact is a condition with a sentence that holds the measured value, so that the same
sentence says why it is ok and what was seen where it is not. Nothing in here asks anybody anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from waitline.demo import documents as app
from waitline.demo.evidence import Evidence, PhoneSeen, Request
from waitline.demo.rest import Answer

SID = re.compile(r"QU[0-9a-f]{32}")
MIN_TONE_S = 1.0
MIN_WHISPER_S = 0.6
PER_SECOND = (48.0, 52.0)
WAIT_PARAMETERS = ("QueueSid", "QueuePosition", "QueueTime", "AvgQueueTime", "CurrentQueueSize", "MaxQueueSize")


DOORS = {"A's token on A": 200, "B's token on B": 200, "A's sid with B's token": 401, "B's token on A": 404}
"""Who tries which account with which credentials, and what REST must answer."""


class Fact(NamedTuple):
    """Whether something holds, and what was seen."""

    holds: bool
    seen: str


class Verdict(NamedTuple):
    """One line of the end."""

    name: str
    ok: bool
    text: str


Facts = list[Fact]


def short(sid: str) -> str:
    """Return a sid as people can read it."""
    return f"{sid[:6]}…" if len(sid) > 8 else sid or "nothing"


# The claim


def p1_two_tenants_one_platform(seen: Evidence) -> Facts:
    outside = seen.tenant_pid not in (0, seen.platform_pid) and seen.tenant_parent == seen.demo_pid
    documents = [request for request in seen.requests if request.call_sid]
    own = [request for request in documents if request.signed and request.told("AccountSid") == seen.account]
    return [
        *(Fact(seen.doors.get(door, 0) == status, f"{door}: {seen.doors.get(door, 0)}") for door, status in DOORS.items()),
        Fact(outside, f"platform pid {seen.platform_pid}, tenant pid {seen.tenant_pid}, not below it"),
        Fact(bool(own) and len(own) == len(documents), f"{len(own)} of {len(documents)} webhooks carried account A's signature and sid"),
    ]  # fmt: skip


def p2_queue_is_created_over_rest(seen: Evidence) -> Facts:
    return [Fact(seen.created.status == 201, f"the tenant's POST Queues.json was answered {seen.created.status}")]


def p3_queue_belongs_to_the_account(seen: Evidence) -> Facts:
    tried = seen.others_attempts.get("GET A's queue", 0)
    return [
        Fact(seen.fetched.status == 200, f"account A fetches it: {seen.fetched.status}"),
        Fact(tried == 404, f"account B: {tried}"),
        Fact(
            seen.others_list.status == 200 and seen.queue_sid not in seen.others_list.sids("queues"),
            f"not among the {len(seen.others_list.sids('queues'))} queues B lists ({seen.others_list.status})",
        ),
    ]


def p4_queue_identifier_is_generated(seen: Evidence) -> Facts:
    sids = seen.all_queues
    return [
        Fact(bool(SID.fullmatch(seen.queue_sid)), f"sid {seen.queue_sid or 'missing'}"),
        Fact(len(sids) > 1 and len(set(sids)) == len(sids), f"{len(sids)} queues, {len(set(sids))} different sids"),
    ]


def p5_identifier_is_provided(seen: Evidence) -> Facts:
    return [
        Fact(bool(seen.queue_sid), f"in the {seen.created.status} body"),
        Fact(seen.fetched.get("sid") == seen.queue_sid, "again when fetched"),
        Fact(seen.queue_sid in seen.listed.sids("queues"), "and in the list"),
    ]


def p6_router_establishes_a_call(seen: Evidence) -> Facts:
    caller, back = seen.caller_1, seen.agent.seconds(app.CALLER_HZ)
    rate = caller.figures.get("per_second", 0.0)
    return [
        Fact(caller.invite == 200, f"INVITE answered {caller.invite}"),
        Fact(PER_SECOND[0] <= rate <= PER_SECOND[1], f"RTP to the caller {rate:.1f} packets/s"),
        Fact(back >= MIN_TONE_S, f"and from it ({back:.1f} s of its tone came through)"),
        Fact(caller.record.get("status") == "in-progress", f"call {short(caller.call_sid)} is {caller.record.get('status') or 'unknown'}"),
    ]  # fmt: skip


def p7_tenant_provides_an_enqueue_instruction(seen: Evidence) -> Facts:
    asked = seen.first("/voice", seen.caller_1.call_sid)
    request = f"{asked.method} {asked.path} of the tenant: {asked.status}" if asked.method else "the tenant was not asked"
    enqueues = "<Enqueue" in asked.reply
    return [
        Fact(bool(seen.caller_1.call_sid) and asked.status == 200, request),
        Fact(enqueues, "the reply holds <Enqueue>" if enqueues else f"the reply is {asked.reply!r}"),
    ]


def p8_instruction_includes_the_identifier(seen: Evidence) -> Facts:
    named = seen.first("/voice", seen.caller_1.call_sid).enqueues
    return [Fact(bool(named) and named == seen.queue_sid, f"<Enqueue>{short(named)}</Enqueue>, the generated sid")]


def p9_queue_is_identified(seen: Evidence) -> Facts:
    here, elsewhere = seen.caller_1.members, seen.caller_1.elsewhere
    result = seen.first("/strangers/done").told("QueueResult")
    strangers = seen.strangers_members
    return [
        Fact(seen.caller_1.call_sid in here.sids("queue_members", "call_sid"), "the call is in the queue named"),
        Fact(_empty(elsewhere), f"the account's other queue holds {_count(elsewhere)}"),
        Fact(result == "error", f"a sid of account B gives QueueResult={result or 'nothing'}"),
        Fact(_empty(strangers), f"and B's queue holds {_count(strangers)}"),
    ]


def p10_call_is_in_the_queue(seen: Evidence) -> Facts:
    caller = seen.caller_1
    size = caller.queue.get("current_size")
    return [
        Fact(caller.members.sids("queue_members", "call_sid") == [caller.call_sid], f"Members.json lists {short(caller.call_sid)} alone"),
        Fact(size == 1, f"current_size {size}"),
        Fact(caller.ping == 200, f"dialog up (OPTIONS in it: {caller.ping})"),
        Fact(caller.seconds(app.ONE_HZ) > 0, "RTP goes on"),
    ]


def p11_instruction_specifies_the_wait_application(seen: Evidence) -> Facts:
    one, two = seen.first("/voice", seen.caller_1.call_sid), seen.first("/voice", seen.caller_2.call_sid)
    together = seen.caller_2.members.sids("queue_members", "call_sid")
    return [
        Fact((one.wait_url, two.wait_url) == ("/wait/one", "/wait/two"), f"waitUrl={one.wait_url or '?'} and {two.wait_url or '?'}"),
        Fact(together == [seen.caller_1.call_sid, seen.caller_2.call_sid], f"{len(together)} calls in one queue"),
    ]  # fmt: skip


def p12_platform_requests_the_wait_application(seen: Evidence) -> Facts:
    one = seen.asked("/wait/one", seen.caller_1.call_sid)
    first, two = (one or [Request()])[0], seen.first("/wait/two", seen.caller_2.call_sid)
    missing = [name for name in WAIT_PARAMETERS if name not in first.params or name not in two.params]
    times = [int(request.told("QueueTime") or -1) for request in one]
    places = first.told("QueuePosition"), two.told("QueuePosition")
    return [
        Fact(bool(one) and not missing, "with QueueSid, QueueTime, AvgQueueTime, MaxQueueSize" if not missing else f"missing: {missing}"),
        Fact(first.told("QueueSid") == seen.queue_sid, f"QueueSid {short(first.told('QueueSid'))}"),
        Fact(places == ("1", "2"), f"QueuePosition {places[0] or '?'} and {places[1] or '?'}"),
        Fact(len(times) > 1 and times[0] <= 1 and times[-1] > times[0], f"asked {len(times)} times, QueueTime {' '.join(map(str, times))}"),
        Fact(_asked_by(seen, "/wait/one") == {seen.caller_1.call_sid}, "each application for its own call only"),
    ]  # fmt: skip


def p13_tenant_answers_with_wait_instructions(seen: Evidence) -> Facts:
    asked = [*seen.asked("/wait/one"), *seen.asked("/wait/two")]
    good = [request for request in asked if request.status == 200 and "<Play>" in request.reply]
    return [Fact(bool(asked) and len(good) == len(asked), f"{len(good)} of {len(asked)} replies are documents with <Play>")]


def p14_instruction_controls_what_that_call_hears(seen: Evidence) -> Facts:
    return [
        *_hears_its_own("caller 1", seen.caller_1, app.ONE_HZ, app.TWO_HZ),
        *_hears_its_own("caller 2", seen.caller_2, app.TWO_HZ, app.ONE_HZ),
    ]


def _hears_its_own(name: str, phone: PhoneSeen, own: int, others: int) -> Facts:
    seconds, wrong = phone.seconds(own), phone.seconds(others)
    return [
        Fact(seconds >= MIN_TONE_S, f"{name} heard {own} Hz, which its document named, for {seconds:.1f} s"),
        Fact(bool(phone.heard) and wrong == 0, f"{others} Hz, which the other's named, {f'for {wrong:.1f} s' if wrong else 'never'}"),
    ]


def _asked_by(seen: Evidence, path: str) -> set[str]:
    return {request.call_sid for request in seen.asked(path)}


def _empty(members: Answer) -> bool:
    return members.status == 200 and members.get("queue_members") == []


def _count(members: Answer) -> str:
    """Return how many calls a list of members holds, in words."""
    calls = members.get("queue_members")
    return "what nobody asked" if calls is None else f"{len(calls)} calls" if calls else "no call"


# The rest of the scenario


def whisper(seen: Evidence) -> Facts:
    seconds = seen.caller_1.seconds(app.WHISPER_HZ)
    asked = seen.first("/whisper")
    return [
        Fact(seconds >= MIN_WHISPER_S, f"caller 1 heard {app.WHISPER_HZ} Hz for {seconds:.1f} s"),
        Fact(0 < seen.caller_1.first(app.WHISPER_HZ) < seen.caller_1.first(app.AGENT_HZ), "before the agent"),
        Fact(bool(seen.agent.heard) and not seen.agent.seconds(app.WHISPER_HZ), "and alone"),
        Fact(
            asked.call_sid == seen.caller_1.call_sid and asked.told("DequeingCallSid") == seen.agent.call_sid != "",
            f"its document was asked for call {short(asked.call_sid)}, taken by {short(asked.told('DequeingCallSid'))}",
        ),
    ]


def bridge(seen: Evidence) -> Facts:
    to_caller, to_agent = seen.caller_1.seconds(app.AGENT_HZ), seen.agent.seconds(app.CALLER_HZ)
    return [
        Fact(to_caller >= MIN_TONE_S, f"caller 1 heard the agent for {to_caller:.1f} s"),
        Fact(to_agent >= MIN_TONE_S, f"the agent heard caller 1 for {to_agent:.1f} s"),
    ]


def results(seen: Evidence) -> Facts:
    done = seen.first("/done", seen.caller_1.call_sid)
    agent = seen.first("/agentdone", seen.agent.call_sid)
    result, waited = done.told("QueueResult"), done.told("QueueTime")
    return [
        Fact(result == "bridged", f"/done QueueResult={result or 'nothing'} after {waited or '?'} s"),
        Fact(agent.told("DequeueResult") == "bridged", f"/agentdone DequeueResult={agent.told('DequeueResult') or 'nothing'}"),
        Fact(agent.told("DequeuedCallSid") == seen.caller_1.call_sid != "", f"of call {short(agent.told('DequeuedCallSid'))}"),
    ]  # fmt: skip


def procession(seen: Evidence) -> Facts:
    left = seen.members_while_talking.get("queue_members") or []
    places = [(member["call_sid"], member["position"]) for member in left]
    told = [request.told("QueuePosition") for request in seen.asked("/wait/two", seen.caller_2.call_sid)]
    return [
        Fact(places == [(seen.caller_2.call_sid, 1)], f"while they talked the queue held {_shown(places)}"),
        Fact(told[:1] == ["2"] and told[-1:] == ["1"], f"its wait application was told positions {' '.join(told)}"),
    ]  # fmt: skip


def removal(seen: Evidence) -> Facts:
    caller, taken = seen.caller_2, str(seen.taken.get("call_sid") or "")
    result = seen.first("/done", caller.call_sid).told("QueueResult")
    seconds, size = caller.seconds(app.TAKEN_HZ), seen.queue_at_the_end.get("current_size")
    return [
        Fact(seen.taken.status == 200 and taken == caller.call_sid, f"POST Members/Front.json: {seen.taken.status}, {short(taken)}"),
        Fact(result == "redirected", f"/done QueueResult={result or 'nothing'}"),
        Fact(seconds >= MIN_TONE_S, f"caller 2 heard the new document, {app.TAKEN_HZ} Hz, for {seconds:.1f} s"),
        Fact(size == 0, f"current_size {size}"),
    ]  # fmt: skip


def isolation(seen: Evidence) -> Facts:
    tried = seen.others_attempts
    wrong = ", ".join(f"{what}: {status}" for what, status in tried.items() if status != 404)
    still = seen.members_after_attempts.sids("queue_members", "call_sid")
    same = bool(still) and still == [seen.caller_1.call_sid, seen.caller_2.call_sid]
    return [
        Fact(bool(tried) and not wrong, wrong or f"account B got 404 for all its {len(tried)} requests"),
        Fact(same, "nothing changed" if same else f"the queue held {len(still)} calls after them"),
    ]


def _shown(places: list[tuple[str, int]]) -> str:
    return ", ".join(f"{short(sid)} at position {position}" for sid, position in places) or "no call"


CLAIM: Sequence[Callable[[Evidence], Facts]] = (
    p1_two_tenants_one_platform,
    p2_queue_is_created_over_rest,
    p3_queue_belongs_to_the_account,
    p4_queue_identifier_is_generated,
    p5_identifier_is_provided,
    p6_router_establishes_a_call,
    p7_tenant_provides_an_enqueue_instruction,
    p8_instruction_includes_the_identifier,
    p9_queue_is_identified,
    p10_call_is_in_the_queue,
    p11_instruction_specifies_the_wait_application,
    p12_platform_requests_the_wait_application,
    p13_tenant_answers_with_wait_instructions,
    p14_instruction_controls_what_that_call_hears,
)
SCENARIO: Sequence[Callable[[Evidence], Facts]] = (whisper, bridge, results, procession, removal, isolation)


def verdict(name: str, facts: Facts) -> Verdict:
    """Join facts into a line: all of them where all hold, otherwise those that do not."""
    failed = [fact.seen for fact in facts if not fact.holds]
    return Verdict(name, not failed, "; ".join(failed or [fact.seen for fact in facts]))


def judge_claim(seen: Evidence) -> list[Verdict]:
    """Return P1 to P14."""
    return [verdict(f"P{number}", judge(seen)) for number, judge in enumerate(CLAIM, 1)]


def judge_scenario(seen: Evidence) -> list[Verdict]:
    """Return the further elements of the scenario."""
    return [verdict(judge.__name__, judge(seen)) for judge in SCENARIO]
