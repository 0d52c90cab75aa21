"""What the real tests share: a platform that serves, with an account, a tenant and the official SDK pointed at it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from harness.serve import Serve
from harness.tenant import Tenant
from twilio.rest import Client

NUMBER = "+15550100"


@dataclass
class Platform:
    """A running platform and one account of it."""

    serve: Serve
    folder: Path
    account_sid: str
    auth_token: str
    client: Client
    tenants: list[Tenant] = field(default_factory=list)
    clients: list[Client] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=lambda: count(15550200))

    @property
    def sip(self) -> tuple[str, int]:
        """Where SIP is, UDP and TCP."""
        return self.serve.sip

    @property
    def base_url(self) -> str:
        return self.serve.base_url

    def log(self) -> str:
        return self.serve.log.text()

    def client_for(self, account_sid: str, auth_token: str) -> Client:
        """Return the SDK's client for an account of this platform."""
        client = Client(account_sid, auth_token)
        client.api.base_url = self.base_url
        self.clients.append(client)
        return client

    def other_account(self, name: str = "Other") -> Client:
        """Create another tenant's account by the command; returns its client."""
        return self.client_for(*self.serve.create_account(name))

    def tenant(self) -> Tenant:
        """Start a tenant of the account; it ends with the test."""
        tenant = Tenant(auth_token=self.auth_token)
        self.tenants.append(tenant)
        return tenant

    def number(self, voice_url: str, number: str = NUMBER, **settings: Any) -> str:
        """Give the account a number with that voice URL; returns the number."""
        self.client.incoming_phone_numbers.create(phone_number=number, voice_url=voice_url, **settings)
        return number

    def fresh_number(self, voice_url: str, **settings: Any) -> str:
        """Give the account a number that nobody has; returns it."""
        return self.number(voice_url, f"+{next(self.numbers)}", **settings)

    def answers(self, document: str, *, number: str = NUMBER) -> Tenant:
        """Have calls to the number answered with one document."""
        tenant = self.tenant()
        self.number(tenant.answers("/voice", document), number)
        return tenant

    def close(self) -> None:
        """End the platform and its tenants."""
        self.serve.stop()
        for tenant in self.tenants:
            tenant.close()
        for client in (self.client, *self.clients):
            client.http_client.session.close()


@contextmanager
def platforms(folder: Path) -> Iterator[Callable[..., Platform]]:
    """Start platforms with WAITLINE_* settings of the test's choosing; each is ended by its PID."""
    started: list[Platform] = []

    def start(where: Path | None = None, **settings: str) -> Platform:
        where = where or folder / f"platform-{len(started)}"
        serve = Serve.start(where, **settings)
        try:
            sid, token = serve.create_account("Acme")
        except BaseException:
            serve.stop()
            raise
        client = Client(sid, token)
        client.api.base_url = serve.base_url
        platform = Platform(serve, where, sid, token, client)
        started.append(platform)
        return platform

    try:
        yield start
    finally:
        for platform in started:
            platform.close()


@pytest.fixture
def start_platform(tmp_path: Path) -> Iterator[Callable[..., Platform]]:
    """Start platforms; they end with the test."""
    with platforms(tmp_path) as start:
        yield start


@pytest.fixture
def platform(start_platform: Callable[..., Platform]) -> Platform:
    """A platform with default settings on free ports."""
    return start_platform()


@pytest.fixture(scope="module")
def start_shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Platform]]:
    """Start platforms; they end with the module."""
    with platforms(tmp_path_factory.mktemp("platforms")) as start:
        yield start


@pytest.fixture(scope="module")
def shared_platform(start_shared: Callable[..., Platform]) -> Platform:
    """One platform for a module's tests: each takes numbers of its own (``fresh_number``)."""
    return start_shared()
