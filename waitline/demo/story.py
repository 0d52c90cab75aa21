"""What happens in the demo, in order; what is seen goes into ``Evidence`` and is judged elsewhere.

Two callers wait in one queue, each with a wait application of its own; another account tries to look at them; a call names another
account's queue; an agent is given the first caller, who hears a whisper and then the agent; REST takes the second one out. Every wait
has a deadline and says what it waited for.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from waitline.demo import documents as app
from waitline.demo import evidence
from waitline.demo.evidence import Evidence, PhoneSeen
from waitline.demo.failure import DemoFailure
from waitline.demo.peers import Peer
from waitline.demo.rest import Answer, Rest
from waitline.demo.sound import named
from waitline.demo.stage import Stage
from waitline.demo.timeline import Timeline

ANSWER_S = HEAR_S = WEBHOOK_S = HANG_UP_S = 10.0
TALK_S = 3.0


class Story:
    """One run. ``seen`` fills as it goes, so that it can be judged wherever it ends."""

    def __init__(self, stage: Stage, timeline: Timeline) -> None:
        self._stage, self._timeline = stage, timeline
        self._tenant = stage.tenant
        self.seen = Evidence(
            platform_pid=stage.platform.pid,
            tenant_pid=stage.tenant.peer.pid,
            tenant_parent=parent_of(stage.tenant.peer.pid),
            demo_pid=os.getpid(),
            account=stage.a.sid,
            other_account=stage.b.sid,
        )

    async def run(self) -> None:
        """Play it from the beginning to the end. Raises DemoFailure where something awaited does not come."""
        try:
            self._timeline.heading("The tenants")
            await self._doors()
            await self._queues_and_numbers()
            self._timeline.heading("Two callers wait, each with its own wait application")
            await self._first_caller()
            await self._second_caller()
            await self._other_tenant_looks()
            await self._other_tenants_queue()
            self._timeline.heading("An agent takes the first caller")
            await self._agent_is_connected()
            await self._agent_hangs_up()
            self._timeline.heading("The tenant takes the second caller out by REST")
            await self._second_is_taken()
        finally:
            await self._collect()

    # --- the tenants

    async def _doors(self) -> None:
        """Try both accounts' credentials on both accounts."""
        a, b = self._stage.a, self._stage.b
        forged = Rest(self._stage.platform.base_url, a.sid, b.auth_token)
        try:
            wrong = await forged.get("Queues.json")
        finally:
            await forged.close()
        self.seen.doors = {
            "A's token on A": (await self._tenant.rest("GET", "Queues.json")).status,
            "B's token on B": (await self._stage.other.get("Queues.json")).status,
            "A's sid with B's token": wrong.status,
            "B's token on A": (await self._stage.other.get(f"/2010-04-01/Accounts/{a.sid}/Queues.json")).status,
        }

    async def _queues_and_numbers(self) -> None:
        """The tenant creates its queues and numbers; account B a queue of the same name."""
        seen = self.seen
        seen.created = await self._tenant.rest("POST", "Queues.json", FriendlyName="support")
        self._timeline.note("tenant", f"creates the queue support by REST: {seen.created.status}, {seen.queue_sid}")
        sales = await self._tenant.rest("POST", "Queues.json", FriendlyName="sales")
        other = await self._stage.other.ask("POST", "Queues.json", {"FriendlyName": "support"})
        self._timeline.note("other tenant", f"creates a queue support too: {other.status}, {other.get('sid')}")
        seen.all_queues = [str(answer.get("sid")) for answer in (seen.created, sales, other)]
        seen.fetched = await self._tenant.rest("GET", f"Queues/{seen.queue_sid}.json")
        seen.listed = await self._tenant.rest("GET", "Queues.json")
        seen.others_list = await self._stage.other.get("Queues.json")
        await self._tenant.knows(support=seen.queue_sid, stranger=str(other.get("sid")))
        await own_numbers(self._stage, app.NUMBERS)
        self._timeline.note("tenant", f"has {len(app.NUMBERS)} numbers whose calls its own web server decides on")

    # --- two callers

    async def _first_caller(self) -> None:
        phone, seen = self._phone("caller 1"), self.seen.caller_1
        await phone.ask("talk", hz=app.CALLER_HZ)
        await self._call("caller 1", app.CALLERS_NUMBER, seen, "/voice")
        await self._hears("caller 1", app.ONE_HZ)
        await self._look(seen)
        sales = self.seen.all_queues[1]
        seen.elsewhere = await self._tenant.rest("GET", f"Queues/{sales}/Members.json")
        seen.ping = int((await phone.ask("ping"))["status"])
        self._timeline.note("platform", f"has {seen.call_sid} in the queue, current_size {seen.queue.get('current_size')}")

    async def _second_caller(self) -> None:
        seen = self.seen.caller_2
        await self._call("caller 2", app.CALLERS_NUMBER, seen, "/voice")
        await self._hears("caller 2", app.TWO_HZ)
        await self._look(seen)
        self._timeline.note("platform", f"has {seen.call_sid} in the queue, current_size {seen.queue.get('current_size')}")

    async def _look(self, seen: PhoneSeen) -> None:
        """Ask REST about a caller who waits."""
        seen.members = await self._members()
        seen.queue = await self._tenant.rest("GET", f"Queues/{self.seen.queue_sid}.json")
        seen.record = await self._tenant.rest("GET", f"Calls/{seen.call_sid}.json")

    async def _other_tenant_looks(self) -> None:
        """Account B tries everything on account A's queue, by A's address and by its own."""
        tries = intrusions(self._stage.a.sid, self.seen.queue_sid, self.seen.caller_1.call_sid, self._tenant.base_url)
        for what, (method, path, form) in tries.items():
            self.seen.others_attempts[what] = (await self._stage.other.ask(method, path, form)).status
        self.seen.members_after_attempts = await self._members()
        got = ", ".join(sorted({str(status) for status in self.seen.others_attempts.values()}))
        self._timeline.note("other tenant", f"tries {len(tries)} ways to see or touch that queue: {got}")

    async def _other_tenants_queue(self) -> None:
        """A call of account A names account B's queue: it must not get in. Meanwhile the callers' documents end and are asked for again."""
        phone = self._phone("agent")
        since = len(phone.events)
        await phone.ask("dial", uri=self._stage.uri(app.STRANGERS_NUMBER))
        await self._tenant.waits_for("/strangers/done", "the result of an <Enqueue> with another account's sid", within_s=WEBHOOK_S)
        await phone.wait_for(lambda event: event["event"] == "bye", "that call is hung up", within_s=HANG_UP_S, since=since)
        self.seen.strangers_members = await self._stage.other.get(f"Queues/{self.seen.all_queues[2]}/Members.json")
        again = self._asked("/wait/one", self.seen.caller_1.call_sid)
        await self._tenant.peer.wait_for(
            lambda event: event["event"] == "request" and event["path"] == "/wait/one" and int(event["params"].get("QueueTime", 0)) > 0,
            f"the wait application of caller 1 is asked again (so far {again} times)", within_s=WEBHOOK_S,
        )  # fmt: skip

    # --- the agent

    async def _agent_is_connected(self) -> None:
        agent, seen = self._phone("agent"), self.seen.agent
        await agent.ask("talk", hz=app.AGENT_HZ)
        self._agent_since = len(agent.events)
        await self._call("agent", app.AGENTS_NUMBER, seen, "/agent")
        await self._hears("caller 1", app.WHISPER_HZ)
        await self._hears("caller 1", app.AGENT_HZ)
        await self._hears("agent", app.CALLER_HZ)
        self.seen.members_while_talking = await self._members()
        await asyncio.sleep(TALK_S)  # they talk

    async def _agent_hangs_up(self) -> None:
        agent = self._phone("agent")
        self._timeline.note("agent", "hangs up")
        await agent.ask("hang_up")
        await self._tenant.waits_for("/agentdone", "the <Dial action> is asked", within_s=WEBHOOK_S)
        await self._waits_for_done(self.seen.caller_1)
        await self._is_hung_up("caller 1")

    # --- REST

    async def _second_is_taken(self) -> None:
        seen = self.seen
        await self._tenant.waits_for(
            "/wait/two", "caller 2 is told that it is first now", within_s=WEBHOOK_S, CallSid=seen.caller_2.call_sid, QueuePosition="1"
        )
        path = f"Queues/{seen.queue_sid}/Members/Front.json"
        seen.taken = await self._tenant.rest("POST", path, Url=f"{self._tenant.base_url}/taken")
        self._timeline.note("tenant", f"takes the front call out by REST: {seen.taken.status}, {seen.taken.get('call_sid')}")
        await self._waits_for_done(seen.caller_2)
        await self._hears("caller 2", app.TAKEN_HZ)
        await self._is_hung_up("caller 2")
        seen.queue_at_the_end = await self._tenant.rest("GET", f"Queues/{seen.queue_sid}.json")

    # --- steps

    def _phone(self, name: str) -> Peer:
        return self._stage.phones[name]

    async def _call(self, name: str, number: str, seen: PhoneSeen, page: str) -> None:
        """Dial, and learn the call's sid from what the tenant was asked."""
        self._timeline.note(name, f"dials {number}")
        reply = await self._phone(name).ask("dial", uri=self._stage.uri(number), within_s=ANSWER_S)
        seen.invite = int(reply["status"])
        if seen.invite != 200:
            raise DemoFailure(f"{name}: the call to {number} was refused: {reply.get('reason')}")
        user = self._user(name)
        request = await self._tenant.peer.wait_for(
            lambda event: event["event"] == "request" and event["path"] == page and user in event["params"].get("From", ""),
            f"it is asked what to do with the call of {name}", within_s=WEBHOOK_S,
        )  # fmt: skip
        seen.call_sid = request["params"].get("CallSid", "")

    def _user(self, name: str) -> str:
        return name.replace(" ", "-")

    async def _hears(self, name: str, hz: int) -> None:
        await self._phone(name).wait_for(
            lambda event: event["event"] == "hears" and event["what"] == named(hz), f"it hears {named(hz)}", within_s=HEAR_S
        )

    async def _waits_for_done(self, seen: PhoneSeen) -> None:
        await self._tenant.waits_for("/done", f"the <Enqueue action> of {seen.call_sid}", within_s=WEBHOOK_S, CallSid=seen.call_sid)

    async def _is_hung_up(self, name: str) -> None:
        await self._phone(name).wait_for(lambda event: event["event"] == "bye", "it is hung up on", within_s=HANG_UP_S)

    async def _members(self) -> Answer:
        return await self._tenant.rest("GET", f"Queues/{self.seen.queue_sid}/Members.json")

    def _asked(self, path: str, call_sid: str) -> int:
        return sum(1 for request in evidence.requests(self._tenant.peer.events) if request.path == path and request.call_sid == call_sid)

    # --- the end

    async def _collect(self) -> None:
        """Take in what the peers have: the tenant's log, what each phone heard, the files. Also after a failure, as far as it goes."""
        self.seen.requests = evidence.requests(self._tenant.peer.events)
        for name, seen in (("caller 1", self.seen.caller_1), ("caller 2", self.seen.caller_2), ("agent", self.seen.agent)):
            phone = self._phone(name)
            seen.heard = evidence.heard(phone.events[getattr(self, "_agent_since", 0) if name == "agent" else 0 :])
            path = self._stage.folder / f"{self._user(name)}.wav"
            try:
                seen.figures = {key: float(value) for key, value in (await phone.ask("figures")).items() if key != "answers"}
                await phone.ask("save", path=str(path))
            except DemoFailure as failure:
                self._timeline.note(name, f"cannot be asked any more: {failure}")
            else:
                seen.wav = str(path)


async def own_numbers(stage: Stage, pages: dict[str, str]) -> None:
    """Have the tenant take these numbers, each with its page as voice URL. Raises DemoFailure."""
    for number, page in pages.items():
        answer = await stage.tenant.rest("POST", "IncomingPhoneNumbers.json", PhoneNumber=number, VoiceUrl=stage.tenant.base_url + page)
        if answer.status != 201:
            raise DemoFailure(f"the number {number} could not be created: {answer.status} {answer.body}")


def intrusions(account: str, queue: str, call: str, url: str) -> dict[str, tuple[str, str, dict[str, str] | None]]:
    """Return what another tenant may try: name → method, path, form. Paths with a slash first are account A's, others its own."""
    theirs = f"/2010-04-01/Accounts/{account}"
    take = {"Url": f"{url}/taken"}
    return {
        "GET A's account": ("GET", f"{theirs}.json", None),
        "GET A's queues": ("GET", f"{theirs}/Queues.json", None),
        "GET A's queue": ("GET", f"{theirs}/Queues/{queue}.json", None),
        "GET A's members": ("GET", f"{theirs}/Queues/{queue}/Members.json", None),
        "GET A's front": ("GET", f"{theirs}/Queues/{queue}/Members/Front.json", None),
        "GET A's calls": ("GET", f"{theirs}/Calls.json", None),
        "GET A's call": ("GET", f"{theirs}/Calls/{call}.json", None),
        "POST A's front": ("POST", f"{theirs}/Queues/{queue}/Members/Front.json", take),
        "POST A's call": ("POST", f"{theirs}/Calls/{call}.json", {"Status": "completed"}),
        "DELETE A's queue": ("DELETE", f"{theirs}/Queues/{queue}.json", None),
        "GET A's queue as its own": ("GET", f"Queues/{queue}.json", None),
        "GET A's members as its own": ("GET", f"Queues/{queue}/Members.json", None),
        "POST A's member as its own": ("POST", f"Queues/{queue}/Members/{call}.json", take),
        "POST A's queue as its own": ("POST", f"Queues/{queue}.json", {"FriendlyName": "taken"}),
        "DELETE A's queue as its own": ("DELETE", f"Queues/{queue}.json", None),
        "GET A's call as its own": ("GET", f"Calls/{call}.json", None),
        "POST A's call as its own": ("POST", f"Calls/{call}.json", {"Status": "completed"}),
    }


def parent_of(pid: int) -> int:
    """Return the PID of the process that started this one; 0 if it is gone."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0
