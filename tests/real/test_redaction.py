"""Canaries: secrets go through the main flows on real sockets, and then everything that the platform gives out is searched for them."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
from collections.abc import Callable
from typing import Any

import pytest
import requests
from harness.sip_phone import SipPhone
from harness.tenant import Answer

from waitline.bridge.sip.digest import ha1

pytestmark = pytest.mark.real

USER, DOMAIN = "alice", "canary.sip.test"
PASSWORD, IN_URL, IN_DOCUMENT = "Canary-Of-Sip-1", "CanaryInUrl2", "CanaryInDocument3"
DOCUMENT = f"<Response><Foo password='{IN_DOCUMENT}'/><Redirect>{{}}</Redirect></Response>"
STAYS = "<Response><Say>Hello.</Say><Pause length='60'/></Response>"


class Canaries:
    """A platform, the secrets that went through it, and what it gave out."""

    def __init__(self, platform: Any) -> None:
        self.platform = platform
        self.secrets = {
            "auth token": platform.auth_token,
            "password": PASSWORD,
            "HA1": ha1(USER, "waitline", PASSWORD),
            "HA1 by SHA-256": ha1(USER, "waitline", PASSWORD, "SHA-256"),
            "password in a URL": IN_URL,
            "the same in a header": base64.b64encode(f"web:{IN_URL}".encode()).decode(),
            "password in a document": IN_DOCUMENT,
        }
        self.told: dict[str, bytes] = {}

    def rest(self, method: str, path: str, *, of: str = "", token: str = "", **form: str) -> Any:
        """Ask; what is answered is searched, unless it is where a secret is shown once."""
        auth = (self.platform.account_sid, token or self.platform.auth_token)
        with requests.request(method, self.platform.base_url + path, data=form, auth=auth, timeout=20) as answer:
            if of:
                self.secrets[of] = next(value for name, value in answer.json().items() if name in ("secret", "secondary_auth_token"))
            else:
                self.told[f"{method} {path}"] = answer.content
            return answer.json() if answer.content.startswith(b"{") else None

    def found(self) -> list[str]:
        """Where which secret is."""
        data = [path for path in (self.platform.folder / "data").iterdir() if path.is_file() and path.name != "waitline.key"]
        assert {"waitline.db", "waitline.db-wal"} <= {path.name for path in data}
        places = {**self.told, "the log": self.platform.log().encode(), **{path.name: path.read_bytes() for path in data}}
        return [f"{secret} in {place}" for secret, text in self.secrets.items() for place, said in places.items() if text.encode() in said]


@pytest.fixture
def canaries(start_platform: Callable[..., Any]) -> Canaries:
    return Canaries(start_platform(WAITLINE_SIP_TRUST="", WAITLINE_LOG_LEVEL="debug", WAITLINE_LOG_FORMAT="json"))


def _calls(canaries: Canaries, password: str) -> tuple[SipPhone, Any]:
    """Call, with that password, when it is asked for."""
    phone = SipPhone(server=canaries.platform.sip, user=USER, password=password, domain=DOMAIN, seed=len(canaries.secrets))
    call = phone.invite("support")
    challenge = call.refused()
    header = phone.credentials(challenge, "INVITE", call.uri)
    answer = re.search(r'response="(\w+)"', header[1])
    assert answer is not None
    canaries.secrets[f"digest answer {len(canaries.secrets)}"] = answer[1]
    call.invite_headers = [header]
    call.invite(call.offer())
    return phone, call


def test_no_secret_is_in_anything_that_is_given_out_or_kept(canaries: Canaries) -> None:
    platform = canaries.platform
    tenant, sip = platform.tenant(), platform.client.sip
    secret = tenant.base_url.replace("http://", f"http://web:{IN_URL}@")
    tenant.answers("/voice", DOCUMENT.format(f"{secret}/broken"))
    tenant.answers("/broken", Answer(f"<no password='{IN_DOCUMENT}'", status=500))
    tenant.answers("/fallback", STAYS)
    tenant.answers("/status", Answer("", status=500))
    lists = sip.credential_lists.create("phones").sid
    sip.credential_lists(lists).credentials.create(USER, PASSWORD)
    settings = {"voice_fallback_url": f"{secret}/fallback", "voice_status_callback_url": f"{secret}/status"}
    domain = sip.domains.create(domain_name=DOMAIN, voice_url=f"{secret}/voice", sip_registration=True, **settings).sid
    sip.domains(domain).auth.calls.credential_list_mappings.create(lists)
    sip.domains(domain).auth.registrations.credential_list_mappings.create(lists)

    stranger, refused = _calls(canaries, "wrong-" + PASSWORD)
    assert refused.refused().status in (401, 403)
    stranger.close()
    phone, call = _calls(canaries, PASSWORD)
    assert phone.register().status == 200
    call.answered()
    assert tenant.wait_for("/fallback").headers["Authorization"] == f"Basic {canaries.secrets['the same in a header']}"

    account = f"/2010-04-01/Accounts/{platform.account_sid}"
    canaries.rest("POST", f"{account}/Keys.json", of="secret of a key", FriendlyName="k")
    canaries.rest("POST", "/v1/AuthTokens/Secondary", of="second token")
    canaries.rest("POST", f"{account}/Queues.json", token="wrong" + platform.auth_token)
    canaries.rest("POST", f"{account}/SIP/CredentialLists/{lists}/Credentials.json", Username=USER, Password=PASSWORD)
    (sid,) = [found["sid"] for found in canaries.rest("GET", f"{account}/Calls.json")["calls"] if found["status"] == "in-progress"]
    assert canaries.found() == [], "while the call is up"

    os.kill(platform.serve.control(), signal.SIGKILL)
    platform.serve.log.wait_for(r"control \(pid \d+\) is ready after", within_s=20)
    call.hang_up()
    tenant.wait_for("/status")
    phone.close()
    notes = canaries.rest("GET", f"{account}/Notifications.json")["notifications"]
    events = canaries.rest("GET", f"{account}/Calls/{sid}/Events.json")["events"]
    for path in ("/metrics", "/readyz", "/v1/Audit", "/openapi.json", f"{account}/Nothing.json", f"{account}/Keys.json"):
        canaries.rest("GET", path)
    assert any("***@127.0.0.1" in note["request_url"] for note in notes), "there was something to take out"
    assert "password='***'" in json.dumps(events)
    assert canaries.found() == [], "when it is over"
