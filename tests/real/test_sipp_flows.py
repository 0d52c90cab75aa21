"""The flows of sip-configs/sipp against ``waitline serve``: each scenario by its name, with the document that its course needs."""

import pytest
from harness import sipp
from harness.tenant import after

pytestmark = [
    pytest.mark.real,
    pytest.mark.sipp,
    pytest.mark.skipif(not sipp.available(), reason="SIPp is not installed (apt: sip-tester)"),
]

STAYS = "<Response><Say>Hold the line.</Say><Pause length='60'/></Response>"  # a Pause alone would not pick up
ENDS = "<Response><Say>Bye.</Say><Hangup/></Response>"
RINGS = after(8.0, STAYS)
USER, PASSWORD, DOMAIN = "alice", "Correct-Horse-7", "flows.sip.test"

ANSWERED = [
    "basic-call",
    "hold-and-resume",
    "invite-without-sdp",
    "retransmitted-invite-after-200",
    "lost-ack",
    "unacknowledged-200-is-resent",
    "duplicate-bye",
    "session-timer",
]


@pytest.fixture
def called(shared_platform):
    """Give a document to a tenant of its own under a number of its own; returns both."""

    def answers(document):
        tenant = shared_platform.tenant()
        return tenant, shared_platform.fresh_number(tenant.answers("/voice", document))

    return answers


@pytest.fixture
def start(shared_platform, tmp_path):
    """Start a scenario against the platform."""
    return lambda scenario, **options: sipp.start(scenario, shared_platform.sip, tmp_path / "sipp", **options)


@pytest.mark.parametrize("scenario", ANSWERED)
def test_an_answered_call(called, start, scenario):
    tenant, number = called(STAYS)
    start(scenario, service=number).wait()
    assert len(tenant.requests("/voice")) == 1  # one call, however often its INVITE came


@pytest.mark.parametrize("scenario", ["cancel-before-answer", "retransmitted-invite-while-ringing"])
def test_a_call_that_rings_while_the_tenant_thinks(called, start, scenario):
    tenant, number = called(RINGS)
    start(scenario, service=number).wait()
    assert len(tenant.requests("/voice")) == 1


def test_a_caller_that_acknowledges_the_ringing(called, start):
    _, number = called(after(0.5, STAYS))
    start("reliable-ringing", service=number).wait()


def test_the_platform_hangs_up_at_the_end_of_the_document(called, start):
    start("bye-from-platform", service=called(ENDS)[1]).wait()


def test_the_platform_hangs_up_when_the_tenant_says_so_over_rest(shared_platform, called, start):
    tenant, number = called("<Response><Say>One moment.</Say><Redirect>/stays</Redirect></Response>")
    tenant.answers("/stays", STAYS)
    with start("bye-from-platform", service=number) as caller:
        call = tenant.wait_for("/stays").params["CallSid"]
        shared_platform.client.calls(call).update(status="completed")
        caller.wait()


@pytest.mark.parametrize("scenario", ["basic-call", "hold-and-resume", "invite-without-sdp"])
def test_the_same_over_tcp(called, start, scenario):
    start(scenario, service=called(STAYS)[1], transport="t1").wait()


def test_many_calls_at_once_all_end_well(called, start):
    tenant, number = called(STAYS)
    start("basic-call", service=number, calls=20).wait()
    assert len(tenant.requests("/voice")) == 20


@pytest.fixture(scope="module")
def domain(shared_platform):
    """A SIP domain that asks for credentials, for calls and registrations; returns its tenant."""
    tenant, sip = shared_platform.tenant(), shared_platform.client.sip
    phones = sip.credential_lists.create("phones").sid
    sip.credential_lists(phones).credentials.create(USER, PASSWORD)
    made = sip.domains.create(domain_name=DOMAIN, voice_url=tenant.answers("/voice", STAYS), sip_registration=True)
    sip.domains(made.sid).auth.calls.credential_list_mappings.create(phones)
    sip.domains(made.sid).auth.registrations.credential_list_mappings.create(phones)
    return tenant


def as_user(password, uri=f"{USER}@{DOMAIN}"):
    return ("-au", USER, "-ap", password, "-key", "domain", DOMAIN, "-auth_uri", uri)


@pytest.mark.parametrize(("scenario", "password", "calls"), [("digest-ok", PASSWORD, 1), ("digest-bad-password", "wrong", 0)])
def test_a_domain_with_credentials(domain, start, scenario, password, calls):
    before = len(domain.requests("/voice"))
    start(scenario, service=USER, arguments=as_user(password)).wait()
    assert len(domain.requests("/voice")) == before + calls


def test_a_phone_registers(domain, start):
    start("register-ok", service=USER, arguments=as_user(PASSWORD, DOMAIN)).wait()


def test_options_are_answered(start):
    start("options").wait()
