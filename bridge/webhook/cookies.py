"""Cookies, kept per call and host: a tenant's session framework may hold a call's state in them.

Less than a browser's: no Domain attribute, so a cookie goes back to the host it came from and to no other; a call's cookies are forgotten
with the call. Path, Secure, Max-Age and Expires count (RFC 6265 §5). All state is plain, for the control process that takes the call over.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from yarl import URL

from waitline.clock import Clock

COOKIES_PER_CALL = 50
LONGEST_COOKIE = 4096  # characters, name and value; RFC 6265 §6.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Cookie:
    host: str
    path: str
    name: str
    value: str
    secure: bool = False
    expires: str = ""
    """UTC in ISO form; empty lasts as long as the call."""


class CookieJars:
    """One jar a call."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._jars: dict[str, dict[tuple[str, str, str], Cookie]] = {}

    def keep(self, call: str, url: str, set_cookies: Iterable[str]) -> None:
        """Take over the Set-Cookie headers of an answer from ``url``; the oldest cookie gives way to the 51st."""
        for text in set_cookies:
            cookie = self._read(text, URL(url, encoded=True))
            if cookie is not None and call:
                self._keep(self._jars.setdefault(call, {}), cookie)

    def header(self, call: str, url: str) -> str | None:
        """The Cookie header of a request to ``url``; None where there is nothing to send."""
        jar, target = self._jars.get(call), URL(url, encoded=True)
        if not jar:
            return None
        fitting = [cookie for cookie in jar.values() if self._fits(cookie, target)]
        fitting.sort(key=lambda cookie: -len(cookie.path))  # RFC 6265 §5.4: longer paths first
        return "; ".join(f"{cookie.name}={cookie.value}" for cookie in fitting) or None

    def forget(self, call: str) -> None:
        """The call is over."""
        self._jars.pop(call, None)

    def to_plain(self, call: str) -> list[dict[str, Any]]:
        return [asdict(cookie) for cookie in self._jars.get(call, {}).values()]

    def restore(self, call: str, plain: Iterable[dict[str, Any]]) -> None:
        for entry in plain:
            self._keep(self._jars.setdefault(call, {}), Cookie(**entry))

    def _keep(self, jar: dict[tuple[str, str, str], Cookie], cookie: Cookie) -> None:
        key = cookie.host, cookie.path, cookie.name
        if self._expired(cookie):
            jar.pop(key, None)
            return
        if key not in jar and len(jar) >= COOKIES_PER_CALL:
            del jar[next(iter(jar))]
        jar[key] = cookie

    def _fits(self, cookie: Cookie, target: URL) -> bool:
        secure = target.scheme == "https" or not cookie.secure
        return cookie.host == target.host and secure and _path_matches(target.raw_path, cookie.path) and not self._expired(cookie)

    def _expired(self, cookie: Cookie) -> bool:
        return bool(cookie.expires) and datetime.fromisoformat(cookie.expires) <= self._clock.utc()

    def _read(self, text: str, url: URL) -> Cookie | None:
        pair, *rest = text.split(";")
        name, equals, value = (part.strip() for part in pair.partition("="))
        if not equals or not name or len(pair) > LONGEST_COOKIE or not pair.isprintable():
            return None
        attributes = {key.strip().lower(): given.strip() for key, _, given in (part.partition("=") for part in rest)}
        path = attributes.get("path", "")
        return Cookie(
            host=url.host or "", path=path if path.startswith("/") else _default_path(url.raw_path), name=name, value=value,
            secure="secure" in attributes, expires=self._expiry(attributes),
        )  # fmt: skip

    def _expiry(self, attributes: dict[str, str]) -> str:
        max_age = attributes.get("max-age", "")
        if max_age.removeprefix("-").isdigit() and max_age.isascii():
            seconds = max(-1, min(int(max_age[:10]), 10 * 365 * 86400))
            return (self._clock.utc() + timedelta(seconds=seconds)).isoformat()
        try:
            date = parsedate_to_datetime(attributes.get("expires", ""))
        except ValueError:
            return ""
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).isoformat()


def _default_path(path: str) -> str:
    return path[: path.rfind("/")] or "/"


def _path_matches(path: str, wanted: str) -> bool:
    if not path.startswith(wanted):
        return False
    return len(path) == len(wanted) or wanted.endswith("/") or path[len(wanted)] == "/"
