"""What numbers, applications and SIP domains have in common: whom to ask when a call arrives."""

from __future__ import annotations

from waitline.api.params import Flag, Method, Param, Url


def url_and_method(name: str, field: str) -> tuple[Param, Param]:
    """A URL that may be cleared, and how it is asked."""
    stem, stem_field = name.removesuffix("Url"), field.removesuffix("_url")
    return (
        Param(name=name, field=field, kind=Url(clears=True), code=21205),
        Param(name=stem + "Method", field=stem_field + "_method", kind=Method(), code=21209),
    )


VOICE = (*url_and_method("VoiceUrl", "voice_url"), *url_and_method("VoiceFallbackUrl", "voice_fallback_url"))
STATUS_CALLBACK = url_and_method("StatusCallback", "status_callback")
CALLER_ID_LOOKUP = Param(name="VoiceCallerIdLookup", field="voice_caller_id_lookup", kind=Flag())
