"""The flows of sip-configs/sipp against ``waitline serve``: each scenario by its name, with the document that its course needs."""

import pytest
from harness import sipp
from harness.tenant import after

pytestmark = [
    pytest.mark.real,
    pytest.mark.sipp,
    pytest.mark.skipif(not sipp.available(), reason="SIPp is not installed (apt: sip-tester)"),
]

STAYS = "<Response><Pause length='60'/></Response>"
ENDS = "<Response><Say>Bye.</Say><Hangup/></Response>"
RINGS = after(8.0, STAYS)
USER, PASSWORD, DOMAIN = "alice", "Correct-Horse-7", "acme.sip.test"

ANSWERED = [
    "basic-call",
    "hold-and-resume",
    "invite-without-sdp",
    "retransmitted-invite-after-200",
    "lost-ack",
    "unacknowledged-200-is-resent",
    "duplicate-bye",
]


@pytest.mark.parametrize("scenario", ANSWERED)
def test_an_answered_call(platform, scenario):
    tenant = platform.answers(STAYS)
    sipp.run(scenario, platform.sip, platform.folder / "sipp")
    assert len(tenant.requests("/voice")) == 1  # one call, however often its INVITE came


@pytest.mark.parametrize("scenario", ["cancel-before-answer", "retransmitted-invite-while-ringing"])
def test_a_call_that_rings_while_the_tenant_thinks(platform, scenario):
    tenant = platform.answers(RINGS)
    sipp.run(scenario, platform.sip, platform.folder / "sipp")
    assert len(tenant.requests("/voice")) == 1


def test_the_platform_hangs_up_at_the_end_of_the_document(platform):
    platform.answers(ENDS)
    sipp.run("bye-from-platform", platform.sip, platform.folder / "sipp")


def test_the_platform_hangs_up_when_the_tenant_says_so_over_rest(platform):
    tenant = platform.answers(STAYS)
    run = sipp.start("bye-from-platform", platform.sip, platform.folder / "sipp")
    call = tenant.wait_for("/voice").params["CallSid"]
    run_until_in_progress(platform, call)
    platform.client.calls(call).update(status="completed")
    run.wait()


def run_until_in_progress(platform, call_sid):
    """Wait until the call is answered: its log line says so (REST alone would have to be asked again and again)."""
    platform.serve.log.wait_for(rf"(?s){call_sid}.*in-progress|in-progress.*{call_sid}")


@pytest.mark.parametrize("scenario", ["basic-call", "hold-and-resume", "invite-without-sdp"])
def test_the_same_over_tcp(platform, scenario):
    platform.answers(STAYS)
    sipp.run(scenario, platform.sip, platform.folder / "sipp", transport="t1")


def test_many_calls_at_once_all_end_well(platform):
    platform.answers(STAYS)
    sipp.run("basic-call", platform.sip, platform.folder / "sipp", calls=20)


@pytest.fixture
def credentials(platform):
    """A SIP domain that asks for credentials."""
    tenant = platform.tenant()
    made = platform.client.sip.credential_lists.create("phones")
    platform.client.sip.credential_lists(made.sid).credentials.create(USER, PASSWORD)
    domain = platform.client.sip.domains.create(domain_name=DOMAIN, voice_url=tenant.answers("/voice", STAYS), sip_registration=True)
    platform.client.sip.domains(domain.sid).auth.calls.credential_list_mappings.create(made.sid)
    platform.client.sip.domains(domain.sid).auth.registrations.credential_list_mappings.create(made.sid)
    return tenant


def as_user(password, uri=f"{USER}@{DOMAIN}"):
    return ("-au", USER, "-ap", password, "-key", "domain", DOMAIN, "-auth_uri", uri)


@pytest.mark.parametrize(("scenario", "password"), [("digest-ok", PASSWORD), ("digest-bad-password", "wrong")])
def test_a_domain_with_credentials(platform, credentials, scenario, password):
    sipp.run(scenario, platform.sip, platform.folder / "sipp", service=USER, arguments=as_user(password))
    assert len(credentials.requests("/voice")) == (1 if scenario == "digest-ok" else 0)


def test_a_phone_registers(platform, credentials):
    sipp.run("register-ok", platform.sip, platform.folder / "sipp", service=USER, arguments=as_user(PASSWORD, DOMAIN))


def test_options_are_answered(platform):
    sipp.run("options", platform.sip, platform.folder / "sipp")
