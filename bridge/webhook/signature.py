"""The signature that tells a tenant a request is from its platform: base64(HMAC-SHA1(auth token, URL + sorted parameters)).

The URL is the one requested, with its query, without fragment and user information (a server sees neither). Parameters count for POST
only: those of a GET are in the URL. Each distinct value of a repeated name is signed, sorted; names and values are the decoded strings,
with nothing between them.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable

HEADER = "X-Twilio-Signature"


def sign(url: str, params: Iterable[tuple[str, str]] = (), *, auth_token: str) -> str:
    """Return the header's value. ``params``: the pairs of the form body, none for a GET."""
    text = url.partition("#")[0] + "".join(name + value for name, value in sorted(set(params)))
    digest = hmac.new(auth_token.encode(), text.encode("utf-8"), hashlib.sha1).digest()
    return base64.b64encode(digest).decode("ascii")
