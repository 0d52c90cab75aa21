"""Which calls are encrypted, and by which way those that must be may come."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from waitline.bridge.call.state import Application
from waitline.bridge.config import Config
from waitline.bridge.router.encryption import NOT_OVER_TLS, objection, policy_for
from waitline.bridge.router.routes import Route
from waitline.bridge.sip.flow import Flow
from waitline.bridge.store.records import SipDomain

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def to_domain(**values: Any) -> Route:
    domain = SipDomain(sid="SD1", account_sid="AC1", domain_name="d.test", friendly_name="", date_created=NOW, date_updated=NOW, **values)
    return Route(account_sid="AC1", application=Application(), to="", from_="", domain=domain)


@pytest.mark.parametrize(
    ("domain", "platform", "policy"),
    [
        ({}, "offered", "offered"),
        ({}, "required", "required"),
        ({"media_encryption": "off"}, "required", "off"),
        ({"media_encryption": "required"}, "off", "required"),
        ({"secure": True}, "off", "required"),
        ({"secure": True, "media_encryption": "off"}, "off", "required"),
    ],
)
def test_a_domain_decides_for_itself_and_one_that_is_secure_has_decided(domain: dict[str, Any], platform: Any, policy: str) -> None:
    assert policy_for(to_domain(**domain), Config(sip_srtp=platform)) == policy


@pytest.mark.parametrize("platform", ["off", "offered", "required"])
def test_calls_to_numbers_do_as_the_platform_says(platform: Any) -> None:
    route = Route(account_sid="AC1", application=Application(), to="", from_="")
    assert policy_for(route, Config(sip_srtp=platform)) == platform


@pytest.mark.parametrize("policy", ["off", "offered", "required"])
@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
@pytest.mark.parametrize("behind_a_proxy", [False, True])
def test_what_must_be_encrypted_comes_over_tls_or_from_behind_a_proxy(policy: str, transport: str, behind_a_proxy: bool) -> None:
    flow = Flow(transport, ("192.0.2.1", 5060), ("192.0.2.9", 5060))
    refused = objection(policy, flow, Config(sip_srtp_without_tls=behind_a_proxy))
    assert refused is (NOT_OVER_TLS if policy == "required" and transport != "tls" and not behind_a_proxy else None)
