"""Where an event of the SIP wire goes: a new call to the attendant, a dialog's event to its call, a REGISTER to the registrations.

Sits directly behind the endpoint, so everything here is synchronous and short; a new call gets a task of its own.
"""

from __future__ import annotations

from typing import Protocol

from waitline.bridge.call.call import Call
from waitline.bridge.call.services import Background
from waitline.bridge.net.endpoint import SipEndpoint
from waitline.bridge.router.attendant import Attendant
from waitline.bridge.router.registrations import Registrations
from waitline.bridge.sip import events as sip


class ByDialog(Protocol):
    """Finds the call of a dialog."""

    def of_dialog(self, dialog: str) -> Call | None: ...


class Dispatch:
    """See the module."""

    def __init__(
        self, attendant: Attendant, registrations: Registrations, calls: ByDialog, endpoint: SipEndpoint, owner: Background
    ) -> None:
        self._attendant = attendant
        self._registrations = registrations
        self._calls = calls
        self._endpoint = endpoint
        self._owner = owner

    def on_sip(self, event: sip.Event) -> None:
        """Take one event."""
        match event:
            case sip.InviteReceived():
                call = self._attendant.admit(event)
                if call is not None:
                    self._owner.spawn(self._attendant.attend(call, event.request), name=f"call {call.sid}")
            case sip.RegisterReceived():
                self._registrations.register(event)
            case sip.RequestReceived():
                self._endpoint.do(lambda agent, now: agent.respond(event.transaction, 405, now=now))
            case _:
                found = self._calls.of_dialog(event.dialog)
                if found is not None:
                    found.leg.on_sip(event)
