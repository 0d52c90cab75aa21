from __future__ import annotations

import json
from typing import Any

import pytest
from unit.sip.kit import UDP, request

from waitline.bridge.sip.flow import Flow
from waitline.bridge.sip.message import Request, parse
from waitline.bridge.sip.registrar import Binding, Outcome, Registrar, address_of_record
from waitline.errors import SipError

AOR = "sip:alice@example.com"


class Desk:
    """A registrar with a clock and a phone that counts its CSeq."""

    def __init__(self, **options: int) -> None:
        self.registrar = Registrar(**options)
        self.now = 1000.0
        self.cseq = 0

    def register(self, contact: str | None, *, expires: int | None = None, flow: Flow = UDP, **options: Any) -> Outcome:
        self.cseq += 1
        extra = "" if expires is None else f"Expires: {expires}"
        return self.registrar.register(AOR, made(contact, extra, cseq=options.pop("cseq", self.cseq), **options), flow, self.now)

    @property
    def uris(self) -> list[str]:
        return [binding.uri for binding in self.registrar.bindings(AOR, self.now)]


def made(contact: str | None, extra: str = "", **options: Any) -> Request:
    parsed = parse(request("REGISTER", contact=contact, headers=extra, **options))
    assert isinstance(parsed, Request)
    return parsed


def contacts(outcome: Outcome) -> list[str]:
    return [value for name, value in outcome.headers if name == "Contact"]


def test_a_binding_lasts_as_long_as_asked_within_the_bounds() -> None:
    desk = Desk()
    assert contacts(desk.register("<sip:a@10.0.0.1>", expires=600)) == ["<sip:a@10.0.0.1>;q=1;expires=600"]
    assert contacts(desk.register("<sip:a@10.0.0.1>;expires=120", expires=600)) == ["<sip:a@10.0.0.1>;q=1;expires=120"]
    assert contacts(desk.register("<sip:a@10.0.0.1>", expires=9999)) == ["<sip:a@10.0.0.1>;q=1;expires=3600"]
    assert contacts(desk.register("<sip:a@10.0.0.1>")) == ["<sip:a@10.0.0.1>;q=1;expires=3600"]


def test_too_short_a_registration_is_refused_with_the_minimum() -> None:
    desk = Desk()
    assert desk.register("<sip:a@10.0.0.1>", expires=30) == Outcome(423, (("Min-Expires", "60"),))
    assert desk.uris == []


def test_a_binding_ends_with_its_time() -> None:
    desk = Desk()
    desk.register("<sip:a@10.0.0.1>", expires=60)
    desk.register("<sip:b@10.0.0.1>", expires=600)
    desk.now += 60
    assert desk.uris == ["sip:b@10.0.0.1"]
    assert desk.registrar.expire(desk.now) == [AOR]
    assert desk.registrar.expire(desk.now) == []


def test_expires_0_removes_a_binding_and_a_star_all_of_them() -> None:
    desk = Desk()
    for user in "abc":
        desk.register(f"<sip:{user}@10.0.0.1>", expires=600)
    assert len(contacts(desk.register("<sip:B@10.0.0.1>;expires=0", expires=600))) == 3  # users are case-sensitive
    assert len(contacts(desk.register("<sip:b@10.0.0.1>;expires=0"))) == 2
    assert desk.register("*", expires=600).status == 400
    assert len(desk.uris) == 2
    assert desk.register("*", expires=0) == Outcome(200)
    assert desk.uris == []
    assert desk.registrar.size == 0


def test_a_register_without_contact_only_asks() -> None:
    desk = Desk()
    desk.register("<sip:a@10.0.0.1>", expires=600)
    desk.now += 0.5
    assert contacts(desk.register(None)) == ["<sip:a@10.0.0.1>;q=1;expires=600"]


def test_a_register_that_was_overtaken_changes_nothing() -> None:
    desk = Desk()
    desk.register("<sip:a@10.0.0.1>", expires=600, cseq=5)
    assert desk.register("<sip:a@10.0.0.1>;expires=0", cseq=5).status == 500
    assert desk.register("*", expires=0, cseq=4).status == 500
    assert desk.register("<sip:b@10.0.0.1>, <sip:a@10.0.0.1>", expires=600, cseq=4).status == 500
    assert desk.uris == ["sip:a@10.0.0.1"]
    assert desk.register("<sip:a@10.0.0.1>;expires=0", cseq=1, call_id="restarted").status == 200
    assert desk.uris == []


def test_the_best_contact_comes_first() -> None:
    desk = Desk()
    desk.register("<sip:low@h>;q=0.1, <sip:high@h>;q=0.9, <sip:odd@h>;q=7", expires=600)
    desk.now += 1
    desk.register("<sip:newer@h>;q=0.9", expires=600)
    assert desk.uris == ["sip:odd@h", "sip:newer@h", "sip:high@h", "sip:low@h"]


def test_an_eleventh_contact_takes_the_place_of_the_oldest() -> None:
    desk = Desk()
    for number in range(11):
        desk.now += 1
        desk.register(f"<sip:a@10.0.0.{number}>", expires=600)
    assert len(desk.uris) == 10
    assert "sip:a@10.0.0.0" not in desk.uris


def test_each_binding_remembers_its_flow_through_a_store() -> None:
    desk = Desk()
    behind = Flow("tcp", ("192.0.2.1", 5060), ("198.51.100.1", 40000), 9)
    desk.register("<sip:a@10.0.0.1>;x=1;flag", expires=600, flow=behind)
    kept = [Binding.from_json(json.loads(json.dumps(one.to_json()))) for one in desk.registrar.bindings(AOR, desk.now)]
    assert kept == desk.registrar.bindings(AOR, desk.now)
    other = Registrar()
    other.restore(AOR, kept, connections={9})
    assert other.bindings(AOR, desk.now)[0].flow == behind
    other.restore(AOR, kept)
    assert other.bindings(AOR, desk.now)[0].flow == behind._replace(connection=0)


def test_parameters_stay_where_they_were() -> None:
    # RFC 4475 §3.3.12 to §3.3.14
    desk = Desk()
    assert contacts(desk.register("sip:+1@gw1.example.net;unknownparam", expires=60))[0].startswith(
        "<sip:+1@gw1.example.net>;unknownparam;"
    )
    desk = Desk()
    assert contacts(desk.register("<sip:+1@gw1.example.net;unknownparam>", expires=60))[0].startswith(
        "<sip:+1@gw1.example.net;unknownparam>;"
    )
    desk = Desk()
    assert contacts(desk.register("<sip:u@example.com?Route=%3Csip:sip.example.com%3E>"))[0].startswith(
        "<sip:u@example.com?Route=%3Csip:sip.example.com%3E>"
    )


def test_a_contact_that_is_no_sip_uri_is_refused() -> None:
    desk = Desk()
    assert desk.register("<name:John_Smith>", expires=600).status == 400


def test_the_address_of_record_is_the_bare_to_uri() -> None:
    def aor(to: str) -> str:
        return address_of_record(made(None).__class__.make("REGISTER", "sip:x", [("To", to)]))

    assert aor('"A" <sip:alice:pw@EXAMPLE.com:5070;transport=tcp>;tag=1') == "sip:alice@example.com"
    with pytest.raises(SipError):
        aor("isbn:2983792873")
