"""Who may call: digest credentials of a SIP domain in every form that phones use, address lists, and the operator's trust list."""

from __future__ import annotations

import itertools

import pytest
from harness.sip_phone import SipPhone

pytestmark = pytest.mark.real

USER, PASSWORD, DOMAIN, GUARDED = "alice", "Correct-Horse-7", "digest.sip.test", "guarded.sip.test"
SEEDS = itertools.count(1)
STAYS = "<Response><Say>Hello.</Say><Pause length='60'/></Response>"


@pytest.fixture(scope="module")
def strict(start_shared):
    """A platform that trusts nobody by address."""
    return start_shared(WAITLINE_SIP_TRUST="")


@pytest.fixture(scope="module")
def tenant(strict):
    """An account with a SIP domain that asks for credentials, and a number."""
    tenant, sip = strict.tenant(), strict.client.sip
    lists = sip.credential_lists.create("phones").sid
    sip.credential_lists(lists).credentials.create(USER, PASSWORD)
    domain = sip.domains.create(domain_name=DOMAIN, voice_url=tenant.answers("/voice", STAYS), sip_registration=True).sid
    sip.domains(domain).auth.calls.credential_list_mappings.create(lists)
    sip.domains(domain).auth.registrations.credential_list_mappings.create(lists)
    strict.number(tenant.base_url + "/voice")
    return tenant


@pytest.fixture
def phone(strict):
    """A phone by password; its user and domain are the domain's."""
    phones = []

    def make(password=PASSWORD, user=USER, domain=DOMAIN):
        phones.append(SipPhone(server=strict.sip, user=user, password=password, domain=domain, seed=next(SEEDS)))
        return phones[-1]

    yield make
    for made in phones:
        made.close()


def challenged(phone, number, **form):
    """Call, take the 401, and call again with credentials of that form; returns the call."""
    call = phone.invite(number)
    response = call.refused()
    assert (response.status, response.all("www-authenticate") != []) == (401, True)
    call.invite_headers = [phone.credentials(response, "INVITE", call.uri, **form)]
    call.invite(call.offer())
    return call


@pytest.mark.parametrize("form", [{}, {"qop": False}, {"algorithm": "SHA-256"}], ids=["MD5 with qop", "MD5 without qop", "SHA-256"])
def test_a_call_with_the_right_password_is_answered(strict, tenant, phone, form):
    before = len(tenant.requests("/voice"))
    call = challenged(phone(), "support", **form)
    call.answered()
    asked = tenant.wait_for("/voice", count=before + 1)
    expected = {"SipUsername": USER, "SipDomain": DOMAIN, "From": f"sip:{USER}@{DOMAIN}", "To": f"sip:support@{DOMAIN}"}
    assert expected.items() <= asked.params.items()
    assert call.hang_up().status == 200


@pytest.mark.parametrize(("user", "password"), [(USER, "wrong"), ("mallory", PASSWORD)], ids=["wrong password", "unknown user"])
@pytest.mark.parametrize("form", [{}, {"qop": False}, {"algorithm": "SHA-256"}], ids=["MD5 with qop", "MD5 without qop", "SHA-256"])
def test_a_call_without_the_right_password_never_reaches_the_tenant(tenant, phone, user, password, form):
    before = len(tenant.requests())
    assert challenged(phone(password, user), "support", **form).refused().status in (401, 403)
    assert len(tenant.requests()) == before


@pytest.mark.parametrize(("password", "status"), [(PASSWORD, 200), ("wrong", 401)])
def test_a_registration_needs_the_right_password(tenant, phone, password, status):
    response = phone(password).register()
    assert response.status == status
    assert ("expires=" in response["contact"]) == (status == 200)


def test_nobody_takes_another_users_calls_with_their_own_password(tenant, phone):
    thief = phone()
    response = thief.request("REGISTER", f"sip:{DOMAIN}", to=f"sip:bob@{DOMAIN}", headers=[("Contact", thief.contact), ("Expires", "60")])
    assert response.status == 403


def test_a_stranger_gets_the_same_challenge_for_what_exists_and_what_does_not(tenant, phone):
    stranger = phone("", "stranger", "127.0.0.1")
    there, not_there = (stranger.invite(number).refused() for number in ("+15550100", "+15559999"))
    assert (there.status, not_there.status) == (401, 401)
    assert [name for name, _ in there.headers] == [name for name, _ in not_there.headers]


def test_a_number_takes_any_credential_of_its_account(tenant, phone):
    call = challenged(phone(domain="127.0.0.1"), "+15550100")
    call.answered()


def test_an_address_that_is_on_no_list_is_403_whatever_it_knows(strict, tenant, phone):
    sip = strict.client.sip
    office = sip.ip_access_control_lists.create("office").sid
    sip.ip_access_control_lists(office).ip_addresses.create(friendly_name="gate", ip_address="10.1.2.3")
    domain = sip.domains.create(domain_name=GUARDED, voice_url=tenant.base_url + "/voice").sid
    sip.domains(domain).auth.calls.ip_access_control_list_mappings.create(office)
    refused = phone(domain=GUARDED).invite("support").refused()
    assert (refused.status, refused["x-twilio-error"].split()[0]) == (403, "32201")
    sip.ip_access_control_lists(office).ip_addresses.create(friendly_name="here", ip_address="127.0.0.1")
    phone(domain=GUARDED).invite("support").answered()
