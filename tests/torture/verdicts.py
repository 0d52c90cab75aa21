"""What becomes of a message: the same judgement, in the same order, as a user agent's."""

import os
from pathlib import Path

from waitline.bridge.sip.message import MalformedRequest, Request, parse
from waitline.bridge.sip.validate import validate_request, validate_response
from waitline.errors import SipError

CORPUS = Path(os.environ.get("WAITLINE_TORTURE") or Path(__file__).resolve().parents[2].parent / "shared" / "torture")


def judge(data):
    """``taken``; the status a request is refused with; ``dropped`` for a response, or a request nobody could be told about."""
    try:
        message = parse(data)
        if isinstance(message, Request):
            validate_request(message)
        elif message is not None:
            validate_response(message)
    except MalformedRequest as error:
        return error.status if error.salvage is not None else "dropped"
    except SipError:
        return "dropped"
    return "taken"


def corpus(folder):
    """Name → octets of the published messages, where that folder is at hand."""
    return {path.stem: path.read_bytes() for path in sorted((CORPUS / folder).glob("*.dat"))}
