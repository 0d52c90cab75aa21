"""The image: every configuration record in memory, for the reads of a call's path.

Finding the number a call dialled, the account a request names or a queue by its name must cost a dictionary look-up, not a query. The
image holds all records of the kinds in ``IMAGE_KINDS``; what grows with traffic (calls, events, notifications) stays on disk.

The store is its only writer and changes it after the commit, on the loop's thread, so a reader never sees what might still fail. A change
made by another process (``waitline account create``) arrives as a whole new content by ``replace``; the ``Index`` objects stay the same, so
a part may keep a reference to ``store.image.queues``.

An ``Index`` keeps the order in which records were made. To add a look-up, subclass it and keep a dictionary beside ``_by_key`` in
``_added`` and ``_removed``.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from typing import Any, Generic, TypeVar

from waitline.bridge.store.records import (
    Account,
    ApiKey,
    Application,
    Credential,
    CredentialList,
    DomainMapping,
    IncomingPhoneNumber,
    IpAccessControlList,
    IpAddress,
    Queue,
    SipDomain,
)

R = TypeVar("R", bound=Any)
"""A record. Bound to Any: what all records share (``sid``, ``account_sid``) is a convention, checked by the store's tests."""


class Index(Generic[R]):
    """All records of one kind, by sid and by account."""

    def __init__(self) -> None:
        self._by_key: dict[Hashable, R] = {}
        self._by_account: dict[str, dict[Hashable, R]] = {}

    def get(self, sid: str) -> R | None:
        """Return the record with that sid."""
        return self._by_key.get(sid)

    def of_account(self, account_sid: str) -> list[R]:
        """Return the account's records, the newest first."""
        return list(reversed(self._by_account.get(account_sid, {}).values()))

    def count_of(self, account_sid: str) -> int:
        """Return how many records the account has."""
        return len(self._by_account.get(account_sid, ()))

    def __len__(self) -> int:
        return len(self._by_key)

    def __iter__(self) -> Iterator[R]:
        """Iterate over all records, the oldest first."""
        return iter(list(self._by_key.values()))

    def _key(self, record: R) -> Hashable:
        key: Hashable = record.sid
        return key

    def _owner(self, record: R) -> str:
        return str(record.account_sid)

    def _added(self, record: R) -> None:
        """Keep a subclass's look-ups."""

    def _removed(self, record: R) -> None:
        """Drop what ``_added`` kept."""

    def put(self, record: R) -> None:
        """Insert or replace; for the store only. A replaced record keeps its place in the order."""
        key = self._key(record)
        old = self._by_key.get(key)
        if old is not None:
            self._removed(old)
            if self._owner(old) != self._owner(record):
                self._leave_account(key, old)
        self._by_key[key] = record
        self._by_account.setdefault(self._owner(record), {})[key] = record
        self._added(record)

    def remove(self, record: R) -> None:
        """Remove the record with the same key, if there is one; for the store only."""
        key = self._key(record)
        old = self._by_key.pop(key, None)
        if old is not None:
            self._removed(old)
            self._leave_account(key, old)

    def replace(self, records: Iterable[R]) -> None:
        """Hold these records and no others; for the store only."""
        for record in list(self._by_key.values()):
            self.remove(record)
        for record in records:
            self.put(record)

    def _leave_account(self, key: Hashable, record: R) -> None:
        of_account = self._by_account[self._owner(record)]
        del of_account[key]
        if not of_account:
            del self._by_account[self._owner(record)]


class Accounts(Index[Account]):
    """Accounts; ``of_account(parent)`` are a parent's sub-accounts and the parent itself."""

    def _owner(self, record: Account) -> str:
        return record.owner_account_sid


class NamedIndex(Index[R]):
    """An index with one more key that is unique; subclasses say which in ``_name``."""

    def __init__(self) -> None:
        super().__init__()
        self._by_name: dict[Hashable, R] = {}

    def _name(self, record: R) -> Hashable:
        raise NotImplementedError

    def _added(self, record: R) -> None:
        self._by_name[self._name(record)] = record

    def _removed(self, record: R) -> None:
        del self._by_name[self._name(record)]


class Queues(NamedIndex[Queue]):
    """Queues, also by account and name."""

    def _name(self, record: Queue) -> Hashable:
        return record.account_sid, record.friendly_name

    def by_name(self, account_sid: str, name: str) -> Queue | None:
        """Return the account's queue of that exact name."""
        return self._by_name.get((account_sid, name))


class Numbers(NamedIndex[IncomingPhoneNumber]):
    """Incoming phone numbers, also by their E.164 text over all accounts."""

    def _name(self, record: IncomingPhoneNumber) -> Hashable:
        return record.phone_number

    def by_number(self, text: str) -> IncomingPhoneNumber | None:
        """Return the record of that number, E.164 with its plus."""
        return self._by_name.get(text)


class Domains(NamedIndex[SipDomain]):
    """SIP domains, also by name over all accounts."""

    def _name(self, record: SipDomain) -> Hashable:
        return record.domain_name.lower()

    def by_name(self, text: str) -> SipDomain | None:
        """Return the domain of that name; host names compare without case."""
        return self._by_name.get(text.lower())


class Credentials(NamedIndex[Credential]):
    """SIP credentials, also by list and user name."""

    def _name(self, record: Credential) -> Hashable:
        return record.credential_list_sid, record.username

    def by_username(self, list_sid: str, username: str) -> Credential | None:
        """Return the list's credential for that user name."""
        return self._by_name.get((list_sid, username))

    def of_list(self, list_sid: str) -> list[Credential]:
        """Return the list's credentials, the newest first."""
        return [record for record in reversed(self._by_key.values()) if record.credential_list_sid == list_sid]


class IpAddresses(Index[IpAddress]):
    """Addresses of IP access control lists."""

    def of_list(self, list_sid: str) -> list[IpAddress]:
        """Return the list's addresses, the newest first."""
        return [record for record in reversed(self._by_key.values()) if record.ip_access_control_list_sid == list_sid]


class Mappings(Index[DomainMapping]):
    """Which lists guard which domain. The key is (domain, kind, list), so ``get`` alone says too little: use ``find``."""

    def _key(self, record: DomainMapping) -> Hashable:
        return record.domain_sid, record.kind, record.sid

    def find(self, domain_sid: str, kind: str, list_sid: str) -> DomainMapping | None:
        """Return the mapping of that list to that domain, if there is one."""
        return self._by_key.get((domain_sid, kind, list_sid))

    def of_domain(self, domain_sid: str, kind: str) -> list[DomainMapping]:
        """Return the domain's mappings of that kind, the newest first."""
        return [record for record in reversed(self._by_key.values()) if record.domain_sid == domain_sid and record.kind == kind]

    def of_target(self, list_sid: str) -> list[DomainMapping]:
        """Return every mapping of that credential or IP list: they go when the list goes."""
        return [record for record in self._by_key.values() if record.sid == list_sid]


class Image:
    """One index per kind of configuration record."""

    def __init__(self) -> None:
        self.accounts = Accounts()
        self.keys: Index[ApiKey] = Index()
        self.queues = Queues()
        self.numbers = Numbers()
        self.applications: Index[Application] = Index()
        self.domains = Domains()
        self.credential_lists: Index[CredentialList] = Index()
        self.credentials = Credentials()
        self.ip_lists: Index[IpAccessControlList] = Index()
        self.ip_addresses = IpAddresses()
        self.mappings = Mappings()
        self._indexes: dict[type, Index[Any]] = {
            Account: self.accounts,
            ApiKey: self.keys,
            Queue: self.queues,
            IncomingPhoneNumber: self.numbers,
            Application: self.applications,
            SipDomain: self.domains,
            CredentialList: self.credential_lists,
            Credential: self.credentials,
            IpAccessControlList: self.ip_lists,
            IpAddress: self.ip_addresses,
            DomainMapping: self.mappings,
        }

    def count_of(self, account_sid: str) -> int:
        """Return how many records an account has, of all kinds together."""
        return sum(index.count_of(account_sid) for index in self._indexes.values())

    @property
    def kinds(self) -> tuple[type, ...]:
        """The record types the image holds."""
        return tuple(self._indexes)

    def index(self, kind: type[R]) -> Index[R]:
        """Return the index of a record type; KeyError if the image does not hold it."""
        return self._indexes[kind]
