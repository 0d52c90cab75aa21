from __future__ import annotations

from dataclasses import replace

from unit.store.kit import AC, account, credential, mapping, one_of_each, phone_number, queue, sid

from waitline.bridge.store.image import Image
from waitline.bridge.store.records import IpAddress, SipDomain


def test_queues_are_found_by_sid_by_account_and_by_exact_name():
    image = Image()
    for number in (1, 2, 3):
        image.queues.put(queue(number))
    image.queues.put(queue(4, account_sid=sid("AC", 2), friendly_name="queue 1"))
    assert image.queues.get(sid("QU", 2)) == queue(2)
    assert image.queues.by_name(AC, "queue 1") == queue(1)
    assert image.queues.by_name(AC, "Queue 1") is None
    assert [found.sid[-1] for found in image.queues.of_account(AC)] == ["3", "2", "1"]
    assert image.queues.of_account("ACnobody") == []


def test_a_renamed_queue_is_found_by_its_new_name_only_and_keeps_its_place():
    image = Image()
    image.queues.put(queue(1))
    image.queues.put(queue(2))
    image.queues.put(queue(1, friendly_name="renamed"))
    assert image.queues.by_name(AC, "queue 1") is None
    assert image.queues.by_name(AC, "renamed") == queue(1, friendly_name="renamed")
    assert [found.sid[-1] for found in image.queues.of_account(AC)] == ["2", "1"]


def test_a_record_that_changes_its_account_leaves_the_old_one():
    image = Image()
    image.numbers.put(phone_number(1))
    image.numbers.put(phone_number(1, account_sid=sid("AC", 2)))
    assert image.numbers.of_account(AC) == []
    assert len(image.numbers.of_account(sid("AC", 2))) == 1


def test_numbers_and_domains_are_unique_over_all_accounts():
    image = Image()
    image.numbers.put(phone_number(7))
    assert image.numbers.by_number("+15550007") == phone_number(7)
    image.numbers.remove(phone_number(7))
    assert image.numbers.by_number("+15550007") is None
    domain = next(record for record in one_of_each() if isinstance(record, SipDomain))
    image.domains.put(domain)
    assert image.domains.by_name("ACME.Example") == domain


def test_a_parents_sub_accounts_are_its_own():
    image = Image()
    child = account(2, owner_account_sid=sid("AC", 1))
    image.accounts.put(account(1))
    image.accounts.put(child)
    assert image.accounts.of_account(sid("AC", 1)) == [child, account(1)]


def test_what_hangs_on_lists_and_domains_is_found_by_them():
    image = Image()
    image.credentials.put(credential(1))
    image.credentials.put(credential(2))
    image.credentials.put(credential(3, credential_list_sid=sid("CL", 2)))
    assert image.credentials.by_username(sid("CL", 1), "user2") == credential(2)
    assert image.credentials.of_list(sid("CL", 1)) == [credential(2), credential(1)]
    address = next(record for record in one_of_each() if isinstance(record, IpAddress))
    image.ip_addresses.put(address)
    assert image.ip_addresses.of_list(sid("AL", 1)) == [address]
    assert image.ip_addresses.of_list(sid("AL", 2)) == []


def test_a_list_may_guard_a_domain_once_per_kind():
    image = Image()
    both = [mapping(1), mapping(1, kind="registrations-credentials")]
    for record in both:
        image.mappings.put(record)
        image.mappings.put(record)
    assert image.mappings.of_domain(sid("SD", 1), "calls-credentials") == [mapping(1)]
    assert image.mappings.find(sid("SD", 1), "registrations-credentials", sid("CL", 1)) == both[1]
    assert image.mappings.of_target(sid("CL", 1)) == both
    image.mappings.remove(both[0])
    assert list(image.mappings) == both[1:]


def test_a_new_content_replaces_all_and_keeps_the_index():
    image = Image()
    index = image.index(type(queue()))
    index.put(queue(1))
    index.replace([queue(2, friendly_name="queue 1"), queue(3)])
    assert image.queues is index
    assert [found.sid[-1] for found in index] == ["2", "3"]
    assert image.queues.by_name(AC, "queue 1") == replace(queue(2), friendly_name="queue 1")
    index.remove(queue(9))
    assert len(index) == 2
