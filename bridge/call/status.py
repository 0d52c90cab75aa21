"""Status callbacks (platform contract 4.6): what the tenant is told of a call's progress, asynchronously, in order.

An inbound call delivers only ``completed`` (any final status). The reply is ignored; a failure is a Notification.
"""

from __future__ import annotations

from email.utils import format_datetime
from math import ceil

from waitline.bridge.call.call import Call
from waitline.bridge.call.state import Target


def completed(call: Call) -> None:
    """Tell the tenant that the call is over, if it asked to be told."""
    application = call.state.application
    if not application.status_callback:
        return
    target = Target(url=application.status_callback, method=application.status_callback_method, params=_parameters(call))
    call.notify_later(target)


def _parameters(call: Call) -> tuple[tuple[str, str], ...]:
    state = call.state
    ended = state.ended_at or call.services.clock.utc()
    seconds = round(state.talked_s(call.services.clock))
    sequence, state.callback_sequence = state.callback_sequence, state.callback_sequence + 1
    return (
        ("CallbackSource", "call-progress-events"),
        ("SequenceNumber", str(sequence)),
        ("Timestamp", format_datetime(ended)),
        ("CallDuration", str(seconds)),
        ("Duration", str(ceil(seconds / 60))),
    )
