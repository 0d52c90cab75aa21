"""Who may come in: which digest algorithms are offered to whom, and taken."""

from types import SimpleNamespace
from typing import Any

import pytest

from waitline.bridge.config import Config
from waitline.bridge.net.gate import Gate
from waitline.bridge.router.doors import CALLS_CREDENTIALS, Admitted, Doors, Refusal
from waitline.bridge.sip.digest import answer_challenge, ha1
from waitline.bridge.sip.flow import Flow
from waitline.bridge.sip.message import Request
from waitline.clock import Clock, SystemClock, VirtualClock

REALM, USER, PASSWORD, URI = "waitline", "alice", "Correct-Horse-7", "sip:support@acme.test"
FLOW = Flow("udp", ("192.0.2.1", 5060), ("198.51.100.7", 5060))


def doors(offered: Any, clock: Clock | None = None) -> Doors:
    """A platform with one domain that takes one user's credentials."""
    credential = SimpleNamespace(sid="CR1", ha1_md5=ha1(USER, REALM, PASSWORD), ha1_sha256=ha1(USER, REALM, PASSWORD, "SHA-256"))
    image: Any = SimpleNamespace(
        accounts={"AC1": SimpleNamespace(status="active", owner_account_sid="AC1")},
        credential_lists=SimpleNamespace(of_account=lambda _account: [SimpleNamespace(sid="CL1")]),
        mappings=SimpleNamespace(of_domain=lambda _sid, kind: [SimpleNamespace(sid="CL1")] if kind == CALLS_CREDENTIALS else []),
        credentials=SimpleNamespace(by_username=lambda _list, username: credential if username == USER else None),
    )
    return Doors(image, Config(sip_digest=offered), clock=clock or SystemClock(), realm=REALM, nonce_key=b"k" * 32, gate=Gate())


def judged(at: Doors, *headers: tuple[str, str]) -> Admitted | Refusal:
    route: Any = SimpleNamespace(account_sid="AC1", domain=SimpleNamespace(sid="SD1"))
    return at.judge(Request.make("INVITE", URI, headers), FLOW, route)


def offered(refusal: Admitted | Refusal) -> list[str]:
    assert isinstance(refusal, Refusal)
    return [value for name, value in refusal.headers if name == "WWW-Authenticate"]


def answer(challenges: list[str]) -> tuple[str, str]:
    given = answer_challenge(challenges, method="INVITE", uri=URI, username=USER, password=PASSWORD, cnonce="c")
    return "Authorization", str(given)


@pytest.mark.parametrize("choice", [0, 1])
def test_both_algorithms_are_offered_and_either_is_taken(choice: int) -> None:
    at = doors("MD5,SHA-256")
    challenges = offered(judged(at))
    assert len(challenges) == 2
    assert judged(at, answer(challenges[choice:])) == Admitted(username=USER)


def test_an_algorithm_the_operator_does_not_offer_is_not_taken() -> None:
    at = doors("SHA-256")
    (challenge,) = offered(judged(at))
    assert judged(at, answer([challenge])) == Admitted(username=USER)
    assert isinstance(judged(at, answer([challenge.replace("SHA-256", "MD5")])), Refusal)


def test_baresip_1_is_offered_md5_alone_for_it_gives_up_at_sha_256() -> None:
    agent = ("User-Agent", "baresip v1.0.0 (x86_64/linux)")
    assert ["MD5" in value for value in offered(judged(doors("SHA-256,MD5"), agent))] == [True]
    assert ["MD5" in value for value in offered(judged(doors("SHA-256"), agent))] == [False]


def test_credentials_count_wherever_they_stand_among_those_for_others() -> None:
    at = doors("MD5")
    right = answer(offered(judged(at)))
    others = ("Authorization", right[1].replace(f'username="{USER}"', 'username="mallory"'))
    number: Any = SimpleNamespace(account_sid="AC1", domain=None)
    assert at.judge(Request.make("INVITE", URI, [others, right]), FLOW, number) == Admitted(username=USER)


def test_a_nonce_of_an_earlier_process_is_stale_once_and_a_new_one_is_taken() -> None:
    challenges = offered(judged(doors("MD5", VirtualClock(lambda: 100.0))))
    at = doors("MD5", VirtualClock(lambda: 101.0))
    again = offered(judged(at, answer(challenges)))
    assert ["stale=true" in value for value in again] == [True]
    assert judged(at, answer(again)) == Admitted(username=USER)
