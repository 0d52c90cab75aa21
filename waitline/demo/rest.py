"""The REST interface as a tenant uses it: Basic authentication, forms in, JSON out. Any HTTP client would do."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import aiohttp

ROOT = "/2010-04-01/Accounts"
TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back; ``status`` 0 where nothing was ever asked."""

    status: int = 0
    body: Any = None

    def get(self, name: str) -> Any:
        """Return a field of the body, None where there is none."""
        return self.body.get(name) if isinstance(self.body, dict) else None

    def sids(self, key: str, name: str = "sid") -> list[str]:
        """Return one field of each record of a list."""
        return [record[name] for record in self.get(key) or []]


class Rest:
    """One account's way in."""

    def __init__(self, base_url: str, account_sid: str, auth_token: str) -> None:
        self.account_sid = account_sid
        self._base_url = base_url
        self._session = aiohttp.ClientSession(
            auth=aiohttp.BasicAuth(account_sid, auth_token), timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)
        )

    async def ask(self, method: str, path: str, form: dict[str, str] | None = None) -> Answer:
        """Ask for a path below our account, or for an absolute one. Raises aiohttp.ClientError and TimeoutError."""
        where = path if path.startswith("/") else f"{ROOT}/{self.account_sid}/{path}"
        async with self._session.request(method, self._base_url + where, data=form) as response:
            text = await response.text()
        return Answer(status=response.status, body=_readable(text))

    async def get(self, path: str) -> Answer:
        """Ask by GET."""
        return await self.ask("GET", path)

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()


def _readable(text: str) -> Any:
    """Return JSON as what it says, anything else as text: an answer that is not JSON is something to show, not to fail on."""
    try:
        return json.loads(text) if text else None
    except json.JSONDecodeError:
        return text
