"""The stage: every process and account that the story needs, put up in order and taken down in reverse.

Each is a process of its own and is ended by its PID whatever happens: the platform (``waitline serve`` with its own children), the
tenant of account A, three phones. Account B is the other tenant; it is only ever heard over REST, so it needs no process.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from waitline.demo import documents
from waitline.demo.peers import Event, Peer, Platform, run_command
from waitline.demo.reach import Reach
from waitline.demo.rest import Answer, Rest

OnEvent = Callable[[str, Event], None]
PHONES = {"caller 1": "caller-1", "caller 2": "caller-2", "agent": "agent"}
"""Name on the timeline → user in its SIP addresses."""
TENANT_HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What ``waitline account create`` prints."""

    sid: str
    auth_token: str


class Tenant:
    """The tenant's process, and the platform as that process asks it."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer

    async def rest(self, method: str, path: str, **form: str) -> Answer:
        """Have the tenant ask the platform, with account A's credentials."""
        reply = await self.peer.ask("rest", method=method, path=path, form=form or None)
        return Answer(status=reply["status"], body=reply["body"])

    async def knows(self, **queues: str) -> None:
        """Tell it the sids of its queues."""
        await self.peer.ask("know", queues=queues)

    async def waits_for(self, path: str, what: str, *, within_s: float, **params: str) -> Event:
        """Return the first request for that page with those parameters."""

        def wanted(event: Event) -> bool:
            return bool(event["event"] == "request" and event["path"] == path and params.items() <= event["params"].items())

        return await self.peer.wait_for(wanted, what, within_s=within_s)

    @property
    def base_url(self) -> str:
        return str(next(event for event in self.peer.events if event["event"] == "ready")["base_url"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Everything that is up."""

    folder: Path
    reach: Reach
    a: Account
    b: Account
    platform: Platform
    tenant: Tenant
    other: Rest
    """Account B's way in."""
    phones: dict[str, Peer]

    def uri(self, number: str) -> str:
        """Return what a phone dials for a number."""
        host, port = self.platform.sip
        return f"sip:{number}@{host}:{port}"


@asynccontextmanager
async def stage(folder: Path, reach: Reach, note: Callable[[str, str], None], on_event: OnEvent) -> AsyncIterator[Stage]:
    """Put everything up; ``note(who, text)`` tells a person, ``on_event`` is given what the peers say. Raises DemoFailure."""
    settings = reach.settings(folder / "data")
    async with AsyncExitStack() as stack:
        a, b = [await _create_account(name, settings, folder) for name in ("Tenant A", "Tenant B")]
        note("platform", f"has two accounts: A {a.sid}, B {b.sid}")
        platform = await Platform.start(settings, folder=folder)
        stack.push_async_callback(platform.close)
        note("platform", f"is up, pid {platform.pid}: REST at {platform.base_url}, SIP at {platform.sip[0]}:{platform.sip[1]}")
        tenant = Tenant(await _start(stack, "tenant", "waitline.demo.tenant", _tenant_settings(platform, a), folder, on_event))
        note("tenant", f"is up, pid {tenant.peer.pid}, at {tenant.base_url}, with account A's credentials")
        other = Rest(platform.base_url, b.sid, b.auth_token)
        stack.push_async_callback(other.close)
        phones = {
            name: await _start(stack, name, "waitline.demo.phone", _phone_settings(platform, reach, user), folder, on_event)
            for name, user in PHONES.items()
        }
        yield Stage(folder=folder, reach=reach, a=a, b=b, platform=platform, tenant=tenant, other=other, phones=phones)


async def _create_account(name: str, settings: dict[str, str], folder: Path) -> Account:
    return Account(**json.loads(await run_command(["account", "create", name, "--json"], settings, folder=folder)))


async def _start(stack: AsyncExitStack, name: str, module: str, settings: dict[str, Any], folder: Path, on_event: OnEvent) -> Peer:
    peer = await Peer.start(name, module, settings, folder=folder, on_event=on_event)
    stack.push_async_callback(peer.close)
    return peer


def _tenant_settings(platform: Platform, account: Account) -> dict[str, Any]:
    return {"host": TENANT_HOST, "platform": platform.base_url, "account_sid": account.sid, "auth_token": account.auth_token}


def _phone_settings(platform: Platform, reach: Reach, user: str) -> dict[str, Any]:
    return {"user": user, "server": platform.sip, "host": reach.host, "tones": documents.TONES}
