"""The tenant's debugger: one Notification for each thing of theirs that went wrong (platform contract 5.6 and 7).

``error`` is for what made a call do something else than the tenant asked, ``warning`` for what was carried on without.
"""

from __future__ import annotations

from urllib.parse import urlencode

from waitline.bridge.call.services import Services
from waitline.bridge.store.records import Notification
from waitline.redaction import redacted

ERROR, WARNING = 0, 1
_MAX_TEXT = 4000


def write(
    services: Services,
    *,
    account_sid: str,
    code: int,
    message: str,
    log: int = ERROR,
    call_sid: str = "",
    url: str = "",
    method: str = "",
    variables: tuple[tuple[str, str], ...] = (),
    response_body: str = "",
) -> None:
    """Append a Notification; it is durable with the next group of writes."""
    now = services.clock.utc()
    services.store.append(
        Notification(
            sid=services.sids.new("NO"),
            account_sid=account_sid,
            call_sid=call_sid,
            log=log,
            error_code=code,
            message_text=redacted(message)[:_MAX_TEXT],
            message_date=now,
            request_method=method,
            request_url=redacted(url),
            request_variables=urlencode([(name, redacted(value)) for name, value in variables])[:_MAX_TEXT],
            response_body=redacted(response_body)[:_MAX_TEXT],
            date_created=now,
            date_updated=now,
        )
    )
    services.metrics.count("notifications", code=str(code))
