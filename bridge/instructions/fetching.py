"""From a URL of the tenant's to a script that can be run: request, parse, judge, tell the tenant what was wrong.

Two strengths of failure meet here. What a document says badly but can be carried on without is a warning Notification. What makes it
unusable (no answer, no XML, a verb that must not stand there) is a DocumentFailure; the caller of this module decides what follows: the
main loop asks the fallback URL, a wait loop tries again later, a whisper is left out.
"""

from __future__ import annotations

from waitline.bridge.call import notifications
from waitline.bridge.call.call import Call
from waitline.bridge.call.state import Script, Target
from waitline.bridge.instructions.attributes import ACTION_NOT_ABSOLUTE
from waitline.bridge.instructions.contexts import Context, forbidden
from waitline.bridge.instructions.document import Document, parse
from waitline.bridge.instructions.elements import Finding
from waitline.bridge.instructions.verbs import Dial, Enqueue, Play
from waitline.errors import AudioError, DocumentError, MediaUnavailable, WebhookError

FORBIDDEN_VERB = 12200
NO_AUDIO = 13420
_RUN_WITH_FAULT = (Enqueue, Dial, Play)
"""Their runners know what to do with a fault; any other verb with one makes the document unusable."""


class DocumentFailure(Exception):
    """No usable document: the notification ``code``, what was asked for, and what in it is to be told, if that says more."""

    def __init__(self, message: str, *, code: int, target: Target, body: str = "", findings: tuple[Finding, ...] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.target = target
        self.body = body
        self.findings = findings


async def fetch(call: Call, target: Target, context: Context) -> Script:
    """Ask for a document and return it ready to run. Raises DocumentFailure; writes a Notification for each warning in it."""
    if not target.url:
        raise DocumentFailure("a document given inline has no URL that could be asked again", code=ACTION_NOT_ABSOLUTE, target=target)
    try:
        reply = await call.ask(target)
    except WebhookError as error:
        raise DocumentFailure(str(error), code=error.code, target=target, body=error.body.decode("utf-8", "replace")) from error
    try:
        document = parse(reply.body, reply.content_type, url=reply.url)
        if document.audio_body is not None:
            await keep_audio(call, document)
    except MediaUnavailable as error:
        raise DocumentFailure(str(error), code=NO_AUDIO, target=target) from error
    except (DocumentError, AudioError) as error:
        raise DocumentFailure(str(error), code=error.code, target=target, body=reply.body.decode("utf-8", "replace")) from error
    return _judged(call, document, target, context)


def inline(call: Call, text: str, context: Context = Context.MAIN) -> Script:
    """Return a document given inline, ready to run. Raises DocumentFailure."""
    target = Target(url="")
    try:
        document = parse(text.encode(), "text/xml", url="")
    except DocumentError as error:
        raise DocumentFailure(str(error), code=error.code, target=target, body=text) from error
    return _judged(call, document, target, context)


async def keep_audio(call: Call, document: Document) -> None:
    """Make the clip of an answer that was audio itself; its Play finds it by its key. Raises AudioError."""
    [verb] = document.verbs
    assert document.audio_body is not None
    assert isinstance(verb, Play)
    await call.services.clips.from_audio(verb.audio_key, document.audio_body, document.audio_type)


def tell(call: Call, failure: DocumentFailure) -> None:
    """Write the failure's Notification, or those of the findings that it comes from."""
    if failure.findings:
        _tell_findings(call, failure.findings, failure.target)
    else:
        call.problem(failure.code, str(failure), target=failure.target, body=failure.body)


def _judged(call: Call, document: Document, target: Target, context: Context) -> Script:
    """The script of a document that can be run, its warnings told. One that cannot tells nothing: a wait loop would with each try."""
    verb = forbidden(document, context)
    if verb is not None:
        raise DocumentFailure(f"<{verb}> must not stand in a {context.value} document", code=FORBIDDEN_VERB, target=target)
    for broken in document.verbs:
        if broken.fault and not isinstance(broken, _RUN_WITH_FAULT):
            why = f"<{broken.name}> cannot be run as written"
            raise DocumentFailure(why, code=broken.fault, target=target, findings=document.warnings)
    _tell_findings(call, document.warnings, target)
    plain = document.to_plain()
    plain["audio_body"] = None  # it is a clip by now
    return Script(document=plain, url=document.url)


def _tell_findings(call: Call, findings: tuple[Finding, ...], target: Target) -> None:
    for finding in findings:
        where = f" (line {finding.line})" if finding.line else ""
        log = notifications.ERROR if finding.fault else notifications.WARNING
        call.problem(finding.code, finding.message + where, log=log, target=target)
