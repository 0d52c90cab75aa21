"""The session timer (RFC 4028): what is agreed, who refreshes, and what becomes of a session that nobody refreshes."""

from __future__ import annotations

from typing import Any

import pytest
from unit.sip.kit import ANSWER, OFFER, Lab, request, response, ringing, take_over

from waitline.bridge.sip.events import OfferReceived, RefreshDue, SessionExpired
from waitline.bridge.sip.message import Request, Response

TIMER = "Supported: timer"


def answered(lab: Lab, headers: str) -> tuple[str, str, Response]:
    """A call whose INVITE said so; returns (handle, our tag, the 200)."""
    handle, tag = ringing(lab, headers=headers)
    lab.ua.answer(handle, ANSWER, lab.now)
    (ok,) = lab.drain()
    assert isinstance(ok, Response)
    lab.receive(request("ACK", branch="z9hG4bK-ack", to_tag=tag))
    lab.events.clear()
    return handle, tag, ok


def agreed(message: Any) -> tuple[str | None, str | None]:
    return message.headers.get("Session-Expires"), message.headers.get("Require")


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("", (None, None)),
        (TIMER, ("1800;refresher=uac", "timer")),
        (f"{TIMER}\nMin-SE: 3600", ("3600;refresher=uac", "timer")),
        (f"{TIMER}\nSession-Expires: 600", ("600;refresher=uac", "timer")),
        ("k: timer\nx: 600 ; refresher=uas", ("600;refresher=uas", "timer")),
        ("Require: timer\nSession-Expires: 90;refresher=uac", ("90;refresher=uac", "timer")),
        ("Session-Expires: 600", ("600;refresher=uas", None)),
        ("Session-Expires: 30", ("90;refresher=uas", None)),
    ],
)
def test_the_200_names_the_interval_and_who_refreshes(asked: str, found: tuple[str | None, str | None]) -> None:
    _, _, ok = answered(Lab(), asked)
    assert agreed(ok) == found


def test_no_timer_is_proposed_where_the_operator_wants_none() -> None:
    from waitline.bridge.sip.timers import Timers

    _, _, ok = answered(Lab(timers=Timers(session=0)), TIMER)
    assert agreed(ok) == (None, None)


def test_too_short_an_interval_is_refused_and_told_what_would_do() -> None:
    lab = Lab()
    (refused,) = lab.receive(request("INVITE", body=OFFER, headers=f"{TIMER}\nSession-Expires: 89"))
    assert isinstance(refused, Response)
    assert (refused.status, refused.headers.get("Min-SE")) == (422, "90")


def test_an_interval_that_is_no_number_is_a_bad_request() -> None:
    lab = Lab()
    (refused,) = lab.receive(request("INVITE", body=OFFER, headers=f"{TIMER}\nSession-Expires: soon"))
    assert isinstance(refused, Response)
    assert refused.status == 400


def test_a_session_that_its_peer_does_not_refresh_expires_a_moment_before_the_end() -> None:
    lab = Lab()
    handle, _, _ = answered(lab, f"{TIMER}\nSession-Expires: 600")
    lab.advance(567)
    assert lab.events == []
    lab.advance(1.1)
    assert lab.event(SessionExpired).dialog == handle


def test_a_short_session_expires_a_third_before_the_end() -> None:
    lab = Lab()
    answered(lab, f"{TIMER}\nSession-Expires: 90")
    lab.advance(59)
    assert lab.events == []
    lab.advance(1.1)
    lab.event(SessionExpired)


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_each_refresh_of_the_peer_begins_the_interval_anew(method: str) -> None:
    lab = Lab()
    handle, tag, _ = answered(lab, f"{TIMER}\nSession-Expires: 90")
    for number in range(2, 6):
        lab.advance(50)
        branch = f"z9hG4bK-{number}"
        said = lab.receive(
            request(
                method,
                branch=branch,
                cseq=number,
                to_tag=tag,
                headers=f"{TIMER}\nSession-Expires: 90;refresher=uac",
                body=OFFER if method == "INVITE" else b"",
            )
        )
        if method == "INVITE":
            lab.event(OfferReceived)
            lab.ua.answer_offer(handle, ANSWER, lab.now)
            said = lab.drain()
            lab.receive(request("ACK", branch=branch + "-ack", cseq=number, to_tag=tag))
            lab.events.clear()
        assert agreed(said[-1]) == ("90;refresher=uac", "timer")
    assert lab.events == []
    lab.advance(61)
    lab.event(SessionExpired)


def test_a_refused_re_invite_refreshes_nothing() -> None:
    lab = Lab()
    handle, tag, _ = answered(lab, f"{TIMER}\nSession-Expires: 90")
    lab.advance(50)
    lab.receive(request("INVITE", branch="z9hG4bK-2", cseq=2, to_tag=tag, headers=f"{TIMER}\nSession-Expires: 90", body=OFFER))
    lab.event(OfferReceived)
    lab.ua.reject_offer(handle, 488, lab.now)
    (refused,) = lab.drain()
    assert isinstance(refused, Response)
    assert agreed(refused) == (None, None)
    lab.advance(11)
    lab.event(SessionExpired)


def test_a_refresh_without_an_interval_from_a_peer_that_knows_none_ends_the_timer() -> None:
    lab = Lab()
    _, tag, _ = answered(lab, f"{TIMER}\nSession-Expires: 90")
    lab.receive(request("UPDATE", branch="z9hG4bK-2", cseq=2, to_tag=tag))
    lab.advance(4000)
    assert lab.events == []


def test_where_we_refresh_an_update_goes_out_at_half_the_interval_and_its_200_begins_anew() -> None:
    lab = Lab()
    answered(lab, f"{TIMER}\nSession-Expires: 600;refresher=uas\nAllow: INVITE, ACK, BYE, UPDATE")
    for _ in range(3):
        lab.advance(299.9)
        before = len(lab.sent)
        lab.advance(0.2)
        (update,) = (message for _, _, message in lab.sent[before:])
        assert isinstance(update, Request)
        assert (update.method, update.body, update.headers.get("Session-Expires")) == ("UPDATE", b"", "600;refresher=uac")
        lab.receive(response(update, 200, headers="Session-Expires: 600;refresher=uac\nRequire: timer"))
        lab.events.clear()


def test_where_the_peer_takes_no_update_the_owner_is_asked_for_a_re_invite() -> None:
    lab = Lab()
    handle, _, _ = answered(lab, "Session-Expires: 600")
    lab.advance(300.1)
    assert lab.event(RefreshDue).dialog == handle
    lab.ua.reinvite(handle, OFFER, lab.now)
    (again,) = lab.drain()
    assert isinstance(again, Request)
    assert again.headers.get("Session-Expires") == "600;refresher=uac"
    lab.receive(response(again, 200, headers="Session-Expires: 600;refresher=uac", body=ANSWER))
    lab.events.clear()
    lab.advance(290)
    assert lab.events == []
    lab.advance(11)
    lab.event(RefreshDue)


@pytest.mark.parametrize("status", [408, 481])
def test_a_refresh_that_finds_no_call_any_more_ends_the_session_at_once(status: int) -> None:
    lab = Lab()
    handle, _, _ = answered(lab, "Session-Expires: 600\nAllow: UPDATE")
    before = len(lab.sent)
    lab.advance(300.1)
    lab.receive(response(lab.sent[before][2], status))  # type: ignore[arg-type]
    assert lab.event(SessionExpired).dialog == handle


def test_a_refresh_that_is_refused_is_tried_again_until_the_end() -> None:
    lab = Lab()
    answered(lab, "Session-Expires: 600\nAllow: UPDATE")
    lab.advance(300.1)
    for _ in range(3):
        lab.receive(response(lab.sent[-1][2], 500))  # type: ignore[arg-type]
        before = len(lab.sent)
        lab.advance(10.1)
        assert len(lab.sent) == before + 1
    lab.receive(response(lab.sent[-1][2], 500))  # type: ignore[arg-type]
    while lab.now < 100 + 568:
        lab.advance(1)
        if isinstance(lab.sent[-1][2], Request):
            lab.receive(response(lab.sent[-1][2], 500))
    lab.advance(1)
    lab.event(SessionExpired)


def test_a_call_that_is_over_expires_no_more() -> None:
    lab = Lab()
    _, tag, _ = answered(lab, f"{TIMER}\nSession-Expires: 90")
    lab.receive(request("BYE", branch="z9hG4bK-bye", cseq=2, to_tag=tag))
    lab.events.clear()
    lab.advance(200)
    assert lab.events == []
    assert lab.idle


@pytest.mark.parametrize("refresher", ["uac", "uas"])
def test_the_process_that_takes_over_keeps_the_timer(refresher: str) -> None:
    lab = Lab()
    handle, _, _ = answered(lab, f"{TIMER}\nSession-Expires: 90;refresher={refresher}\nAllow: UPDATE")
    lab.advance(30)
    lab = take_over(lab, handle)
    before = len(lab.sent)
    lab.advance(16)
    assert (len(lab.sent) > before) == (refresher == "uas")
    lab.advance(15)
    lab.event(SessionExpired)
