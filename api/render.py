"""Records to JSON values: dates, addresses, numbers as people write them.

Dates are RFC 2822 in UTC (``Tue, 04 Aug 2015 18:39:09 +0000``): client libraries read no other form. An address is the path under which
the same record is fetched.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, Protocol

API_VERSION = "2010-04-01"
BASE = f"/{API_VERSION}"

Json = dict[str, Any]


class Dated(Protocol):
    @property
    def date_created(self) -> datetime: ...
    @property
    def date_updated(self) -> datetime: ...


def rfc2822(moment: datetime | None) -> str | None:
    return None if moment is None else format_datetime(moment.astimezone(UTC))


def iso8601(moment: datetime) -> str:
    """``2015-08-04T18:39:09Z``: what the resources behind ``/v1`` have instead."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def dates(record: Dated) -> Json:
    """The two dates that every resource has."""
    return {"date_created": rfc2822(record.date_created), "date_updated": rfc2822(record.date_updated)}


def address(account_sid: str, *parts: str) -> str:
    """``address("AC…", "Queues", "QU…")`` → ``/2010-04-01/Accounts/AC…/Queues/QU….json``."""
    return "/".join((BASE, "Accounts", account_sid, *parts)) + ".json"


def formatted(number: str) -> str:
    """``+14155550100`` → ``(415) 555-0100``; any other text stays as it is."""
    match = re.fullmatch(r"\+1([0-9]{3})([0-9]{3})([0-9]{4})", number)
    return "({}) {}-{}".format(*match.groups()) if match else number
