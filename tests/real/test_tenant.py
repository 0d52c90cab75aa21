"""The tests' tenant: its script, its log, and that it takes no signature but the right one."""

import urllib.parse
import urllib.request

import pytest
from harness.tenant import Answer, Tenant, TenantProcess, after
from twilio.request_validator import RequestValidator

pytestmark = pytest.mark.real

TOKEN = "0123456789abcdef0123456789abcdef"


def post(url, params, *, signature=""):
    data = urllib.parse.urlencode(params).encode()
    request = urllib.request.Request(url, data, {"X-Twilio-Signature": signature})
    with urllib.request.urlopen(request, timeout=5) as response:
        return response.read().decode(), response.headers["Content-Type"]


@pytest.fixture
def tenant():
    with Tenant(auth_token=TOKEN) as made:
        yield made


def test_answers_come_in_order_and_the_last_is_repeated(tenant):
    url = tenant.answers("/wait", "<one/>", "<two/>")
    assert [post(url, {})[0] for _ in range(3)] == ["<one/>", "<two/>", "<two/>"]
    assert post(url, {})[1].startswith("text/xml")


def test_an_answer_may_depend_on_the_request_and_take_its_time(tenant):
    url = tenant.answers("/voice", lambda request: after(0.05, request.params["CallSid"]))
    assert post(url, {"CallSid": "CA1"})[0] == "CA1"


def test_the_right_signature_is_seen_and_a_wrong_one_too(tenant):
    url = tenant.answers("/voice", Answer("")) + "?a=1&b=2"
    params = {"CallSid": "CA1", "From": "+15550100"}
    post(url, params, signature=RequestValidator(TOKEN).compute_signature(url, params))
    post(url, params, signature="wrong")
    first, second = tenant.requests("/voice")
    assert first.signed
    assert not second.signed
    assert first.params == {"a": "1", "b": "2", **params}


def test_what_does_not_come_is_said_with_what_came(tenant):
    post(tenant.answers("/voice", ""), {})
    with pytest.raises(AssertionError, match=r"waited 0.01 s for /other .*'/voice'"):
        tenant.wait_for("/other", within_s=0.01)


def test_a_tenant_in_its_own_process_answers_and_logs_the_same():
    with TenantProcess(auth_token=TOKEN, answers={"/voice": ["<Redirect>{base}/next</Redirect>"]}) as tenant:
        url = f"{tenant.base_url}/voice"
        signature = RequestValidator(TOKEN).compute_signature(url, {"CallSid": "CA1"})
        assert post(url, {"CallSid": "CA1"}, signature=signature)[0] == f"<Redirect>{tenant.base_url}/next</Redirect>"
        assert tenant.wait_for("/voice").signed
