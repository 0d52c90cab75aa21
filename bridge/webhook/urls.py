"""Tenants' URLs: one canonical text that is requested, signed and shown.

What is signed must be, letter for letter, what the tenant's server sees, so escaping is made canonical first and never touched again:
unreserved and harmless characters are not escaped (a framework that unescapes them would compute another signature), everything else is.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import quote_plus

from yarl import URL

from waitline.bridge.webhook.faults import Failure, Fault

_PLAIN = re.compile(r"[A-Za-z0-9_.~-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class WebUrl:
    """A tenant's URL taken apart."""

    url: str
    """Canonical; no fragment, no user information: what is requested."""
    named: str = field(repr=False)
    """Canonical; no fragment, but with user information: what relative URLs are resolved against."""
    authorization: str | None = field(default=None, repr=False)
    """The Basic credentials that were in it, as a header's value."""
    fragment: str = ""


def parse(text: str) -> WebUrl:
    """Take a tenant's absolute http(s) URL apart. Raises Failure BAD_URL."""
    try:
        url = URL(text.strip())
        if url.scheme not in ("http", "https") or not url.host:
            raise Failure(Fault.BAD_URL, f"{text!r} is not an absolute http or https URL")
        named = url.with_fragment(None)
        return WebUrl(url=str(named.with_user(None)), named=str(named), authorization=_basic(url), fragment=url.fragment)
    except ValueError as error:
        raise Failure(Fault.BAD_URL, f"{text!r}: {error}") from error


def with_query(url: str, params: Iterable[tuple[str, str]]) -> str:
    """Append pairs behind a canonical URL's own query."""
    query = form(params).decode("ascii")
    if not query:
        return url
    return str(URL(f"{url}{_separator(url)}{query}"))


def form(params: Iterable[tuple[str, str]]) -> bytes:
    """The pairs as the body of a form."""
    return "&".join([f"{_escaped(name)}={_escaped(value)}" for name, value in params]).encode("ascii")


def _escaped(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else quote_plus(text)  # names and identifiers, most of a form, have nothing to escape


def redirected(base: WebUrl, location: str) -> WebUrl:
    """Where a redirect leads; credentials go along within their origin. Raises Failure BAD_REDIRECT."""
    try:
        old = URL(base.named, encoded=True)
        new = old.join(URL(location.strip()))
        if new.raw_user is None and new.absolute and new.origin() == old.origin():
            new = new.with_user(old.user).with_password(old.password)
        return parse(str(new))
    except (Failure, ValueError) as error:
        raise Failure(Fault.BAD_REDIRECT, f"from {base.url} to {location!r}") from error


def _separator(url: str) -> str:
    if "?" not in url:
        return "?"
    return "" if url.endswith(("?", "&")) else "&"


def _basic(url: URL) -> str | None:
    if url.user is None and url.password is None:
        return None
    pair = f"{url.user or ''}:{url.password or ''}"
    return "Basic " + base64.b64encode(pair.encode("utf-8")).decode("ascii")
