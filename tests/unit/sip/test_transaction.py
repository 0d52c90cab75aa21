"""The table of the four machines: every row is walked, and every pair without a row changes nothing."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import pytest
from unit.sip.kit import TCP, UDP, request

from waitline.bridge.sip.flow import Flow
from waitline.bridge.sip.message import Request, Response, parse
from waitline.bridge.sip.outgoing import Outgoing
from waitline.bridge.sip.timers import TimerQueue, Timers
from waitline.bridge.sip.transaction import INITIAL, TRANSITIONS, Input, Machine, State, Transaction, TransactionLayer, server_key


@dataclass
class Recorder:
    heard: list[str] = field(default_factory=list)

    def response_received(self, transaction: Transaction, response: Response, now: float) -> None:
        self.heard.append(f"response {response.status}")

    def ack_received(self, transaction: Transaction, request: Request, now: float) -> None:
        self.heard.append("ack")

    def transaction_failed(self, transaction: Transaction, status: int, now: float) -> None:
        self.heard.append(f"failed {status}")


class Bench:
    def __init__(self, machine: Machine, flow: Flow = UDP) -> None:
        self.sent: list[bytes] = []
        self.queue = TimerQueue()
        self.user = Recorder()
        self.layer = TransactionLayer(timers=Timers(), queue=self.queue, send=self.send)
        method = "INVITE" if machine in (Machine.INVITE_CLIENT, Machine.INVITE_SERVER) else "OPTIONS"
        if machine in (Machine.INVITE_CLIENT, Machine.CLIENT):
            self.transaction = self.layer.open_client(outgoing(method), b"request", flow, self.user, 0.0)
        else:
            self.transaction = self.layer.open_server(("key",), method, flow, self.user)

    def send(self, flow: Flow, data: bytes, *, held: bool = False) -> None:
        self.sent.append(data)

    def feed(self, what: Input, now: float = 0.0) -> bool:
        return self.transaction.feed(what, now, self.message(what))

    def message(self, what: Input) -> Any:
        client = self.transaction.machine in (Machine.INVITE_CLIENT, Machine.CLIENT)
        statuses = {Input.PROVISIONAL: 180, Input.SUCCESS: 200, Input.FAILURE: 486}
        if what in statuses and client:
            return answer(statuses[what])
        if what in statuses:
            return f"response {statuses[what]}".encode()
        if what is Input.ACK:
            return parse(request("ACK"))
        return b"request"


def outgoing(method: str) -> Outgoing:
    return Outgoing(
        method=method,
        uri="sip:a@192.0.2.9",
        branch="z9hG4bK1",
        sent_by="SIP/2.0/UDP 192.0.2.1:5060",
        from_="<sip:b@x>;tag=1",
        to="<sip:a@x>",
        call_id="c",
        cseq=1,
        agent="t",
    )


def answer(status: int) -> Response:
    asked = parse(request("OPTIONS"))
    assert isinstance(asked, Request)
    return Response.make(asked, status, to_tag="remote")


PATHS: dict[tuple[Machine, State], tuple[Input, ...]] = {
    (Machine.INVITE_CLIENT, State.CALLING): (),
    (Machine.INVITE_CLIENT, State.PROCEEDING): (Input.PROVISIONAL,),
    (Machine.INVITE_CLIENT, State.ACCEPTED): (Input.SUCCESS,),
    (Machine.INVITE_CLIENT, State.COMPLETED): (Input.FAILURE,),
    (Machine.CLIENT, State.TRYING): (),
    (Machine.CLIENT, State.PROCEEDING): (Input.PROVISIONAL,),
    (Machine.CLIENT, State.COMPLETED): (Input.SUCCESS,),
    (Machine.INVITE_SERVER, State.PROCEEDING): (),
    (Machine.INVITE_SERVER, State.ACCEPTED): (Input.SUCCESS,),
    (Machine.INVITE_SERVER, State.COMPLETED): (Input.FAILURE,),
    (Machine.INVITE_SERVER, State.CONFIRMED): (Input.FAILURE, Input.ACK),
    (Machine.SERVER, State.TRYING): (),
    (Machine.SERVER, State.PROCEEDING): (Input.PROVISIONAL,),
    (Machine.SERVER, State.COMPLETED): (Input.SUCCESS,),
}
"""How to come to each state from the start."""


EVERY_PAIR = [(machine, state, what) for (machine, state), what in itertools.product(PATHS, Input)]


@pytest.mark.parametrize(("machine", "state", "what"), EVERY_PAIR)
def test_every_input_in_every_state_does_what_the_table_says_and_nothing_else(machine: Machine, state: State, what: Input) -> None:
    bench = Bench(machine)
    for step in PATHS[machine, state]:
        assert bench.feed(step)
    assert bench.transaction.state is state
    bench.sent.clear()
    bench.user.heard.clear()
    row = TRANSITIONS.get((machine, state, what))
    assert bench.feed(what) is (row is not None)
    assert bench.transaction.state is (row[0] if row else state)
    names = [action.__name__ for action in row[1]] if row else []
    assert len(bench.sent) == sum(name in ("send", "resend", "acknowledge", "start_client") for name in names) - (
        "resend" in names and not bench.transaction.last
    )
    assert len(bench.user.heard) == sum(name in ("pass_up", "pass_ack", "time_out", "break_off") for name in names)


def test_the_table_starts_and_ends_where_the_rfc_says() -> None:
    assert set(INITIAL) == set(Machine)
    for machine in Machine:
        states = {state for one, state, _ in TRANSITIONS if one is machine} | {
            row[0] for key, row in TRANSITIONS.items() if key[0] is machine
        }
        assert INITIAL[machine] in states
        assert State.TERMINATED in states
        assert (machine, State.TERMINATED) not in {(one, state) for one, state, _ in TRANSITIONS}
        reachable = {INITIAL[machine]}
        for _ in State:
            reachable |= {row[0] for key, row in TRANSITIONS.items() if key[0] is machine and key[1] in reachable}
        assert reachable == states


def fire_all(bench: Bench, until: float) -> list[float]:
    """Let timers fire; returns when something was sent."""
    times: list[float] = []
    while (at := bench.queue.next_at()) is not None and at <= until:
        before = len(bench.sent)
        bench.queue.expire(at)
        times += [at] * (len(bench.sent) - before)
    return times


def test_an_invite_is_resent_at_doubling_intervals_and_fails_after_32_seconds() -> None:
    bench = Bench(Machine.INVITE_CLIENT)
    assert fire_all(bench, 100) == [0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert bench.user.heard == ["failed 408"]
    assert len(bench.layer.clients) == len(bench.queue) == 0


def test_another_request_is_resent_at_intervals_that_stop_growing_at_t2() -> None:
    bench = Bench(Machine.CLIENT)
    assert fire_all(bench, 100) == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert bench.user.heard == ["failed 408"]


def test_a_provisional_response_slows_another_request_down_to_t2() -> None:
    bench = Bench(Machine.CLIENT)
    bench.feed(Input.PROVISIONAL, 0.1)
    assert fire_all(bench, 12) == [0.5, 4.5, 8.5]


def test_a_provisional_response_stops_the_invite_from_being_resent_and_from_timing_out() -> None:
    bench = Bench(Machine.INVITE_CLIENT)
    bench.feed(Input.PROVISIONAL, 0.1)
    assert fire_all(bench, 1000) == []
    assert bench.transaction.state is State.PROCEEDING


def test_nothing_is_resent_over_tcp_but_the_time_out_stays() -> None:
    for machine in (Machine.INVITE_CLIENT, Machine.CLIENT):
        bench = Bench(machine, TCP)
        assert fire_all(bench, 100) == []
        assert bench.user.heard == ["failed 408"]


def test_a_refusal_is_resent_until_its_ack() -> None:
    bench = Bench(Machine.INVITE_SERVER)
    bench.feed(Input.FAILURE)
    assert fire_all(bench, 8) == [0.5, 1.5, 3.5, 7.5]
    bench.feed(Input.ACK, 8.0)
    assert fire_all(bench, 100) == []
    assert not bench.layer.servers


def test_a_refusal_without_an_ack_is_given_up_after_32_seconds() -> None:
    bench = Bench(Machine.INVITE_SERVER)
    bench.feed(Input.FAILURE)
    assert fire_all(bench, 100)[-1] == 31.5
    assert not bench.layer.servers
    assert len(bench.queue) == 0


@pytest.mark.parametrize(
    ("machine", "final"), [(Machine.CLIENT, Input.SUCCESS), (Machine.SERVER, Input.SUCCESS), (Machine.INVITE_CLIENT, Input.FAILURE)]
)
def test_over_tcp_a_transaction_is_over_with_its_final_response(machine: Machine, final: Input) -> None:
    bench = Bench(machine, TCP)
    bench.feed(final, 1.0)
    bench.queue.expire(1.0)
    assert bench.transaction.state is State.TERMINATED
    assert not bench.layer.clients
    assert not bench.layer.servers


def test_the_ack_to_a_refusal_repeats_what_the_invite_said() -> None:
    bench = Bench(Machine.INVITE_CLIENT)
    bench.feed(Input.FAILURE)
    ack = parse(bench.sent[-1])
    assert isinstance(ack, Request)
    assert (ack.method, ack.via.branch, ack.cseq, ack.to.tag) == ("ACK", "z9hG4bK1", (1, "ACK"), "remote")


def keys(*requests: bytes) -> list[object]:
    parsed = [parse(data) for data in requests]
    return [server_key(one, one.via) for one in parsed if isinstance(one, Request)]


def test_a_request_is_matched_by_branch_sender_and_method() -> None:
    invite, ack, again, other_host, other_branch, cancel = keys(
        request("INVITE"),
        request("ACK", to_tag="x"),
        request("INVITE", call_id="other"),
        request("INVITE", via="SIP/2.0/UDP 192.0.2.77:5070"),
        request("INVITE", branch="z9hG4bK-2"),
        request("CANCEL"),
    )
    assert invite == ack == again
    assert len({invite, other_host, other_branch, cancel}) == 4


@pytest.mark.parametrize("branch", ["", "1", "z9hG4bK"])
def test_a_branch_that_says_nothing_is_matched_as_in_rfc_2543(branch: str) -> None:
    invite, again, ack, other_call, other_number = keys(
        request("INVITE", branch=branch),
        request("INVITE", branch=branch),
        request("ACK", branch=branch, to_tag="ours"),
        request("INVITE", branch=branch, call_id="other"),
        request("INVITE", branch=branch, cseq=2),
    )
    assert invite == again == ack
    assert len({invite, other_call, other_number}) == 3


def test_a_server_whose_connection_is_gone_answers_over_a_new_one_to_the_port_of_the_via() -> None:
    bench = Bench(Machine.SERVER, TCP)
    bench.transaction.reply_port = 5070
    bench.layer.flow_failed(TCP, 0.0)
    assert bench.transaction.flow == Flow("tcp", TCP.local, ("192.0.2.9", 5070))
    assert bench.user.heard == []
    bench.layer.flow_failed(bench.transaction.flow, 0.0)
    assert bench.user.heard == ["failed 503"]
    assert not bench.layer.servers
