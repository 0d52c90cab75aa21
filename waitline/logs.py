"""Logs: one event a line on standard error, with call and account on every line that concerns one.

On a terminal for people, else one JSON object a line for machines. Values of secrets are never logged; a key whose name says so is blanked
all the same, and so is what a line holds of them in passing (``redaction``).
"""

from __future__ import annotations

import logging
import sys
from typing import Any, TextIO, cast

import structlog

from waitline.redaction import RedactedStream

_SECRET_KEYS = frozenset({"auth_token", "password", "secret", "authorization", "ha1", "key"})


def set_up(level: str, form: str = "auto", stream: TextIO | None = None) -> None:
    """Set the process's logging up. ``form``: auto, console or json."""
    out = cast(TextIO, RedactedStream(stream or sys.stderr))
    for_people = form == "console" or (form == "auto" and out.isatty())
    processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _without_secrets,
    ]
    if for_people:  # tracebacks without local variables: those hold tokens
        processors.append(structlog.dev.ConsoleRenderer(colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback))
    else:
        processors += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=True,
    )
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # a traceback for each scanner's bad bytes; handlers log their own
    logging.basicConfig(level=logging.WARNING, stream=out, format="%(levelname)s %(name)s %(message)s")


def _without_secrets(_logger: Any, _method: str, event: Any) -> Any:
    for name in _SECRET_KEYS & event.keys():
        event[name] = "***"
    return event
