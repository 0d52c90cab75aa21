"""The verdicts: each requirement holds on good evidence, and fails, saying what was seen, when its own part of it is bad."""

from dataclasses import replace

import pytest

from waitline.demo import documents as app
from waitline.demo.evidence import Evidence, PhoneSeen, Request, heard, requests
from waitline.demo.judge import judge_claim, judge_scenario, short
from waitline.demo.rest import Answer
from waitline.demo.sound import Heard, named

A, B = "AC" + "a" * 32, "AC" + "b" * 32
SUPPORT, SALES, THEIRS = ("QU" + digit * 32 for digit in "123")
ONE, TWO, AGENT = ("CA" + digit * 32 for digit in "123")
SCENARIO = ("whisper", "bridge", "results", "procession", "removal", "isolation")


def members(*calls):
    return Answer(status=200, body={"queue_members": [{"call_sid": call, "position": place} for place, call in enumerate(calls, 1)]})


def queues(*sids):
    return Answer(status=200, body={"queues": [{"sid": sid} for sid in sids]})


def asked(path, call, reply="<Response></Response>", **params):
    return Request(method="POST", path=path, params={"CallSid": call, "AccountSid": A, **params}, signed=True, status=200, reply=reply)


def waits(path, call, place, seconds):
    told = {"QueueSid": SUPPORT, "QueuePosition": place, "QueueTime": seconds, "AvgQueueTime": "0", "CurrentQueueSize": "1"}
    return asked(path, call, "<Response><Play>/tone</Play></Response>", **told, MaxQueueSize="1000")


def enqueued(call, queue, wait):
    return asked("/voice", call, f'<Response><Enqueue waitUrl="{wait}" action="/done">{queue}</Enqueue></Response>')


def hears(last_at, *what):
    sounds = [Heard(named(item) if isinstance(item, int) else item, at) for item, at in what]
    return {"heard": sounds, "figures": {"last_at": last_at, "per_second": 50.0}}


@pytest.fixture
def seen():
    """Evidence of a run where everything held."""
    return Evidence(
        platform_pid=10, tenant_pid=20, tenant_parent=5, demo_pid=5, account=A, other_account=B,
        doors={"A's token on A": 200, "B's token on B": 200, "A's sid with B's token": 401, "B's token on A": 404},
        created=Answer(status=201, body={"sid": SUPPORT}), fetched=Answer(status=200, body={"sid": SUPPORT}),
        listed=queues(SALES, SUPPORT), all_queues=[SUPPORT, SALES, THEIRS], others_list=queues(THEIRS),
        others_attempts={"GET A's queue": 404, "GET A's call": 404}, members_after_attempts=members(ONE, TWO),
        strangers_members=members(),
        requests=[
            enqueued(ONE, SUPPORT, "/wait/one"), enqueued(TWO, "support", "/wait/two"),
            waits("/wait/one", ONE, "1", "0"), waits("/wait/two", TWO, "2", "0"), waits("/wait/one", ONE, "1", "3"),
            asked("/strangers/done", "CA4", QueueResult="error"),
            asked("/whisper", ONE, DequeingCallSid=AGENT),
            asked("/agentdone", AGENT, DequeueResult="bridged", DequeuedCallSid=ONE),
            asked("/done", ONE, QueueResult="bridged", QueueTime="5"),
            waits("/wait/two", TWO, "1", "4"),
            asked("/done", TWO, QueueResult="redirected", QueueTime="6"),
        ],
        caller_1=PhoneSeen(
            invite=200, call_sid=ONE, record=Answer(status=200, body={"status": "in-progress"}), members=members(ONE),
            queue=Answer(status=200, body={"current_size": 1}), elsewhere=members(), ping=200,
            **hears(10.0, ("another sound", 0.0), (app.ONE_HZ, 1.0), (app.WHISPER_HZ, 6.0), (app.AGENT_HZ, 7.0)),
        ),
        caller_2=PhoneSeen(invite=200, call_sid=TWO, members=members(ONE, TWO), **hears(14.0, (app.TWO_HZ, 2.0), (app.TAKEN_HZ, 12.0))),
        agent=PhoneSeen(invite=200, call_sid=AGENT, **hears(10.0, ("another sound", 6.0), (app.CALLER_HZ, 7.0))),
        members_while_talking=members(TWO), taken=Answer(status=200, body={"call_sid": TWO}),
        queue_at_the_end=Answer(status=200, body={"current_size": 0}),
    )  # fmt: skip


def verdicts(seen):
    return {verdict.name: verdict for verdict in (*judge_claim(seen), *judge_scenario(seen))}


def test_good_evidence_is_fourteen_times_ok_and_so_is_the_rest(seen):
    given = verdicts(seen)
    assert [name for name in given if name.startswith("P")] == [f"P{number}" for number in range(1, 15)]
    assert tuple(name for name in given if not name.startswith("P")) == SCENARIO
    assert {name: verdict.text for name, verdict in given.items() if not verdict.ok} == {}


def test_a_run_that_saw_nothing_fails_everything(seen):
    given = verdicts(Evidence())
    assert [name for name, verdict in given.items() if verdict.ok] == []


def test_a_failure_says_what_was_seen_and_only_that(seen):
    seen.created = Answer(status=503, body={"sid": SUPPORT})
    assert verdicts(seen)["P2"].text == "the tenant's POST Queues.json was answered 503"


def without(seen, path):
    seen.requests = [request for request in seen.requests if request.path != path]


def changed(seen, path, **params):
    seen.requests = [replace(r, params={**r.params, **params}) if r.path == path else r for r in seen.requests]


def unheard(phone, hz):
    phone.heard = [item for item in phone.heard if item.what != named(hz)]


BAD = {
    "B's token opens A": ("P1", lambda e: e.doors.update({"A's sid with B's token": 200})),
    "the tenant is a child of the platform": ("P1", lambda e: setattr(e, "tenant_parent", 10)),
    "a webhook is not signed": ("P1", lambda e: e.requests.append(replace(e.requests[0], signed=False))),
    "a webhook names another account": ("P1", lambda e: changed(e, "/whisper", AccountSid=B)),
    "the other account sees the queue": ("P3", lambda e: e.others_attempts.update({"GET A's queue": 200})),
    "the other account lists the queue": ("P3", lambda e: setattr(e, "others_list", queues(SUPPORT))),
    "a sid in capitals": ("P4", lambda e: e.created.body.update(sid="QU" + "A" * 32)),
    "two queues of one sid": ("P4", lambda e: setattr(e, "all_queues", [SUPPORT, SUPPORT])),
    "another sid when fetched": ("P5", lambda e: e.fetched.body.update(sid=SALES)),
    "not in the list": ("P5", lambda e: setattr(e, "listed", queues(SALES))),
    "the INVITE is refused": ("P6", lambda e: setattr(e.caller_1, "invite", 486)),
    "half the packets": ("P6", lambda e: e.caller_1.figures.update(per_second=25.0)),
    "nothing comes from the caller": ("P6", lambda e: unheard(e.agent, app.CALLER_HZ)),
    "the call is not in progress": ("P6", lambda e: e.caller_1.record.body.update(status="ringing")),
    "the tenant is never asked": ("P7", lambda e: without(e, "/voice")),
    "enqueued by name": ("P8", lambda e: e.requests.__setitem__(0, enqueued(ONE, "support", "/wait/one"))),
    "in the other queue too": ("P9", lambda e: setattr(e.caller_1, "elsewhere", members(ONE))),
    "another account's sid leads somewhere": ("P9", lambda e: setattr(e, "strangers_members", members("CA4"))),
    "another account's sid is no error": ("P9", lambda e: changed(e, "/strangers/done", QueueResult="leave")),
    "not a member": ("P10", lambda e: setattr(e.caller_1, "members", members())),
    "the size is wrong": ("P10", lambda e: e.caller_1.queue.body.update(current_size=2)),
    "the dialog is gone": ("P10", lambda e: setattr(e.caller_1, "ping", 481)),
    "one waitUrl for both": ("P11", lambda e: e.requests.__setitem__(1, enqueued(TWO, "support", "/wait/one"))),
    "the wait application is asked once": ("P12", lambda e: e.requests.pop(4)),
    "the position is wrong": ("P12", lambda e: changed(e, "/wait/one", QueuePosition="2")),
    "a parameter is missing": ("P12", lambda e: [r.params.pop("MaxQueueSize", None) for r in e.requests]),
    "asked for the other call": ("P12", lambda e: e.requests.append(waits("/wait/one", TWO, "2", "5"))),
    "the reply is no document": ("P13", lambda e: e.requests.__setitem__(2, replace(e.requests[2], reply="sorry"))),
    "caller 1 hears nothing": ("P14", lambda e: unheard(e.caller_1, app.ONE_HZ)),
    "caller 2 hears caller 1's": ("P14", lambda e: e.caller_2.heard.insert(1, Heard(named(app.ONE_HZ), 5.0))),
    "no whisper": ("whisper", lambda e: unheard(e.caller_1, app.WHISPER_HZ)),
    "the agent hears the whisper": ("whisper", lambda e: e.agent.heard.insert(1, Heard(named(app.WHISPER_HZ), 6.5))),
    "the whisper is asked for another call": ("whisper", lambda e: changed(e, "/whisper", CallSid=TWO)),
    "the caller does not hear the agent": ("bridge", lambda e: unheard(e.caller_1, app.AGENT_HZ)),
    "not bridged": ("results", lambda e: changed(e, "/done", QueueResult="hangup")),
    "the agent's result": ("results", lambda e: changed(e, "/agentdone", DequeueResult="queue-empty")),
    "the second does not move up": ("procession", lambda e: e.requests.pop(9)),
    "the first is still a member": ("procession", lambda e: setattr(e, "members_while_talking", members(ONE, TWO))),
    "the wrong one is taken": ("removal", lambda e: e.taken.body.update(call_sid=ONE)),
    "the queue is not empty": ("removal", lambda e: e.queue_at_the_end.body.update(current_size=1)),
    "the new document is not heard": ("removal", lambda e: unheard(e.caller_2, app.TAKEN_HZ)),
    "one attempt of the other account succeeds": ("isolation", lambda e: e.others_attempts.update({"GET A's call": 200})),
    "the other account removes a caller": ("isolation", lambda e: setattr(e, "members_after_attempts", members(TWO))),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_requirement_fails_when(fault, seen):
    name, spoil = BAD[fault]
    spoil(seen)
    given = verdicts(seen)[name]
    assert not given.ok, given.text
    assert given.text


def test_a_sid_is_shown_short():
    assert short(SUPPORT) == "QU1111…"
    assert short("") == "nothing"


def test_the_tenants_log_and_the_ears_are_read_from_what_the_processes_said():
    event = {"event": "request", "at": 1.0, "method": "POST", "path": "/x", "params": {}, "signed": True, "status": 200, "reply": ""}
    said: list[dict[str, object]] = [{"event": "ready"}, event, {"event": "hears", "what": "440 Hz", "at": 2.0}]
    assert [request.path for request in requests(said)] == ["/x"]
    assert heard(said) == [Heard("440 Hz", 2.0)]


def test_a_phone_that_heard_nothing_has_no_spans():
    assert PhoneSeen().spans() == []
    assert PhoneSeen().first(440) == 0.0


def test_a_reply_without_an_enqueue_names_nothing():
    assert (Request().enqueues, Request().wait_url) == ("", "")
