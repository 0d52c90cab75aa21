"""Whose call is it: (Request-URI) → account and application.

A call to ``sip:anything@DOMAIN`` goes to the SIP Domain of that name, one to ``sip:+15550100@HOST`` to the number. The Request-URI
decides; To is looked at only where the Request-URI's user is no number of ours, for gateways that keep the dialled number there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from waitline.bridge.call.state import Application
from waitline.bridge.sip.address import Address
from waitline.bridge.sip.message import Request
from waitline.bridge.sip.uri import Uri
from waitline.bridge.store import records
from waitline.bridge.store.image import Image

_VISUAL_SEPARATORS = str.maketrans("", "", "-.() ")
_NUMBER = re.compile(r"\+?[0-9*#]{1,20}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where a call belongs."""

    account_sid: str
    application: Application
    to: str
    from_: str
    number: records.IncomingPhoneNumber | None = None
    domain: records.SipDomain | None = None


class Routes:
    """Look-ups over the image of the store."""

    def __init__(self, image: Image) -> None:
        self._image = image

    def find(self, request: Request) -> Route | None:
        """The call's route, or None where nobody here is meant."""
        uri = request.request_uri
        domain = self._image.domains.by_name(uri.host.lower())
        if domain is not None:
            return self._to_domain(request, uri, domain)
        number = self.number_of(uri) or self.number_of(request.to.uri)
        return self._to_number(request, number) if number is not None else None

    def number_of(self, uri: Uri) -> records.IncomingPhoneNumber | None:
        """The number that a URI's user means, with or without its plus."""
        user = (uri.user or "").partition(";")[0].translate(_VISUAL_SEPARATORS)
        if not _NUMBER.fullmatch(user):
            return None
        numbers = self._image.numbers
        return numbers.by_number(user) or (None if user.startswith("+") else numbers.by_number("+" + user))

    def _to_domain(self, request: Request, uri: Uri, domain: records.SipDomain) -> Route:
        application = Application(
            voice_url=domain.voice_url,
            voice_method=domain.voice_method,
            fallback_url=domain.voice_fallback_url,
            fallback_method=domain.voice_fallback_method,
            status_callback=domain.voice_status_callback_url,
            status_callback_method=domain.voice_status_callback_method,
        )
        to = f"sip:{uri.user}@{uri.host}" if uri.user else f"sip:{uri.host}"
        return Route(account_sid=domain.account_sid, application=application, to=to, from_=_sip_uri(request.from_), domain=domain)

    def _to_number(self, request: Request, number: records.IncomingPhoneNumber) -> Route:
        named = self._image.applications.get(number.voice_application_sid) if number.voice_application_sid else None
        source = named or number
        application = Application(
            voice_url=source.voice_url,
            voice_method=source.voice_method,
            fallback_url=source.voice_fallback_url,
            fallback_method=source.voice_fallback_method,
            status_callback=source.status_callback,
            status_callback_method=source.status_callback_method,
        )
        return Route(
            account_sid=number.account_sid,
            application=application,
            to=number.phone_number,
            from_=caller_of(request.from_),
            number=number,
        )


def caller_of(address: Address) -> str:
    """The caller's number where its URI has one, else the URI."""
    user = (address.uri.user or "").translate(_VISUAL_SEPARATORS)
    return user if _NUMBER.fullmatch(user) else _sip_uri(address)


def _sip_uri(address: Address) -> str:
    uri = address.uri
    return f"sip:{uri.user}@{uri.host}" if uri.user else f"sip:{uri.host}"
