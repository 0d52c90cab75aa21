"""SIP domains, what guards them, and the credentials (platform contract 5.6)."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import pytest
from harness.rest import REALM, Rest, rest
from harness.virtual_time import run

from waitline.bridge.store.records import DomainMapping

URL = "http://tenant.test/voice"
PASSWORD = "Correct1Horse"


async def _domain(api: Rest, name: str = "acme.sip.test", **more: Any) -> str:
    reply = await api.post("/SIP/Domains.json", DomainName=name, **more)
    assert reply.status == 201, reply.body
    return str(reply.body["sid"])


async def _list(api: Rest, kind: str = "CredentialLists", name: str = "phones") -> str:
    reply = await api.post(f"/SIP/{kind}.json", FriendlyName=name)
    assert reply.status == 201, reply.body
    return str(reply.body["sid"])


def test_a_domain_is_made_changed_and_deleted():
    async def story():
        async with rest() as api:
            made = (await api.post("/SIP/Domains.json", DomainName="ACME.sip.test", VoiceUrl=URL, SipRegistration="true")).body
            assert (made["domain_name"], made["friendly_name"], made["auth_type"]) == ("acme.sip.test", "acme.sip.test", "")
            assert (made["sip_registration"], made["secure"]) == (True, False)
            path = f"/SIP/Domains/{made['sid']}.json"
            changed = (await api.post(path, DomainName="new.sip.test", VoiceStatusCallbackUrl=URL, VoiceStatusCallbackMethod="GET")).body
            assert (changed["domain_name"], changed["voice_url"], changed["voice_status_callback_method"]) == ("new.sip.test", URL, "GET")
            assert (await api.get("/SIP/Domains.json")).body["domains"] == [changed]
            assert (await api.delete(path)).status == 204
            assert (await api.get(path)).code == 20404

    run(story())


def test_a_domain_says_whether_its_calls_are_encrypted():
    async def story():
        async with rest() as api:
            made = (await api.post("/SIP/Domains.json", DomainName="enc.sip.test", MediaEncryption="required")).body
            assert (made["media_encryption"], made["secure"]) == ("required", False)
            path = f"/SIP/Domains/{made['sid']}.json"
            assert (await api.post(path, MediaEncryption="perhaps")).code == 21231
            assert (await api.post(path, MediaEncryption="")).body["media_encryption"] == ""

    run(story())


NAMES_THAT_CANNOT_BE = ["", "a b", "-a.test", "a-.test", "a..test", ".test", "a_b.test", "10.0.0.1", "1.2", "::1", "x" * 64 + ".test"]


@pytest.mark.parametrize("name", [*NAMES_THAT_CANNOT_BE, "é.test", ".".join(["abcdefgh"] * 40), "localhost", "LOCALHOST", "taken.test"])
def test_a_domain_name_that_is_invalid_or_in_use_is_refused(name):
    async def story():
        async with rest() as api:
            await _domain(api, "taken.test")
            mine = await _domain(api.as_other(), "mine.test")
            assert (await api.as_other().post("/SIP/Domains.json", DomainName=name)).code == 21232
            assert (await api.as_other().post(f"/SIP/Domains/{mine}.json", DomainName=name)).code == 21232
            assert (await api.as_other().post(f"/SIP/Domains/{mine}.json", DomainName="mine.test")).status == 200

    run(story())


def test_a_domain_needs_a_name():
    async def story():
        async with rest() as api:
            assert (await api.post("/SIP/Domains.json", FriendlyName="x")).code == 21232

    run(story())


@pytest.mark.parametrize(("kind", "key"), [("CredentialLists", "credential_lists"), ("IpAccessControlLists", "ip_access_control_lists")])
def test_a_list_is_made_renamed_listed_and_deleted(kind, key):
    async def story():
        async with rest() as api:
            sid = await _list(api, kind)
            assert (await api.post(f"/SIP/{kind}/{sid}.json", FriendlyName="desk")).body["friendly_name"] == "desk"
            assert [record["friendly_name"] for record in (await api.get(f"/SIP/{kind}.json")).body[key]] == ["desk"]
            assert (await api.post(f"/SIP/{kind}.json")).code in {21240, 21241}
            assert (await api.delete(f"/SIP/{kind}/{sid}.json")).status == 204
            assert (await api.get(f"/SIP/{kind}/{sid}.json")).code == 20404

    run(story())


def test_of_a_password_only_the_two_digests_are_kept():
    async def story():
        async with rest() as api:
            path = f"/SIP/CredentialLists/{await _list(api)}/Credentials"
            made = await api.post(path + ".json", Username="alice", Password=PASSWORD)
            assert (made.status, made.body["username"]) == (201, "alice")
            kept = api.store.image.credentials.get(made.body["sid"])
            assert kept is not None
            text = f"alice:{REALM}:{PASSWORD}".encode()
            assert (kept.ha1_md5, kept.ha1_sha256) == (hashlib.md5(text).hexdigest(), hashlib.sha256(text).hexdigest())
            assert PASSWORD not in str(made.body)
            changed = await api.post(f"{path}/{kept.sid}.json", Password="Another1Horse")
            assert changed.status == 200
            renewed = api.store.image.credentials.get(kept.sid)
            assert renewed is not None
            assert renewed.ha1_md5 != kept.ha1_md5
            assert [c["sid"] for c in (await api.get(path + ".json")).body["credentials"]] == [kept.sid]
            assert (await api.get(f"{path}/{kept.sid}.json")).status == 200
            assert (await api.delete(f"{path}/{kept.sid}.json")).status == 204
            assert (await api.get(f"{path}/{kept.sid}.json")).code == 20404

    run(story())


@pytest.mark.parametrize(
    "form",
    [
        {"Username": "bob"},
        {"Password": PASSWORD},
        {"Username": "", "Password": PASSWORD},
        {"Username": "x" * 33, "Password": PASSWORD},
        {"Username": "a:b", "Password": PASSWORD},
        {"Username": "a b", "Password": PASSWORD},
        {"Username": 'a"b', "Password": PASSWORD},
        {"Username": "alice", "Password": PASSWORD},
        {"Username": "bob", "Password": "Short1Horse"},
        {"Username": "bob", "Password": "correct1horse"},
        {"Username": "bob", "Password": "CORRECT1HORSE"},
        {"Username": "bob", "Password": "CorrectHorses"},
        {"Username": "bob", "Password": "Correct1Horse\r\n"},
        {"Username": "bob", "Password": "Aa1" * 50},
    ],
)
def test_a_credential_that_cannot_be_is_refused(form):
    async def story():
        async with rest() as api:
            path = f"/SIP/CredentialLists/{await _list(api)}/Credentials.json"
            await api.post(path, Username="alice", Password=PASSWORD)
            assert (await api.post(path, form)).code == 21243
            assert len(api.store.image.credentials) == 1

    run(story())


@pytest.mark.parametrize(
    ("form", "status", "prefix"),
    [
        ({"IpAddress": "10.1.2.3"}, 201, 32),
        ({"IpAddress": "10.1.2.0", "CidrPrefixLength": "24"}, 201, 24),
        ({"IpAddress": "2001:db8::1"}, 201, 128),
        ({"IpAddress": "10.1.2.3", "CidrPrefixLength": "33"}, 400, None),
        ({"IpAddress": "10.1.2.3", "CidrPrefixLength": "-1"}, 400, None),
        ({"IpAddress": "10.1.2"}, 400, None),
        ({"IpAddress": "host.test"}, 400, None),
        ({}, 400, None),
    ],
)
def test_an_address_counts_whole_unless_a_prefix_is_given(form, status, prefix):
    async def story():
        async with rest() as api:
            path = f"/SIP/IpAccessControlLists/{await _list(api, 'IpAccessControlLists')}/IpAddresses.json"
            reply = await api.post(path, {"FriendlyName": "office", **form})
            assert reply.status == status
            if status == 201:
                assert reply.body["cidr_prefix_length"] == prefix
            else:
                assert reply.code == 21242

    run(story())


def test_an_address_is_changed_listed_and_deleted():
    async def story():
        async with rest() as api:
            base = f"/SIP/IpAccessControlLists/{await _list(api, 'IpAccessControlLists')}/IpAddresses"
            sid = (await api.post(base + ".json", FriendlyName="office", IpAddress="10.0.0.1")).body["sid"]
            changed = (await api.post(f"{base}/{sid}.json", CidrPrefixLength=8)).body
            assert (changed["ip_address"], changed["cidr_prefix_length"]) == ("10.0.0.1", 8)
            assert (await api.get(base + ".json")).body["ip_addresses"] == [changed]
            assert (await api.delete(f"{base}/{sid}.json")).status == 204
            assert (await api.get(f"{base}/{sid}.json")).code == 20404

    run(story())


def test_old_and_new_addresses_show_the_same_guards_of_calls():
    async def story():
        async with rest() as api:
            domain, phones = await _domain(api), await _list(api)
            base = f"/SIP/Domains/{domain}"
            old = await api.post(base + "/CredentialListMappings.json", CredentialListSid=phones)
            assert (old.status, old.body["sid"], old.body["domain_sid"], old.body["friendly_name"]) == (201, phones, domain, "phones")
            assert old.body["uri"].endswith(f"{base}/CredentialListMappings/{phones}.json")
            assert (await api.get(base + "/CredentialListMappings.json")).body["credential_list_mappings"] == [old.body]
            new = (await api.get(base + "/Auth/Calls/CredentialListMappings.json")).body["contents"]
            assert [(m["sid"], "domain_sid" in m) for m in new] == [(phones, False)]
            assert (await api.get(base + "/Auth/Registrations/CredentialListMappings.json")).body["contents"] == []
            again = await api.post(base + "/Auth/Calls/CredentialListMappings.json", CredentialListSid=phones)
            assert (again.status, again.code) == (400, 21231)
            assert (await api.delete(f"{base}/Auth/Calls/CredentialListMappings/{phones}.json")).status == 204
            assert (await api.get(f"{base}/CredentialListMappings/{phones}.json")).code == 20404

    run(story())


def test_the_auth_type_tells_what_guards_the_calls():
    async def story():
        async with rest() as api:
            domain, phones, office = await _domain(api), await _list(api), await _list(api, "IpAccessControlLists", "office")
            base = f"/SIP/Domains/{domain}"

            async def auth_type():
                return (await api.get(base + ".json")).body["auth_type"]

            assert (await api.post(base + "/Auth/Registrations/CredentialListMappings.json", CredentialListSid=phones)).status == 201
            assert await auth_type() == ""
            await api.post(base + "/Auth/Calls/IpAccessControlListMappings.json", IpAccessControlListSid=office)
            assert await auth_type() == "IP_ACL"
            await api.post(base + "/CredentialListMappings.json", CredentialListSid=phones)
            assert await auth_type() == "CREDENTIAL_LIST,IP_ACL"
            await api.delete(f"{base}/IpAccessControlListMappings/{office}.json")
            assert await auth_type() == "CREDENTIAL_LIST"

    run(story())


@pytest.mark.parametrize("sid", ["CL" + "0" * 32, "nonsense"])
def test_a_list_that_is_not_the_accounts_cannot_be_mapped(sid):
    async def story():
        async with rest() as api:
            path = f"/SIP/Domains/{await _domain(api)}/CredentialListMappings.json"
            assert (await api.post(path, CredentialListSid=sid)).status in {400, 404}
            theirs = await _list(api.as_other())
            assert (await api.post(path, CredentialListSid=theirs)).code == 20404
            assert len(api.store.image.mappings) == 0

    run(story())


def test_nothing_is_left_of_a_list_that_goes_while_it_is_being_filled_and_mapped():
    async def story():
        async with rest() as api:
            domain, phones, put = await _domain(api), await _list(api), api.store.put

            async def slow_put(*records: object) -> None:
                await asyncio.sleep(2 if isinstance(records[0], DomainMapping) else 1)
                await put(*records)

            api.store.put = slow_put  # type: ignore[method-assign]
            path = f"/SIP/CredentialLists/{phones}"
            replies = await asyncio.gather(
                api.post(path + "/Credentials.json", Username="alice", Password=PASSWORD),
                api.post(f"/SIP/Domains/{domain}/Auth/Calls/CredentialListMappings.json", CredentialListSid=phones),
                api.delete(path + ".json"),
                api.post(path + "/Credentials.json", Username="bob", Password=PASSWORD),
            )
            assert replies[2].status == 204
            image = api.store.image
            assert (len(image.credential_lists), len(image.credentials), len(image.mappings)) == (0, 0, 0)

    run(story())


def test_a_list_takes_its_entries_and_mappings_with_it_and_a_domain_its_mappings():
    async def story():
        async with rest() as api:
            image, lists = api.store.image, [await _list(api), await _list(api)]
            domain = await _domain(api)
            for sid in lists:
                await api.post(f"/SIP/CredentialLists/{sid}/Credentials.json", Username="alice", Password=PASSWORD)
                await api.post(f"/SIP/Domains/{domain}/CredentialListMappings.json", CredentialListSid=sid)
            await api.delete(f"/SIP/CredentialLists/{lists[0]}.json")
            assert (len(image.credentials), len(image.mappings)) == (1, 1)
            await api.delete(f"/SIP/Domains/{domain}.json")
            assert (len(image.credentials), len(image.mappings), len(image.credential_lists)) == (1, 0, 1)

    run(story())
